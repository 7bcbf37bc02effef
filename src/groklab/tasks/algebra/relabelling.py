"""Whether an operation is addition or multiplication in disguise: answer = G(g(x) o h(y)) with g, h, G one-to-one.

A Latin square is a relabelled group exactly if the loop that it becomes when its first row and column are taken for
the identity is that group (Albert 1943), so that no relabelling needs to be searched for. Products of the non-zero
numbers mod a prime are a cyclic group of order p - 1, and sums one of order p. Of sums with an operand left out, such
as 1/x + y, only those with the answers' own names are told.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.tasks.algebra.forms import rectangle
from groklab.tasks.evaluation import Integers
from groklab.tasks.residues import is_prime


def relabelled(table: Integers, p: int) -> dict[str, Any] | None:
    """Whether a table (see `forms`) is addition or multiplication mod p but for the names of operands and answers.

    `of`: 'addition' or 'multiplication'; `zeros`: the operands x and y that play the part of zero in a multiplication,
    None where there is none; `zero`: the answer that they give; `undefined`: the operands x and y that are left out,
    each at most one.
    None if it is neither.
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
        return {"of": "addition", "zeros": zeros, "zero": None, "undefined": [None, None]}
    if any(len(m) > 1 for m in missing):
        return None
    undefined = [int(m[0]) if len(m) else None for m in missing]
    if any(len(m) for m in missing) and _sums(inside, p):
        return {"of": "addition", "zeros": zeros, "zero": None, "undefined": undefined}
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
    return {"of": "multiplication", "zeros": zeros, "zero": zero, "undefined": undefined}


def _sums(inside: Integers, p: int) -> bool:
    """Whether a rectangle of answers is g(x) + h(y) mod p with g and h one-to-one."""
    shift = (inside - inside[:1]) % p
    if (shift != shift[:, :1]).any():
        return False
    return len(np.unique(shift[:, 0])) == len(inside) and len(np.unique(inside[0])) == inside.shape[1]


def _cyclic(square: Integers) -> bool:
    """Whether an (n, n) table is that of a cyclic group of order n but for the names of rows, columns and entries."""
    n = len(square)
    entries, square = np.unique(square, return_inverse=True)
    square = square.reshape(n, n)
    whole = np.arange(n)
    if len(entries) != n or any((np.sort(square, axis).swapaxes(axis, 1) != whole).any() for axis in (0, 1)):
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
