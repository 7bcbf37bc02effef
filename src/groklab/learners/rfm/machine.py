"""A kernel machine at one metric M: its solution, its predictions, and its average gradient outer product.

Written once for both kinds of points. Formulas: Mallinar et al. 2024, section 2 and appendix; the AGOP of a polynomial
kernel is a sum over outputs alone, that of a radial one a sum over outputs and training points.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from groklab.learners.rfm.kernels import Array, Kernel, Quadratic, Radial
from groklab.learners.rfm.points import CACHE, Pairs, Points
from groklab.learners.rfm.solving import Solution, solve, solve_iteratively

#: Bytes of a chunk of the kernel matrix where it is not held whole.
CHUNK = 64e6
#: Largest exponent of a table of exponentials whose products of four stay finite.
TABLE_EXPONENT = {np.dtype(np.float64): 160.0, np.dtype(np.float32): 18.0}


class Polynomial:
    """A fitted machine with a polynomial kernel: f_l(x) = x'W_l x + const_l, W_l = M (sum_i a_il x_i x_i') M."""

    def __init__(self, kernel: Quadratic, train: Any, metric: Array, coefficients: Array) -> None:
        self.train = train
        self.constants: Array = np.zeros(coefficients.shape[1], coefficients.dtype)
        self.forms = _forms(train, metric, coefficients)
        if kernel.general:
            half = 0.5 * ((train.forms(metric[None])[:, 0] - 1) @ coefficients)
            self.forms += half[:, None, None] * metric
            self.constants = -half

    def predict(self, points: Points) -> Array:
        """(n, c)."""
        found: Array = points.forms(self.forms) + self.constants
        return found

    def agop(self, centre: bool, by_class: bool = False) -> Array:
        """(4/n) sum_l W_l S W_l, (d, d), or its terms (c, d, d); S is the training inputs' second moment."""
        values, vectors = np.linalg.eigh(self.train.second_moment(centre))
        root = ((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T).astype(self.forms.dtype)
        half = np.matmul(root, self.forms)
        stacked = half.reshape(-1, half.shape[2])
        found: Array = np.matmul(half.transpose(0, 2, 1), half) if by_class else stacked.T @ stacked
        found *= 4 / self.train.n
        return found


class Kernelised:
    """A fitted machine with a radial kernel: f_l(x) = sum_i a_il k(x_i, x)."""

    def __init__(self, kernel: Radial, train: Any, metric: Array, coefficients: Array) -> None:
        self.kernel, self.train, self.metric, self.coefficients = kernel, train, metric, coefficients
        self.values = _values(kernel, train, metric)
        self.slopes = _slopes(kernel, train, metric)

    def predict(self, points: Points) -> Array:
        """(n, c)."""
        found = np.empty((points.n, self.coefficients.shape[1]), self.coefficients.dtype)
        for rows in _chunks(points.n, self.train.n, found.itemsize):
            np.dot(self.values(points.take(rows), 0), self.coefficients, out=found[rows])
        return found

    def agop(self, centre: bool, by_class: bool = False) -> Array:
        """M [(1/n) sum_jl (h_jl - mean)(h_jl - mean)'] M with h_jl = sum_i a_il s_ij (x_i - x_j).

        (d, d), or the terms (c, d, d) of each output l. Means over j are taken for each output by itself.
        """
        n, d, c = self.train.n, self.train.d, self.coefficients.shape[1]
        dtype = self.coefficients.dtype
        total = np.zeros((c, d, d) if by_class else (d, d), dtype)
        means = np.zeros((d, c), np.float64)

        def columns(j: slice) -> Array:
            slopes: Array = self.slopes(self.train.take(j), 0)
            return slopes.T

        for _, h in self.train.pulled(columns, self.coefficients):
            if by_class:
                each = h.transpose(1, 0, 2)
                total += np.matmul(each, each.transpose(0, 2, 1))
            else:
                flat = h.reshape(d, -1)
                total += flat @ flat.T
            means += h.sum(2)
        total /= n
        if centre:
            means = (means / n).astype(dtype)
            total -= means.T[:, :, None] * means.T[:, None, :] if by_class else means @ means.T
        found: Array = np.matmul(np.matmul(self.metric, total), self.metric)
        return found


Fitted: TypeAlias = Polynomial | Kernelised


def fit(
    kernel: Kernel, train: Points, right: Array, metric: Array, ridge: float, room: Array | None
) -> tuple[Fitted, Solution]:
    """Kernel regression of right-hand sides (n, c) on training points, ridge 0 included.

    room: an (n, n) workspace of the right-hand side's dtype; None solves without one, by conjugate gradients.
    Raises InputError where the system is singular.
    """
    if room is None:
        solution = solve_iteratively(_product(kernel, train, metric, right.shape[1]), ridge, right)
    else:
        solution = solve(lambda k: _fill(kernel, train, metric, k), room, ridge, right)
    made = Polynomial if isinstance(kernel, Quadratic) else Kernelised
    return made(kernel, train, metric, solution.coefficients), solution  # type: ignore[arg-type]


def _forms(train: Any, metric: Array, coefficients: Array) -> Array:
    moments = train.moments(coefficients)
    c, d, _ = moments.shape
    found: Array = np.matmul(metric, (moments.reshape(c * d, d) @ metric).reshape(c, d, d))
    return found


def _values(kernel: Kernel, train: Points, metric: Array) -> Any:
    """(others, first) -> kernel values of other points and the training points from `first` on."""
    if isinstance(kernel, Radial) and not kernel.laplace and isinstance(train, Pairs):
        scale = -0.5 / kernel.bandwidth**2
        if 2 * abs(scale) * float(np.abs(metric).max()) < TABLE_EXPONENT[metric.dtype]:
            return train.factors(metric, scale)
    return _from_products(kernel.values, train, metric)


def _slopes(kernel: Radial, train: Points, metric: Array) -> Any:
    if kernel.laplace:
        return _from_products(kernel.slopes, train, metric)
    values = _values(kernel, train, metric)

    def slopes(others: Points, first: int) -> Array:
        found: Array = values(others, first)
        found *= 1 / kernel.bandwidth**2
        return found

    return slopes


def _from_products(formula: Any, train: Any, metric: Array) -> Any:
    products = train.products(metric)
    norms = train.forms(metric[None])[:, 0]

    def rows(others: Points, first: int) -> Array:
        found: Array = formula(products(others, first), others.forms(metric[None])[:, 0], norms[first:])
        return found

    return rows


def _fill(kernel: Kernel, train: Points, metric: Array, room: Array) -> None:
    """The kernel matrix's upper triangle."""
    values = _values(kernel, train, metric)
    for rows in _chunks(train.n, train.n, room.itemsize, CACHE / 8):
        room[rows, rows.start :] = values(train.take(rows), rows.start)


def _product(kernel: Kernel, train: Points, metric: Array, c: int) -> Any:
    """V -> K V without K: by quadratic forms, or by chunks of rows."""
    if isinstance(kernel, Quadratic):
        return lambda v: Polynomial(kernel, train, metric, v).predict(train)
    values = _values(kernel, train, metric)

    def product(v: Array) -> Array:
        found = np.empty_like(v)
        for rows in _chunks(train.n, train.n, v.itemsize):
            np.dot(values(train.take(rows), 0), v, out=found[rows])
        return found

    return product


def _chunks(n: int, width: int, itemsize: int, size: float = CHUNK) -> list[slice]:
    step = max(1, int(size / (width * itemsize)))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]
