"""Which answers a training set implies where the order of operands matters (Liu et al. 2022, appendix on groups).

The model reads E_a E_b, a product of matrices. Two pairs (a, d), (b, c) of one answer require E_a E_d = E_b E_c, that
is E_b^-1 E_a = E_c E_d^-1: a left quotient equals a right quotient. Quotients that are equal are so in every pair, and
so make further pairs equal. The closure of a training set joins pairs and quotients in turn, each a partition of its
own, until nothing is new.

It is sound for every Latin square that is a group's table up to renumbering rows, columns and answers, such as x − y
and x / y, as their pairs have such matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError
from groklab.lazy import scipy
from groklab.tasks import Task, not_associative
from groklab.theory._effective_theory import least_sizes
from groklab.theory._parallelograms import operand_pairs

Integers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]


def latin_square(task: Task) -> tuple[Integers, Integers]:
    """Return the answers by left and right operand, (n, n), numbered from 0, and each row's cell, (N,), row-major.

    Raises:
        InputError: for a task that is not a Latin square of two operands, or a Latin square of no group.
    """
    operands = operand_pairs(task, "the closure")
    symbols, numbered = np.unique(operands, return_inverse=True)
    cells = numbered.reshape(operands.shape).astype(np.int64)
    answers, n = np.unique(task.targets, return_inverse=True)[1].ravel().astype(np.int64), len(symbols)
    table = np.full((n, n), -1, np.int64)
    table[cells[:, 0], cells[:, 1]] = answers
    every = np.arange(n)
    full = task.n_inputs == n * n and (np.sort(table, axis=0) == every[:, None]).all()
    if not full or not (np.sort(table, axis=1) == every).all():
        raise InputError(f"the closure needs every pair once and a group's table, which {task.name} has not")
    # Albert's theorem: a loop is a group up to renumbering if and only if it is one
    loop = np.empty_like(table)
    loop[np.ix_(table[:, 0], table[0])] = table
    if not_associative(loop) is not None:
        raise InputError(f"the closure needs a group's table up to renumbering, and {task.name} has another")
    return table, cells @ np.array([n, 1])


def deducible(task: Task, train_rows: npt.ArrayLike) -> Rows:
    """Return the inputs whose answer a training set implies, itself included, (N,) bool.

    O(n^3) for n elements, in each of a few rounds. Raises InputError as `latin_square` does.

    Args:
        train_rows: rows of the task, numbers or (N,) bool.
    """
    table, cells = latin_square(task)
    known = np.zeros(table.size, np.bool_)
    known[cells[np.asarray(train_rows)]] = True
    implied = _implied(table, known)
    return np.asarray(implied[cells])


def critical_group_sizes(task: Task, draws: int, seed: int = 0) -> Integers:
    """Return the least k at which the first k inputs of a random order imply all others, (draws,).

    `effective_theory.critical_fraction` makes the critical fraction of them. Raises InputError as `latin_square` does.
    """
    table, cells = latin_square(task)

    def enough(chosen: Rows) -> bool:
        known = np.zeros(table.size, np.bool_)
        known[cells[chosen]] = True
        return bool(_implied(table, known).all())

    return least_sizes(len(cells), draws, enough, seed)


def classes_of(table: Integers, known: Rows) -> Integers:
    """Return the closure's partition of all pairs, (n * n,) classes numbered from 0.

    Args:
        known: (n * n,) bool, trained pairs.
    """
    n = len(table)
    answers = table.ravel()
    seed = _chains(np.where(known, answers, -1))
    # left quotient (a, b) has number a n + b; right quotient (c, d) that plus n^2, so a side is its number over n^2
    same = np.concatenate([np.arange(n) * (n + 1), n * n + np.arange(n) * (n + 1)])
    unit = np.stack([np.full(2 * n, same[0]), same])
    pairs, count = _components(n * n, [seed])
    while True:
        first, second = _within(pairs, pairs >= 0)
        a, d = np.divmod(first, n)
        b, c = np.divmod(second, n)
        quotients, _ = _components(2 * n * n, [unit, np.stack([a * n + b, n * n + c * n + d])])
        left, right = _within(quotients, np.arange(2 * n * n) < n * n)
        a, b = np.divmod(left, n)
        c, d = np.divmod(right - n * n, n)
        pairs, now = _components(n * n, [seed, np.stack([a * n + d, b * n + c])])
        if now == count:
            return pairs
        count = now


def _implied(table: Integers, known: Rows) -> Rows:
    pairs = classes_of(table, known)
    of_known = np.zeros(pairs.max() + 1, np.bool_)
    of_known[pairs[known]] = True
    return np.asarray(of_known[pairs])


def _chains(labels: Integers) -> Integers:
    """Return (2, m) edges that join all of equal label, those below 0 left out."""
    order = np.argsort(labels, kind="stable")
    joined = (labels[order[1:]] == labels[order[:-1]]) & (labels[order[1:]] >= 0)
    return np.stack([order[:-1][joined], order[1:][joined]])


def _within(labels: Integers, is_first: Rows) -> tuple[Integers, Integers]:
    """Return all (first, second) of equal label, where first are those marked and second the others (or all, if all
    are).
    """
    firsts = np.flatnonzero(is_first)
    seconds = firsts if is_first.all() else np.flatnonzero(~is_first)
    seconds = seconds[np.argsort(labels[seconds], kind="stable")]
    sizes = np.bincount(labels[seconds], minlength=int(labels.max()) + 1)
    begins = np.cumsum(sizes) - sizes
    repeats = sizes[labels[firsts]]
    place = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return np.repeat(firsts, repeats), seconds[np.repeat(begins[labels[firsts]], repeats) + place]


def _components(n: int, edges: list[Any]) -> tuple[Integers, int]:
    """Return the connected component of each node, (n,), and their number."""
    start, stop = np.concatenate(edges, axis=1)
    graph = scipy.sparse.coo_array((np.ones(len(start), np.int8), (start, stop)), shape=(n, n))
    count, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return labels.astype(np.int64), int(count)
