"""What 'memorised' and 'grokked' mean here, and how censored grokking steps are summarised."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from groklab.lazy import np

#: Version of the definitions below; stored with every result that uses them.
DEFINITION = "groklab/1"
THRESHOLD = 0.99
EVALUATIONS = 5
#: What each criterion asks of an accuracy.
CRITERIA = {
    "sustained_99": "at least 99% for five evaluations in a row, or to the end of the run",
    "first_95": "95% or more for the first time",
    "first_90": "90% or more for the first time",
    "near_maximum": "within 1% of the run's own best for the first time",
}


def default_every(n_inputs: int) -> int:
    """Return the default cadence of evaluation: every 10 steps, every step for fewer than 1,000 inputs."""
    return 1 if n_inputs < 1000 else 10


def reached_step(
    steps: np.ndarray, accuracy: np.ndarray, criterion: str = "sustained_99", cadence: int = 1, ended: bool = True
) -> int | None:
    """Return the first evaluated step from which `accuracy` meets the criterion, or None.

    Args:
        steps: (n,) of one member, ascending.
        accuracy: (n,) between 0 and 1.
        criterion: 'sustained_99': at least 99% for 5 evaluations at the cadence, or to the end if the run has ended;
            'first_95', 'first_90': once; 'near_maximum': within 1% of the highest accuracy.
    """
    on_grid = steps % cadence == 0
    if ended and len(steps):
        on_grid[-1] = True
    steps, accuracy = steps[on_grid], accuracy[on_grid]
    if criterion == "sustained_99":
        good = accuracy >= THRESHOLD
        for i in np.flatnonzero(good):
            window = good[i : i + EVALUATIONS]
            if window.all() and (len(window) == EVALUATIONS or ended):
                return int(steps[i])
        return None
    bar = {"first_95": 0.95, "first_90": 0.90}.get(criterion)
    if bar is None:
        bar = 0.99 * float(np.nanmax(accuracy, initial=0.0))
        # chance-level flatlines are within 1% of their own maximum too
        if bar < 0.5:
            return None
    return first_step(steps, accuracy >= bar)


def first_step(steps: np.ndarray, reached: np.ndarray) -> int | None:
    """Return the first of steps (n,) at which something is true, as reached (n,) has it; None if it never is."""
    places = np.flatnonzero(reached)
    return int(steps[places[0]]) if len(places) else None


@dataclass(frozen=True)
class Survival:
    """Kaplan–Meier summary of grokking steps, some of them censored at their budget.

    Args:
        median: the step by which half have grokked; None where the estimate never falls to one half.
        low: lower end of the median's 95% interval (log-log).
        high: its upper end; None means beyond the longest run.
    """

    n: int
    n_grokked: int
    median: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(vars(self))


def survival(grokked: list[int | None], ended: list[int]) -> Survival:
    """Return the Kaplan–Meier median and interval; `grokked` has None for members that `ended` first."""
    seen = np.array([g is not None for g in grokked], bool)
    times = np.array([e if g is None else g for g, e in zip(grokked, ended, strict=True)], float)
    if len(seen) == 1 or not seen.any():
        return Survival(len(seen), int(seen.sum()), float(times[0]) if seen.any() else None, None, None)
    from scipy import stats  # takes longer to import than the rest of the command line

    remaining = stats.ecdf(stats.CensoredData.right_censored(times, ~seen)).sf
    with warnings.catch_warnings():
        # where nobody is left the variance is not defined, and bounds nothing
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = remaining.confidence_interval(0.95, method="log-log")

    def crosses(probabilities: np.ndarray) -> float | None:
        below = np.flatnonzero(probabilities <= 0.5 + 1e-12)
        return float(remaining.quantiles[below[0]]) if len(below) else None

    low, median, high = (crosses(s.probabilities) for s in (interval.low, remaining, interval.high))
    return Survival(len(seen), int(seen.sum()), median, low, high)
