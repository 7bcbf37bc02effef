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
from groklab.reproduction import Claim, Outcome, Size, Trainer, Values

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


def holds_for(claim: str, values: Values | None) -> bool:
    trial = CLAIMS[claim].quick
    assert trial is not None
    assert values is not None
    return trial.passes(values)


def failing(claim: str, values: Values) -> list[str]:
    trial = CLAIMS[claim].quick
    assert trial is not None
    return [bar.value for bar in trial.bars if not bar.passed(values)]


def test_every_claim_gives_its_values_and_claims_share_their_runs(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(omnigrok.SCALES, "full", omnigrok.SCALES["quick"])
    sizes: tuple[Size, ...] = ("quick", "full")
    for claim, size in itertools.product(CLAIMS, sizes):
        outcome = found_by(claim, size)
        assert outcome.sentence, claim
        assert outcome.control, claim
        trial = CLAIMS[claim].trial(size)
        assert trial is not None
        for values in (outcome.values, outcome.control):
            # a value that a bar asks for under another name would fail for ever
            assert {bar.value for bar in trial.bars} <= set(values), claim
            for name, value in values.items():
                assert value is None or math.isfinite(value), (claim, name)
    assert sorted(r.name.rsplit("-", 1)[0] for r in gl.runs()) == [
        "omnigrok-landscape-x2", "omnigrok-landscape-x5", "omnigrok-mnist", "omnigrok-mnist", "omnigrok-mnist-decay",
        "omnigrok-mnist-decay", "omnigrok-mnist-no-decay", "omnigrok-mnist-no-delay", "omnigrok-mnist-small",
        "omnigrok-mnist-small", "omnigrok-teacher-student", "omnigrok-teacher-student-usual",
    ]  # fmt: skip
    # the large norm at a rate in proportion, and the usual one at that rate
    control = [e for r in gl.runs() if r.n_members == 2 and "landscape" in r.name for e in r.experiments]
    assert [(e.network.init_scale, e.optimiser.learning_rate) for e in control if e.optimiser] == [
        (8.0, 8e-3),
        (1.0, 8e-3),
    ]
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
    [(-1.0, True, True), (-0.8, True, True), (-0.7, True, False), (-0.3, False, False), (0.3, False, False)],
)
def test_times_by_decay_are_held_against_an_inverse_law(
    monkeypatch: pytest.MonkeyPatch, power: float, falls: bool, is_inverse: bool
) -> None:
    def decayed(trainer: Trainer, size: str, seed: int, decay: float) -> dict[str, np.ndarray]:
        return rising(1000, 100 * round(80 * (decay / 0.1) ** power), 120_000)

    monkeypatch.setattr(omnigrok, "_decayed", decayed)
    shorter, inverse = found_by("mnist-decay-shortens"), found_by("mnist-time-inverse-in-decay")
    assert inverse.values["slope"] == pytest.approx(power, abs=0.02)
    assert holds_for("mnist-decay-shortens", shorter.values) == falls
    assert holds_for("mnist-time-inverse-in-decay", inverse.values) == is_inverse
    assert shorter.values["step_at_decay_0.1"] == 8000
    # two seeds of one decay take the same time here, and so does the fit at all decays
    assert shorter.control == {
        "slope": pytest.approx(0),
        "slope_off_by": pytest.approx(1),
        "least_ratio_to_the_next": 1,
    }
    assert inverse.control is not None
    assert inverse.control["slope"] == pytest.approx(0, abs=1e-9)
    # the paper's decay is among those that are compared
    assert min(omnigrok.DECAYS["quick"]) == min(omnigrok.DECAYS["full"]) == 0.01


def test_a_decay_that_never_generalises_leaves_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {0.01: 90_000, 0.03: 15_000, 0.1: 6_000, 0.3: 2_000}
    monkeypatch.setattr(omnigrok, "_decayed", lambda b, s, seed, decay: rising(1000, times[decay], 20_000))
    for claim in ("mnist-decay-shortens", "mnist-time-inverse-in-decay"):
        assert not holds_for(claim, found_by(claim).values)


def test_a_delay_is_of_1000_steps_and_three_times_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omnigrok, "_usual", lambda *_: rising(100, 100, 500))
    for test_at, failed in ((3000, []), (2900, ["times_as_late"]), (1900, LATE), (90_000, LATE)):
        monkeypatch.setattr(omnigrok, "_decayed", lambda *_, at=test_at: rising(1000, at, 20_000))
        found = found_by("mnist-delayed")
        assert failing("mnist-delayed", found.values) == failed
        assert found.values["train_90%_at"] == 1000
        assert found.values["test_60%_at"] == (test_at if test_at < 20_000 else None)
        assert not holds_for("mnist-delayed", found.control)
        together = found_by("mnist-small-init-no-delay")
        assert holds_for("mnist-small-init-no-delay", together.values)
        # 900 steps, less than two fitting times, are neither late nor apart
        assert holds_for("mnist-small-init-no-delay", together.control) == (test_at == 1900)


