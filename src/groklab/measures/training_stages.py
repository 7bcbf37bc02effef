"""The three phases of training: memorisation, circuit formation, cleanup (Nanda et al. 2023, section 5.2).

The paper reads their boundaries off its figures. Here they are computed, by a rule that gives the paper's own numbers
on its mainline run (1,400 and 9,400; cleanup ends some 1,500 steps before the paper's 14,000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Cleanup has ended when the sum of squares falls at less than this share of its steepest fall.
STILL = 0.05
#: Checkpoints without which an excluded loss that is least says nothing.
FEWEST = 4
#: Pieces into which a run is cut to take slopes of its sum of squares.
PIECES = 200

RULE = (
    "memorisation ends where the excluded loss on the training set is least, circuit formation where test accuracy "
    "first exceeds 50%, cleanup where the sum of squared weights falls at less than 5% of its steepest fall since "
    "memorisation"
)


@dataclass(frozen=True)
class Phases:
    """Steps at which the phases end; None where that was not reached."""

    memorisation: int | None
    circuit_formation: int | None
    cleanup: int | None

    def spans(self, end: int) -> list[tuple[str, int, int]]:
        """(name, first step, last step) of each phase that had begun by the step `end`, in order."""
        found, begin = [], 0
        for name, stop in vars(self).items():
            last = end if stop is None else stop
            found.append((name.replace("_", " "), begin, last))
            if stop is None:
                return found
            begin = stop
        return [*found, ("stable", begin, end)]


def find_phases(
    checkpoints: np.ndarray,
    excluded_loss: np.ndarray,
    steps: np.ndarray,
    test_accuracy: np.ndarray,
    sum_of_squares: np.ndarray,
) -> Phases:
    """The phases' ends by RULE.

    checkpoints (m,) and excluded_loss (m,): on the training set, without the key frequencies of the final model.
    steps (n,), test_accuracy (n,), sum_of_squares (n,): of each evaluation.
    A run that never exceeds 50% has only its memorisation, and that only if the excluded loss has risen again; one
    that exceeds it before its excluded loss is least has no circuit formation apart from it. Fewer than FEWEST
    checkpoints tell nothing.
    """
    above = np.flatnonzero(test_accuracy > 0.5)
    generalised = int(steps[above[0]]) if len(above) else None
    seen = np.isfinite(excluded_loss)
    if np.count_nonzero(seen) < FEWEST:
        return Phases(None, None, None)
    if generalised is not None:
        seen &= checkpoints <= max(generalised, int(checkpoints[min(1, len(checkpoints) - 1)]))
    if not seen.any():
        return Phases(None, None, None)
    least = int(checkpoints[seen][np.argmin(excluded_loss[seen])])
    if generalised is None:
        rises = least < checkpoints[seen][-1]
        return Phases(least if rises else None, None, None)
    memorised = min(least, generalised)
    return Phases(memorised, generalised, _stillness(steps, sum_of_squares, memorised, generalised))


def _stillness(steps: np.ndarray, sum_of_squares: np.ndarray, since: int, after: int) -> int | None:
    """The first step after `after` from which the sum hardly falls any more."""
    whole = np.isfinite(sum_of_squares)
    if not whole.any() or steps[-1] <= since:
        return None
    edges = np.linspace(since, steps[-1], PIECES + 1)
    fall = -np.diff(np.interp(edges, steps[whole], sum_of_squares[whole])) / np.diff(edges)
    steepest = fall.max()
    if steepest <= 0:
        return None
    begin = max(int(np.argmax(fall)), int(np.searchsorted(edges, after)))
    still = np.flatnonzero(fall[begin:] < STILL * steepest)
    return int(edges[begin + still[0]]) if len(still) else None
