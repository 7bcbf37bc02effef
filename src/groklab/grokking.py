"""What 'memorised' and 'grokked' mean here, and how censored grokking steps are summarised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Version of the definitions below; stored with every result that uses them.
DEFINITION = "groklab/1"
THRESHOLD = 0.99
EVALUATIONS = 5


def default_every(n_inputs: int) -> int:
    """The default cadence of evaluation: every 10 steps, every step for fewer than 1,000 inputs."""
    return 1 if n_inputs < 1000 else 10


def reached_step(
    steps: np.ndarray, accuracy: np.ndarray, criterion: str = "sustained_99", cadence: int = 1, ended: bool = True
) -> int | None:
    """The first evaluated step from which `accuracy` meets the criterion, or None.

    steps, accuracy: (n,) of one member in order. 'sustained_99': at least 99% for 5 evaluations at the cadence, or to
    the end if the run has ended. 'first_95', 'first_90': once. 'near_maximum': within 1% of the maximum seen.
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
    hits = np.flatnonzero(accuracy >= bar)
    return int(steps[hits[0]]) if len(hits) else None


@dataclass(frozen=True)
class Survival:
    """Kaplan–Meier summary of grokking steps, some of them censored at their budget.

    median: the step by which half have grokked, None where the estimate never falls to one half.
    low, high: 95% interval of the median (log-log); high None means beyond the longest run.
    """

    n: int
    n_grokked: int
    median: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dict(vars(self))


def survival(grokked: list[int | None], ended: list[int]) -> Survival:
    """Kaplan–Meier median and interval; `grokked` has None for members that `ended` first."""
    from scipy import stats

    times = [float(g) if g is not None else float(e) for g, e in zip(grokked, ended, strict=True)]
    seen = [g is not None for g in grokked]
    if not any(seen):
        return Survival(len(seen), 0, None, None, None)
    if len(seen) == 1:
        return Survival(1, 1, times[0], None, None)
    data = stats.CensoredData.right_censored(times, [not s for s in seen])
    curve = stats.ecdf(data).sf
    with np.errstate(divide="ignore", invalid="ignore"):
        band = curve.confidence_interval(method="log-log")

    def crosses(probabilities: np.ndarray) -> float | None:
        # where nobody is left the band is undefined, which bounds nothing
        below = np.flatnonzero(np.nan_to_num(probabilities, nan=1.0) <= 0.5)
        return float(curve.quantiles[below[0]]) if len(below) else None

    return Survival(
        len(seen),
        sum(seen),
        crosses(curve.probabilities),
        crosses(band.low.probabilities),
        crosses(band.high.probabilities),
    )
