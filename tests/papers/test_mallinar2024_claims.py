"""The claims of Mallinar et al. 2024: the machinery on tiny machines, and the exact ones as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.experiment import Experiment
from groklab.measures import blocks, deviations
from groklab.papers.mallinar2024.claims import features, networks, runs, transitions
from groklab.papers.mallinar2024.claims.features import add_by_fourier, subtract_by_fourier
from groklab.papers.mallinar2024.presets import OPERATIONS
from groklab.reproduction import Trainer, find, reproduce
from groklab.tasks import ORIENTATIONS, planted_features

#: At p = 11 the kernels and networks are there, and learn little: verdicts say nothing, values are all there.
TINY_MACHINE = {"task.p": 11, "split.frac_train": 0.7}
TINY_NETWORK = {"network.d_mlp": 16, "budget.steps": 20, "evaluation.every": 5, "measures.every": 5}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that claims ask for is made tiny."""

    def small(name: str, overrides: dict[str, Any] | None = None) -> Experiment:
        asked = {**(overrides or {}), "task.p": 11}
        if "split.frac_train" not in asked or asked["split.frac_train"] < 0.2:
            asked["split.frac_train"] = TINY_MACHINE["split.frac_train"]
        if gl.preset(name).network is not None:
            asked |= TINY_NETWORK
        return gl.preset(name, asked)

    for module in (runs, networks, features, transitions):
        monkeypatch.setattr(module, "preset", small)


def of(claim: str) -> Callable[[Trainer, Any], Any]:
    trial = find(f"mallinar2024/{claim}")[1][0].quick
    assert trial is not None
    return trial.run


KERNEL_CLAIMS = [
    "interpolates", "starts-at-nothing", "quadratic-transition", "gaussian-transition", "flat-test-loss",
    "right-class-loss", "figure-1", "data-threshold", "hidden-progress", "logarithms", "alignment", "diagonal-block",
    "enforced-structure", "planted-features", "two-tasks", "two-tasks-generalise",
]  # fmt: skip


def test_every_claim_on_kernel_machines_gives_its_values(tiny: None) -> None:
    trainer = Trainer()
    found = {claim: of(claim)(trainer, 0) for claim in KERNEL_CLAIMS}
    for claim, outcome in found.items():
        assert outcome.sentence, claim
        assert outcome.values, claim
        for name, value in outcome.values.items():
            assert value is None or isinstance(value, list) or math.isfinite(value), (claim, name)
    # what holds at any size
    assert found["interpolates"].holds
    assert found["two-tasks-generalise"].values["sums_transposed_share"] > 0.4
    # four operations of each kernel are trained once for all claims
    names = sorted(r.name.rsplit("-", 1)[0] for r in gl.runs())
    assert names == [
        "mallinar2024-figure-1", "mallinar2024-fractions-61-x6", "mallinar2024-gaussian-x4",
        "mallinar2024-quadratic-x4", "mallinar2024-two-tasks",
    ]  # fmt: skip


def test_claims_on_networks_give_their_values(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # (two of one size, and so of one program)
    monkeypatch.setattr(networks, "OPERATIONS", {k: OPERATIONS[k] for k in ("add", "multiply")})
    monkeypatch.setattr(networks, "PLANTED", ("add",))
    trainer = Trainer()
    for claim in ("networks-grok", "neural-feature-ansatz", "networks-features"):
        outcome = of(claim)(trainer, 0)
        assert outcome.sentence
        assert all(v is None or math.isfinite(v) for v in outcome.values.values()), claim
    assert len(gl.runs()) == 2
    for claim in ("planted-networks", "agop-penalty"):
        both = list(of(claim)(trainer, (0, 1)))
        assert len(both) == 2
        assert both[0].values != both[1].values


def test_iterations_are_counted_as_the_paper_does(tiny: None) -> None:
    run = runs.machines(Trainer(), "quadratic", 0)
    at = 7
    task, train, test = runs.data_of(run, 1)
    outputs = run.experiments[1].learner.outputs(run.weights(at, 1), task, train)[test]
    # the machine of iteration t is that of M_t, and the matrix after its update is M_(t+1)
    assert runs.curve(run, "test_accuracy", 1)[at] == runs.accuracy(outputs, task.targets[test])
    block = blocks(run.weights(at + 1, 1)["M"])[2]
    wanted = deviations(block)["hankel"]
    assert runs.after_updates(run, "circulant_deviation.hankel", 1)[at] == pytest.approx(wanted)
    assert len(runs.curve(run, "test_loss")) == len(runs.after_updates(run, "block_structure.c1")) == 30


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_enforced_structure_leaves_what_has_it_and_makes_it_of_what_has_not(orientation: str) -> None:
    p = 11
    exact = planted_features(p, orientation, 3)  # type: ignore[arg-type]
    scales = np.concatenate([np.full(p, 2.0), np.full(p, 0.5)])
    found = features.enforced(exact * np.outer(scales, scales), orientation)
    first, upper, lower, second = blocks(found)
    np.testing.assert_allclose(lower, blocks(exact)[2] / (1 - 1 / p), atol=1e-14)
    np.testing.assert_array_equal(upper, lower.T)
    np.testing.assert_array_equal(first, second)
    noise = np.random.default_rng(0).normal(size=(2 * p, 2 * p))
    assert deviations(blocks(features.enforced(noise @ noise.T, orientation))[2])[orientation] < 1e-28


def test_the_fourier_algorithm_is_exact_with_the_right_index_alone() -> None:
    for p in (5, 13):
        a, b, c = np.indices((p, p, p))
        np.testing.assert_allclose(add_by_fourier(p), (a + b - c) % p == 0, atol=1e-13)
        right = subtract_by_fourier(p, -np.arange(p) % p)
        np.testing.assert_allclose(right, (a - b - c) % p == 0, atol=1e-13)
        printed = subtract_by_fourier(p, p - np.arange(p) - 1)
        assert not np.any(printed.argmax(axis=2) == right.argmax(axis=2))


def test_the_theorem_holds_to_rounding(home: Path) -> None:
    found = reproduce("mallinar2024/fourier-multiplication", seeds=1).claims[0]
    assert found.verdict == "reproduced"
    values = {k: v.values[0] for k, v in found.measured.items()}
    assert values.pop("right_as_printed") == 0
    assert values.pop("condition_over_p_plus_1") == pytest.approx(1)
    assert max(values.values()) < 1e-13
    assert not gl.runs()
