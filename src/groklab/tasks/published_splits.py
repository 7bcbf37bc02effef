"""Which of the published splits a model was trained on, told from its losses."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from groklab.tasks.base import Task
from groklab.tasks.splits import Split, make_split

#: The papers' own fraction first: of two that agree alike it is the likelier.
FRACTIONS = (0.3, 0.25, 0.28, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SEEDS = range(10)
#: Largest sum of the two logarithms' deviations; the recorded losses are those of one step before the weights.
AGREES = 1.0
#: A rival must be this many times, and this much, further off.
TIMES, MARGIN = 3.0, 0.003


def find_split(task: Task, losses: np.ndarray, train: float, test: float) -> tuple[Split, str] | None:
    """The published split on which per-input `losses` (n_inputs,) have means near `train` and `test`.

    With it a sentence on how surely. None where none agrees, or where several seeds do. Splits of one seed are nested:
    where several of them agree alike the first of FRACTIONS is taken, and the sentence says so.
    """
    best: dict[tuple[str, int | None], list[tuple[float, Split]]] = {}
    for split in candidates():
        if not 0 < int((split.frac_train or 0) * task.n_inputs) < task.n_inputs:
            continue
        rows = make_split(split, task, 0)
        found = losses[rows.train].mean(), losses[rows.test].mean()
        off = sum(abs(_log(a) - _log(b)) for a, b in zip(found, (train, test), strict=True))
        best.setdefault((split.method, split.seed), []).append((off, split))
    ranked = sorted(best.values(), key=lambda tried: min(off for off, _ in tried))
    closest = sorted(ranked[0], key=lambda item: item[0])
    rival = min(off for off, _ in ranked[1])
    off, split = closest[0]
    if not off <= AGREES or rival < max(TIMES * off, off + 0.1):
        return None
    alike = [s for o, s in closest if o < max(TIMES * off, off + MARGIN)]
    how = f"its losses agree with those of the weights to {_percent(off)}"
    if len(alike) == 1:
        following = min([rival, *(o for o, _ in closest[1:])])
        return split, f"{how}, those of the next of {sum(map(len, ranked))} published splits to {_percent(following)}"
    split = min(alike, key=lambda s: FRACTIONS.index(s.frac_train or 0))
    others = ", ".join(str(s.frac_train) for s in alike if s is not split)
    return split, f"{how}; fractions {others} of the same shuffle agree alike"


def candidates() -> Iterator[Split]:
    """The splits of published code: Python's shuffles of small seeds, and that of TransformerLens's demonstration."""
    for seed in SEEDS:
        for fraction in FRACTIONS:
            yield Split(method="python_shuffle", seed=seed, frac_train=fraction)
    yield Split(method="torch_randperm", seed=598, frac_train=0.3)


def _percent(off: float) -> str:
    """A difference of logarithms as a share."""
    return f"{math.expm1(off):.2%}" if off < 1 else "more than 100%"


def _log(loss: float) -> float:
    """A logarithm that is finite, and far from every other, for what is no positive number."""
    return math.log(loss) if loss > 0 and math.isfinite(loss) else -1e6
