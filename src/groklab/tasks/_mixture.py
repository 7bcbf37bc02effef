"""Several operations on the same pairs of operands, each with a token of its own."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from groklab.errors import InputError
from groklab.registry import register
from groklab.tasks._arithmetic import Arithmetic
from groklab.tasks._base import Algebra, Task
from groklab.tasks._layouts import SIGNS, check_size
from groklab.tasks._operations import resolve


@register("task", "mixture")
class Mixture:
    """Two or more operations mod p on pairs; a split trains on a pair of operands in all of them or in none.

    Inputs are (x, operation, y). Kernel machines see the one-hot x, the one-hot y, and one coordinate for each
    operation but the first, so that of two operations it is one bit (Mallinar et al. 2024, appendix G).

    Attributes:
        p: the modulus.
        expressions: formulas or names of published operations, each in two operands, defined at every pair.
        losses: whether those of the operations are summed, as Furuta et al. 2024 do, or their mean is taken.
        tokens: 'own' gives the i-th operation token p + i; 'signs' gives `add`, `subtract` and `multiply` the signs
            that they have in the task 'arithmetic', '=' to the first of the others and new tokens to the rest, so that
            embeddings fit those of single operations shown as 'a op b'.
        outputs: one class per answer ('answers') or per token ('vocabulary').
    """

    p: Annotated[int, Ge(2)]
    expressions: tuple[str, ...]
    losses: Literal["sum", "mean"] = "sum"
    tokens: Literal["own", "signs"] = "own"
    outputs: Literal["answers", "vocabulary"] = "answers"

    def __post_init__(self) -> None:
        if len(self.expressions) < 2:
            raise InputError("task.expressions", list(self.expressions), "needs two operations or more")
        if len(set(self.expressions)) < len(self.expressions):
            raise InputError("task.expressions", list(self.expressions), "names an operation twice")

    def build(self) -> Task:
        """Build the task, operation by operation, each in row-major order of its pairs.

        `operands` (N, 3) hold x, y and the operation's place.

        Raises:
            InputError: as the task 'arithmetic', and for expressions of other than two operands.
        """
        check_size("task.p", self.p, self.p**2 * len(self.expressions), columns=9)
        tasks = [self._one(text) for text in self.expressions]
        place = np.concatenate([np.full(t.n_inputs, i, np.int32) for i, t in enumerate(tasks)])
        pairs = np.concatenate([t.inputs for t in tasks])
        signs, d_vocab = self._signs(tasks)
        eye = np.eye(self.p)
        features = np.concatenate([eye[pairs[:, 0]], eye[pairs[:, 1]], np.eye(len(tasks))[place][:, 1:]], axis=1)
        return Task(
            name=f"{', '.join(str(t.algebra.expression) for t in tasks)} mod {self.p}",
            inputs=np.stack([pairs[:, 0], signs[place], pairs[:, 1]], axis=1).astype(np.int32),
            targets=np.concatenate([t.targets for t in tasks]),
            d_vocab=d_vocab,
            n_classes=d_vocab if self.outputs == "vocabulary" else self.p,
            algebra=Algebra(
                p=self.p,
                operation="mixture",
                operations=tuple(str(t.algebra.expression) for t in tasks),
                n_variables=2,
                operands=np.concatenate([pairs, place[:, None]], axis=1).astype(np.int32),
                n_answers=self.p,
                commutative=all(t.algebra.commutative for t in tasks),
                transposable=all(t.algebra.transposable for t in tasks),
            ),
            features=features,
            units=pairs[:, 0].astype(np.int64) * self.p + pairs[:, 1],
            operations=place,
            loss_factor=len(tasks) if self.losses == "sum" else 1.0,
        )

    def _signs(self, tasks: list[Task]) -> tuple[npt.NDArray[np.int32], int]:
        """Return the token of each operation, and how many tokens there are."""
        if self.tokens == "own":
            return np.arange(self.p, self.p + len(tasks), dtype=np.int32), self.p + len(tasks)
        free = itertools.chain([0], itertools.count(len(SIGNS)))
        places: list[int] = []
        for text in self.expressions:
            operation, _ = resolve(text)
            sign = SIGNS.index(operation.sign) if operation else 0
            places.append(sign if sign and sign not in places else next(free))
        return np.array([self.p + i for i in places], np.int32), self.p + max(len(SIGNS), max(places) + 1)

    def _one(self, text: str) -> Task:
        if "mod" in text.split():
            raise InputError("task.expressions", text, f"names a modulus; all of a mixture share task.p = {self.p}")
        task = Arithmetic(p=self.p, expression=text, layout="a b").build()
        if task.n_ctx != 2:
            raise InputError("task.expressions", text, f"has {task.n_ctx} operands; a mixture needs two")
        if task.algebra.p is None:
            raise InputError("task.expressions", text, "is not reduced mod p, as all of a mixture are")
        if task.n_inputs < self.p**2:
            known = np.zeros((self.p, self.p), np.bool_)
            known[tuple(task.inputs.T)] = True
            missing = np.argwhere(~known)
            shown = ", ".join(f"({a}, {b})" for a, b in missing[:3]) + (", …" if len(missing) > 3 else "")
            allowed = f"is undefined at {len(missing)} pairs mod {self.p}: {shown}; a mixture needs every pair"
            raise InputError("task.expressions", text, allowed)
        return task
