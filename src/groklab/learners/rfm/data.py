"""One member's data for a kernel machine, and how well a fitted machine does on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groklab.errors import InputError
from groklab.learners.rfm.kernels import Array
from groklab.learners.rfm.machine import Fitted
from groklab.learners.rfm.points import Pairs, Points, Rows
from groklab.tasks.base import TaskShape


@dataclass(frozen=True)
class Data:
    """One member's points and answers.

    test_transposed: which test pairs are trained on the other way round; all, where that says nothing. holds: whether
    the kernel matrix is held. alone: whether this member may have all cores.
    """

    train: Points
    train_targets: np.ndarray
    test: Points
    test_targets: np.ndarray
    test_transposed: np.ndarray
    shape: TaskShape
    dtype: str
    holds: bool
    alone: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.train, Pairs):
            # sums over the pairs of a first symbol are sums over stretches
            order = np.lexsort((self.train.second, self.train.first))
            object.__setattr__(self, "train", self.train.take(order))
            object.__setattr__(self, "train_targets", self.train_targets[order])

    @cached_property
    def answers(self) -> Array:
        """(n, c) one-hot training targets."""
        one_hot: Array = np.eye(self.shape.n_classes, dtype=self.dtype)[self.train_targets]
        return one_hot


def points_of(inputs: np.ndarray, shape: TaskShape, path: str) -> Points:
    """Tokens (n, n_ctx) or reals (n, d) as points: pairs to look up, or one-hot or real rows.

    Raises InputError for numbers that are not finite, and for the path 'pairs' of anything else.
    """
    if np.issubdtype(inputs.dtype, np.floating):
        if path == "pairs":
            raise InputError("learner.path", "pairs", "needs a task of two varying tokens")
        if not np.isfinite(inputs).all():
            raise InputError("the task's inputs hold numbers that are not finite")
        return Rows(inputs)
    positions = shape.varying
    tokens = inputs[:, positions]
    if len(positions) == 2 and path != "dense":
        return Pairs(tokens[:, 0], tokens[:, 1], shape.n_symbols)
    if path == "pairs":
        raise InputError("learner.path", "pairs", "needs a task of two varying tokens")
    eye = np.eye(shape.n_symbols)
    return Rows(np.concatenate([eye[t] for t in tokens.T], axis=1))


def errors(fitted: Fitted, data: Data) -> dict[str, float]:
    """Losses (mean over samples and outputs), accuracies and losses at the right class alone.

    A tie counts as wrong. `transpose_free_accuracy` is NaN where every test pair counts as transposed.
    """
    row = {}
    for name, points, targets in (
        ("train", data.train, data.train_targets),
        ("test", data.test, data.test_targets),
    ):
        outputs = fitted.predict(points).copy()
        rows = np.arange(len(targets))
        own = outputs[rows, targets].astype(np.float64)
        outputs[rows, targets] = -np.inf
        right = own > outputs.max(1)
        outputs[rows, targets] = 0
        squares = float(np.einsum("nc,nc->", outputs, outputs, dtype=np.float64))
        correct = float(((own - 1) ** 2).sum())
        row[f"{name}_loss"] = (squares + correct) / outputs.size
        row[f"{name}_accuracy"] = float(right.mean())
        row[f"{name}_correct_loss"] = correct / len(targets)
    row["transpose_free_accuracy"] = np.nan
    if not data.test_transposed.all():
        row["transpose_free_accuracy"] = float(right[~data.test_transposed].mean())
    return row


def is_pairs(shape: TaskShape) -> bool:
    """Whether inputs are two varying tokens."""
    return shape.n_features is None and len(shape.varying) == 2


def dimension(shape: TaskShape) -> int:
    """Coordinates of an input."""
    return len(shape.varying) * shape.n_symbols if shape.n_features is None else shape.n_features
