"""A kernel machine at one metric M: its solution, its predictions, and its average gradient outer product.

Written once for both kinds of points. Formulas: Mallinar et al. 2024, section 2 and appendix; the AGOP of a polynomial
kernel is a sum over outputs alone, that of a radial one a sum over outputs and training points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from groklab.learners._rfm import card
from groklab.learners._rfm.kernels import Array, Kernel, Quadratic, Radial
from groklab.learners._rfm.points import CACHE, Pairs, Points
from groklab.learners._rfm.solving import Solution, solve, solve_iteratively
from groklab.tasks import TaskShape

#: Largest exponent of a table of exponentials whose products of four stay finite.
TABLE_EXPONENT = {np.dtype(np.float64): 160.0, np.dtype(np.float32): 18.0}


class Polynomial:
    """A fitted machine with a polynomial kernel: f_l(x) = x'W_l x + const_l with W_l = M T_l.

    T_l = (sum_i a_il x_i x_i') M, and for the general quadratic kernel a multiple of the identity besides.
    """

    def __init__(self, kernel: Quadratic, train: Any, metric: Array, coefficients: Array) -> None:
        self.train, self.metric = train, metric
        self.moments: Array = train.moments(coefficients, metric)
        self.constants: Array = np.zeros(coefficients.shape[1], coefficients.dtype)
        if kernel.general:
            half = 0.5 * ((train.norms(metric) - 1) @ coefficients)
            i = np.arange(train.d)
            self.moments[i, :, i] += half
            self.constants = -half
        self._forms = train.forms(metric, self.moments)

    def predict(self, points: Points) -> Array:
        """Return outputs (n, c)."""
        outputs: Array = self._forms(points)
        outputs += self.constants
        return outputs

    def agop(self, centre: bool, by_class: bool = False) -> Array:
        """Return (4/n) sum_l W_l S W_l, (d, d), or its terms (c, d, d); S is n times the inputs' covariance."""
        d, c, _ = self.moments.shape
        spread = self.train.spread(centre).astype(self.moments.dtype)
        half = (self.moments.reshape(d * c, d) @ spread).reshape(d, c, d)
        if by_class:
            each = half.transpose(1, 0, 2)
            total = np.matmul(each, each.transpose(0, 2, 1))
        else:
            flat = half.reshape(d, c * d)
            total = flat @ flat.T
        total *= 4 / self.train.n
        return _between(self.metric, total)


class Kernelised:
    """A fitted machine with a radial kernel: f_l(x) = sum_i a_il k(x_i, x)."""

    def __init__(self, kernel: Radial, train: Any, metric: Array, coefficients: Array) -> None:
        self.kernel, self.train, self.metric, self.coefficients = kernel, train, metric, coefficients
        self.values = _values(kernel, train, metric)
        self._on_training: Array | None = None

    def predict(self, points: Points) -> Array:
        """Return outputs (n, c)."""
        if points is self.train and self._on_training is not None:
            return self._on_training
        return _product(self.values, points, self.train.n, self.coefficients)

    def agop(self, centre: bool, by_class: bool = False) -> Array:
        """Return M [(1/n) sum_jl (h_jl - mean)(h_jl - mean)'] M with h_jl = sum_i a_il s_ij (x_i - x_j).

        (d, d), or the terms (c, d, d) of each output l. Means over j are taken for each output by itself.
        """
        n, d, c = self.train.n, self.train.d, self.coefficients.shape[1]
        dtype = self.coefficients.dtype
        total = np.zeros((c, d, d) if by_class else (d, d), dtype)
        pulls, pushes = np.zeros(n), np.zeros((c, n), dtype)
        slopes, coefficients = self._slopes()

        def columns(j: slice) -> Array:
            values: Array = slopes(self.train, j)
            pulls[:] += values.sum(1)
            return values

        for j, h, sums in self.train.pulled(columns, coefficients):
            pushes[:, j] = sums
            if by_class:
                each = h.transpose(1, 0, 2)
                total += np.matmul(each, each.transpose(0, 2, 1))
            else:
                flat = h.reshape(d, -1)
                total += flat @ flat.T
        if not self.kernel.laplace:
            # a Gaussian's slopes are its values, so that their sums are the machine's outputs
            self._on_training = pushes.T * dtype.type(self.kernel.bandwidth**2)
        total /= n
        if centre:
            means = (self.train.weighted(pulls[:, None] * coefficients - pushes.T) / n).astype(dtype)
            total -= means.T[:, :, None] * means.T[:, None, :] if by_class else means @ means.T
        return _between(self.metric, total)

    def _slopes(self) -> tuple[Any, Array]:
        """Return s_ij as a function (others, columns), and the coefficients that belong to them."""
        if self.kernel.laplace:
            return _from_products(self.kernel.slopes, self.train, self.metric), self.coefficients
        return self.values, self.coefficients * self.coefficients.dtype.type(self.kernel.bandwidth**-2)


Fitted: TypeAlias = Polynomial | Kernelised


def _between(metric: Array, inner: Array) -> Array:
    product: Array = np.matmul(np.matmul(metric, inner), metric)
    return product


def fit(
    kernel: Kernel, train: Points, right: Array, metric: Array, ridge: float, room: Array | None
) -> tuple[Fitted, Solution]:
    """Solve the kernel regression of right-hand sides (n, c) on training points, ridge 0 included.

    Args:
        room: an (n, n) workspace of the right-hand side's dtype; None solves without one, by conjugate gradients.

    Raises:
        InputError: if the system is singular.
    """
    if room is None:
        solution = solve_iteratively(_matrix(kernel, train, metric), ridge, right)
    else:
        solution = solve(lambda k: _fill(kernel, train, metric, k), room, ridge, right)
    made = Polynomial if isinstance(kernel, Quadratic) else Kernelised
    return made(kernel, train, metric, solution.coefficients), solution  # type: ignore[arg-type]


def _values(kernel: Kernel, train: Any, metric: Array) -> Any:
    """Return a function (others, columns, out) to kernel values of other points and a slice of the training points."""
    if isinstance(kernel, Radial) and not kernel.laplace and isinstance(train, Pairs):
        scale = -0.5 / kernel.bandwidth**2
        if 2 * abs(scale) * float(np.abs(metric).max()) < TABLE_EXPONENT[metric.dtype]:
            return train.factors(metric, scale)
    return _from_products(kernel.values, train, metric)


def _from_products(formula: Any, train: Any, metric: Array) -> Any:
    products = train.products(metric)
    norms = train.norms(metric)

    def rows(others: Points, columns: slice, out: Array | None = None) -> Array:
        values: Array = formula(products(others, columns), others.norms(metric), norms[columns], out)
        return values

    return rows


def _fill(kernel: Kernel, train: Points, metric: Array, room: Array) -> None:
    """Write the kernel matrix's upper triangle into `room`."""
    values = _values(kernel, train, metric)
    for rows in _chunks(train.n, train.n, room.itemsize):
        values(train.take(rows), slice(rows.start, None), room[rows, rows.start :])


def _matrix(kernel: Kernel, train: Points, metric: Array) -> Any:
    """Return the function V -> K V without K: by quadratic forms, or by chunks of rows."""
    if isinstance(kernel, Quadratic):
        return lambda v: Polynomial(kernel, train, metric, v).predict(train)
    values = _values(kernel, train, metric)
    return lambda v: _product(values, train, train.n, v)


def _product(values: Any, points: Points, n: int, coefficients: Array) -> Array:
    """Multiply the kernel values of points and all n training points with coefficients (n, c)."""
    product = np.empty((points.n, coefficients.shape[1]), coefficients.dtype)
    for rows in _chunks(points.n, n, product.itemsize):
        np.dot(values(points.take(rows), slice(None)), coefficients, out=product[rows])
    return product


def _chunks(n: int, width: int, itemsize: int) -> list[slice]:
    """Cut n rows of `width` numbers into slices that stay in a core's cache."""
    step = max(48, int(CACHE / 16 / (width * itemsize)))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


@dataclass(frozen=True)
class Data:
    """One member's points and answers.

    Attributes:
        test_transposed: which test pairs are trained on the other way round; all, where that has no meaning.
        holds: whether the kernel matrix is held in memory.
        alone: whether this member may have all cores.
    """

    train: Points
    train_targets: np.ndarray
    test: Points
    test_targets: np.ndarray
    test_transposed: np.ndarray
    shape: TaskShape
    dtype: str
    holds: bool
    alone: bool = True
    _cards: dict[bool, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.train, Pairs):
            # sums over the pairs of a first symbol are sums over stretches
            order = np.lexsort((self.train.second, self.train.first))
            object.__setattr__(self, "train", self.train.take(order))
            object.__setattr__(self, "train_targets", self.train_targets[order])

    def on_card(self, centre: bool) -> Any:
        """Return the data on a graphics card, moved there once."""
        return self._cards.setdefault(centre, card.put(self, centre))

    @cached_property
    def answers(self) -> Array:
        """One-hot training targets (n, c)."""
        one_hot: Array = np.eye(self.shape.n_classes, dtype=self.dtype)[self.train_targets]
        return one_hot


def errors(fitted: Fitted, data: Data) -> dict[str, float]:
    """Return losses (means over samples and outputs), accuracies, and losses at the right class alone.

    A tie counts as wrong. `transpose_free_accuracy` is NaN where every test pair counts as transposed.
    """
    row = {}
    for name, points, targets in (
        ("train", data.train, data.train_targets),
        ("test", data.test, data.test_targets),
    ):
        outputs = fitted.predict(points).copy()
        rows = np.arange(len(targets))
        own = outputs[rows, targets].astype(np.float64)
        outputs[rows, targets] = -np.inf
        right = own > outputs.max(1)
        outputs[rows, targets] = 0
        squares = float(np.einsum("nc,nc->", outputs, outputs, dtype=np.float64))
        correct = float(((own - 1) ** 2).sum())
        row[f"{name}_loss"] = (squares + correct) / outputs.size
        row[f"{name}_accuracy"] = float(right.mean())
        row[f"{name}_correct_loss"] = correct / len(targets)
    row["transpose_free_accuracy"] = np.nan
    if not data.test_transposed.all():
        row["transpose_free_accuracy"] = float(right[~data.test_transposed].mean())
    return row
