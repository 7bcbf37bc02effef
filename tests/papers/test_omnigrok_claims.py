"""The claims on images and on real-valued answers: the machinery on tiny networks, verdicts on curves made by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.experiment import Experiment
from groklab.papers.omnigrok import claims as omnigrok
from groklab.reproduction import Claim, Outcome, Size, Trainer

#: 60 digits and narrow layers: verdicts say nothing, values are all there.
TINY = {"task.first": 60, "split.n_train": 40, "network.d_hidden": 8, "batch_size": 10, "evaluation.every": 5}
TINY_STUDENT = {"task.examples": 40, "split.n_train": 20, "network.d_hidden": 8, "evaluation.every": 5}
CLAIMS: dict[str, Claim] = {c.id: c for c in omnigrok.CLAIMS}


def small(name: str, overrides: dict[str, Any] | None = None) -> Experiment:
    """A preset, tiny, with 40 steps."""
    own = TINY_STUDENT if "student" in name else TINY
    return gl.preset(name, {**(overrides or {}), **own, "budget.steps": 40})


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that claims ask for is made tiny."""
    for module in (omnigrok,):
        monkeypatch.setattr(module, "preset", small)


def found_by(claim: str, size: Size = "quick", seed: int = 0) -> Outcome:
    trial = CLAIMS[claim].trial(size)
    assert trial is not None
    found = trial.run(Trainer(), seed)
    assert isinstance(found, Outcome)
    return found


