"""Multiplication in a finite group."""

from __future__ import annotations

import re
from functools import reduce
from itertools import permutations
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from groklab.errors import InputError
from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.tasks._layouts import check_size, token_rows, vocabulary_size

#: Entry (a, b) is the number of the element a*b.
GroupTable = npt.NDArray[np.int64]

#: Elements that a group may have: every ordered pair is an input.
MAX_ORDER = 5_040
_NAME = re.compile(r"([SACDQ])([0-9]{1,5})")
_FACTORIALS = {1: 1, 2: 2, 3: 6, 4: 24, 5: 120, 6: 720, 7: 5040}


@register("task", "group")
class Group:
    """All ordered pairs (a, b) of a finite group's elements; the answer is a*b.

    Of permutations and symmetries a*b is "apply a, then b", x -> b[a[x]]. Element 0 is the identity. Permutations are
    numbered in the lexicographic order of their images; symmetries turns first; pairs with the last factor fastest.

    Attributes:
        group: a name: S3 (all permutations of 3 things), A4 (the even ones), D5 (the 10 symmetries of a pentagon), C7
            (addition mod 7), Q8 (the quaternions 1, -1, i, -i, j, -j, k, -k), or a product of such as C2xC3.
        table: the multiplication table instead, row a, column b.
        permutations: generators instead, each the images of 0, 1, 2, ...
        layout: the tokens shown.
    """

    group: str | None = None
    table: tuple[tuple[Annotated[int, Ge(0)], ...], ...] | None = None
    permutations: tuple[tuple[Annotated[int, Ge(0)], ...], ...] | None = None
    layout: Literal["a b =", "a b"] = "a b ="

    def build(self) -> Task:
        """Build the task, pairs in row-major order; `algebra.table` is the multiplication table.

        There is no modulus, not even for cyclic groups.

        Raises:
            InputError: naming the field, for a name that is unknown, a table of something other than a group, or
                generators that are not permutations.
        """
        if self.layout not in ("a b =", "a b"):
            raise InputError("task.layout", self.layout, "needs 'a b =' or 'a b'")
        table, name = self._table()
        n = len(table)
        if n < 2:
            raise InputError("task.group", self.group or name, "needs two elements or more")
        commutative = bool((table == table.T).all())
        operands = np.stack(np.divmod(np.arange(n * n, dtype=np.int32), np.int32(n)), axis=1)
        return Task(
            name=f"the group {name}",
            inputs=token_rows(operands, self.layout, n, "="),
            targets=table.ravel().astype(np.int32),
            d_vocab=vocabulary_size(self.layout, n),
            n_classes=n,
            algebra=Algebra(
                operation=name,
                operands=operands,
                n_answers=n,
                commutative=commutative,
                transposable=commutative,
                table=table,
            ),
        )

    def _table(self) -> tuple[GroupTable, str]:
        given = [k for k in ("group", "table", "permutations") if getattr(self, k) is not None]
        if len(given) != 1:
            raise InputError("task.group", self.group, "needs exactly one of task.group, task.table, task.permutations")
        if self.group is not None:
            return named_table(self.group), self.group
        if self.table is not None:
            check_size("task.table", f"{len(self.table)} rows", len(self.table) ** 2, columns=3)
            return checked_table(self.table), f"of order {len(self.table)}"
        elements = generated(self.permutations or ())
        return permutation_table(elements), f"of {len(elements)} permutations"


def named_table(name: str) -> GroupTable:
    """Return the multiplication table of a group by name. Raises InputError for unknown and for huge ones."""
    factors = [_factor(name, part) for part in name.split("x")]
    if np.prod([float(n) for _, n, _ in factors]) > MAX_ORDER:
        raise InputError("task.group", name, f"has more than {MAX_ORDER:,} elements, the most allowed")
    return reduce(_product, [_simple(letter, degree) for letter, _, degree in factors])


