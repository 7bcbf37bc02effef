"""Quality of a representation: its parallelograms and its principal components (Liu et al. 2022, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.measures.parallelogram_quality import Combine, Matrix, parallelogram_quality, rqi, structure_of
from groklab.measures.registry import measure
from groklab.tasks.base import Task


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
    combine: Combine = "product" if getattr(network, "combine", "sum") == "product" else "sum"
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
