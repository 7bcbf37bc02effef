"""Kernel regression's linear system (K + ridge I) A = Y.

Cholesky in place in the one n x n matrix that is ever held; where rounding has left it without a factor, LU; beyond
memory, conjugate gradients that never make the matrix.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import scipy
from groklab.learners._rfm.kernels import Array

#: Random right-hand sides, for the estimate of the condition number, and directions that it pursues.
PROBES = 4
#: Condition numbers above this multiple of the precision's inverse count as singular.
SINGULAR = 1.0
#: Conjugate gradients: residual over right-hand side at which they end, and the most products.
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
MOST_PRODUCTS = 5000

_local = threading.local()


@dataclass(frozen=True)
class Solution:
    """coefficients: (n, c). condition: an estimate, from below, of the matrix's condition number."""

    coefficients: Array
    condition: float


def solve(fill: Callable[[Array], None], room: Array, ridge: float, right: Array) -> Solution:
    """Solve (K + ridge I) A = Y by a factor of K.

    Args:
        fill: writes K's upper triangle into an (n, n) array.
        room: the workspace for K and then its factor.
        right: Y (n, c).

    Raises:
        InputError: if the matrix is singular to working precision.
    """
    diagonal = np.einsum("ii->i", room)
    fill(room)
    diagonal += ridge
    # a row-major upper triangle is a column-major lower one
    largest = _largest_eigenvalue(room)
    factorise, solve_factored = _lapack("potrf", room), _lapack("potrs", room)
    factor, info = factorise(room.T, lower=1, overwrite_a=1, clean=0)
    if info > 0:
        warnings.warn("the kernel matrix has no Cholesky factor in this precision; using LU", stacklevel=2)
        return _solve_by_lu(fill, room, ridge, right)
    probed = np.concatenate([right, probes(len(room), room.dtype.name)], axis=1)
    solved, _ = solve_factored(factor, np.asfortranarray(probed), lower=1)
    smallest = _smallest_eigenvalue(factor, solve_factored, solved, np.linalg.norm(probed, axis=0))
    coefficients = solved[:, : right.shape[1]]
    condition = largest / smallest if smallest > 0 else np.inf
    if not np.isfinite(coefficients).all() or condition > SINGULAR / np.finfo(room.dtype).eps:
        raise singular(condition, room.dtype)
    return Solution(np.ascontiguousarray(coefficients), float(condition))


def _lapack(name: str, like: Array) -> Callable[..., tuple[Array, int]]:
    (function,) = scipy.linalg.lapack.get_lapack_funcs((name,), (like,))
    return function  # type: ignore[no-any-return]


def _largest_eigenvalue(upper: Array) -> float:
    """Return the length of the matrix times the unit vector of ones, which its largest eigenvector nearly is."""
    (multiply,) = scipy.linalg.blas.get_blas_funcs(("symv",), (upper,))
    ones = np.full(len(upper), len(upper) ** -0.5, upper.dtype)
    return float(np.linalg.norm(multiply(1.0, upper.T, ones, lower=1)))


def _smallest_eigenvalue(factor: Array, solve_factored: Any, solved: Array, lengths: Array) -> float:
    """Estimate from above, by inverse iteration on the directions that solutions (n, k) have stretched most."""
    stretched = solved[:, lengths > 0] / lengths[lengths > 0]
    if not np.isfinite(stretched).all():
        return 0.0
    squares, mix = np.linalg.eigh((stretched.T @ stretched).astype(np.float64))
    # of dependent solutions only rounding is left
    most = np.flatnonzero(squares > 1e-10 * squares[-1])[-PROBES:]
    directions = stretched @ (mix[:, most] / np.sqrt(squares[most])).astype(factor.dtype)
    again, _ = solve_factored(factor, np.asfortranarray(directions), lower=1)
    return 1 / float(np.linalg.norm(again, ord=2)) if np.isfinite(again).all() else 0.0


@lru_cache(maxsize=4)
def probes(n: int, dtype: str) -> Array:
    """Return fixed random unit vectors (n, PROBES): solutions may hold nothing of the smallest eigenvector."""
    drawn = np.random.default_rng(0).standard_normal((n, PROBES))
    probes: Array = (drawn / np.linalg.norm(drawn, axis=0)).astype(dtype)
    return probes


