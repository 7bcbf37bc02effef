"""The neural feature ansatz: what the first layer holds is what the whole network's gradients look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.lazy import Float64
from groklab.measures.alignment import alignment
from groklab.measures.feature_matrices import network_agop, neural_feature_matrix
from groklab.measures.registry import measure
from groklab.tasks.base import Task
from groklab.tasks.features import matrix_power


def correlation(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> float:
    """Pearson's correlation of two vectors; NaN where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return alignment(a - a.mean(), b - b.mean())


@measure("neural_feature_ansatz", online=True)
def neural_feature_ansatz(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """Correlation of the square root of a network's AGOP with its neural feature matrix W1' W1 (section 4).

    Pearson's, of the entries of the (2p, 2p) matrices: `whole` of all of them, which the diagonal dominates;
    `off_diagonal` of those off the diagonal alone, the one that fits the numbers that Mallinar et al. 2024 give;
    `zeroed` of all with the diagonals set to zero, as published code has it (nearly the same).
    Raises InputError for a kernel machine, and as `feature_matrix` does.
    """
    agop = network_agop(weights, task, train_rows, network)
    a, b = matrix_power(agop, 1 / 2), neural_feature_matrix(weights, task, network)
    off = ~np.eye(len(a), dtype=bool)
    return {
        "whole": correlation(a.ravel(), b.ravel()),
        "off_diagonal": correlation(a[off], b[off]),
        "zeroed": correlation((a * off).ravel(), (b * off).ravel()),
    }
