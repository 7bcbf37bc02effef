"""The inputs of a kernel machine: one-hot pairs, whose products are look-ups, or rows of real numbers.

Both have the same methods with the same meaning (tested to 1e-10 in double precision), so that what is built on them is
written once. Shapes: n points, d coordinates, c outputs.

weighted     (d, c) sums over points of a_il x_i
take         the points of a slice or an index array
dense        (n, d) the points as they are
moments      (d, c, d) T with T[:, l, :] = (sum_i a_il x_i x_i') M, of coefficients (n, c) and a symmetric metric M
forms        a function (others) giving the values y'M T_l y of other points y, (n, c)
spread       (d, d) float64 root of the sum over points of x x', less the mean's if centred
products     a function (others, columns) giving y'Mx for other points y and a slice of these points x
pulled       chunks (j, H, s) of H[:, l, j] = sum_i a_il S_ij (x_i - x_j), (d, c, chunk), and of s_lj = sum_i a_il S_ij
             (c, chunk); columns(j) gives S[:, j]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from groklab.errors import InputError
from groklab.learners._rfm.kernels import Array
from groklab.tasks import TaskShape, matrix_power

#: Bytes of the tables that sums over points pass through: they stay in a processor's cache, and no smaller, as
#: products of thin slices are slow.
CACHE = 16e6


class Pairs:
    """One-hot pairs x = (e_a; e_b), first and second (n,) int symbols below p, of R^2p. Sorted by first symbol.

    Every product with a matrix is a look-up in its p x p blocks, and n x d tables are never made.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, p: int) -> None:
        self.first, self.second, self.p = first.astype(np.intp), second.astype(np.intp), p
        self.n, self.d = len(first), 2 * p
        self._spreads: dict[bool, Array] = {}

    def take(self, rows: Any) -> Pairs:
        """Return the pairs of a slice or an index array."""
        return Pairs(self.first[rows], self.second[rows], self.p)

    def dense(self, dtype: Any) -> Array:
        """Return (n, 2p) one-hot rows."""
        x = np.zeros((self.n, self.d), dtype)
        rows = np.arange(self.n)
        x[rows, self.first] = 1
        x[rows, self.p + self.second] = 1
        return x

    def moments(self, coefficients: Array, metric: Array) -> Array:
        """Return (2p, c, 2p), a row of blocks per symbol: its pairs with every other, and their sum with itself."""
        p, c = self.p, coefficients.shape[1]
        table = self._table_of(coefficients)
        made = np.empty((2 * p, c, 2 * p), coefficients.dtype)
        for half, others in enumerate((metric[p:], metric[:p])):
            right = np.concatenate([others, others[:1]])
            for symbol in range(p):
                place = half * p + symbol
                right[p] = metric[place]
                np.dot((table[:, symbol] if half else table[symbol]).T, right, out=made[place])
        return made

    def _table_of(self, coefficients: Array) -> Array:
        """Return coefficients (p + 1, p + 1, c) at [first, second], their sums at p; pairs may occur repeatedly."""
        p = self.p
        table = np.zeros((p + 1, p + 1, coefficients.shape[1]), coefficients.dtype)
        if len(np.unique(self.first * p + self.second)) == self.n:
            table[self.first, self.second] = coefficients
        else:
            np.add.at(table, (self.first, self.second), coefficients)
        table[:p, p] = table[:p].sum(1)
        table[p, :p] = table[:, :p].sum(0)
        return table

    def forms(self, metric: Array, moments: Array) -> Callable[[Pairs], Array]:
        """Return W[a, a] + W[p+b, p+b] + 2 W[a, p+b] with W = M T, looked up."""
        p, c = self.p, moments.shape[1]
        right = np.ascontiguousarray(moments[:, :, p:]).reshape(2 * p, c * p)
        mixed = (metric[:p] @ right).reshape(p, c, p)
        own = np.einsum("kp,kcp->pc", metric, moments)
        grid = 2 * mixed.transpose(0, 2, 1)
        grid += own[:p, None]
        grid += own[None, p:]

        def values(others: Pairs) -> Array:
            form: Array = grid[others.first, others.second]
            return form

        return values

    def weighted(self, coefficients: Array) -> Array:
        """Return (2p, c)."""
        sums = np.zeros((self.d, coefficients.shape[1]), coefficients.dtype)
        np.add.at(sums, self.first, coefficients)
        np.add.at(sums, self.p + self.second, coefficients)
        return sums

    def spread(self, centre: bool) -> Array:
        """Return (2p, 2p) float64."""
        if centre not in self._spreads:
            sums = self._table_of(np.ones((self.n, 1)))[..., 0]
            table, total = sums[:-1, :-1], np.concatenate([sums[:-1, -1], sums[-1, :-1]])
            moments = np.block([[np.diag(total[: self.p]), table], [table.T, np.diag(total[self.p :])]])
            moments -= np.outer(total, total) / self.n if centre else 0
            self._spreads[centre] = matrix_power(moments, 0.5)
        return self._spreads[centre]

    def products(self, metric: Array) -> Callable[[Pairs, slice], Array]:
        """Return sums of two look-ups: rows of U = M[:, a] + M[:, p+b]."""
        table = self._table(metric, np.add)

        def rows(others: Pairs, columns: slice) -> Array:
            part = table[:, columns]
            values: Array = part[others.first]
            values += part[self.p + others.second]
            return values

        return rows

    def factors(self, metric: Array, scale: float) -> Callable[..., Array]:
        """Return exp(scale (x-z)'M(x-z)) in the form of `products`: 4p^2 exponentials instead of n^2."""
        table = self._table(np.exp(metric * (-2 * scale)), np.multiply)
        own = np.exp(scale * self.norms(metric))
        table[: self.p] *= own

        def rows(others: Pairs, columns: slice, out: Array | None = None) -> Array:
            part = table[:, columns]
            values: Array = part[others.first]
            values *= part[self.p + others.second]
            own_factors = np.exp(scale * others.norms(metric))[:, None]
            scaled: Array = np.multiply(values, own_factors, out=values if out is None else out)
            return scaled

        return rows

    def norms(self, metric: Array) -> Array:
        """Return (n,) x'Mx."""
        diagonal, second = np.diagonal(metric), self.p + self.second
        squares: Array = diagonal[self.first] + diagonal[second] + 2 * metric[self.first, second]
        return squares

    def _table(self, metric: Array, join: Any) -> Array:
        # rows are gathered from it: contiguous ones, along the long dimension
        table: Array = join(metric[:, self.first], metric[:, self.p + self.second])
        return np.ascontiguousarray(table)

    def pulled(self, columns: Callable[[slice], Array], coefficients: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Sum over the points that share a symbol: 4 n^2 c operations, where dense rows need 2 n^2 c d."""
        p, c = self.p, coefficients.shape[1]
        by_second = np.argsort(self.second, kind="stable")
        groups = [_starts(self.first, p), _starts(self.second[by_second], p)]
        left = [np.ascontiguousarray(coefficients.T), np.ascontiguousarray(coefficients[by_second].T)]
        size = max(1, int(CACHE / (self.d * c * coefficients.itemsize)))
        for start in range(0, self.n, size):
            j = slice(start, min(start + size, self.n))
            slopes = columns(j)
            h = np.empty((self.d, c, slopes.shape[1]), coefficients.dtype)
            for half, (starts, factor) in enumerate(zip(groups, left, strict=True)):
                rows = slopes if half == 0 else slopes[by_second]
                for symbol in range(p):
                    own = slice(starts[symbol], starts[symbol + 1])
                    np.dot(factor[:, own], rows[own], out=h[half * p + symbol])
            total = h[:p].sum(0)
            k = np.arange(h.shape[2])
            h[self.first[j], :, k] -= total.T
            h[p + self.second[j], :, k] -= total.T
            yield j, h, total


class Rows:
    """Real rows x (n, d)."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.n, self.d = x.shape

    def take(self, rows: Any) -> Rows:
        """Return the rows of a slice or an index array."""
        return Rows(self.x[rows])

    def dense(self, dtype: Any) -> Array:
        """Return (n, d)."""
        return self.x.astype(dtype, copy=False)

    def moments(self, coefficients: Array, metric: Array) -> Array:
        """Return (d, c, d)."""
        x = self.x.astype(coefficients.dtype, copy=False)
        seen = x @ metric
        return np.stack([(x * a[:, None]).T @ seen for a in coefficients.T], axis=1)

    def forms(self, metric: Array, moments: Array) -> Callable[[Rows], Array]:
        """Return matrix products, one per output."""

        def values(others: Rows) -> Array:
            x = others.x.astype(metric.dtype, copy=False)
            seen = x @ metric
            return np.stack([np.einsum("nd,nd->n", seen @ t, x) for t in moments.transpose(1, 0, 2)], axis=1)

        return values

    def weighted(self, coefficients: Array) -> Array:
        """Return (d, c)."""
        sums: Array = self.x.T @ coefficients
        return sums

    def spread(self, centre: bool) -> Array:
        """Return (d, d) float64."""
        x = self.x.astype(np.float64)
        if centre:
            x = x - x.mean(0)
        return matrix_power(x.T @ x, 0.5)

    def products(self, metric: Array) -> Callable[[Rows, slice], Array]:
        """Return matrix products."""
        right = (self.x.astype(metric.dtype, copy=False) @ metric).T

        def rows(others: Rows, columns: slice) -> Array:
            values: Array = others.x.astype(metric.dtype, copy=False) @ right[:, columns]
            return values

        return rows

    def norms(self, metric: Array) -> Array:
        """Return (n,) x'Mx."""
        x = self.x.astype(metric.dtype, copy=False)
        squares: Array = np.einsum("nd,nd->n", x @ metric, x)
        return squares

    def pulled(self, columns: Callable[[slice], Array], coefficients: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Take one product of n x d per output: 2 n^2 c d operations."""
        c = coefficients.shape[1]
        x = self.x.astype(coefficients.dtype, copy=False)
        # a chunk holds its slopes once for each output
        size = max(1, int(CACHE / (max(self.d, self.n) * c * coefficients.itemsize)))
        for start in range(0, self.n, size):
            j = slice(start, min(start + size, self.n))
            weighted = columns(j).T[:, None, :] * coefficients.T[None]  # (chunk, c, n)
            total = weighted.sum(2)
            h = (weighted.reshape(-1, self.n) @ x).reshape(*total.shape, self.d)
            h -= total[..., None] * x[j][:, None, :]
            yield j, np.ascontiguousarray(h.transpose(2, 1, 0)), total.T


#: Either.
Points: TypeAlias = Pairs | Rows


def _starts(sorted_symbols: np.ndarray, p: int) -> list[int]:
    """Return where each symbol's stretch begins in a sorted array, and the end."""
    return [*np.searchsorted(sorted_symbols, np.arange(p)).tolist(), len(sorted_symbols)]


def points_of(inputs: np.ndarray, shape: TaskShape, path: str) -> Points:
    """Make points of tokens (n, n_ctx) or reals (n, d): pairs to look up, or one-hot or real rows.

    Raises InputError for numbers that are not finite, and for the path 'pairs' of anything else.
    """
    if np.issubdtype(inputs.dtype, np.floating):
        if path == "pairs":
            raise InputError("learner.path", "pairs", "needs a task of two varying tokens")
        if not np.isfinite(inputs).all():
            raise InputError("the task's inputs hold numbers that are not finite")
        return Rows(inputs)
    positions = shape.varying
    tokens = inputs[:, positions]
    if len(positions) == 2 and path != "dense":
        return Pairs(tokens[:, 0], tokens[:, 1], shape.n_symbols)
    if path == "pairs":
        raise InputError("learner.path", "pairs", "needs a task of two varying tokens")
    eye = np.eye(shape.n_symbols)
    return Rows(np.concatenate([eye[t] for t in tokens.T], axis=1))


def is_pairs(shape: TaskShape) -> bool:
    """Return whether inputs are two varying tokens."""
    return shape.n_features is None and len(shape.varying) == 2


def dimension(shape: TaskShape) -> int:
    """Return the number of coordinates of an input."""
    return len(shape.varying) * shape.n_symbols if shape.n_features is None else shape.n_features
