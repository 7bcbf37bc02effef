"""What a kernel machine is fed: one-hot pairs, whose products are look-ups, or rows of real numbers.

Both answer the same questions with the same meaning (tested to 1e-10 in double precision), so that what is built on
them is written once. Shapes: n points, d coordinates, c outputs.

take         the points of a slice or an index array
dense        (n, d) the points as they are
forms        (n, c) values x'W_l x of symmetric matrices W (c, d, d)
moments      (c, d, d) sums over points of a_il x_i x_i', of coefficients (n, c)
second_moment  (d, d) float64 sum over points of x x', less the mean's if centred
products     a function (others, first) giving y'Mx for other points y and these points x from `first` on
pulled       chunks (j, H) of H[:, l, j] = sum_i a_il S_ij (x_i - x_j), (d, c, chunk); columns(j) gives S[:, j]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from groklab.learners.rfm.kernels import Array

#: Bytes of the tables that sums over points pass through: they stay in a core's cache.
CACHE = 8e6


class Pairs:
    """One-hot pairs x = (e_a; e_b), first and second (n,) int symbols below p, of R^2p. Sorted by first symbol.

    Every product with a matrix is a look-up in its p x p blocks, and n x d tables are never made.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, p: int) -> None:
        self.first, self.second, self.p = first.astype(np.intp), second.astype(np.intp), p
        self.n, self.d = len(first), 2 * p

    def take(self, rows: Any) -> Pairs:
        """The pairs of a slice or an index array."""
        return Pairs(self.first[rows], self.second[rows], self.p)

    def dense(self, dtype: Any) -> Array:
        """(n, 2p) one-hot rows."""
        x = np.zeros((self.n, self.d), dtype)
        rows = np.arange(self.n)
        x[rows, self.first] = 1
        x[rows, self.p + self.second] = 1
        return x

    def forms(self, matrices: Array) -> Array:
        """(n, c): W[a, a] + W[p+b, p+b] + 2 W[a, p+b]."""
        p = self.p
        diagonal = np.diagonal(matrices, axis1=1, axis2=2)
        grid = 2 * matrices[:, :p, p:]
        grid += diagonal[:, :p, None]
        grid += diagonal[:, None, p:]
        found = grid.reshape(len(matrices), p * p)[:, self.first * p + self.second]
        return np.ascontiguousarray(found.T)

    def moments(self, coefficients: Array) -> Array:
        """(c, 2p, 2p): the coefficients scattered to the places of their pairs, and their sums on the diagonal."""
        p, c = self.p, coefficients.shape[1]
        grid = np.zeros((c, p * p), coefficients.dtype)
        # pairs may repeat in data of a user's own
        if self._distinct():
            grid[:, self.first * p + self.second] = coefficients.T
        else:
            np.add.at(grid.T, self.first * p + self.second, coefficients)
        block = grid.reshape(c, p, p)
        made = np.zeros((c, 2 * p, 2 * p), coefficients.dtype)
        made[:, :p, p:] = block
        made[:, p:, :p] = block.transpose(0, 2, 1)
        i = np.arange(p)
        made[:, i, i] = block.sum(2)
        made[:, p + i, p + i] = block.sum(1)
        return made

    def _distinct(self) -> bool:
        places = self.first * self.p + self.second
        return len(np.unique(places)) == self.n

    def second_moment(self, centre: bool) -> Array:
        """(2p, 2p) float64."""
        whole: Array = self.moments(np.ones((self.n, 1)))[0]
        if centre:
            total = np.diagonal(whole)
            whole = whole - np.outer(total, total) / self.n
        return whole

    def products(self, metric: Array) -> Callable[[Pairs, int], Array]:
        """Sums of two look-ups: rows of U = M[:, a] + M[:, p+b]."""
        table = self._table(metric, np.add)

        def rows(others: Pairs, first: int = 0) -> Array:
            return table[others.first, first:] + table[self.p + others.second, first:]

        return rows

    def factors(self, metric: Array, scale: float) -> Callable[[Pairs, int], Array]:
        """As `products`, but of exp(scale (x-z)'M(x-z)): 4p^2 exponentials instead of n^2."""
        table = self._table(np.exp(metric * (-2 * scale)), np.multiply)
        own = np.exp(scale * self.norms(metric))
        table[: self.p] *= own

        def rows(others: Pairs, first: int = 0) -> Array:
            found = table[others.first, first:]
            found *= table[self.p + others.second, first:]
            found *= np.exp(scale * others.norms(metric))[:, None]
            return found

        return rows

    def norms(self, metric: Array) -> Array:
        """(n,) x'Mx."""
        return self.forms(metric[None])[:, 0]

    def _table(self, metric: Array, join: Any) -> Array:
        # rows are gathered from it: contiguous ones, along the long dimension
        table: Array = join(metric[:, self.first], metric[:, self.p + self.second])
        return np.ascontiguousarray(table)

    def pulled(self, columns: Callable[[slice], Array], coefficients: Array) -> Iterator[tuple[slice, Array]]:
        """Sums over the points that share a symbol: 4 n^2 c operations, where dense rows need 2 n^2 c d."""
        p, c = self.p, coefficients.shape[1]
        by_second = np.argsort(self.second, kind="stable")
        groups = [_starts(self.first, p), _starts(self.second[by_second], p)]
        left = [np.ascontiguousarray(coefficients.T), np.ascontiguousarray(coefficients[by_second].T)]
        size = max(1, int(CACHE / (self.d * c * coefficients.itemsize)))
        for start in range(0, self.n, size):
            j = slice(start, min(start + size, self.n))
            slopes = columns(j)
            width = slopes.shape[1]
            h = np.empty((self.d, c, width), coefficients.dtype)
            for half, (starts, factor) in enumerate(zip(groups, left, strict=True)):
                rows = slopes if half == 0 else slopes[by_second]
                for symbol in range(p):
                    own = slice(starts[symbol], starts[symbol + 1])
                    np.dot(factor[:, own], rows[own], out=h[half * p + symbol])
            pulled_by = h[:p].sum(0)
            k = np.arange(width)
            h[self.first[j], :, k] -= pulled_by.T
            h[p + self.second[j], :, k] -= pulled_by.T
            yield j, h


