"""Arithmetic expressions: read by a small parser, never as Python, and evaluated exactly.

>>> e = parse("2a^2 + ab - 1/3")
>>> str(e), e.variables
('2*x^2 + x*y - 1/3', ('x', 'y'))
>>> e.evaluate({"x": np.array([1, 2]), "y": np.array([5, 6])}, p=7)
array([2, 1])
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from groklab.errors import InputError
from groklab.lazy import np
from groklab.tasks._evaluation import Evaluation, Integers, Node, check_bounds, divides, write

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_LENGTH = 200  # characters, spaces not counted
MAX_NESTING = 50
MAX_INTEGER = 10**9  # literals and exponents are below this

_LETTERS = {"x": 0, "y": 1, "z": 2, "a": 0, "b": 1, "c": 2}
_TOKEN = re.compile(r"[0-9]+|\*\*|[-+*/^()]|[xyzabc]")
_SHOWN = 60
#: What a refusal of anything but a formula ends with.
_OTHERS = "any other function of the inputs is a table of yours (task.kind=table) or a plug-in"


@dataclass(frozen=True)
class Expression:
    """An expression in up to three variables; str() gives the canonical text, equal for equal trees.

    Attributes:
        text: as the user wrote it (not compared).
        variables: ('x',), ('x', 'y') or ('x', 'y', 'z'), every letter up to the last one used, so that `y` alone is a
            task of two operands that ignores the first.
    """

    text: str = field(compare=False)
    variables: tuple[str, ...]
    tree: Node = field(repr=False)

    def __str__(self) -> str:
        return write(self.tree)

    @property
    def divides(self) -> bool:
        """Whether a denominator holds a variable (a negative power counts)."""
        return divides(self.tree)

    def evaluate(self, values: Mapping[str, npt.ArrayLike], p: int | None) -> Integers:
        """Return the value at every point, an int64 array of the values' common (broadcast) shape. 0^0 is 1.

        Args:
            values: one integer array for each of `variables`.
            p: a modulus 2 <= p < 2**31 gives the exact result in 0..p-1, without meaning where a denominator is not
                invertible (see `unit_mask`); None gives the exact integer.

        Raises:
            InputError: on 'task.p' if p is out of range or a constant denominator has no inverse; on 'task.expression'
                if p is None and the expression divides or might leave the 64-bit integers.
        """
        return self._run(values, p)[0]

    def unit_mask(self, values: Mapping[str, npt.ArrayLike], p: int) -> npt.NDArray[np.bool_]:
        """Return at which points every denominator is invertible mod p: a bool array of the values' common shape."""
        return self._run(values, p)[1]

    def _run(self, values: Mapping[str, npt.ArrayLike], p: int | None) -> tuple[Integers, npt.NDArray[np.bool_]]:
        arrays = [np.asarray(values[name], dtype=np.int64) for name in self.variables]
        if p is None:
            check_bounds(self.tree, arrays, self.text)
        elif not 2 <= p < 2**31:
            raise InputError("task.p", p, "needs an integer of at least 2 and below 2**31")
        evaluation = Evaluation(arrays, p)
        answers = evaluation.value(self.tree)
        shape = np.broadcast_shapes(*[array.shape for array in arrays])
        return np.broadcast_to(answers, shape).copy(), np.broadcast_to(evaluation.units, shape).copy()

    def table(self, p: int) -> Integers:
        """Return all values mod p, of shape (p,) * number of variables; -1 where a denominator is not invertible."""
        values = dict(zip(self.variables, np.ix_(*[np.arange(p)] * len(self.variables)), strict=True))
        answers, units = self._run(values, p)
        return np.where(units, answers, -1)


def find_direction(table: Integers, p: int) -> int | None:
    """Return +1 where the answer depends on (x+y) mod p alone, -1 where on (x-y) mod p alone, otherwise None.

    Args:
        table: answers; a negative one means 'no such input'.
    """
    if table.ndim != 2 or not (table >= 0).any():
        return None
    x, y = np.nonzero(table >= 0)
    answers = table[x, y]
    for sign in (1, -1):
        classes = (x + sign * y) % p
        answer_of = np.zeros(p, dtype=np.int64)
        answer_of[classes] = answers
        if (answer_of[classes] == answers).all():
            return sign
    return None


def is_commutative(table: Integers) -> bool:
    """Return whether no exchange of operands changes an answer of a table, or its existence; False for one operand."""
    if table.ndim < 2:
        return False
    return all(np.array_equal(table, table.swapaxes(axis, axis + 1)) for axis in range(table.ndim - 1))


def is_antisymmetric(table: Integers, p: int) -> bool:
    """Return whether exchanging two operands negates every answer mod p, and leaves its existence."""
    return table.ndim == 2 and np.array_equal(table.T, np.where(table < 0, -1, -table % p))


