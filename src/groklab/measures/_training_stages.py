"""The three stages of training: memorisation, circuit formation, cleanup (Nanda et al. 2023, section 5.2).

The paper, which calls them phases, reads their boundaries off its figures. Here a rule computes them, which gives the
paper's own numbers on its mainline run (1,400 and 9,400; cleanup ends some 1,500 steps before the paper's 14,000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groklab.grokking import first_step

#: Cleanup has ended when the sum of squares falls at less than this share of its steepest fall.
STILL = 0.05
#: Fewer checkpoints do not show where the excluded loss is least.
FEWEST = 4
#: Pieces of a run over which slopes of its sum of squares are taken.
PIECES = 200

RULE = (
    "memorisation ends where the excluded loss on the training set is least, circuit formation where test accuracy "
    "first exceeds 50%, cleanup where the sum of squared weights falls at less than 5% of its steepest fall since "
    "memorisation"
)


@dataclass(frozen=True)
class TrainingStages:
    """Steps at which the stages end; None for a stage that has not ended."""

    memorisation: int | None
    circuit_formation: int | None
    cleanup: int | None

    def spans(self, end: int) -> list[tuple[str, int, int]]:
        """Return (name, first step, last step) of each stage that had begun by the step `end`, in order."""
        spans, begin = [], 0
        for name, stop in vars(self).items():
            last = end if stop is None else stop
            spans.append((name.replace("_", " "), begin, last))
            if stop is None:
                return spans
            begin = stop
        return [*spans, ("stable", begin, end)]


def training_stages(
    checkpoints: np.ndarray,
    excluded_loss: np.ndarray,
    steps: np.ndarray,
    test_accuracy: np.ndarray,
    sum_of_squares: np.ndarray,
) -> TrainingStages:
    """Find the ends of the stages by RULE.

    A run that never exceeds 50% has only its memorisation, and that only if the excluded loss has risen again; one that
    exceeds it before its excluded loss is least has no circuit formation apart from it. Fewer than FEWEST checkpoints
    decide nothing.

    Args:
        checkpoints: (m,) their steps.
        excluded_loss: (m,) on the training set, without the key frequencies of the final model.
        steps: (n,) of each evaluation.
        test_accuracy: (n,) of each evaluation.
        sum_of_squares: (n,) of each evaluation, of all weights.
    """
    generalised = first_step(steps, test_accuracy > 0.5)
    seen = np.isfinite(excluded_loss)
    if np.count_nonzero(seen) < FEWEST:
        return TrainingStages(None, None, None)
    if generalised is not None:
        seen &= checkpoints <= max(generalised, int(checkpoints[min(1, len(checkpoints) - 1)]))
    if not seen.any():
        return TrainingStages(None, None, None)
    least = int(checkpoints[seen][np.argmin(excluded_loss[seen])])
    if generalised is None:
        rises = least < checkpoints[seen][-1]
        return TrainingStages(least if rises else None, None, None)
    memorised = min(least, generalised)
    return TrainingStages(memorised, generalised, _stillness(steps, sum_of_squares, memorised, generalised))


def _stillness(steps: np.ndarray, sum_of_squares: np.ndarray, since: int, after: int) -> int | None:
    """Return the first step after `after` from which the sum hardly falls any more."""
    finite = np.isfinite(sum_of_squares)
    if not finite.any() or steps[-1] <= since:
        return None
    edges = np.linspace(since, steps[-1], PIECES + 1)
    fall = -np.diff(np.interp(edges, steps[finite], sum_of_squares[finite])) / np.diff(edges)
    steepest = fall.max()
    if steepest <= 0:
        return None
    begin = max(int(np.argmax(fall)), int(np.searchsorted(edges, after)))
    return first_step(edges[begin:-1], fall[begin:] < STILL * steepest)
