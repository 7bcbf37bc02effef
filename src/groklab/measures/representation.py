"""Parallelograms in a representation, and the accuracy they predict (Liu et al. 2022, sections 3.1 and 4.1).

A model that reads E_i + E_j (or the matrix product E_a E_b) gives two pairs of one answer the same input where they
are a parallelogram. P0 is the set of all {u, v} of one answer, P0(D) those of a training set D; (i, j) and (j, i) are
one pair of a sum. Classes are blocks: with y_u what the model reads of pair u, one product Y Y' a class gives all
distances in it, and no quadruple is ever visited by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from groklab.components import Carried
from groklab.errors import InputError
from groklab.measures.registry import measure
from groklab.networks.embedding_decoder import EmbeddingDecoder
from groklab.tasks.base import Task
from groklab.theory.closure import deducible
from groklab.theory.parallelograms import Equations, equations_of, operand_pairs

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
#: What a decoder reads of two embeddings. (A 'mean' is half a sum: the same parallelograms.)
Combine = Literal["sum", "product"]
#: Squared defect below which a quadruple is a parallelogram, by Combine (the published code's).
DELTA_SQUARED: dict[Combine, float] = {"sum": 0.01, "product": 0.5}


def normalised(embedding: npt.ArrayLike, combine: Combine = "sum") -> Matrix:
    """(…, n, d) embeddings as they are compared.

    Of sums, each dimension less its mean over the symbols and divided by its unbiased standard deviation; of products,
    all over their root mean square. What does not vary stays at zero.
    """
    e = np.asarray(embedding, np.float64)
    if combine == "product":
        scale = np.sqrt(np.mean(e**2, axis=(-2, -1), keepdims=True))
        return np.asarray(e / np.where(scale > 0, scale, 1))
    e = e - e.mean(axis=-2, keepdims=True)
    scale = np.sqrt((e**2).sum(axis=-2, keepdims=True) / max(e.shape[-2] - 1, 1))
    return np.asarray(e / np.where(scale > 0, scale, 1))


@dataclass(frozen=True)
class Structure:
    """What the parallelograms of a task are, whatever its weights.

    pairs: (M, 2) distinct pairs, those of a class next to each other; bounds: (classes + 1,) where each class begins;
    pair_of: (N,) the pair of each row of the task. equations: the linear equations, of sums only. key: the task's own
    arrays, by which all this is known again.
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

    def count(self, trained: Rows) -> int:
        """|P0(D)| of pairs (M,) bool."""
        sizes = np.add.reduceat(trained, self.bounds[:-1], dtype=np.int64)
        return int((sizes * (sizes - 1) // 2).sum())

    def trained(self, train_rows: npt.NDArray[Any]) -> Rows:
        """(M,) bool, the pairs among rows of the task."""
        found = np.zeros(len(self.pairs), np.bool_)
        found[self.pair_of[train_rows]] = True
        return found

    def read(self, embedding: Matrix) -> Matrix:
        """(M, d) what a decoder reads of each pair, from embeddings (n, d)."""
        left, right = embedding[self.pairs[:, 0]], embedding[self.pairs[:, 1]]
        if self.combine == "sum":
            return left + right
        side = _side(embedding)
        return (left.reshape(-1, side, side) @ right.reshape(-1, side, side)).reshape(len(self.pairs), -1)

    def quality(self, embedding: Matrix, trained: Rows, delta_squared: float, over: str) -> tuple[int, Rows]:
        """Members of P0 within delta, of embeddings (n, d) that are normalised; and the pairs (M,) predicted right.

        A pair is predicted right if it is trained on, or within delta of such a pair of its class.
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
    """The parallelograms of a task of two operands, kept for the next call.

    Raises InputError for other tasks and, of sums, where operands do not commute: a sum does not know their order.
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
    found, pair_of = np.unique(keys, return_inverse=True)
    of_class = found // (n * n)
    bounds = np.append(np.flatnonzero(np.diff(of_class, prepend=-1)), len(found))
    distinct = np.stack(np.divmod(found % (n * n), n), axis=1)
    equations = Equations(n, pairs, classes) if combine == "sum" else None
    return Structure((operands, targets, combine), n, combine, distinct, bounds, pair_of.ravel(), equations)


def rqi(
    embedding: npt.ArrayLike,
    task: Task,
    *,
    combine: Combine = "sum",
    delta_squared: float | None = None,
    over: Literal["mean", "sum"] = "mean",
) -> float:
    """Representation quality index: share of P0 that are parallelograms within delta, of embeddings (n, d).

    delta_squared bounds the squared defect's mean over dimensions, or its `sum`; None is 0.01 for sums, 0.5 for
    products. Raises InputError as `structure_of` does, and where P0 is empty.
    """
    structure = structure_of(task, combine)
    nothing = np.zeros(len(structure.pairs), np.bool_)
    within, _ = structure.quality(normalised(embedding, combine), nothing, _limit(delta_squared, combine), over)
    return float(within / _some(structure, task))


def parallelogram_quality(
    embedding: npt.ArrayLike,
    task: Task,
    train_rows: np.ndarray,
    *,
    combine: Combine = "sum",
    delta_squared: float | None = None,
    over: Literal["mean", "sum"] = "mean",
) -> dict[str, float]:
    """RQI and the accuracy that the parallelograms of embeddings (n, d) predict, with what the training set implies.

    `rqi`; `predicted_accuracy`: share of all inputs that are trained on or within delta of a trained one of their
    answer; `predicted_test_accuracy`: the same of the others; `n_parallelograms` |P0| and `n_parallelograms_train`
    |P0(D)|; `ideal_accuracy`: share of all inputs whose answer the training set implies before any training; and, of
    sums, `null_dimension`: what its equations leave free. Other arguments and errors as `rqi`.
    """
    structure = structure_of(task, combine)
    train_rows = np.asarray(train_rows)
    trained = structure.trained(train_rows)
    within, right = structure.quality(normalised(embedding, combine), trained, _limit(delta_squared, combine), over)
    by_row = right[structure.pair_of]
    tested = np.ones(task.n_inputs, np.bool_)
    tested[train_rows] = False
    return {
        "rqi": within / _some(structure, task),
        "predicted_accuracy": float(by_row.mean()),
        "predicted_test_accuracy": float(by_row[tested].mean()) if tested.any() else 1.0,
        "n_parallelograms": structure.n_parallelograms,
        "n_parallelograms_train": structure.count(trained),
        **_implied(task, structure, ~tested),
    }


def _implied(task: Task, structure: Structure, chosen: Rows) -> dict[str, float]:
    return dict(_ideal(structure.key, chosen.tobytes(), Carried(task, structure, chosen)))


# a training set stays what it is while weights change
@lru_cache(maxsize=128)
def _ideal(key: tuple[bytes, bytes, Combine], rows: bytes, carried: Carried) -> dict[str, float]:
    task, structure, chosen = carried.values
    if structure.equations is None:
        return {"ideal_accuracy": float(deducible(task, chosen).mean())}
    equations: Equations = structure.equations
    return {
        "ideal_accuracy": equations.ideal_accuracy(chosen),
        "null_dimension": equations.null_dimension(chosen),
    }


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


def symbol_embedding(weights: Mapping[str, Any], n_symbols: int) -> Matrix:
    """The embeddings of the symbols 0..n−1, (n, d) float64: W_E, or the first table of a network on one-hots.

    Raises InputError where the weights hold neither, or fewer rows.
    """
    for name in ("embed.W_E", "embed.0.W"):
        if name in weights:
            found = np.asarray(weights[name], np.float64)
            if len(found) < n_symbols:
                raise InputError(f"{name} embeds {len(found)} symbols; the task has {n_symbols}")
            return found[:n_symbols].reshape(n_symbols, -1)
    raise InputError("these weights hold no embedding: neither embed.W_E nor embed.0.W")


@measure("parallelograms", online=True)
def parallelograms(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """Parallelograms in the embedding: `rqi`, and the accuracy that they predict and that the training set implies.

    As `parallelogram_quality`; a network whose `combine` is 'product' multiplies embeddings as matrices. Without
    train_rows only `rqi` and `n_parallelograms`.
    """
    multiplies = isinstance(network, EmbeddingDecoder) and network.combine == "product"
    combine: Combine = "product" if multiplies else "sum"
    structure = structure_of(task, combine)
    embedding = symbol_embedding(weights, structure.n_symbols)
    if train_rows is None:
        return {"rqi": rqi(embedding, task, combine=combine), "n_parallelograms": structure.n_parallelograms}
    return parallelogram_quality(embedding, task, train_rows, combine=combine)


@measure("embedding_components", online=True)
def embedding_components(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None
) -> dict[str, Any]:
    """Principal components of the embedding: `explained_variance` shares, `effective_dimension`, `coordinates`.

    explained_variance: q_i, (min(n, d),), descending, of the n symbols' embeddings less their mean; effective_dimension
    exp(S), S = −sum q ln q (Liu et al. 2022, section 4.2); coordinates: (n, 3) in the first components, each with its
    largest entry positive. Raises InputError for weights without an embedding.
    """
    e = symbol_embedding(weights, int(task.operands.max()) + 1)
    e = e - e.mean(axis=0)
    left, values, _ = np.linalg.svd(e, full_matrices=False)
    total = float((values**2).sum())
    q = values**2 / total if total > 0 else np.zeros_like(values)
    entropy = -float((q * np.log(np.where(q > 0, q, 1))).sum())
    places = np.zeros((len(e), 3))
    first = (left * values)[:, :3]
    largest = first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])]
    places[:, : first.shape[1]] = first * np.where(largest < 0, -1, 1)
    return {"explained_variance": q, "effective_dimension": float(np.exp(entropy)), "coordinates": places}