LATE = ["delay", "times_as_late"]


def test_the_norm_has_to_fall_because_of_decay_while_accuracy_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rising(1000, 90_000, 10_000, rate=4e-6) | BOUNDLESS
    monkeypatch.setattr(omnigrok, "_plain", lambda *_: plain)
    risen = ["falls_throughout", "rank_correlation_with_test_accuracy", "norm_left"]
    for rate, failed in ((1e-4, []), (-1e-4, risen), (3e-4, ["scale_end"])):
        monkeypatch.setattr(omnigrok, "_decayed", lambda *_, r=rate: rising(1000, 4000, 10_000, rate=r) | BOUNDLESS)
        found = found_by("mnist-norm")
        assert failing("mnist-norm", found.values) == failed
        assert found.values["rank_correlation_with_test_accuracy"] == pytest.approx(-1 if rate > 0 else 1)
        assert found.values["norm_end_by_decay_alone"] == pytest.approx(94 / math.e)
        assert found.values["scale_at_test_60%"] == pytest.approx(8 * math.exp(-rate * 4000))
        # without decay the norm falls, too, and as steadily, but by a twentieth
        assert found.control is not None
        assert failing("mnist-norm", found.control) == ["norm_left"]


@pytest.mark.parametrize(
    ("test_at", "rate", "failed"),
    [
        (1_000_000, 0, []),
        (90_000, 0, ["rise_after_the_fit"]),
        (1_000_000, 1e-5, ["norm_left"]),
        (15_000, 0, ["best_test_accuracy", "rise_after_the_fit"]),
    ],
)
def test_never_means_a_norm_that_stays_and_no_rise(
    monkeypatch: pytest.MonkeyPatch, test_at: int, rate: float, failed: list[str]
) -> None:
    monkeypatch.setattr(omnigrok, "_plain", lambda *_: rising(1000, test_at, 20_000, rate=rate))
    monkeypatch.setattr(omnigrok, "_decayed", lambda *_: rising(1000, 5000, 10_000))
    found = found_by("mnist-no-decay-never")
    assert failing("mnist-no-decay-never", found.values) == failed
    assert not holds_for("mnist-no-decay-never", found.control)


PUBLISHED = {0.3: (0.3, 0.4), 0.6: (0, 0.2), 1.0: (0, 0.18), 2.0: (0, 0.2), 8.0: (0, 0.78)}


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({8.0: (0, 0.3)}, ["U_right_over_least"]),
        ({0.3: (0.3, 0.2)}, ["U_left_over_least"]),
        ({8.0: (0.1, 0.78)}, ["L_most_from_where_it_fits"]),
        ({0.3: (0.0, 0.4)}, ["L_at_small_norm"]),
        ({0.3: (0.3, 0.1)}, ["best_scale", "U_left_over_least"]),
        ({8.0: (0, 0.1)}, ["best_scale", "U_right_over_least"]),
    ],
)
def test_the_landscape_needs_an_l_and_a_u(
    monkeypatch: pytest.MonkeyPatch, changes: dict[float, tuple[float, float]], failed: list[str]
) -> None:
    table = PUBLISHED | changes

    def lowest(trainer: Trainer, size: str, seed: int, asked: Any) -> list[dict[str, float]]:
        return [dict(zip(("train_error", "test_error"), table[scale], strict=True)) for scale, _ in asked]

    monkeypatch.setattr(omnigrok, "_lowest", lowest)
    found = found_by("landscape-lu")
    assert failing("landscape-lu", found.values) == failed
    assert not holds_for("landscape-lu", found.control)


def test_the_large_norm_is_compared_at_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, holds in ((0.7, True), (0.2, False)):

        def lowest(b: Any, size: str, s: int, asked: Any, e: float = error) -> list[dict[str, float]]:
            at_large_rate = {8.0: e, 1.0: 0.25}
            return [
                {"test_error": PUBLISHED[scale][1] if rate == 1e-3 else at_large_rate[scale]} for scale, rate in asked
            ]

        monkeypatch.setattr(omnigrok, "_lowest", lowest)
        found = found_by("landscape-rate-control")
        assert holds_for("landscape-rate-control", found.values) == holds
        assert not holds_for("landscape-rate-control", found.control)
        assert found.values["test_error_at_rate_with_norm"] == error
        assert found.values["test_error_at_usual_rate"] == 0.78
