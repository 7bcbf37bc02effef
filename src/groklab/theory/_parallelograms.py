"""Linear equations that a perfect representation of sums must satisfy (Liu et al. 2022, arXiv 2205.10343).

The model reads E_i + E_j, so two pairs u = (i, j), v = (m, n) of one answer require E_i + E_j = E_m + E_n: a
parallelogram. With a_u = e_i + e_j in R^p the equations are (a_u − a_v)·E = 0 for all {u, v} of one class, of a
training set D or of all pairs. They are never listed: sums over pairs of pairs are sums over pairs. (i, j) and (j, i)
count as one pair, as they agree in any representation. Everything is float64 NumPy; p symbols, N pairs, classes are
numbers from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError
from groklab.tasks import Task

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
#: Eigenvalues of G below this count as zero (the published code's bound).
ZERO = 1e-8
#: Two values of a generic representation of largest size 1 that are closer than this are equal.
EQUAL = 1e-7


@dataclass(frozen=True)
class Equations:
    """The pairs of a task, (N, 2) int symbols below p, and their classes, (N,) int."""

    p: int
    pairs: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]

    @property
    def n_pairs(self) -> int:
        """N."""
        return len(self.pairs)

    @cached_property
    def incidence(self) -> Matrix:
        """(N, p) rows a_u = e_i + e_j."""
        units = np.eye(self.p)
        return units[self.pairs[:, 0]] + units[self.pairs[:, 1]]

    @cached_property
    def unordered(self) -> npt.NDArray[np.int64]:
        """(N,) the number of each row's unordered pair, from 0."""
        low, high = self.pairs.min(axis=1), self.pairs.max(axis=1)
        return np.unique(low * self.p + high, return_inverse=True)[1].ravel().astype(np.int64)

    def distinct(self, chosen: Rows | None = None) -> npt.NDArray[np.int64]:
        """Return one row of each unordered pair among all rows or those chosen, ascending."""
        rows = np.arange(self.n_pairs) if chosen is None else np.flatnonzero(chosen)
        return rows[np.sort(np.unique(self.unordered[rows], return_index=True)[1])]

    def count(self, chosen: Rows | None = None) -> int:
        """Return |P0| or, of a training set (N,) bool, |P0(D)|: unordered pairs of pairs of one class."""
        sizes = np.bincount(self.classes[self.distinct(chosen)])
        return int((sizes * (sizes - 1) // 2).sum())

    def gram(self, chosen: Rows | None = None) -> Matrix:
        """Return G = A'A of the matrix A of all equations, (p, p): sum_s [n_s sum_u a_u a_u' − (sum_u a_u)(sum_u
        a_u)'].

        The sums run over the pairs u of each class s: O(N p^2 + p^3) for the O(p^3) equations.
        """
        rows = self.distinct(chosen)
        a, classes = self.incidence[rows], self.classes[rows]
        n_classes = int(self.classes.max(initial=-1)) + 1
        sizes = np.bincount(classes, minlength=n_classes)
        totals = np.eye(n_classes)[classes].T @ a
        gram: Matrix = (a * sizes[classes, None]).T @ a - totals.T @ totals
        return gram

    def eigenvalues(self, chosen: Rows | None = None) -> Matrix:
        """Return the eigenvalues of G, ascending, not normalised, none below zero."""
        return np.clip(np.linalg.eigvalsh(self.gram(chosen)), 0, None)

    def null_dimension(self, chosen: Rows | None = None) -> int:
        """Return n0, the dimensions that the equations leave free; 2, an offset and a slope, is a forced linear
        representation.
        """
        return int((self.eigenvalues(chosen) < ZERO).sum())

    def representation(self, chosen: Rows, seed: int = 0) -> Matrix:
        """Return a random representation (p,) that satisfies every equation of a training set; largest entry 1."""
        values, vectors = np.linalg.eigh(self.gram(chosen))
        null = vectors[:, values < ZERO]
        drawn: Matrix = null @ np.random.default_rng(seed).standard_normal(null.shape[1])
        drawn /= np.abs(drawn).max()
        return drawn

    def reachable(self, chosen: Rows, seed: int = 0) -> Rows:
        """Return the pairs whose answer the equations of a training set imply, itself included, (N,) bool.

        Exact without listing equations: a pair is implied if and only if it equals some training pair of its class in a
        generic consistent representation.
        """
        value = self.incidence @ self.representation(chosen, seed)
        # classes far apart, so that one sorted array answers for all
        shifted = value + 10.0 * self.classes
        known = np.sort(shifted[chosen])
        place = np.searchsorted(known, shifted)
        below = np.abs(shifted - known[np.maximum(place - 1, 0)])
        above = np.abs(shifted - known[np.minimum(place, len(known) - 1)])
        return np.asarray((np.minimum(below, above) < EQUAL) | chosen)

    def ideal_accuracy(self, chosen: Rows, seed: int = 0) -> float:
        """Return the share of all pairs whose answer a training set (N,) bool implies (the paper's ideal accuracy)."""
        return float(self.reachable(chosen, seed).mean())

    def implied_by_rank(self, chosen: Rows) -> Rows:
        """Return `reachable` in the published code's way: an equation is implied if it leaves the null space unchanged.

        O(p^2 N) eigenvalue problems: for tests and claims only.
        """
        gram, free = self.gram(chosen), self.null_dimension(chosen)
        implied = chosen.copy()
        for u in np.flatnonzero(~chosen):
            for v in np.flatnonzero(chosen & (self.classes == self.classes[u])):
                row = self.incidence[u] - self.incidence[v]
                if int((np.linalg.eigvalsh(gram + np.outer(row, row)) < ZERO).sum()) == free:
                    implied[u] = True
                    break
        return implied


def equations_of(task: Task) -> Equations:
    """Return the equations of a task of two operands.

    Raises:
        InputError: for other tasks, and where the order of operands matters, which E_i + E_j does not hold.
    """
    operands = operand_pairs(task, "the effective theory")
    if not task.algebra.commutative:
        raise InputError(f"the effective theory applies to commutative operations, and not to {task.name}")
    p = int(operands.max()) + 1
    return Equations(p, operands, task.targets.astype(np.int64))


def operand_pairs(task: Task, what: str) -> npt.NDArray[np.int64]:
    """Return the (N, 2) operands of a task. Raises InputError, which names `what`, unless they are two per answer."""
    operands = task.algebra.operands
    if operands is None or operands.ndim != 2 or operands.shape[1] != 2 or task.reads is not None or not task.n_inputs:
        raise InputError(f"{what} applies to two operands, and not to {task.name}")
    return operands.astype(np.int64)
