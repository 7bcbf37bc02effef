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
from groklab.reproduction import Outcome, Trainer, Values, find, reproduce
from groklab.tasks import ORIENTATIONS, planted_features
from groklab.training import build_task

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
#: Identities and weights that are written down: they are what they are, without training.
CHECKS = ["interpolates", "fourier-multiplication", "gromov-weights"]


def assert_complete(claim: str, outcome: Outcome) -> None:
    """An outcome has a sentence, numbers, and a value and a control for every bar of its claim."""
    about = find(f"mallinar2024/{claim}")[1][0]
    assert about.quick is not None
    assert outcome.sentence, claim
    for values in (outcome.values, outcome.control or {}):
        for name, value in values.items():
            assert value is None or isinstance(value, list) or math.isfinite(value), (claim, name)
    for bar in about.quick.bars:
        assert bar.value in outcome.values, (claim, bar.value)
        assert about.kind == "check" or bar.value in (outcome.control or {}), (claim, bar.value)


def test_identities_are_checks() -> None:
    claims = find("mallinar2024")[1]
    assert len(claims) == 24
    assert [c.id for c in claims if c.kind == "check"] == CHECKS


def test_every_claim_on_kernel_machines_gives_its_values(tiny: None) -> None:
    trainer = Trainer()
    found = {claim: of(claim)(trainer, 0) for claim in KERNEL_CLAIMS}
    for claim, outcome in found.items():
        assert_complete(claim, outcome)
    # what holds at any size
    assert find("mallinar2024/interpolates")[1][0].quick.passes(found["interpolates"].values)  # type: ignore[union-attr]
    assert found["two-tasks-generalise"].values["sums_transposed_share"] > 0.4
    # of random labels a plain kernel gets some right by chance, and of sums not one
    assert found["starts-at-nothing"].values["sums_and_differences_at_0"] == 0
    # the machines of each kernel are trained once for all claims, and so are those on random labels
    names = sorted(r.name.rsplit("-", 1)[0] for r in gl.runs())
    assert names == [
        "mallinar2024-figure-1", "mallinar2024-fractions-61-x6", "mallinar2024-gaussian-x4",
        "mallinar2024-quadratic-x4", "mallinar2024-random-59", "mallinar2024-random-61", "mallinar2024-random-61",
        "mallinar2024-random-fractions-61-x3", "mallinar2024-two-tasks",
    ]  # fmt: skip


def test_planted_features_of_the_right_orientation_alone_let_a_kernel_machine_add() -> None:
    right, wrong = (features._one_solve("add", "quadratic", o, 0.5, 0) for o in ("toeplitz", "hankel"))
    assert right == 1
    assert wrong < 0.06