def parse(text: str) -> Expression:
    """Read an expression: integers, x y z (or a b c), + - * / ^ (or **), parentheses, products such as 2x or xy.

    Exponents are integers; a negative one divides. `x/2y` and `x^2^3` are refused because readers disagree on them.

    Raises:
        InputError: on 'task.expression' for anything that it cannot read.
    """
    parser = _Parser(text)
    tree = parser.read()
    used = {token for token, _ in parser.tokens if token in _LETTERS}
    if not used:
        parser.refuse("needs at least one variable (x, y, z)")
    if used & set("xyz") and used & set("abc"):
        parser.refuse(f"mixes the names {', '.join(sorted(used))}; use x, y, z or a, b, c, not both")
    expression = Expression(text, ("x", "y", "z")[: 1 + max(_LETTERS[letter] for letter in used)], tree)
    parser.check_length(str(expression), " once every product is written out")
    return expression


class _Parser:
    """Precedence climbing over a list of (token, position counted from 1)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.check_length(text)
        self.tokens = self._tokens()
        self.index = 0
        self.nesting = 0

    def refuse(self, why: str) -> NoReturn:
        shown = self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "..."
        raise InputError("task.expression", shown, why)

    def check_length(self, text: str, when: str = "") -> None:
        length = sum(not character.isspace() for character in text)
        if length > MAX_LENGTH:
            self.refuse(f"has {length} characters{when}; at most {MAX_LENGTH} are allowed, spaces not counted")

    def _tokens(self) -> list[tuple[str, int]]:
        tokens, position = [], 0
        while position < len(self.text):
            if self.text[position].isspace():
                position += 1
                continue
            match = _TOKEN.match(self.text, position)
            if match is None:
                self.refuse(
                    f"has {self.text[position]!r} at character {position + 1}; allowed are integers, the variables "
                    f"x, y, z (or a, b, c), + - * / ^ and parentheses; {_OTHERS}"
                )
            tokens.append((match.group(), position + 1))
            position = match.end()
        return tokens

    @property
    def token(self) -> str:
        return self.tokens[self.index][0] if self.index < len(self.tokens) else ""

    @property
    def where(self) -> str:
        """The current token and its place, for a sentence."""
        if not self.token:
            return "at the end"
        return f"at character {self.tokens[self.index][1]}, before {self.token!r}"

    def read(self) -> Node:
        tree = self.sum_or_product(1)
        if self.token:
            unopened = "closes a parenthesis that was not opened,"
            self.refuse(f"{unopened if self.token == ')' else 'needs an operator'} {self.where}")
        return tree

    def sum_or_product(self, level: int) -> Node:
        """Read operators of at least this level: 1 for + and -, 2 for * and / and products without a sign."""
        left, previous = self.signed(), ""
        while self.token and self.token != ")":
            operator = self.token if self.token in "+-*/" else "*"
            own_level = 1 if operator in "+-" else 2
            if own_level < level:
                break
            if self.token in "+-*/":
                self.index += 1
                right = self.signed() if own_level == 2 else self.sum_or_product(2)
            else:
                self._check_unsigned_product(previous)
                right = self.power()
            left, previous = Node(operator, (left, right)), operator
        return left

    def _check_unsigned_product(self, previous: str) -> None:
        if not (self.token == "(" or self.token in _LETTERS):
            self.refuse(f"needs an operator {self.where}; write * for a product and ^ for a power")
        if previous == "/":
            self.refuse(f"is ambiguous {self.where}; write x/(2*y) or (x/2)*y")

    def signed(self) -> Node:
        if self.token != "-":
            return self.power()
        self._descend()
        inner = self.signed()
        self.nesting -= 1
        return Node("negate", (inner,))

    def _descend(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.refuse(f"is nested too deeply {self.where}; at most {MAX_NESTING} levels are allowed")
        self.index += 1

    def power(self) -> Node:
        base = self.atom()
        if self.token not in ("^", "**"):
            return base
        self.index += 1
        node = Node("^", (base,), self._exponent())
        if self.token in ("^", "**"):
            self.refuse(f"has a power of a power without parentheses {self.where}; write (x^2)^3")
        return node

    def _exponent(self) -> int:
        enclosed = self.token == "("
        self.index += enclosed
        sign = -1 if self.token == "-" else 1
        self.index += sign < 0
        if not self.token.isdigit():
            self.refuse(f"needs an exponent {self.where}; allowed is an integer, as in x^2 or x^-1; {_OTHERS}")
        value = sign * self._integer()
        if enclosed:
            self._close()
        return value

    def _close(self) -> None:
        if self.token != ")":
            self.refuse(f"needs a closing parenthesis {self.where}")
        self.index += 1

    def _integer(self) -> int:
        value = int(self.token)
        if value >= MAX_INTEGER:
            self.refuse(f"has too large an integer, {self.where}; integers must be below 10^9")
        self.index += 1
        return value

    def atom(self) -> Node:
        token = self.token
        if token.isdigit():
            return Node("number", value=self._integer())
        if token in _LETTERS:
            self.index += 1
            return Node("variable", value=_LETTERS[token])
        if token != "(":
            self.refuse(f"needs a number, a variable or an opening parenthesis {self.where}")
        self._descend()
        inner = self.sum_or_product(1)
        self._close()
        self.nesting -= 1
        return inner