def _factor(name: str, part: str) -> tuple[str, int, int]:
    """Return letter, order and degree of a factor, before any table is made."""
    match = _NAME.fullmatch(part)
    letter, n = (match[1], int(match[2])) if match else ("", 0)
    order = {
        "S": _FACTORIALS.get(n, MAX_ORDER + 1 if n else 0),
        "A": max(1, _FACTORIALS.get(n, 2 * MAX_ORDER + 2) // 2) if n else 0,
        "C": n,
        "D": 2 * n,
        "Q": 8 if n == 8 else 0,
    }.get(letter, 0)
    if order == 0:
        raise InputError("task.group", name, "needs a name such as S3, A4, C7, D5 or Q8, or a product such as C2xC3")
    return letter, order, n


def _simple(letter: str, n: int) -> GroupTable:
    residues = np.arange(n)
    if letter == "C":
        return (residues[:, None] + residues) % n
    if letter == "D":
        # turns x -> x + k, then reflections x -> k - x; a reflection turns the other way what was turned before it
        kind, k = np.divmod(np.arange(2 * n), n)
        there = np.where(kind == 1, -1, 1)
        return np.asarray((kind[:, None] + kind) % 2 * n + (k[:, None] * there + k) % n)
    if letter == "Q":
        return _quaternions()
    elements = np.array(list(permutations(range(n))))
    if letter == "A":
        inversions = sum((elements[:, i] > elements[:, j]).astype(int) for i in range(n) for j in range(i + 1, n))
        elements = elements[np.asarray(inversions) % 2 == 0]
    return permutation_table(elements)


def _quaternions() -> GroupTable:
    """Return the table in which element 2u + s is (-1)^s times the unit u of 1, i, j, k."""
    units = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    minus = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]])
    unit, sign = np.divmod(np.arange(8), 2)
    both = unit[:, None], unit[None, :]
    return np.asarray(2 * units[both] + (minus[both] + sign[:, None] + sign) % 2)


def _product(left: GroupTable, right: GroupTable) -> GroupTable:
    n, m = len(left), len(right)
    joined = left[:, None, :, None] * m + right[None, :, None, :]
    return np.asarray(joined.reshape(n * m, n * m))


def permutation_table(elements: npt.NDArray[np.int64]) -> GroupTable:
    """Return the table of "apply a, then b" of permutations (n, degree) that are closed under it, all different."""
    order = {row.tobytes(): i for i, row in enumerate(np.ascontiguousarray(elements))}
    rows = [[order[row.tobytes()] for row in elements[:, a]] for a in elements]
    return np.array(rows, np.int64)


def generated(generators: tuple[tuple[int, ...], ...]) -> npt.NDArray[np.int64]:
    """Return all permutations that generators make, (n, degree), in lexicographic order. Raises InputError on the
    field.
    """
    field = "task.permutations"
    degree = len(generators[0]) if generators else 0
    for one in generators:
        if sorted(one) != list(range(degree)):
            raise InputError(field, list(one), f"needs the numbers 0 to {max(degree - 1, 0)}, each once")
    if not degree:
        raise InputError(field, list(generators), "needs one or more permutations of one or more things")
    elements = {tuple(range(degree))}
    frontier = list(elements)
    while frontier:
        # apply what was elements, then a generator
        made = {tuple(g[x] for x in one) for one in frontier for g in generators} - elements
        elements |= made
        frontier = list(made)
        if len(elements) > MAX_ORDER:
            raise InputError(
                field, list(generators[0]), f"generates more than {MAX_ORDER:,} elements, the most allowed"
            )
    return np.array(sorted(elements), np.int64)


def checked_table(table: tuple[tuple[int, ...], ...]) -> GroupTable:
    """Return a group's multiplication table from nested rows. Raises InputError on 'task.table' for another table."""
    field, n = "task.table", len(table)
    shown = f"{n} rows"
    if not n or any(len(row) != n for row in table):
        raise InputError(field, shown, "needs as many columns in every row as there are rows, and at least one")
    array = np.array(table, np.int64)
    if array.min() < 0 or array.max() >= n:
        raise InputError(field, int(array.max()), f"needs entries from 0 to {n - 1}")
    elements = np.arange(n)
    identities = np.flatnonzero((array == elements).all(axis=1) & (elements == array.T).all(axis=1))
    if not identities.size:
        raise InputError(field, shown, "needs an identity: an element e with e*a = a*e = a for every a")
    one = array == identities[0]
    lonely = np.flatnonzero(~(one & one.T).any(axis=1))
    if lonely.size:
        raise InputError(field, shown, f"needs an inverse of every element; {lonely[0]} has none")
    broken = not_associative(array)
    if broken is not None:
        a, b, c = broken
        raise InputError(field, shown, f"needs (a*b)*c = a*(b*c); {a}, {b}, {c} do not obey")
    return array


def not_associative(table: GroupTable) -> tuple[int, int, int] | None:
    """Return a triple for which (a*b)*c != a*(b*c), or None; O(n^2) for each generator (Light's test).

    The elements b that obey for all a, c are closed under *, so that those of a generating set decide for all.
    """
    for b in _generators(table):
        wrong = np.argwhere(table[table[:, b]] != table[:, table[b]])
        if wrong.size:
            return int(wrong[0, 0]), b, int(wrong[0, 1])
    return None


def _generators(table: GroupTable) -> list[int]:
    """Return elements whose products are all elements."""
    chosen: list[int] = []
    reached = np.zeros(len(table), np.bool_)
    for element in range(len(table)):
        if reached[element]:
            continue
        chosen.append(element)
        reached[element] = True
        size = 0
        while size < reached.sum():
            size = int(reached.sum())
            inside = np.flatnonzero(reached)
            reached[table[np.ix_(inside, inside)]] = True
    return chosen
