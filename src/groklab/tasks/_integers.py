"""Tasks of whole numbers beyond formulas mod p: greatest common divisors, powers, and the parity of bits.

They are among the seven of Tveit et al. 2025 (arXiv 2504.16041); parity is also one of Xu et al. 2025 (arXiv
2504.13292).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from groklab.errors import InputError
from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.tasks._layouts import Layout, check_settings, check_size, token_rows, vocabulary_size


@register("task", "integers")
class IntegerPairs:
    """A function of two numbers below p that no formula mod p gives.

    Attributes:
        function: 'gcd', the greatest common divisor, with gcd(0, 0) = 0; 'power', x to the power of y mod p, with
            0 to the power of 0 = 1.
        layout: as in 'arithmetic', with '=' for the sign.
    """

    p: Annotated[int, Ge(2)]
    function: Literal["gcd", "power"] = "gcd"
    layout: Layout = "a b ="

    def build(self) -> Task:
        """Build the task, pairs in row-major order. Raises InputError for a p that is too large."""
        check_settings(self)
        check_size("task.p", self.p, self.p**2, columns=7)
        x, y = np.divmod(np.arange(self.p**2, dtype=np.int64), self.p)
        answers = np.gcd(x, y) if self.function == "gcd" else _powers(x, y, self.p)
        operands = np.stack([x, y], axis=1).astype(np.int32)
        symmetric = self.function == "gcd"
        return Task(
            name=f"gcd(x, y) below {self.p}" if self.function == "gcd" else f"x^y mod {self.p}",
            inputs=token_rows(operands, self.layout, self.p, "="),
            targets=answers.astype(np.int32),
            d_vocab=vocabulary_size(self.layout, self.p),
            n_classes=self.p,
            algebra=Algebra(
                p=self.p,
                operation=self.function,
                operands=operands,
                n_answers=self.p,
                commutative=symmetric,
                transposable=symmetric,
            ),
        )


def _powers(x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    table = np.ones((p, p), np.int64)
    for exponent in range(1, p):
        table[:, exponent] = table[:, exponent - 1] * np.arange(p) % p
    answers: np.ndarray = table[x, y]
    return answers


@register("task", "parity")
class Parity:
    """Whether the number of ones among the first `relevant` of `bits` bits is odd, of every row of bits.

    Attributes:
        bits: length of a row, each bit a token at its own position.
        relevant: None is all of them; fewer is sparse parity.
    """

    bits: Annotated[int, Ge(1), Le(16)] = 10
    relevant: Annotated[int, Ge(1)] | None = None

    def build(self) -> Task:
        """Build the task, rows in the order of the numbers that they write, the first bit the largest."""
        relevant = self.bits if self.relevant is None else self.relevant
        if relevant > self.bits:
            raise InputError("task.relevant", relevant, f"needs to be at most task.bits = {self.bits}")
        codes = np.arange(2**self.bits, dtype=np.int32)
        rows = (codes[:, None] >> np.arange(self.bits - 1, -1, -1, dtype=np.int32)) & 1
        return Task(
            name=f"parity of {self.bits} bits"
            if relevant == self.bits
            else f"parity of {relevant} of {self.bits} bits",
            inputs=rows,
            targets=rows[:, :relevant].sum(axis=1, dtype=np.int32) % 2,
            d_vocab=2,
            n_classes=2,
            algebra=Algebra(operation="parity", operands=rows, n_answers=2),
        )
