"""How few frequencies weights hold, and how far cosines or sines prevail in them.

Furuta et al. 2024 (arXiv 2402.16726), section 4 and appendix B. FFS, the Fourier frequency sparsity (the 'density' of
the paper's later version): the share of cosine and sine vectors that stand out. FCR, the Fourier coefficient ratio: how
equal both vectors of a frequency are. All in double precision, and of cosines and sines by their true names: those of
the paper's example program are swapped.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures._fourier import ROUNDING, embedding_matrix, fourier_basis, neuron_logit_map
from groklab.measures._registry import Weights, measure
from groklab.tasks import Task

#: η: a vector stands out above this share of the longest of its kind.
THRESHOLD = 0.5


def wave_vectors(
    matrix: np.ndarray, half_range: bool = False
) -> tuple[Float64[np.ndarray, "frequencies d"], Float64[np.ndarray, "frequencies d"]]:
    """Return μ_k and ν_k, the cosine and sine vectors of a matrix (p, d) along its first axis, k = 1..p//2.

    In the orthonormal basis; ν is zero for k = p/2, which has no sine.

    Args:
        half_range: take the sum that the paper displays, (2/⌊p/2⌋) Σ_{t=1..⌊p/2⌋} over half of the residues, whose
            waves are not orthogonal.

    Raises:
        InputError: unless the matrix has three rows or more, all finite.
    """
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or len(values) < 3 or not np.isfinite(values).all():
        raise InputError("matrix", values.shape, "needs two axes, three rows or more, and finite numbers")
    p, size = len(values), np.linalg.norm(values)
    waves = fourier_basis(p)
    cosines, sines = waves[1::2], np.concatenate([waves[2::2], np.zeros((1 - p % 2, p))])
    if half_range:
        n = p // 2
        angle = 2 * np.pi * (np.outer(np.arange(1, n + 1), np.arange(p)) % p) / p
        kept = (np.arange(p) >= 1) & (np.arange(p) <= n)
        cosines, sines = 2 / n * np.cos(angle) * kept, 2 / n * np.sin(angle) * kept

    def vectors(wave: np.ndarray) -> np.ndarray:
        products = wave @ values
        rounding = np.linalg.norm(products, axis=1) <= ROUNDING * size * np.linalg.norm(wave, axis=1)
        return np.where(rounding[:, None], 0.0, products)

    return vectors(cosines), vectors(sines)


def frequency_sparsity(matrix: np.ndarray, threshold: float = THRESHOLD, half_range: bool = False) -> float:
    """Return the FFS of a matrix (p, d): the share of the vectors μ_k and ν_k, k = 1..(p−1)//2, that stand out.

    ‖μ_k‖ > threshold · max_i ‖μ_i‖, and likewise ν_k among the sines. From 1/K for one cosine and one sine of K to 1;
    where only the cosines or the sines are all zero, they add nothing; NaN where both are. half_range: as of
    `wave_vectors`. Raises InputError as it does, and for a threshold outside [0, 1).
    """
    if not 0 <= threshold < 1:
        raise InputError("threshold", threshold, "needs a number from 0 up to, but not including, 1")
    norms = np.linalg.norm(_pairs(matrix, half_range), axis=2)
    return float((norms > threshold * norms.max(axis=1, keepdims=True)).mean()) if norms.any() else float("nan")


def coefficient_ratio(matrix: np.ndarray, half_range: bool = False) -> float:
    """Return the FCR of a matrix (p, d): the mean of min(‖μ_k‖/‖ν_k‖, ‖ν_k‖/‖μ_k‖) over k = 1..(p−1)//2, from 0 to 1.

    Weak frequencies count as much as strong ones; one that is zero counts as 0, and all of them NaN. It depends on
    where residues begin: shifting the rows turns μ_k into ν_k (see `singular_ratio`). half_range, InputError: as of
    `wave_vectors`.
    """
    norms = np.linalg.norm(_pairs(matrix, half_range), axis=2)
    return float(_quotient(norms.min(axis=0), norms.max(axis=0)).mean()) if norms.any() else float("nan")


def singular_ratio(matrix: np.ndarray) -> float:
    """Return the mean over k = 1..(p−1)//2 of σ₂/σ₁ of the 2 × d matrix [μ_k; ν_k].

    An FCR that no shift of the rows changes: a shift turns each pair by an angle, which leaves singular values the
    same. At most the FCR; NaN where that is. Raises InputError as `wave_vectors` does.
    """
    mu, nu = _pairs(matrix)
    if not (mu.any() or nu.any()):
        return float("nan")
    swap = (np.linalg.norm(nu, axis=1) > np.linalg.norm(mu, axis=1))[:, None]
    longer, shorter = np.where(swap, nu, mu), np.where(swap, mu, nu)
    a, b, c = (np.sum(x * y, axis=1) for x, y in ((longer, longer), (longer, shorter), (shorter, shorter)))
    # σ₁σ₂ is the area that both span: by its height, since a·c − b² would lose the digits of small ones
    height = np.linalg.norm(shorter - _quotient(b, a)[:, None] * longer, axis=1)
    return float(_quotient(np.sqrt(a) * height, (a + c + np.hypot(a - c, 2 * b)) / 2).mean())


def cosine_led(matrix: np.ndarray) -> float:
    """Return the share of k = 1..(p−1)//2 with ‖μ_k‖ > ‖ν_k‖, NaN where all are zero; errors as of `wave_vectors`."""
    cosines, sines = np.linalg.norm(_pairs(matrix), axis=2)
    return float((cosines > sines).mean()) if cosines.any() or sines.any() else float("nan")


