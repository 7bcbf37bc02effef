"""Eigenvalues of feature matrices, and the Fourier transform of their off-diagonal block."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.lazy import Complex128, Float64
from groklab.measures._circulance import Wrapping, diagonal_means, logarithmic
from groklab.measures._feature_matrices import blocks, feature_matrix
from groklab.measures._registry import Rows, Weights, measure
from groklab.tasks import Task, is_prime


def effective_rank(eigenvalues: Float64[np.ndarray, " d"]) -> float:
    """Return exp of the entropy of |eigenvalues| over their sum (Roy & Vetterli 2007): 1..d; NaN where all are zero."""
    sizes = np.abs(eigenvalues)
    if not sizes.any():
        return float("nan")
    shares = sizes / sizes.max()
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def top_share(eigenvalues: Float64[np.ndarray, " d"]) -> float:
    """Return the largest |eigenvalue| over the sum of all; NaN where all are zero."""
    sizes = np.abs(eigenvalues)
    return float(sizes.max() / sizes.sum()) if sizes.any() else float("nan")


@measure("feature_spectrum", online=True)
def feature_spectrum(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, Any]:
    """Eigenvalues of the feature matrix, and how many directions they amount to.

    `eigenvalues` (2p,) descending; `effective_rank` = exp of the entropy of their normalised sizes; `top_share` of the
    largest in the sum of sizes. NaN for a matrix of zeros. Raises InputError as `feature_matrix` does.
    """
    matrix = feature_matrix(weights, task, train_rows, network)
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1]
    return {"eigenvalues": values, "effective_rank": effective_rank(values), "top_share": top_share(values)}


def unitary_dft(q: int) -> Complex128[np.ndarray, "q q"]:
    """Return F[i, j] = exp(−2πi ij/q) / √q (Mallinar et al. 2024, section 5)."""
    i = np.arange(q)
    return np.asarray(np.exp(-2j * np.pi * (np.outer(i, i) % q) / q) / np.sqrt(q))


def transformed(block: Float64[np.ndarray, "q q"]) -> Float64[np.ndarray, "q q"]:
    """Return |F B F^H|: diagonal for a wrapped Toeplitz block, on places (k, −k) for a wrapped Hankel one."""
    f = unitary_dft(len(block))
    return np.asarray(np.abs(f @ block @ f.conj().T))


def circulant_power(block: Float64[np.ndarray, "q q"], wrapping: Wrapping) -> Float64[np.ndarray, " frequencies"]:
    """Return the power of frequencies 0..q//2 in the circulant closest to a block; they sum to its |C|².

    The eigenvalues (or their sizes, for Hankel) of a circulant are the transform of its first row, so that k and −k
    have the same power: they are counted together.
    """
    q = len(block)
    power = np.abs(np.fft.fft(diagonal_means(block, wrapping))) ** 2
    frequency = np.minimum(np.arange(q), q - np.arange(q))
    return np.bincount(frequency, weights=power, minlength=q // 2 + 1)


@measure("feature_fourier")
def feature_fourier(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, Any]:
    """The Fourier transform of the off-diagonal block of the feature matrix, and the power of each frequency in it.

    Of the bottom-left p × p block B: `magnitude` (p, p) = |F B F^H| with the unitary transform F, and `magnitude_log`
    (p−1, p−1) of B without row and column 0 in the order of powers of the smallest generator (a circulant is diagonal
    there). `toeplitz_power`, `hankel_power` (p//2 + 1,) and `toeplitz_log_power`, `hankel_log_power` ((p−1)//2 + 1,):
    the power of frequencies 0, 1, … in the closest circulant (`circulant_power`). NaN with logarithms where p is not a
    prime. Raises InputError as `feature_matrix` does.
    """
    block = blocks(feature_matrix(weights, task, train_rows, network))[2]
    p = len(block)
    in_order = logarithmic(block) if is_prime(p) else np.full((p - 1, p - 1), np.nan)
    return {
        "magnitude": transformed(block),
        "magnitude_log": transformed(in_order),
        "toeplitz_power": circulant_power(block, "toeplitz"),
        "hankel_power": circulant_power(block, "hankel"),
        "toeplitz_log_power": circulant_power(in_order, "toeplitz"),
        "hankel_log_power": circulant_power(in_order, "hankel"),
    }
