"""Whether an operation has a simple form: u*x + v*y, a sum, a product, or addition or multiplication renamed.

Every answer is exact, from the full table of an operation: (p, p) int64 of answers in 0..p-1, the first operand down,
-1 where the operation is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groklab.tasks._evaluation import NAMES, Integers, invert
from groklab.tasks._residues import is_prime

#: A direction is tried on so many columns first, and on so many times more each time that it stands.
_PROBE = 4


@dataclass(frozen=True)
class LinearForm:
    """A form u*x + v*y mod p on which alone an answer depends.

    Attributes:
        form: written with the smallest multiples, such as '2*x - 3*y'.
        coefficients: its u and v.
        values: how many answers occur.
        bijective: whether the function of the form takes each of p answers once.
    """

    form: str
    coefficients: list[int]
    values: int
    bijective: bool


@dataclass(frozen=True)
class Parts:
    """Functions g of x and h of y: how many values each takes, and whether it takes every value once."""

    values: list[int]
    bijective: list[bool]


@dataclass(frozen=True)
class Product(Parts):
    """The factors of g(x)*h(y) + c, with c in -(p-1)/2..p/2."""

    constant: int


@dataclass(frozen=True)
class Relabelling:
    """How a table is addition or multiplication mod p but for the names of operands and answers.

    Attributes:
        of: 'addition' or 'multiplication'.
        zeros: the operands x and y that play the part of zero in a multiplication, None where there is none.
        zero: the answer that they give.
        undefined: the operands x and y that are left out, each at most one.
    """

    of: str
    zeros: list[int | None]
    zero: int | None
    undefined: list[int | None]


def linear_form(table: Integers, p: int) -> LinearForm | None:
    """Return the form u*x + v*y mod p on which alone the answer depends, or None.

    All p + 1 directions (u, v) are tried; unless p is a prime only x, y, x + y and x - y. A constant depends on no
    form: None.
    """
    x, y = np.nonzero(table >= 0)
    answers = table[x, y]
    if not answers.size or (answers == answers[0]).all():
        return None
    every_direction = [(1, v) for v in range(p)] + [(0, 1)]
    directions = np.array(every_direction if is_prime(p) else [(1, 0), (0, 1), (1, 1), (1, p - 1)])
    columns = _PROBE
    while len(directions) and columns < _PROBE * p:
        # most directions fail on a few columns already
        few = y < columns
        directions = directions[_alone(directions, x[few], y[few], answers[few], p)]
        columns *= _PROBE
    if not len(directions):
        return None
    u, v = _smallest(int(directions[0, 0]), int(directions[0, 1]), p)
    n = len(np.unique(answers))
    return LinearForm(_form(u, v), [u, v], n, n == p)


def additive(table: Integers, p: int) -> Parts | None:
    """Return g and h with answer = g(x) + h(y) mod p, or None.

    The operation needs to be defined on a rectangle of operands, see `rectangle`.
    """
    inside = rectangle(table)
    if inside is None or _mixed(inside, p).any():
        return None
    return Parts(*_counts(inside[:, 0] - inside[0, 0], inside[0], p))


def product(table: Integers, p: int) -> Product | None:
    """Return g, h and a constant c with answer = g(x)*h(y) + c mod p, or None; c is determined by the table.

    p needs to be a prime. None for what is already g(x) + h(y), which is a product of that kind only where it ignores
    an operand.
    """
    inside = rectangle(table)
    if inside is None:
        return None
    mixed = _mixed(inside, p)
    if not mixed.any():
        return None
    i, j = (int(k) for k in np.argwhere(mixed)[0])
    # the 2x2 determinant of answer - c at the rows 0, i and columns 0, j vanishes for one c alone
    determinant = inside[0, 0] * inside[i, j] - inside[i, 0] * inside[0, j]
    constant = int(determinant % p * _inverse(int(mixed[i, j]), p) % p)
    rest = (inside - constant) % p
    i, j = (int(k) for k in np.argwhere(rest)[0])
    if ((rest * rest[i, j] - np.outer(rest[:, j], rest[i])) % p).any():
        return None
    return Product(*_counts(rest[:, j], rest[i], p), constant if constant <= p // 2 else constant - p)


def rectangle(table: Integers) -> Integers | None:
    """Return the defined part of a table, (k, l), if it is all pairs of some x with some y, otherwise None."""
    there = table >= 0
    rows, columns = there.any(1), there.any(0)
    if not there.any() or not there[np.ix_(rows, columns)].all():
        return None
    return table[np.ix_(rows, columns)]


def _alone(directions: Integers, x: Integers, y: Integers, answers: Integers, p: int) -> npt.NDArray[np.bool_]:
    """Return for each direction (n, 2) whether the answers at these inputs are a function of u*x + v*y."""
    classes = (directions[:, :1] * x + directions[:, 1:] * y) % p
    answer_of = np.zeros((len(directions), p), np.int64)
    np.put_along_axis(answer_of, classes, np.broadcast_to(answers, classes.shape), axis=1)
    alone: npt.NDArray[np.bool_] = (np.take_along_axis(answer_of, classes, axis=1) == answers).all(1)
    return alone


def _smallest(u: int, v: int, p: int) -> tuple[int, int]:
    """Return the multiple of a form with the smallest coefficients, the first of them positive."""
    multiples = np.arange(1, p)[:, None] * np.array([u, v]) % p if is_prime(p) else np.array([[u, v]])
    signed = np.where(multiples <= p // 2, multiples, multiples - p)
    first = np.where(signed[:, 0] != 0, signed[:, 0], signed[:, 1])
    cost = np.abs(signed).sum(1) * 2 + (first < 0)
    best = signed[np.argmin(cost)]
    return int(best[0]), int(best[1])


def _form(u: int, v: int) -> str:
    def term(n: int, name: str) -> str:
        return name if abs(n) == 1 else f"{abs(n)}*{name}"

    if not u or not v:
        return term(u or v, NAMES[0] if u else NAMES[1])
    return f"{term(u, NAMES[0])} {'-' if v < 0 else '+'} {term(v, NAMES[1])}"


def _mixed(inside: Integers, p: int) -> Integers:
    """Return the answers less the best g(x) + h(y)."""
    left: Integers = (inside - inside[:, :1] - inside[:1] + inside[0, 0]) % p
    return left


def _counts(g: Integers, h: Integers, p: int) -> tuple[list[int], list[bool]]:
    values = [len(np.unique(part % p)) for part in (g, h)]
    return values, [n == len(part) == p for n, part in zip(values, (g, h), strict=True)]


def _inverse(value: int, p: int) -> int:
    return int(invert(np.array([value], np.int64), p)[0])


def relabelled(table: Integers, p: int) -> Relabelling | None:
    """Return how a table is addition or multiplication mod p but for the names of operands and answers, or None.

    A Latin square is a relabelled group exactly if the loop that it becomes when its first row and column are taken for
    the identity is that group (Albert 1943), so that no relabelling needs to be searched for. Products of the non-zero
    numbers mod a prime are a cyclic group of order p - 1, and sums one of order p. Of sums with an operand left out,
    such as 1/x + y, only those with the answers' own names are recognised.
    """
    inside = rectangle(table)
    if inside is None:
        return None
    there = table >= 0
    names = [np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))]
    missing = [np.setdiff1d(np.arange(p), name) for name in names]
    zeros: list[int | None] = [None, None]
    zero: int | None = None
    if len(inside) == p and inside.shape[1] == p and _cyclic(inside):
        return Relabelling("addition", zeros, None, [None, None])
    if any(len(m) > 1 for m in missing):
        return None
    undefined = [int(m[0]) if len(m) else None for m in missing]
    if any(len(m) for m in missing) and _sums(inside, p):
        return Relabelling("addition", zeros, None, undefined)
    if not is_prime(p):
        return None
    rest = inside
    for axis in (0, 1):
        lines = inside if axis == 0 else inside.T
        constant = np.flatnonzero((lines == lines[:, :1]).all(1))
        if inside.shape[axis] == p and len(constant) == 1 and zero in (None, int(lines[constant[0], 0])):
            zeros[axis], zero = int(names[axis][constant[0]]), int(lines[constant[0], 0])
            rest = np.delete(rest, constant, axis)
    if rest.shape != (p - 1, p - 1) or (zero is not None and (rest == zero).any()) or not _cyclic(rest):
        return None
    return Relabelling("multiplication", zeros, zero, undefined)


def _sums(inside: Integers, p: int) -> bool:
    """Return whether a rectangle of answers is g(x) + h(y) mod p with g and h one-to-one."""
    shift = (inside - inside[:1]) % p
    if (shift != shift[:, :1]).any():
        return False
    return len(np.unique(shift[:, 0])) == len(inside) and len(np.unique(inside[0])) == inside.shape[1]


def _cyclic(square: Integers) -> bool:
    """Return whether an (n, n) table is a cyclic group of order n but for the names of rows, columns and entries."""
    n = len(square)
    entries, square = np.unique(square, return_inverse=True)
    square = square.reshape(n, n)
    every = np.arange(n)
    if len(entries) != n or any((np.sort(square, axis).swapaxes(axis, 1) != every).any() for axis in (0, 1)):
        return False
    # x o y: the entry where the row that begins with x meets the column that begins with y
    loop = square[np.ix_(np.argsort(square[:, 0]), np.argsort(square[0]))]
    identity = int(square[0, 0])
    for generator in range(n):
        place = np.full(n, -1)
        entry, power = identity, 0
        while place[entry] < 0:
            place[entry] = power
            entry, power = int(loop[entry, generator]), power + 1
        if power == n:
            # in a cyclic group any element whose powers are everything shows it
            return bool((place[loop] == (place[:, None] + place) % n).all())
    return False
