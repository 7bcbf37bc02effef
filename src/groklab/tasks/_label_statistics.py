"""How often each label occurs, and how far the labels of a training set are from those of its test set.

Furuta et al. 2024, appendix K: entropies of the labels and their divergence between training and test set, over random
splits. The divergence of a random split depends on little besides the number of labels and of rows: see `kl_by_chance`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError
from groklab.tasks._base import Task
from groklab.tasks._splits import Split, SplitRows, make_split

MAX_SEEDS = 10_000

Labels: TypeAlias = npt.NDArray[np.int64]
Counts: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Of a value over splits its mean, standard deviation (None for one split), and least and largest."""

    mean: float
    sd: float | None
    low: float
    high: float


@dataclass(frozen=True)
class LabelCounts:
    """Statistics of labels over random splits, in nats.

    Attributes:
        inputs, labels: how many rows there are, and how many labels occur.
        largest_count, smallest_count: of the labels that occur.
        entropy: of all rows.
        train_entropy, test_entropy: of either set, over the splits.
        kl: KL(train||test) over the splits; None if it is infinite for one, as a label is trained on and absent from
            the test set.
        infinite: number of such splits.
        kl_by_chance: what to expect of a random split, (labels - 1)/2 * (1/n_train + 1/n_test) to first order; None for
            all of a mixture and for a task with several answers per row, whose labels are not drawn one by one.
    """

    inputs: int
    n_train: int
    n_test: int
    labels: int
    largest_count: int
    smallest_count: int
    entropy: float
    train_entropy: Spread
    test_entropy: Spread
    kl: Spread | None
    infinite: int
    kl_by_chance: float | None


@dataclass(frozen=True)
class LabelStatistics(LabelCounts):
    """Label statistics of a task, and how they were taken.

    Attributes:
        split: how rows were divided.
        by_operation: for a mixture, the counts of each operation by name, on the same splits.
    """

    split: dict[str, Any]
    seeds: int
    first_seed: int
    smoothing: float
    by_operation: dict[str, LabelCounts]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; `by_operation` only for a mixture."""
        values = asdict(self)
        settings = {name: values.pop(name) for name in ("split", "seeds", "first_seed", "smoothing")}
        return settings | {name: value for name, value in values.items() if name != "by_operation" or value}


def label_statistics(
    task: Task, split: Split | None = None, *, seeds: int = 100, first_seed: int = 0, smoothing: float = 0.0
) -> LabelStatistics:
    """Compute label statistics of a task over random splits.

    Args:
        split: how the rows are divided, by default 30% for training. Its own seed is not used, but first_seed,
            first_seed + 1, ... in turn. Training labels are those trained on, label noise included.
        smoothing: added to the count of every label that occurs, in training and test set alike.

    Raises:
        InputError: where answers are not classes, where training data are drawn at each step, where seeds or smoothing
            are out of range, and as `make_split` does.
    """
    _check(task, seeds, smoothing)
    split = Split(frac_train=0.3) if split is None else split
    names = [] if task.operations is None else list(task.algebra.operations)
    place = np.zeros(task.n_inputs, np.int32) if task.operations is None else task.operations
    full = _Part(task, np.ones(task.n_inputs, np.bool_), seeds, task.units is None)
    parts = [_Part(task, place == i, seeds, True) for i in range(len(names))]
    for i in range(seeds):
        divided = make_split(replace(split, seed=first_seed + i), task, 0)
        for part in (full, *parts):
            part.count(i, divided, smoothing)
    return LabelStatistics(
        **vars(full.statistics()),
        split=_settings(split),
        seeds=seeds,
        first_seed=first_seed,
        smoothing=smoothing,
        by_operation={name: part.statistics() for name, part in zip(names, parts, strict=True)},
    )


def entropy(counts: npt.ArrayLike) -> float:
    """Return the entropy in nats of a label that occurs in proportion to counts (n_labels,)."""
    shares = np.asarray(counts, np.float64)
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log(shares)).sum() + 0.0)


def divergence(train: npt.ArrayLike, test: npt.ArrayLike) -> float:
    """Return KL(train||test) in nats of two counts (n_labels,): infinite where a label occurs in the first alone."""
    p, q = (np.asarray(counts, np.float64) for counts in (train, test))
    there = p > 0
    p, q = p[there] / p.sum(), q[there] / q.sum()
    return float((p * np.log(p / q)).sum()) if q.all() else float("inf")


def _check(task: Task, seeds: int, smoothing: float) -> None:
    if task.values is not None:
        raise InputError("task", task.name, "has answers that are not classes, so that no label can be counted")
    if task.draw is not None:
        raise InputError("task", task.name, "draws its training data at each step, so that there is no split")
    if not 1 <= seeds <= MAX_SEEDS:
        raise InputError("seeds", seeds, f"needs to be from 1 to {MAX_SEEDS:,}")
    if not 0 <= smoothing < float("inf"):
        raise InputError("smoothing", smoothing, "needs a finite number of at least 0")


def _settings(split: Split) -> dict[str, Any]:
    kept = {"frac_train": split.frac_train, "n_train": split.n_train, "method": split.method}
    return {key: value for key, value in kept.items() if value is not None}


class _Part:
    """Some rows of a task, marked in rows (n_inputs,), and the counts of their labels, split by split."""

    def __init__(self, task: Task, rows: npt.NDArray[np.bool_], seeds: int, one_by_one: bool) -> None:
        self.task, self.rows = task, rows
        self.one_by_one = one_by_one and task.reads is None
        every = np.flatnonzero(rows)
        self.counts = np.bincount(_labels(task, every, task.targets[every]), minlength=task.n_classes)
        self.entropies, self.kl = np.empty((2, seeds)), np.empty(seeds)
        self.sizes = 0, 0

    def count(self, i: int, split: SplitRows, smoothing: float) -> None:
        """Add the i-th split."""
        trained = self.rows[split.train]
        rows, answers = split.train[trained], split.train_targets[trained]
        others = split.test[self.rows[split.test]]
        train, test = (
            np.bincount(_labels(self.task, part, labels), minlength=self.task.n_classes)
            for part, labels in ((rows, answers), (others, self.task.targets[others]))
        )
        # label noise may train on an answer that no row has
        added = np.where((self.counts > 0) | (train > 0), smoothing, 0.0)
        self.entropies[:, i] = entropy(train + added), entropy(test + added)
        self.kl[i] = divergence(train + added, test + added)
        self.sizes = len(rows), len(others)

    def statistics(self) -> LabelCounts:
        """Return everything, once all splits are counted."""
        n_train, n_test = self.sizes
        occur = self.counts[self.counts > 0]
        infinite = int(np.isinf(self.kl).sum())
        return LabelCounts(
            inputs=int(self.rows.sum()),
            n_train=n_train,
            n_test=n_test,
            labels=len(occur),
            largest_count=int(occur.max()),
            smallest_count=int(occur.min()),
            entropy=entropy(occur),
            train_entropy=_spread(self.entropies[0]),
            test_entropy=_spread(self.entropies[1]),
            kl=None if infinite else _spread(self.kl),
            infinite=infinite,
            kl_by_chance=(len(occur) - 1) / 2 * (1 / n_train + 1 / n_test) if self.one_by_one else None,
        )


def _labels(task: Task, rows: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Labels:
    """Return the answers of these rows that count, (n_labels,)."""
    if task.mask is not None:
        targets = targets[np.asarray(task.mask)[rows] > 0]
    return targets.ravel().astype(np.int64)


def _spread(values: Counts) -> Spread:
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), sd, float(values.min()), float(values.max()))
