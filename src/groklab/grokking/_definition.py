"""What 'memorised' and 'grokked' mean here, and how censored grokking steps are summarised."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
    "tveit": "95% or more for the first time once the training set has been all right (Tveit et al. 2025)",
    "essential_ai": "within 1% of the run's own best for the first time, where that exceeds 95% (Essential AI 2025)",
    "five_in_a_row": "95% or more for five evaluations in a row (Na00s/muon-grokking)",
}
#: The accuracy that these ask for.
_BARS = {"first_95": 0.95, "first_90": 0.90, "tveit": 0.95, "five_in_a_row": 0.95}


def default_every(n_inputs: int) -> int:
    """Return the default cadence of evaluation: every 10 steps, every step for fewer than 1,000 inputs."""
    return 1 if n_inputs < 1000 else 10


def reached_step(
    steps: np.ndarray,
    accuracy: np.ndarray,
    criterion: str = "sustained_99",
    cadence: int = 1,
    ended: bool = True,
    train: np.ndarray | None = None,
) -> int | None:
    """Return the first evaluated step from which `accuracy` meets the criterion, or None.

    Args:
        steps: (n,) of one member, ascending.
        accuracy: (n,) between 0 and 1.
        criterion: 'sustained_99': at least 99% for 5 evaluations at the cadence, or to the end if the run has ended;
            'five_in_a_row': the same with 95%, and five in any case; 'first_95', 'first_90': once; 'tveit': 95% once
            training accuracy has been 100%; 'near_maximum': within 1% of the highest accuracy, if that is 50%;
            'essential_ai': the same, if that exceeds 95%.
        train: (n,) training accuracies, for 'tveit'; without them it is never met.
    """
    on_grid = steps % cadence == 0
    if ended and len(steps):
        on_grid[-1] = True
    steps, accuracy = steps[on_grid], accuracy[on_grid]
    if criterion in ("sustained_99", "five_in_a_row"):
        to_the_end = ended and criterion == "sustained_99"
        good = accuracy >= (THRESHOLD if criterion == "sustained_99" else _BARS[criterion])
        for i in np.flatnonzero(good):
            window = good[i : i + EVALUATIONS]
            if window.all() and (len(window) == EVALUATIONS or to_the_end):
                return int(steps[i])
        return None
    if criterion in ("near_maximum", "essential_ai"):
        best = float(np.nanmax(accuracy, initial=0.0))
        # chance-level flatlines are within 1% of their own maximum too
        if 0.99 * best < 0.5 or (criterion == "essential_ai" and best <= 0.95):
            return None
        return first_step(steps, accuracy >= 0.99 * best)
    reached = accuracy >= _BARS[criterion]
    if criterion == "tveit":
        fitted = np.zeros(len(steps), bool) if train is None else train[on_grid] >= 1
        reached &= np.logical_or.accumulate(fitted)
    return first_step(steps, reached)


def first_step(steps: np.ndarray, reached: np.ndarray) -> int | None:
    """Return the first of steps (n,) at which something is true, as reached (n,) has it; None if it never is."""
    places = np.flatnonzero(reached)
    return int(steps[places[0]]) if len(places) else None


def lowest_since(steps: np.ndarray, accuracy: np.ndarray, step: int | None) -> float | None:
    """Return the lowest accuracy evaluated from a step on, which says whether what was grokked stays; None for none.

    Args:
        steps: (n,) of one member, ascending.
        accuracy: (n,) between 0 and 1, NaN where it was not measured.
        step: the one at which it grokked, None where it has not.
    """
    later = accuracy[steps >= step] if step is not None else accuracy[:0]
    later = later[np.isfinite(later)]
    return float(later.min()) if len(later) else None


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


def log_rank(one: Sequence[int | None], other: Sequence[int | None], ended: tuple[int, int]) -> float:
    """Return the p-value of the log-rank test that two groups grok at the same rate.

    Args:
        one, other: the groups' steps, None for members that had not grokked when their group's budget `ended`.
    """
    from scipy import stats

    if all(step is None for step in (*one, *other)):
        return 1.0  # nothing happened that could tell them apart
    samples = []
    for group, end in zip((one, other), ended, strict=True):
        times = np.array([end if step is None else step for step in group], float)
        censored = np.array([step is None for step in group], bool)
        samples.append(stats.CensoredData.right_censored(times, censored))
    return float(stats.logrank(*samples).pvalue)