class Rows:
    """Real rows x (n, d)."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.n, self.d = x.shape

    def take(self, rows: Any) -> Rows:
        """The rows of a slice or an index array."""
        return Rows(self.x[rows])

    def dense(self, dtype: Any) -> Array:
        """(n, d)."""
        return self.x.astype(dtype, copy=False)

    def forms(self, matrices: Array) -> Array:
        """(n, c)."""
        x = self.x.astype(matrices.dtype, copy=False)
        return np.stack([np.einsum("nd,nd->n", x @ w, x) for w in matrices], axis=1)

    def moments(self, coefficients: Array) -> Array:
        """(c, d, d)."""
        x = self.x.astype(coefficients.dtype, copy=False)
        return np.stack([(x * a[:, None]).T @ x for a in coefficients.T])

    def second_moment(self, centre: bool) -> Array:
        """(d, d) float64."""
        x = self.x.astype(np.float64)
        if centre:
            x = x - x.mean(0)
        found: Array = x.T @ x
        return found

    def products(self, metric: Array) -> Callable[[Rows, int], Array]:
        """Matrix products."""
        right = (self.x.astype(metric.dtype, copy=False) @ metric).T

        def rows(others: Rows, first: int = 0) -> Array:
            found: Array = others.x.astype(metric.dtype, copy=False) @ right[:, first:]
            return found

        return rows

    def norms(self, metric: Array) -> Array:
        """(n,) x'Mx."""
        return self.forms(metric[None])[:, 0]

    def pulled(self, columns: Callable[[slice], Array], coefficients: Array) -> Iterator[tuple[slice, Array]]:
        """One product of n x d an output: 2 n^2 c d operations."""
        c = coefficients.shape[1]
        x = self.x.astype(coefficients.dtype, copy=False)
        # a chunk holds its slopes once for each output
        size = max(1, int(4 * CACHE / (max(self.d, self.n) * c * coefficients.itemsize)))
        for start in range(0, self.n, size):
            j = slice(start, min(start + size, self.n))
            weighted = columns(j).T[:, None, :] * coefficients.T[None]  # (chunk, c, n)
            width = len(weighted)
            h = (weighted.reshape(width * c, self.n) @ x).reshape(width, c, self.d)
            h -= weighted.sum(2)[..., None] * x[j][:, None, :]
            yield j, np.ascontiguousarray(h.transpose(2, 1, 0))


#: Either.
Points: TypeAlias = Pairs | Rows


def _starts(sorted_symbols: np.ndarray, p: int) -> list[int]:
    """Where each symbol's stretch begins in a sorted array, and the end."""
    return [*np.searchsorted(sorted_symbols, np.arange(p)).tolist(), len(sorted_symbols)]
