"""How close feature matrices are to each other: over time, to W1' W1, and class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures import _feature_matrices as feature_matrices
from groklab.measures._feature_matrices import blocks, feature_matrix, network_agop, neural_feature_matrix
from groklab.measures._feature_spectra import top_share
from groklab.measures._fourier import ROUNDING
from groklab.measures._registry import Rows, Weights, measure
from groklab.tasks import Task, matrix_power


def alignment(a: Float64[np.ndarray, "*shape"], b: Float64[np.ndarray, "*shape"]) -> float:
    """Return the cosine <a, b> / (|a| |b|) of two arrays as vectors, in [−1, 1]; NaN where one is zero."""
    sizes = np.max(np.abs(a), initial=0.0), np.max(np.abs(b), initial=0.0)
    if 0 in sizes:
        return float("nan")
    # scaled, so that no square is lost below or above the range of floats
    first, second = (a / sizes[0]).ravel(), (b / sizes[1]).ravel()
    return float(np.clip(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)), -1, 1))


@measure("agop_alignment")
def agop_alignment(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, final: Weights | None = None
) -> dict[str, float]:
    """How close the feature matrix is to that of the final model: 1 is equal but for scale.

    rho(M_t, M_final) (Mallinar et al. 2024, section 3): `full` of all entries, which starts high because the diagonal
    dominates; `off_block` of the bottom-left p × p block alone, the more telling one, NaN where it is zero as in a
    kernel machine's M at step 0. Raises InputError without `final`, the final model's weights, and as `feature_matrix`
    does.
    """
    if final is None:
        raise InputError("the alignment is with the final model: agop_alignment needs its weights, `final`")
    now, then = (feature_matrix(w, task, train_rows, network) for w in (weights, final))
    return {"full": alignment(now, then), "off_block": alignment(blocks(now)[2], blocks(then)[2])}


def correlation(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> float:
    """Return Pearson's correlation of two vectors; NaN where one of them is constant, but for rounding."""
    if any(np.ptp(x) <= ROUNDING * np.max(np.abs(x)) for x in (a, b)):
        return float("nan")
    return alignment(a - a.mean(), b - b.mean())


@measure("neural_feature_ansatz", online=True)
def neural_feature_ansatz(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> dict[str, float]:
    """Correlation of the square root of a network's AGOP with its neural feature matrix W1' W1 (section 4).

    Pearson's, of the entries of the (2p, 2p) matrices: `full` of all of them, which the diagonal dominates;
    `off_diagonal` of those off the diagonal alone, which fits the numbers that Mallinar et al. 2024 give; `zeroed` of
    all with the diagonals set to zero, as published code has it (nearly the same). Raises InputError for a kernel
    machine, and as `feature_matrix` does.
    """
    agop = network_agop(weights, task, train_rows, network)
    a, b = matrix_power(agop, 1 / 2), neural_feature_matrix(weights, task, network)
    off = ~np.eye(len(a), dtype=bool)
    return {
        "full": correlation(a.ravel(), b.ravel()),
        "off_diagonal": correlation(a[off], b[off]),
        "zeroed": correlation((a * off).ravel(), (b * off).ravel()),
    }


@measure("class_agops")
def class_agops(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, np.ndarray]:
    """The AGOP of each class alone: `trace`, `alignment` with their sum, and `top_share` of the largest eigenvalue.

    Each (n_classes,), over the two operands' one-hots: the gradients are of one output f_l, so that the AGOPs sum to
    that of all (Mallinar et al. 2024, equation 3, and section 5 for one kernel machine per class). top_share: of the
    sizes of all eigenvalues. NaN for a class whose AGOP is zero. Raises InputError as `feature_matrices.class_agops`
    does.
    """
    agops = feature_matrices.class_agops(weights, task, train_rows, network)
    total = agops.sum(axis=0)
    return {
        "trace": np.trace(agops, axis1=1, axis2=2),
        "alignment": np.array([alignment(own, total) for own in agops]),
        "top_share": np.array([top_share(values) for values in np.linalg.eigvalsh(agops)]),
    }
