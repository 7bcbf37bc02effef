"""The representation that an embedding holds: its parallelograms and its principal components (Liu et al. 2022).

A model that reads E_i + E_j (or the matrix product E_a E_b) gives two pairs of one answer the same input where they are
a parallelogram, so that its parallelograms predict its accuracy (sections 3.1, 4.1). P0 is the set of all {u, v} of one
answer, P0(D) those of a training set D; (i, j) and (j, i) are one pair of a sum. Classes are blocks: with y_u what the
model reads of pair u, one product Y Y' per class gives all distances in it, and no quadruple is visited by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from groklab.components import Carried
from groklab.errors import InputError
from groklab.measures._fourier import ROUNDING, embedding_table
from groklab.measures._registry import Result, Rows, Weights, measure
from groklab.networks import EmbeddingDecoder
from groklab.tasks import Task
from groklab.theory import Equations, deducible, equations_of, operand_pairs

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
#: What a decoder reads of two embeddings. (A 'mean' is half a sum: the same parallelograms.)
Combine = Literal["sum", "product"]
#: Squared defect below which a quadruple is a parallelogram, by Combine (the published code's).
DELTA_SQUARED: dict[Combine, float] = {"sum": 0.01, "product": 0.5}


def normalised(embedding: npt.ArrayLike, combine: Combine = "sum") -> Matrix:
    """Return embeddings (…, n, d) as they are compared.

    For sums each dimension is centred over the symbols and divided by its unbiased standard deviation; for products all
    are divided by their root mean square. What does not vary stays at zero.
    """
    e = np.asarray(embedding, np.float64)
    if combine == "product":
        scale = np.sqrt(np.mean(e**2, axis=(-2, -1), keepdims=True))
        return np.asarray(e / np.where(scale > 0, scale, 1))
    largest = np.abs(e).max(axis=-2, keepdims=True, initial=0.0)
    e = e - e.mean(axis=-2, keepdims=True)
    scale = np.sqrt((e**2).sum(axis=-2, keepdims=True) / max(e.shape[-2] - 1, 1))
    varies = scale > ROUNDING * largest
    return np.where(varies, e / np.where(varies, scale, 1), 0.0)


@dataclass(frozen=True)
class Structure:
    """The parallelograms of a task, whatever its weights.

    Attributes:
        key: the task's own arrays, which identify the structure.
        pairs: (M, 2) distinct pairs, those of a class next to each other.
        bounds: (classes + 1,) where each class begins.
        pair_of: (N,) the pair of each row of the task.
        equations: the linear equations; None for products.
    """

    key: tuple[bytes, bytes, Combine]
    n_symbols: int
    combine: Combine
    pairs: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]
    pair_of: npt.NDArray[np.int64]
    equations: Equations | None

    @property
    def n_parallelograms(self) -> int:
        """|P0|."""
        return self.count(np.ones(len(self.pairs), np.bool_))

    def count(self, trained: Mask) -> int:
        """Return |P0(D)| of pairs (M,) bool."""
        sizes = np.add.reduceat(trained, self.bounds[:-1], dtype=np.int64)
        return int((sizes * (sizes - 1) // 2).sum())

    def trained(self, train_rows: npt.NDArray[Any]) -> Mask:
        """Return which pairs are among rows of the task, (M,) bool."""
        trained = np.zeros(len(self.pairs), np.bool_)
        trained[self.pair_of[train_rows]] = True
        return trained

    def read(self, embedding: Matrix) -> Matrix:
        """Return what a decoder reads of each pair, (M, d), from embeddings (n, d)."""
        left, right = embedding[self.pairs[:, 0]], embedding[self.pairs[:, 1]]
        if self.combine == "sum":
            return left + right
        side = _side(embedding)
        return (left.reshape(-1, side, side) @ right.reshape(-1, side, side)).reshape(len(self.pairs), -1)

    def quality(self, embedding: Matrix, trained: Mask, delta_squared: float, over: str) -> tuple[int, Mask]:
        """Count the members of P0 within delta, and mark the pairs (M,) predicted right.

        A pair is predicted right if it is trained on, or within delta of such a pair of its class.

        Args:
            embedding: (n, d), normalised.
        """
        y = self.read(embedding)
        limit = delta_squared * (y.shape[1] if over == "mean" else 1)
        within, right = 0, trained.copy()
        for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            if stop - start < 2:
                continue
            # less their mean, so that nothing cancels between a large common part
            block = y[start:stop] - y[start:stop].mean(axis=0)
            squares = np.einsum("ij,ij->i", block, block)
            close = squares[:, None] + squares - 2 * (block @ block.T) < limit
            within += int(np.count_nonzero(close)) - int(np.count_nonzero(close.diagonal()))
            right[start:stop] |= close[:, trained[start:stop]].any(axis=1)
        return within // 2, right


def structure_of(task: Task, combine: Combine = "sum") -> Structure:
    """Return the parallelograms of a task of two operands, kept for the next call.

    Raises:
        InputError: for other tasks and, of sums, where operands do not commute: a sum does not know their order.
    """
    operands = operand_pairs(task, "this measure of parallelograms")
    if combine == "sum":
        equations_of(task)
    return _structure(operands.tobytes(), task.targets.astype(np.int64).tobytes(), combine)


@lru_cache(maxsize=32)
def _structure(operands: bytes, targets: bytes, combine: Combine) -> Structure:
    pairs, classes = np.frombuffer(operands, np.int64).reshape(-1, 2), np.frombuffer(targets, np.int64)
    n = int(pairs.max()) + 1
    kept = np.sort(pairs, axis=1) if combine == "sum" else pairs
    # by class first, so that a class is a slice
    keys = (classes * n + kept[:, 0]) * n + kept[:, 1]
    distinct, pair_of = np.unique(keys, return_inverse=True)
    of_class = distinct // (n * n)
    bounds = np.append(np.flatnonzero(np.diff(of_class, prepend=-1)), len(distinct))
    pairs_of_class = np.stack(np.divmod(distinct % (n * n), n), axis=1)
    equations = Equations(n, pairs, classes) if combine == "sum" else None
    return Structure((operands, targets, combine), n, combine, pairs_of_class, bounds, pair_of.ravel(), equations)


def rqi(
    embedding: npt.ArrayLike,
    task: Task,
    *,
    combine: Combine = "sum",
    delta_squared: float | None = None,
    over: Literal["mean", "sum"] = "mean",
) -> float:
    """Return the representation quality index of embeddings (n, d): the share of P0 that are parallelograms within
    delta.

    Args:
        delta_squared: bounds the squared defect; None is 0.01 for sums, 0.5 for products.
        over: whether that bounds the defect's mean over dimensions, or its sum.

    Raises:
        InputError: as `structure_of` does, and where P0 is empty.
    """
    structure = structure_of(task, combine)
    nothing = np.zeros(len(structure.pairs), np.bool_)
    within, _ = structure.quality(normalised(embedding, combine), nothing, _limit(delta_squared, combine), over)
    return float(within / _some(structure, task))


@dataclass(frozen=True, eq=False)
class ParallelogramQuality(Result):
    """What the parallelograms of an embedding predict; what needs a training set is None without one.

    Attributes:
        rqi: share of P0 that are parallelograms within delta.
        n_parallelograms: |P0|.
        predicted_accuracy: share of all inputs that are trained on or within delta of a trained one of their answer.
        predicted_test_accuracy: the same of the inputs not trained on.
        n_parallelograms_train: |P0(D)|.
        ideal_accuracy: share of all inputs whose answer the training set implies before any training.
        null_dimension: what the equations of sums leave free; None for products.
    """

    rqi: float
    n_parallelograms: int
    predicted_accuracy: float | None = None
    predicted_test_accuracy: float | None = None
    n_parallelograms_train: int | None = None
    ideal_accuracy: float | None = None
    null_dimension: int | None = None


def parallelogram_quality(
    embedding: npt.ArrayLike,
    task: Task,
    train_rows: np.ndarray,
    *,
    combine: Combine = "sum",
    delta_squared: float | None = None,
    over: Literal["mean", "sum"] = "mean",
) -> ParallelogramQuality:
    """Measure the parallelograms of embeddings (n, d) against a training set. Other arguments and errors as `rqi`."""
    structure = structure_of(task, combine)
    train_rows = np.asarray(train_rows)
    trained = structure.trained(train_rows)
    within, right = structure.quality(normalised(embedding, combine), trained, _limit(delta_squared, combine), over)
    by_row = right[structure.pair_of]
    tested = np.ones(task.n_inputs, np.bool_)
    tested[train_rows] = False
    ideal = _ideal(structure.key, (~tested).tobytes(), Carried(task, structure, ~tested))
    return ParallelogramQuality(
        rqi=within / _some(structure, task),
        n_parallelograms=structure.n_parallelograms,
        predicted_accuracy=float(by_row.mean()),
        predicted_test_accuracy=float(by_row[tested].mean()) if tested.any() else 1.0,
        n_parallelograms_train=structure.count(trained),
        ideal_accuracy=ideal[0],
        null_dimension=ideal[1],
    )


# a training set stays the same while weights change
@lru_cache(maxsize=128)
def _ideal(key: tuple[bytes, bytes, Combine], rows: bytes, carried: Carried) -> tuple[float, int | None]:
    task, structure, chosen = carried.values
    if structure.equations is None:
        return float(deducible(task, chosen).mean()), None
    equations: Equations = structure.equations
    return equations.ideal_accuracy(chosen), equations.null_dimension(chosen)


def _limit(delta_squared: float | None, combine: Combine) -> float:
    return DELTA_SQUARED[combine] if delta_squared is None else delta_squared


def _some(structure: Structure, task: Task) -> int:
    count = structure.n_parallelograms
    if not count:
        raise InputError(f"no two pairs of {task.name} have one answer: there are no parallelograms")
    return count


def _side(embedding: Matrix) -> int:
    side = math.isqrt(embedding.shape[1])
    if side * side != embedding.shape[1]:
        raise InputError(f"products need embeddings that are square matrices, and not {embedding.shape[1]} numbers")
    return side


def symbol_embedding(weights: Weights, n_symbols: int) -> Matrix:
    """Return the embeddings of the symbols 0..n−1, (n, d) float64. Raises InputError where there are fewer, or none."""
    table = np.asarray(embedding_table(weights), np.float64)
    if len(table) < n_symbols:
        raise InputError(f"the embedding embeds {len(table)} symbols; the task has {n_symbols}")
    return table[:n_symbols].reshape(n_symbols, -1)


@measure("parallelograms", online=True)
def parallelograms(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> ParallelogramQuality:
    """Parallelograms in the embedding: `rqi`, and the accuracy that they predict and that the training set implies.

    A network whose `combine` is 'product' multiplies embeddings as matrices. Without train_rows only `rqi` and
    `n_parallelograms`.
    """
    multiplies = isinstance(network, EmbeddingDecoder) and network.combine == "product"
    combine: Combine = "product" if multiplies else "sum"
    structure = structure_of(task, combine)
    embedding = symbol_embedding(weights, structure.n_symbols)
    if train_rows is None:
        return ParallelogramQuality(rqi(embedding, task, combine=combine), structure.n_parallelograms)
    return parallelogram_quality(embedding, task, train_rows, combine=combine)


@dataclass(frozen=True, eq=False)
class EmbeddingComponents(Result):
    """Principal components of n symbols' embeddings less their mean.

    Attributes:
        explained_variance: (min(n, d),) shares q_i, descending; NaN where all symbols are embedded alike.
        effective_dimension: exp(S), S = −Σ q ln q (Liu et al. 2022, section 4.2); NaN likewise.
        coordinates: (n, 3) in the first components, each with its largest entry positive.
    """

    explained_variance: np.ndarray
    effective_dimension: float
    coordinates: np.ndarray


@measure("embedding_components", online=True)
def embedding_components(weights: Weights, task: Task) -> EmbeddingComponents:
    """Principal components of the embedding: `explained_variance` shares, `effective_dimension`, `coordinates`."""
    e = symbol_embedding(weights, int(task.operands.max()) + 1)
    size = np.linalg.norm(e)
    e = e - e.mean(axis=0)
    left, values, _ = np.linalg.svd(e, full_matrices=False)
    total = np.linalg.norm(values)
    q = (values / total) ** 2 if total > ROUNDING * size else np.full_like(values, np.nan)
    entropy = -float((q * np.log(np.where(q > 0, q, 1))).sum())
    places = np.zeros((len(e), 3))
    first = (left * values)[:, :3]
    largest = first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])]
    places[:, : first.shape[1]] = first * np.where(largest < 0, -1, 1)
    return EmbeddingComponents(q, float(np.exp(entropy)), places)
