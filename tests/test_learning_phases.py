from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groklab as gl
from groklab.errors import InputError
from groklab.grokking import LETTERS, PHASES, LearningPhase, learning_phase, phase_of, phase_of_steps

STEPS = np.arange(0, 5001, 10)


def rising(at: int | None, steps: np.ndarray = STEPS) -> np.ndarray:
    """An accuracy that is 0.2 before `at` and 0.95 from there on."""
    return np.full(len(steps), 0.2) if at is None else np.where(steps >= at, 0.95, 0.2)


def phase(train: int | None, test: int | None, **settings: Any) -> LearningPhase:
    return learning_phase(STEPS, rising(train), rising(test), **settings)


def test_the_four_phases() -> None:
    assert phase(100, 400) == LearningPhase("comprehension", 100, 400, False, "")
    assert phase(100, 3000) == LearningPhase("grokking", 100, 3000, False, "")
    memorised = phase(100, None)
    assert (memorised.phase, memorised.train_step, memorised.test_step) == ("memorisation", 100, None)
    assert memorised.censored
    assert "could still be grokking" in memorised.reason
    confused = phase(None, None)
    assert (confused.phase, confused.train_step, confused.test_step) == ("confusion", None, None)
    assert confused.censored
    assert confused.gap is None
    assert phase(100, 3000).gap == 2900


def test_memorisation_shortly_before_the_end_could_still_become_comprehension() -> None:
    assert "could still be comprehension or grokking" in phase(4500, None).reason
    assert "at step 5,000 of 100,000" in phase(100, None, budget=100_000).reason


def test_generalising_without_fitting_is_named() -> None:
    found = phase(None, 700)
    assert (found.phase, found.train_step, found.test_step, found.censored) == ("undefined", None, 700, True)
    assert found.reason.startswith("generalised without fitting: test accuracy reached 90% at step 700")


def test_a_gap_at_the_bound_follows_the_paper_and_its_authors_code_on_request() -> None:
    assert phase(100, 1100).phase == "grokking"
    assert "exactly 1,000 steps, which is counted as grokking" in phase(100, 1100).reason
    assert phase(100, 1100, boundary="comprehension").phase == "comprehension"
    assert phase(100, 1090).phase == "comprehension"
    assert phase(100, 1110, boundary="comprehension").phase == "grokking"


def test_a_gap_within_one_evaluation_of_the_bound_is_doubtful() -> None:
    # evaluated every 10 steps, a delay of 1,000 or more could show as 995
    assert "cannot be told from 995" in phase(100, 1090, gap=995).reason
    assert phase(100, 1080, gap=995).reason == ""
    every = np.arange(0, 2000)
    assert learning_phase(every, rising(100, every), rising(1099, every)).reason == ""


def test_the_very_last_step_counts_and_is_named() -> None:
    found = phase(4900, 5000)
    assert (found.phase, found.censored) == ("comprehension", False)
    assert "very last step recorded, 5,000" in found.reason


def test_nine_of_ten_in_single_precision_reach_nine_tenths() -> None:
    steps = np.arange(3)
    found = learning_phase(steps, np.array([0, 0.9, 1], np.float32), np.array([0, 0.5, 0.9], np.float32))
    assert (found.train_step, found.test_step) == (1, 2)


def test_curves_that_say_nothing() -> None:
    for train, test, why in (
        (None, rising(5), "no training accuracy"),
        (rising(5), None, "no test accuracy"),
        (rising(5), np.full(len(STEPS), np.nan), "no test accuracy"),
    ):
        found = learning_phase(STEPS, train, test)
        assert (found.phase, found.censored) == ("undefined", False)
        assert why in found.reason
    assert "nothing is recorded" in learning_phase([], [], []).reason