def test_claims_on_networks_give_their_values(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # (two of one size, and so of one program)
    monkeypatch.setattr(networks, "OPERATIONS", {k: OPERATIONS[k] for k in ("add", "multiply")})
    monkeypatch.setattr(networks, "PLANTED", ("add",))
    trainer = Trainer()
    for claim in ("networks-grok", "neural-feature-ansatz", "networks-features"):
        assert_complete(claim, of(claim)(trainer, 0))
    assert len(gl.runs()) == 3
    for claim in ("planted-networks", "agop-penalty"):
        both = list(of(claim)(trainer, (0, 1)))
        for outcome in both:
            assert_complete(claim, outcome)
        assert both[0].values != both[1].values


def test_iterations_are_counted_as_the_paper_does(tiny: None) -> None:
    machine = runs.machines(Trainer(), 0, ("quadratic",))[1]
    assert (machine.operation, machine.orientation) == ("subtract", "hankel")
    run, at = machine.run, 7
    task, train, test = runs.data_of(run, 1)
    outputs = run.experiments[1].learner.outputs(run.weights(at, 1), task, train)[test]
    # the machine of iteration t is that of M_t, and the matrix after its update is M_(t+1)
    assert machine.curve("test_accuracy")[at] == runs.accuracy(outputs, task.targets[test])
    np.testing.assert_array_equal(machine.matrix(at), run.weights(at + 1, 1)["M"])
    wanted = deviations(blocks(machine.matrix(at))[2])["hankel"]
    assert machine.after_updates("circulant_deviation.hankel")[at] == pytest.approx(wanted)
    assert len(machine.curve("test_loss")) == len(machine.after_updates("block_structure.c1")) == 30


def test_a_transition_is_timed_from_the_first_curve_to_the_last() -> None:
    early = np.array([0, 0.04, 0.06, 0.6, 0.95, 1.0])
    late = np.array([0, 0, 0, 0.05, 0.3, 0.92])
    assert transitions.transition([early, late]) == {
        "first_at_5%": 2,
        "most_iterations_from_5_to_90%": 2,
        "least_accuracy_at_29": 0.92,
        "all_at_50%": 5,
        "all_at_90%": 5,
        "all_at_99%": None,
    }
    # what never happens has no time, and fails its bar
    never = transitions.transition([early, np.zeros(6)])
    assert never["first_at_5%"] is never["most_iterations_from_5_to_90%"] is None
    assert [bar.passed(never) for bar in transitions.TRANSITION] == [False, False, False]


def test_flatness_is_of_the_initial_iterations_and_the_fall_of_all() -> None:
    flat = np.array([2.0, 2.01, 1.99, 2.0, 2.0, 2.0, 1.5, 1.0])
    assert transitions.flatness([flat, flat[::-1].copy()]) == {
        "largest_change_to_5": pytest.approx(1),
        "least_fall_by_29": pytest.approx(-1),
        "first_change_of_1%_at": 1,
    }
    assert transitions.flatness([flat])["largest_change_to_5"] == pytest.approx(0.005)
    assert transitions.flatness([flat])["least_fall_by_29"] == pytest.approx(0.5)


def test_a_jump_is_judged_by_what_the_others_have_gone_below_it() -> None:
    ends = {
        "accuracy": {0.2: 0.0, 0.3: 0.05, 0.45: 0.95},
        "mse": {0.2: 0.022, 0.3: 0.018, 0.45: 0.012},
        "deviation": {0.2: 0.8, 0.3: 0.3, 0.45: 0.05},
    }
    values = transitions.jump(ends, (0.2, 0.3, 0.45))
    assert values == pytest.approx(
        {
            "accuracy_below_the_jump": 0.05,
            "accuracy_above_the_jump": 0.95,
            "mse_share_gone_below": 0.4,
            "deviation_share_gone_below": 2 / 3,
        }
    )
    assert all(bar.passed(values) for bar in transitions.JUMP)


def test_jumps_of_two_tasks_and_how_far_apart_they_are() -> None:
    right = {"steps": [0, 1, 8, 9, 12], "sums": [0, 0, 0.1, 0.7, 0.8], "squares": [0, 0.9, 0.95, 1, 1]}
    assert transitions.jumps(right) == pytest.approx(
        {
            "sums_largest_jump": 0.6, "sums_jump_after": 8, "sums_at_12": 0.8,
            "squares_largest_jump": 0.9, "squares_jump_after": 0, "squares_at_12": 1, "iterations_apart": 8,
        }
    )  # fmt: skip


def test_the_worst_of_several_machines_is_taken_by_name() -> None:
    each: list[Values] = [{"least_a": 1, "largest_b": 2.0}, {"least_a": 3, "largest_b": None}]
    assert runs.worst(each) == {"least_a": 1, "largest_b": None}
    assert runs.worst(each[:1] * 2) == each[0]


@pytest.mark.parametrize(
    ("path", "place"),
    [([1.0, 0.95, 0.91, 0.89, 0.5, 0.0], 3), ([1.0, 0.5, 0.95, 0.8, 0.4, 0.0], 3), ([1.0, 0.5, 1.1], None)],
)
def test_a_curve_has_gone_a_tenth_of_its_way_when_it_does_not_come_back(path: list[float], place: int | None) -> None:
    assert networks.tenth_of_the_way(np.array(path)) == place


def test_random_orders_do_not_make_a_block_circulant_and_logarithms_do() -> None:
    block = blocks(planted_features(61, "toeplitz_log", 0))[2]
    assert deviations(block)["toeplitz_log"] < 1e-28
    assert features.in_random_orders(block, np.random.default_rng(0)) > 0.9
    # an order that is right by chance would be found
    plain = blocks(planted_features(5, "toeplitz_log", 0))[2]
    assert features.in_random_orders(plain, np.random.default_rng(0)) < 1e-28


def test_answers_in_a_random_order_keep_their_counts_in_each_operation() -> None:
    task = build_task(gl.preset("mallinar2024/two-tasks", {"task.p": 11}))
    shuffled = transitions._shuffled(task, 0)
    for i in range(2):
        rows = task.operands[:, 2] == i
        np.testing.assert_array_equal(np.sort(shuffled.targets[rows]), np.sort(task.targets[rows]))
        assert np.mean(shuffled.targets[rows] == task.targets[rows]) < 0.3


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
    assert found.verdict == "holds"
    values = {k: v.values[0] for k, v in found.measured.items()}
    assert values.pop("right_as_printed") == 0
    assert values.pop("condition_over_p_plus_1") == pytest.approx(1)
    assert max(values.values()) < 1e-13
    assert not gl.runs()
