"""Arithmetic on integers modulo p, and its control: a table of random answers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from groklab.errors import InputError
from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.tasks._evaluation import Integers
from groklab.tasks._expression import Expression, find_direction, is_antisymmetric, is_commutative
from groklab.tasks._layouts import Layout, check_settings, check_size, token_rows, vocabulary_size
from groklab.tasks._operations import Operation, resolve
from groklab.tasks._portable_random import check_seed, uniform_integers
from groklab.tasks._residues import is_prime

MAX_CLASSES = 1_000_000


@register("task", "arithmetic")
class Arithmetic:
    """Every input of an arithmetic expression in one, two or three operands 0..p-1.

    Attributes:
        p: the modulus.
        expression: a formula such as `x^2 + x*y`, or the name of a published operation such as `divide`.
        modular: False keeps the answers as integers, which must not be negative.
        pairs: 'unordered' keeps x <= y only, for expressions in which the order makes no difference.
        exclude_zeros: inputs left out: 'none', 'any' that holds a zero, those whose 'last' operand is zero, or 'auto',
            the rule of the named operation.
        divisors: 'field' divides for prime p only; 'units' for every p, leaving out inputs whose denominator has no
            inverse.
        layout: the tokens shown; with one or three operands likewise.
        outputs: one class per answer ('answers') or per token ('vocabulary').
        operand_range: 'vocabulary' reproduces the published code of Furuta et al. 2024, where operands run over all
            token ids, so that signs are read as numbers, too.
        op_token: the sign between operands; 'auto' is the operation's own for the elementary ones and '=' for
            polynomials.
    """

    p: Annotated[int, Ge(2)]
    expression: str = "x + y"
    modular: bool = True
    pairs: Literal["ordered", "unordered"] = "ordered"
    exclude_zeros: Literal["auto", "none", "any", "last"] = "auto"
    divisors: Literal["field", "units"] = "field"
    layout: Layout = "a b ="
    outputs: Literal["answers", "vocabulary"] = "answers"
    operand_range: Literal["p", "vocabulary"] = "p"
    op_token: Literal["auto", "=", "+", "-", "*", "/"] = "auto"

    def build(self) -> Task:
        """Build the task, inputs in row-major order, the first operand slowest (Furuta et al. 2024, section on data).

        Raises:
            InputError: naming the field, for settings that contradict each other or leave no input.
        """
        check_settings(self)
        operation, expression = resolve(self.expression)
        n_variables = len(expression.variables)
        d_vocab = vocabulary_size(self.layout, self.p)
        n_ids = d_vocab if self.operand_range == "vocabulary" else self.p
        check_size("task.p", self.p, n_ids**n_variables, columns=3 * n_variables + 1)
        if expression.divides and self.divisors == "field" and not is_prime(self.p):
            raise InputError("task.p", self.p, f"{expression} needs a prime p, or task.divisors=units")
        modular = self.modular and (operation is None or operation.modular)

        table = self._answers(expression, operation, n_ids, modular)
        commutative, direction = is_commutative(table), find_direction(table, self.p) if modular else None
        if self.pairs == "unordered":
            if not commutative:
                raise InputError("task.pairs", self.pairs, f"the order of operands matters in {expression}")
            ids = np.ix_(*[np.arange(n_ids)] * n_variables)
            for left, right in pairwise(ids):
                table = np.where(left <= right, table, -1)
        rows = np.flatnonzero(table >= 0)
        if not rows.size:
            raise InputError("task.expression", self.expression, f"leaves no input for p = {self.p}")

        operands = np.stack(np.unravel_index(rows, table.shape), axis=1).astype(np.int32)
        targets = table.ravel()[rows].astype(np.int32)
        n_answers = self.p if modular else int(targets.max()) + 1
        return Task(
            name=f"{expression} mod {self.p}" if modular else f"{expression} on 0..{self.p - 1}",
            inputs=token_rows(operands, self.layout, self.p, self._sign(operation)),
            targets=targets,
            d_vocab=d_vocab,
            n_classes=_class_count(self.outputs, n_answers, d_vocab),
            algebra=Algebra(
                p=self.p if modular else None,
                expression=str(expression),
                operation=operation.name if operation else None,
                operands=operands % self.p,
                n_answers=n_answers,
                commutative=commutative,
                transposable=commutative or (modular and is_antisymmetric(table, self.p)),
                direction=direction,
            ),
        )

    def _answers(self, expression: Expression, operation: Operation | None, n_ids: int, modular: bool) -> Integers:
        """Return the answers, (n_ids,) * k, -1 where the input is left out."""
        # an open grid: only the parts of the formula that mix operands are computed at every input
        grid = np.ix_(*[np.arange(n_ids) % self.p] * len(expression.variables))
        values = dict(zip(expression.variables, grid, strict=True))
        answers = expression.evaluate(values, self.p if modular else None)
        kept = expression.unit_mask(values, self.p) if modular else np.ones_like(answers, dtype=np.bool_)
        auto = operation.zeros if operation else "none"
        zeros = auto if self.exclude_zeros == "auto" else self.exclude_zeros
        if zeros != "none":
            for operand in grid if zeros == "any" else grid[-1:]:
                kept = kept & (operand != 0)
        if not modular:
            _check_range(self.expression, answers[kept])
        return np.where(kept, answers, -1)

    def _sign(self, operation: Operation | None) -> Literal["=", "+", "-", "*", "/"]:
        if self.op_token == "auto":
            return operation.sign if operation else "="
        if "op" not in self.layout:
            raise InputError("task.op_token", self.op_token, f"the layout {self.layout!r} shows no sign")
        return self.op_token


@register("task", "random_labels")
class RandomLabels:
    """A fixed table of random answers to all p x p pairs: it can be memorised but holds nothing to learn.

    Attributes:
        p: the number of symbols, and of possible answers.
        label_seed: which table; it is the same on every machine and for every seed of the experiment.
        layout, outputs: as in 'arithmetic', with '=' for the sign.
    """

    p: Annotated[int, Ge(2)]
    label_seed: Annotated[int, Ge(0)] = 0
    layout: Layout = "a b ="
    outputs: Literal["answers", "vocabulary"] = "answers"

    def build(self) -> Task:
        """Build the task, pairs in row-major order ('rand' of Nanda et al. 2023). Raises InputError for a bad p or
        seed.
        """
        check_settings(self)
        check_size("task.p", self.p, self.p**2, columns=7)
        check_seed(self.label_seed, "task.label_seed")
        operands = np.stack(np.divmod(np.arange(self.p**2, dtype=np.int32), np.int32(self.p)), axis=1)
        targets = (uniform_integers(self.p**2, self.label_seed, "labels") % np.uint64(self.p)).astype(np.int32)
        table = targets.astype(np.int64).reshape(self.p, self.p)
        d_vocab = vocabulary_size(self.layout, self.p)
        return Task(
            name=f"random labels {self.label_seed}, p = {self.p}",
            inputs=token_rows(operands, self.layout, self.p, "="),
            targets=targets,
            d_vocab=d_vocab,
            n_classes=_class_count(self.outputs, self.p, d_vocab),
            algebra=Algebra(
                p=self.p,
                operation="random_labels",
                operands=operands,
                n_answers=self.p,
                commutative=is_commutative(table),
                transposable=is_commutative(table),
                direction=find_direction(table, self.p),
            ),
        )


def _class_count(outputs: str, n_answers: int, d_vocab: int) -> int:
    if outputs == "answers":
        return n_answers
    if n_answers > d_vocab:
        raise InputError(
            "task.outputs", outputs, f"there are {n_answers} answers but only {d_vocab} tokens; use answers"
        )
    return d_vocab


def _check_range(text: str, answers: Integers) -> None:
    """Raise InputError for answers that cannot number classes: negative ones, and ones that are too large."""
    if answers.size and answers.min() < 0:
        raise InputError("task.expression", text, f"has the negative answer {answers.min()}; use task.modular=true")
    if answers.size and answers.max() >= MAX_CLASSES:
        allowed = f"has the answer {answers.max()}; without a modulus answers must be below {MAX_CLASSES:,}"
        raise InputError("task.expression", text, allowed)