def test_divergence_before_both_thresholds_is_undefined_and_after_them_is_not() -> None:
    lost = np.where(STEPS > 2000, np.nan, 1.0)
    assert "diverged" in learning_phase(STEPS, rising(100) * lost, rising(None) * lost).reason
    assert learning_phase(STEPS, rising(100) * lost, rising(4000) * lost).phase == "undefined"
    assert learning_phase(STEPS, rising(100) * lost, rising(1900) * lost).phase == "grokking"
    # a hole is not the end
    hole = np.where(STEPS == 2000, np.nan, 1.0)
    assert learning_phase(STEPS, rising(100) * hole, rising(None)).phase == "memorisation"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": 0}, "threshold = 0: needs to be above 0"),
        ({"threshold": 90}, "threshold = 90"),
        ({"gap": -1}, "gap = -1"),
        ({"gap": float("nan")}, "gap = nan"),
        ({"boundary": "both"}, "unknown; allowed: grokking, comprehension"),
    ],
)
def test_refusals(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words.split(":")[0]):
        phase(1, 1, **settings)


def test_curves_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"test_accuracy has shape \(2,\) for 501 steps"):
        learning_phase(STEPS, rising(1), [0, 1])


@given(
    st.one_of(st.none(), st.integers(0, 499)),
    st.one_of(st.none(), st.integers(0, 499)),
    st.integers(0, 3000),
    st.sampled_from(["grokking", "comprehension"]),
)
def test_curves_and_steps_agree(train: int | None, test: int | None, gap: int, boundary: Any) -> None:
    a, b = (None if s is None else 10 * s for s in (train, test))
    found = phase(a, b, gap=gap, boundary=boundary)
    assert (found.train_step, found.test_step) == (a, b)
    assert found.phase == phase_of_steps(a, b, gap, boundary).item()
    assert found.censored == (a is None or b is None)


def test_steps_in_a_grid() -> None:
    train = [[1, 2, None], [float("nan"), 5, 10]]
    test = [[900, 1002, None], [4, None, 1009]]
    found = phase_of_steps(train, test, 1000)
    assert ["".join(LETTERS[name] for name in row) for row in found.tolist()] == ["CGX", "?MC"]
    assert set(found.ravel().tolist()) <= set(PHASES)
    # one time against many
    assert phase_of_steps(0, [999, 1000, 1001]).tolist() == ["comprehension", "grokking", "grokking"]


class Measured:
    """Curves in memory, as a run gives them."""

    def __init__(self, *members: dict[str, np.ndarray]) -> None:
        self.members = members
        self.recorded = [SimpleNamespace(budget=SimpleNamespace(steps=5000)) for _ in members]

    def curves(self, member: int = 0) -> dict[str, np.ndarray]:
        return self.members[member]


def test_a_run_whose_loss_is_no_number_has_diverged_whatever_its_accuracy() -> None:
    curves = {"step": STEPS, "train_accuracy": rising(100), "test_accuracy": rising(None)}
    losses = np.where(STEPS > 1000, np.nan, 1.0)
    run = Measured({**curves, "train_loss": np.ones(len(STEPS))}, {**curves, "train_loss": losses}, curves)
    assert [phase_of(run, m).phase for m in range(3)] == ["memorisation", "undefined", "memorisation"]
    assert "diverged" in phase_of(run, 1).reason
    with pytest.raises(InputError, match="member = 3: the run has members 0 to 2"):
        phase_of(run, 3)


def test_a_run_that_records_no_training_loss_is_not_taken_for_diverged() -> None:
    nothing = np.full(len(STEPS), np.nan)
    run = Measured({"step": STEPS, "train_accuracy": rising(0), "test_accuracy": rising(20), "train_loss": nothing})
    assert phase_of(run).phase == "comprehension"


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("micro-fast", {"budget.steps": 400}),
        ("mallinar2024/multiply-gaussian", {"task.p": 11, "budget.steps": 8}),
    ],
)
def test_it_hangs_on_runs_of_any_learner(preset: str, settings: dict[str, Any]) -> None:
    run = gl.train(gl.preset(preset, settings))
    curves = run.curves()
    found = phase_of(run, threshold=0.9, gap=20)
    for step, name in ((found.train_step, "train_accuracy"), (found.test_step, "test_accuracy")):
        reached = curves["step"][curves[name] >= 0.9 - 1e-7]
        assert step == (int(reached[0]) if len(reached) else None)
    assert found.phase == phase_of_steps(found.train_step, found.test_step, 20).item()
    assert found.train_step is not None
