"""What every task builds: a table of inputs and answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TaskShape:
    """What a compiled program must know of a task: sizes, and which positions never change.

    constants: for each position, the one token id that stands there in every input, or None.
    """

    d_vocab: int
    n_ctx: int
    n_classes: int
    constants: tuple[int | None, ...]


@dataclass(frozen=True)
class Task:
    """A finite task: all inputs, all answers, and the algebra behind them.

    inputs: (N, n_ctx) int32 token ids, one row an input, in the task's canonical (row-major) order.
    targets: (N,) int32 in 0..n_classes-1.
    d_vocab: number of distinct token ids; n_classes: number of outputs of a network (may exceed the answers
    that occur, as where the published softmax runs over the whole vocabulary).
    algebra: facts that measures need: `p` (modulus, or None), `expression`, `operands` ((N, n_variables) int32),
    `n_answers` (how many of the classes are answers), `commutative` (bool), `direction` (+1, -1 for g(a+b), g(a-b);
    None otherwise).
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    d_vocab: int
    n_classes: int
    algebra: dict[str, Any] = field(default_factory=dict)

    @property
    def n_ctx(self) -> int:
        """Length of the token sequence."""
        return int(self.inputs.shape[1])

    @property
    def n_inputs(self) -> int:
        """Number of distinct inputs N."""
        return int(self.inputs.shape[0])

    @property
    def shape(self) -> TaskShape:
        """The static part: what decides the compiled program."""
        columns = self.inputs.T
        constants = tuple(int(c[0]) if (c == c[0]).all() else None for c in columns)
        return TaskShape(self.d_vocab, self.n_ctx, self.n_classes, constants)
