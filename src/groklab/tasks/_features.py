"""Feature matrices of modular arithmetic: circulant blocks, and powers of a matrix.

Everything here is float64 NumPy: matrices are small (2p x 2p), and their square roots lose half the digits.
A one-hot pair is x = (e_a; e_b) of R^2p; a feature matrix has four p x p blocks [[M11, M12], [M21, M22]].
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError, check_choice
from groklab.tasks._residues import log_order

Matrix = npt.NDArray[np.float64]
#: How the off-diagonal block of a feature matrix is constant: along diagonals (C[j-i]) or along anti-diagonals
#: (C[i+j]), with rows and columns as they are or, without the zero, in the order of powers of a generator.
Orientation = Literal["toeplitz", "hankel", "toeplitz_log", "hankel_log"]
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)


def circulant(first: npt.NDArray[np.float64], orientation: Literal["toeplitz", "hankel"]) -> Matrix:
    """Return C[i, j] = first[(j - i) mod q] ('toeplitz') or first[(i + j) mod q] ('hankel'), (q, q)."""
    i = np.arange(len(first))
    places = i[None, :] - i[:, None] if orientation == "toeplitz" else i[None, :] + i[:, None]
    made: Matrix = np.asarray(first, np.float64)[places % len(first)]
    return made


def planted_features(p: int, orientation: Orientation, seed: int) -> Matrix:
    """Return M* = [[B, C'], [C, B]] with B = I - 11'/p and a random circulant C (Mallinar et al., section 4), (2p, 2p).

    C has the given orientation, with first row uniform on [0, 1] less its mean; in the order of logarithms it leaves
    row and column 0 zero. M* is indefinite: use `matrix_power(M*, 1/2)` as a metric and `matrix_power(M*, 1/4)` to
    transform inputs, which take its positive part.

    Raises:
        InputError: for another orientation, or logarithms where p is not a prime.
    """
    check_choice("features", orientation, ORIENTATIONS)
    logarithmic = orientation.endswith("_log")
    q = p - 1 if logarithmic else p
    first = np.random.default_rng(seed).uniform(size=q)
    block = circulant(first - first.mean(), "toeplitz" if orientation.startswith("toeplitz") else "hankel")
    lower = np.zeros((p, p))
    rows = log_order(p) if logarithmic else np.arange(p)
    lower[np.ix_(rows, rows)] = block
    diagonal = np.eye(p) - 1 / p
    return np.block([[diagonal, lower.T], [lower, diagonal]])


def matrix_power(matrix: npt.NDArray[np.floating], power: float) -> Matrix:
    """Return the power of a symmetric matrix's positive part, in float64: negative eigenvalues count as zero.

    Args:
        matrix: (d, d), symmetrised first.

    Raises:
        InputError: where it is not finite.
    """
    symmetric = (np.asarray(matrix, np.float64) + np.asarray(matrix, np.float64).T) / 2
    if not np.isfinite(symmetric).all():
        raise InputError("the feature matrix holds numbers that are not finite")
    values, vectors = np.linalg.eigh(symmetric)
    powers: Matrix = np.clip(values, 0, None) ** power
    return (vectors * powers) @ vectors.T  # type: ignore[no-any-return]