@measure("fourier_sparsity", online=True)
def fourier_sparsity(weights: Weights, task: Task) -> dict[str, Any]:
    """Fourier frequency sparsity (FFS) and coefficient ratio (FCR) of W_E and W_L, and their cosines and sines.

    W_E: the embedding of the number tokens. W_L: the map from neurons to the p answers, W_U^T W_out^T, along them.
    ffs_, fcr_ (each followed by W_E, W_L): `frequency_sparsity` with η = 0.5, and `coefficient_ratio`, over the
    frequencies that have both waves. sigma_ratio_: `singular_ratio`, an FCR that does not depend on where residues
    begin. cos_norm_, sin_norm_ (p//2,): norms of μ_k and ν_k. cosine_led_: the share of frequencies with ‖μ_k‖ > ‖ν_k‖.
    NaN for a matrix whose rows are all alike: it has no waves. A matrix that the network does not have is left out, as
    is the W_L of one that gives distances for logits. Raises InputError where the task has no modulus of 3 or more, or
    the network neither matrix.
    """
    values: dict[str, Any] = {}
    for name, matrix in _matrices(weights, task).items():
        cosines, sines = np.linalg.norm(wave_vectors(matrix), axis=2)
        values |= {
            f"ffs_{name}": frequency_sparsity(matrix),
            f"fcr_{name}": coefficient_ratio(matrix),
            f"sigma_ratio_{name}": singular_ratio(matrix),
            f"cosine_led_{name}": cosine_led(matrix),
            f"cos_norm_{name}": cosines,
            f"sin_norm_{name}": sines,
        }
    return values


def _matrices(weights: Weights, task: Task) -> dict[str, np.ndarray]:
    """Return those of W_E and W_L that the weights hold."""
    p = task.algebra.p
    if not p or p < 3:
        raise InputError(f"Fourier sparsity needs a task with a modulus of 3 or more; {task.name} has {p or 'none'}")
    matrices = {}
    with contextlib.suppress(InputError):
        matrices["W_E"] = embedding_matrix(weights, task)
    # where logits are distances to the vectors Y, the last matrix does not lead to answers
    if "unembed.W_U" in weights and "targets.Y" not in weights:
        matrices["W_L"] = neuron_logit_map(weights, task)
    if not matrices:
        raise InputError("these weights hold neither an embedding (embed.W_E, embed.0.W) nor an unembedding")
    return matrices


def _pairs(matrix: np.ndarray, half_range: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return μ_k and ν_k of the frequencies that have both."""
    mu, nu = wave_vectors(matrix, half_range)
    n = (len(matrix) - 1) // 2
    return mu[:n], nu[:n]


def _quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return x / y, and 0 where y is 0."""
    return np.where(y > 0, x / np.where(y > 0, y, 1.0), 0.0)