def _solve_by_lu(fill: Callable[[Array], None], room: Array, ridge: float, right: Array) -> Solution:
    fill(room)
    np.einsum("ii->i", room)[:] += ridge
    lower = np.tril_indices(len(room), -1)
    room[lower] = room.T[lower]
    norm = float(np.abs(room).sum(0).max())
    factor, pivots, info = _lapack("getrf", room)(room.T, overwrite_a=1)  # type: ignore[misc]
    inverse = float(_lapack("gecon", room)(factor, norm)[0]) if info == 0 else 0.0
    if inverse < np.finfo(room.dtype).eps:
        raise singular(1 / inverse if inverse > 0 else np.inf, room.dtype)
    coefficients, _ = _lapack("getrs", room)(factor, pivots, np.asfortranarray(right))
    return Solution(np.ascontiguousarray(coefficients), 1 / float(inverse))


def singular(condition: float, dtype: np.dtype[Any]) -> InputError:
    """Return the refusal of a kernel matrix of this condition number."""
    more = ", or dtype to be float64" if dtype == np.float32 else ""
    size = f"{condition:.0e}" if np.isfinite(condition) else "infinite"
    return InputError(
        f"the kernel matrix is singular to working precision (its condition number is about {size}): "
        f"learner.ridge needs to be above 0{more}"
    )


def solve_iteratively(product: Callable[[Array], Array], ridge: float, right: Array) -> Solution:
    """Solve by conjugate gradients, all right-hand sides side by side; product(V) is K V.

    The condition number is that of the tridiagonal matrix which the iteration builds of the last right-hand side to
    be solved. Raises InputError if it does not converge.
    """
    tolerance = TOLERANCE[right.dtype]
    x = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    squares = np.einsum("nc,nc->c", residual, residual)
    goal = tolerance**2 * squares
    steps: list[Array] = []
    ratios: list[Array] = []
    for _ in range(MOST_PRODUCTS):
        if (squares <= goal).all():
            return Solution(x, condition_of(steps, ratios))
        image = product(direction) + ridge * direction
        curvature = np.einsum("nc,nc->c", direction, image)
        alive = (squares > goal) & (curvature > 0)
        if not alive.any():
            break
        step = np.where(alive, squares / np.where(alive, curvature, 1), 0)
        x += step * direction
        residual -= step * image
        fresh = np.einsum("nc,nc->c", residual, residual)
        ratio = np.where(alive & (squares > 0), fresh / np.where(squares > 0, squares, 1), 0)
        direction = residual + ratio * direction
        squares = fresh
        steps.append(step)
        ratios.append(ratio)
    raise InputError(
        f"conjugate gradients did not solve the kernel regression within {MOST_PRODUCTS:,} products: "
        "learner.ridge needs to be larger"
    )


def condition_of(steps: list[Array], ratios: list[Array]) -> float:
    """Return the condition number of the Lanczos matrix, from the steps and ratios of conjugate gradients."""
    if not steps:
        return 1.0
    lived = [int(np.count_nonzero(column)) for column in np.array(steps).T]
    longest = int(np.argmax(lived))
    alpha = np.array([s[longest] for s in steps[: lived[longest]]], np.float64)
    beta = np.array([r[longest] for r in ratios[: lived[longest]]], np.float64)
    diagonal = 1 / alpha
    diagonal[1:] += beta[:-1] / alpha[:-1]
    values = scipy.linalg.eigh_tridiagonal(diagonal, np.sqrt(beta[:-1]) / alpha[:-1], eigvals_only=True)
    return float(values[-1] / values[0]) if values[0] > 0 else np.inf


def workspace(n: int, dtype: str) -> Array:
    """Return the one large array (n, n) of this thread, with whatever was left in it; the next call takes it over."""
    size = n * n * np.dtype(dtype).itemsize
    room = getattr(_local, "room", None)
    if room is None or len(room) < size:
        _local.room = room = None  # the old one first
        _local.room = room = np.empty(size, np.uint8)
    array: Array = room[:size].view(dtype).reshape(n, n)
    return array
