"""What every task builds: a table of inputs and answers, and how more of them are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

#: From a random key and a number n to inputs (n, n_ctx), targets and mask (n, n_reads); JAX can trace it.
Draw: TypeAlias = Callable[[Any, int], tuple[Any, Any, Any]]


@dataclass(frozen=True)
class TaskShape:
    """What a compiled program must know of a task: sizes, and which positions never change.

    constants: for each position, the one token id that stands there in every input, or None.
    reads: the first position at which an answer is read and the one after the last; None: the last position only.
    n_symbols: one above the largest token id at a position that varies. n_features: real numbers an input, or None.
    n_operations: how many a mixture holds, each measured on its own; 0 for a task of one.
    """

    d_vocab: int
    n_ctx: int
    n_classes: int
    constants: tuple[int | None, ...]
    reads: tuple[int, int] | None = None
    n_symbols: int = 0
    n_features: int | None = None
    n_operations: int = 0

    @property
    def varying(self) -> list[int]:
        """The positions whose token varies."""
        return [i for i, constant in enumerate(self.constants) if constant is None]


@dataclass(frozen=True)
class Task:
    """A finite task: all inputs, all answers, and the algebra behind them.

    inputs: (N, n_ctx) int32 token ids, one row an input, in the task's canonical (row-major) order.
    targets: (N,) int32 in 0..n_classes-1, the answer at the last position; (N, n_reads) for a task with `reads`.
    d_vocab: number of distinct token ids; n_classes: number of outputs of a network (may exceed the answers
    that occur, as where the published softmax runs over the whole vocabulary).
    algebra: facts that measures need: `p` (modulus, or None), `expression`, `operands` ((N, n_variables) int32),
    `n_answers` (how many of the classes are answers), `commutative` (bool), `direction` (+1, -1 for g(a+b), g(a-b);
    None otherwise).
    reads: None, or (start, stop) for a task with an answer at each of these n_reads positions; mask: (N, n_reads)
    bool, which of them count. draw: where training data are endless, what draws a fresh batch; the table is then all
    test set.
    features: (N, d) real inputs, for learners that take them (kernel machines); where there are no tokens, n_ctx is 0.
    values: (N, k) real answers, for regression, or None; `targets` are then zeros and n_classes is k.
    units: (N,) numbers of what a split must not divide, as the inputs that show one pair of operands; None: each is
    its own.
    operations: (N,) int32, which operation of a mixture each input asks for, or None; `algebra['operations']` holds
    their names. loss_factor: what the mean loss of a set is multiplied by, the number of operations where their
    losses are summed.
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    d_vocab: int
    n_classes: int
    algebra: dict[str, Any] = field(default_factory=dict)
    reads: tuple[int, int] | None = None
    mask: np.ndarray | None = None
    draw: Draw | None = None
    features: np.ndarray | None = None
    units: np.ndarray | None = None
    values: np.ndarray | None = None
    operations: np.ndarray | None = None
    loss_factor: float = 1.0

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
        if self.draw is not None or self.reads is not None:
            # a table that is a sample does not show what never changes
            constants = (None,) * self.n_ctx
        varying = [i for i, constant in enumerate(constants) if constant is None]
        # a sample may not hold every token
        n_symbols = self.d_vocab if self.draw is not None else int(self.inputs[:, varying].max(initial=-1)) + 1
        n_features = None if self.features is None else int(self.features.shape[1])
        n_operations = 0 if self.operations is None else len(self.algebra["operations"])
        return TaskShape(
            self.d_vocab, self.n_ctx, self.n_classes, constants, self.reads, n_symbols, n_features, n_operations
        )
