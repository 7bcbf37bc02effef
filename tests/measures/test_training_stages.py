"""The phases of training, on curves whose boundaries are known."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groklab.measures import TrainingStages, training_stages

NONE = TrainingStages(None, None, None)


def curves(memorised: int, generalised: int, still: int, end: int = 20_000):
    steps = np.arange(0, end + 1, 10)
    checkpoints = np.arange(0, end + 1, 100)
    excluded = np.abs(checkpoints - memorised) / 1000 + 1e-3
    accuracy = 1 / (1 + np.exp(-(steps - generalised) / 50))
    # falls slowly, then steeply around the end of circuit formation, then hardly
    squares = np.interp(steps, [0, memorised, generalised, still, end], [1800, 3600, 2400, 1000, 995.0])
    return checkpoints, excluded, steps, accuracy, squares


@given(st.integers(10, 30), st.integers(40, 90), st.integers(95, 130))
def test_known_boundaries_are_found(a: int, b: int, c: int) -> None:
    found = training_stages(*curves(a * 100, b * 100, c * 100))
    assert found.memorisation == a * 100
    assert found.circuit_formation is not None
    assert found.cleanup is not None
    assert abs(found.circuit_formation - b * 100) <= 10
    assert abs(found.cleanup - c * 100) <= 200


def test_a_run_that_never_generalises_has_one_phase_that_may_have_ended() -> None:
    checkpoints, excluded, steps, accuracy, squares = curves(1500, 9000, 12000)
    flat = np.full_like(accuracy, 0.1)
    assert training_stages(checkpoints, excluded, steps, flat, squares) == TrainingStages(1500, None, None)
    assert training_stages(checkpoints, -checkpoints.astype(float), steps, flat, squares) == TrainingStages(
        None, None, None
    )


def test_nothing_finite_is_no_phase() -> None:
    checkpoints, excluded, steps, accuracy, squares = curves(1500, 9000, 12000)
    nothing = np.full_like(excluded, np.nan)
    assert training_stages(checkpoints, nothing, steps, accuracy, squares) == NONE


def test_few_checkpoints_tell_nothing() -> None:
    checkpoints, excluded, *rest = curves(1500, 9000, 12000)
    assert training_stages(checkpoints[-3:], excluded[-3:], *rest) == NONE


def test_spans_cover_the_run() -> None:
    assert TrainingStages(1400, 9400, 14000).spans(20000) == [
        ("memorisation", 0, 1400),
        ("circuit formation", 1400, 9400),
        ("cleanup", 9400, 14000),
        ("stable", 14000, 20000),
    ]
    stages = TrainingStages(1400, None, None)
    assert stages.spans(5000) == [
        ("memorisation", 0, 1400),
        ("circuit formation", 1400, 5000),
    ]
    assert NONE.spans(50) == [("memorisation", 0, 50)]