def test_every_claim_gives_its_values_and_claims_share_their_runs(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(omnigrok.SCALES, "full", omnigrok.SCALES["quick"])
    sizes: tuple[Size, ...] = ("quick", "full")
    for claim, size in itertools.product(CLAIMS, sizes):
        outcome = found_by(claim, size)
        assert outcome.sentence, claim
        assert outcome.values, claim
        for name, value in outcome.values.items():
            assert value is None or math.isfinite(value), (claim, name)
    assert sorted(r.name.rsplit("-", 1)[0] for r in gl.runs()) == [
        "omnigrok-landscape", "omnigrok-landscape-x5", "omnigrok-mnist", "omnigrok-mnist-decay",
        "omnigrok-mnist-decay", "omnigrok-mnist-no-decay", "omnigrok-mnist-no-delay", "omnigrok-mnist-small",
        "omnigrok-teacher-student",
    ]  # fmt: skip
    # the control is of the large norm alone, at a rate in proportion
    control = [r.experiment for r in gl.runs() if r.n_members == 1 and "landscape" in r.name]
    assert [(e.network.init_scale, e.optimiser.learning_rate) for e in control if e.optimiser] == [(8.0, 8e-3)]
    other = found_by("mnist-norm", seed=1).values["norm_start"]
    assert other != found_by("mnist-norm").values["norm_start"]


def test_trials_of_one_size_that_share_runs_have_the_same_seeds() -> None:
    # seconds count once a seed for what is shared, so the seeds must be the same ones
    for size in ("quick", "full"):
        by_share: dict[str, set[tuple[int, ...]]] = {}
        for claim in CLAIMS.values():
            trial = claim.trial(size)
            assert trial is not None
            if trial.shares:
                by_share.setdefault(trial.shares, set()).add(trial.own_seeds)
        assert all(len(seeds) == 1 for seeds in by_share.values()), by_share


def test_a_run_that_went_further_is_looked_at_up_to_the_budget() -> None:
    run = Trainer().train(small("omnigrok/mnist-small"))
    assert run.curves()["step"][-1] == 40
    cut = omnigrok.until(run, 20)
    assert cut["step"][-1] == 20
    assert len(cut["test_accuracy"]) == len(cut["step"])


#: Test accuracy that goes on rising to the last step.
BOUNDLESS = {"test_accuracy": np.float32(0.6) * np.arange(101, dtype=np.float32) / 40}


def rising(train_at: int, test_at: int, last: int, *, norm: float = 94.0, rate: float = 1e-4) -> dict[str, np.ndarray]:
    """Curves whose training set is fitted at one step, and whose test accuracy comes to 60% at another."""
    step = np.arange(0, last + 1, 100)
    test = np.clip(0.1 + 0.5 * (step / test_at), 0, 0.95).astype(np.float32)
    train = np.where(step >= train_at, np.float32(0.9), np.float32(0.1))
    return {"step": step, "train_accuracy": train, "test_accuracy": test, "weight_norm": norm * np.exp(-rate * step)}


@pytest.mark.parametrize(
    ("power", "falls", "is_inverse"),
    [(-1.0, True, True), (-0.5, True, False), (0.0, False, False), (0.3, False, False)],
)
def test_times_by_decay_are_held_against_an_inverse_law(
    monkeypatch: pytest.MonkeyPatch, power: float, falls: bool, is_inverse: bool
) -> None:
    def decayed(trainer: Trainer, size: str, seed: int, decay: float) -> dict[str, np.ndarray]:
        return rising(1000, 100 * round(40 * (decay / 0.1) ** power), 20_000)

    monkeypatch.setattr(omnigrok, "_decayed", decayed)
    shorter, inverse = found_by("mnist-decay-shortens"), found_by("mnist-time-inverse-in-decay")
    assert inverse.values["slope"] == pytest.approx(power, abs=0.02)
    assert (shorter.holds, inverse.holds) == (falls, is_inverse)
    assert shorter.values["test_60%_at_decay_0.1"] == 4000


def test_a_decay_that_never_generalises_is_later_than_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {0.03: 90_000, 0.1: 6_000, 0.3: 2_000}
    monkeypatch.setattr(omnigrok, "_decayed", lambda b, s, seed, decay: rising(1000, times[decay], 20_000))
    assert found_by("mnist-decay-shortens").holds
    assert not found_by("mnist-time-inverse-in-decay").holds
    times[0.1] = 90_000
    assert not found_by("mnist-decay-shortens").holds


def test_a_delay_is_one_of_at_least_1000_steps_and_needs_both(monkeypatch: pytest.MonkeyPatch) -> None:
    for test_at, holds in ((2000, True), (1900, False), (90_000, False)):
        monkeypatch.setattr(omnigrok, "_decayed", lambda *_, at=test_at: rising(1000, at, 20_000))
        found = found_by("mnist-delayed")
        assert found.holds == holds
        assert found.values["train_90%_at"] == 1000
        assert found.values["test_60%_at"] == (test_at if test_at < 20_000 else None)


def test_the_norm_has_to_fall_while_accuracy_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate, holds in ((1e-4, True), (-1e-4, False)):
        monkeypatch.setattr(omnigrok, "_decayed", lambda *_, r=rate: rising(1000, 4000, 10_000, rate=r) | BOUNDLESS)
        found = found_by("mnist-norm")
        assert found.holds == holds
        assert found.values["rank_correlation_with_test_accuracy"] == pytest.approx(-1 if holds else 1)
        assert found.values["norm_end_by_decay_alone"] == pytest.approx(94 / math.e)
        assert found.values["scale_at_test_60%"] == pytest.approx(8 * math.exp(-rate * 4000))


PUBLISHED = {0.3: (0.3, 0.4), 0.6: (0, 0.2), 1.0: (0, 0.18), 2.0: (0, 0.2), 8.0: (0, 0.78)}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({8.0: (0, 0.3)}, False),  # no right arm
        ({0.3: (0.3, 0.2)}, False),  # no left arm
        ({8.0: (0.1, 0.78)}, False),  # training fails at a large norm
        ({0.3: (0.0, 0.4)}, False),  # training never fails
    ],
)
def test_the_landscape_needs_an_l_and_a_u(
    monkeypatch: pytest.MonkeyPatch, changes: dict[float, tuple[float, float]], holds: bool
) -> None:
    table = PUBLISHED | changes

    def lowest(trainer: Trainer, size: str, seed: int, asked: Any) -> list[dict[str, float]]:
        return [dict(zip(("train_error", "test_error"), table[scale], strict=True)) for scale, _ in asked]

    monkeypatch.setattr(omnigrok, "_lowest", lowest)
    assert found_by("landscape-lu").holds == holds


def test_the_control_is_of_the_large_norm_at_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, holds in ((0.7, True), (0.2, False)):

        def lowest(b: Any, size: str, s: int, asked: Any, e: float = error) -> list[dict[str, float]]:
            return [{"test_error": PUBLISHED[scale][1] if rate == 1e-3 else e} for scale, rate in asked]

        monkeypatch.setattr(omnigrok, "_lowest", lowest)
        found = found_by("landscape-rate-control")
        assert found.holds == holds
        assert found.values["test_error_at_rate_with_norm"] == error
        assert found.values["test_error_at_usual_rate"] == 0.78
