"""Exact evaluation of expression trees over the integers or modulo p, on whole arrays at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from groklab.errors import InputError
from groklab.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

Integers: TypeAlias = "npt.NDArray[np.int64]"

_LARGEST = 2**63 - 1
_LEVELS = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3, "^": 4, "number": 5, "variable": 5}
NAMES = ("x", "y", "z")


@dataclass(frozen=True)
class Node:
    """A node of an expression tree.

    op: 'number' (value), 'variable' (value: its place among x, y, z), 'negate', '^' (value: the exponent), or one of
    + - * / with two arguments.
    """

    op: str
    args: tuple[Node, ...] = ()
    value: int = 0


def write(node: Node, level: int = 0) -> str:
    """Return the canonical text, with parentheses only where reading it back needs them."""
    own = _LEVELS[node.op]
    match node.op:
        case "number":
            return str(node.value)
        case "variable":
            return NAMES[node.value]
        case "negate":
            text = "-" + write(node.args[0], own)
        case "^":
            text = f"{write(node.args[0], own + 1)}^{node.value}"
        case _:
            left, right = write(node.args[0], own), write(node.args[1], own + 1)
            text = f"{left} {node.op} {right}" if own == 1 else f"{left}{node.op}{right}"
    return f"({text})" if own < level else text


def is_constant(node: Node) -> bool:
    """Return whether no variable occurs in the tree."""
    return node.op != "variable" and all(is_constant(part) for part in node.args)


def denominator(node: Node) -> Node | None:
    """Return what this node itself divides by: the right side of '/', the base of a negative power, or None."""
    if node.op == "/":
        return node.args[1]
    return node.args[0] if node.op == "^" and node.value < 0 else None


def divides(node: Node) -> bool:
    """Return whether some denominator in the tree holds a variable."""
    below = denominator(node)
    return (below is not None and not is_constant(below)) or any(divides(part) for part in node.args)


def invert(values: Integers, p: int) -> Integers:
    """Return inverses mod p of values in 0..p-1, and 0 where there is none (extended Euclid on the entire array)."""
    if p < values.size:
        return invert(np.arange(p, dtype=np.int64), p)[values]
    remainder, following = np.full_like(values, p), values.copy()
    factor, following_factor = np.zeros_like(values), np.ones_like(values)
    while (active := following != 0).any():
        quotient = np.where(active, remainder // np.where(active, following, 1), 0)
        remainder, following = (
            np.where(active, following, remainder),
            np.where(active, remainder - quotient * following, 0),
        )
        factor, following_factor = (
            np.where(active, following_factor, factor),
            np.where(active, factor - quotient * following_factor, following_factor),
        )
    return np.where(remainder == 1, factor % p, 0)


class Evaluation:
    """One pass over a tree; afterwards `units` says at which points every denominator was invertible."""

    def __init__(self, arrays: Sequence[Integers], p: int | None) -> None:
        self.p = p
        self.arrays = [self._reduce(array) for array in arrays]
        self.units: npt.NDArray[np.bool_] = np.array(True)

    def _reduce(self, value: Integers) -> Integers:
        return np.asarray(value if self.p is None else value % self.p)

    def value(self, node: Node) -> Integers:
        """Return the value of the tree, int64, of a shape that broadcasts to the points'."""
        match node.op:
            case "number":
                return self._reduce(np.array(node.value, dtype=np.int64))
            case "variable":
                return self.arrays[node.value]
            case "negate":
                return self._reduce(-self.value(node.args[0]))
            case "^":
                base = self.value(node.args[0]) if node.value >= 0 else self._inverse(node.args[0])
                return self._power(base, abs(node.value))
        left = self.value(node.args[0])
        if node.op == "/":
            return self._reduce(left * self._inverse(node.args[1]))
        right = self.value(node.args[1])
        if node.op == "*":
            return self._reduce(left * right)
        return self._reduce(left + right if node.op == "+" else left - right)

    def _power(self, base: Integers, exponent: int) -> Integers:
        result = np.ones_like(base)
        while exponent:
            if exponent & 1:
                result = self._reduce(result * base)
            exponent >>= 1
            if exponent:
                base = self._reduce(base * base)
        return result

    def _inverse(self, node: Node) -> Integers:
        assert self.p is not None  # check_bounds has refused division without a modulus
        inverse = invert(self.value(node), self.p)
        if is_constant(node) and not inverse.all():
            raise InputError("task.p", self.p, f"the expression divides by {write(node)}, which has no inverse mod p")
        self.units = self.units & (inverse != 0)
        return inverse


def check_bounds(tree: Node, arrays: Sequence[Integers], text: str) -> None:
    """Refuse what has no exact 64-bit integer value: division, and bounds on any part that exceed 2**63 - 1."""
    sizes = [max(abs(int(array.max(initial=0))), abs(int(array.min(initial=0)))) for array in arrays]

    def bound(node: Node) -> int:
        if denominator(node) is not None:
            raise InputError("task.expression", text, "divides, which needs a modulus (task.modular=true)")
        parts = [bound(part) for part in node.args]
        match node.op:
            case "number":
                size = node.value
            case "variable":
                size = sizes[node.value]
            case "negate":
                size = parts[0]
            case "^":
                # 2^64 is too large already; the shortcut spares a number of a thousand million digits
                size = parts[0] ** min(node.value, 64)
            case "*":
                size = parts[0] * parts[1]
            case _:
                size = parts[0] + parts[1]
        if size > _LARGEST:
            raise InputError(
                "task.expression", text, "may leave the 64-bit integers; use a modulus or smaller operands"
            )
        return size

    bound(tree)
