"""What every task builds: a table of inputs and answers, and how more of them are drawn."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from groklab.errors import InputError
from groklab.registry import base_of

#: From a random key and a number n to inputs (n, n_ctx), targets and mask (n, n_reads); JAX can trace it.
Draw: TypeAlias = Callable[[Any, int], tuple[Any, Any, Any]]


@base_of("task")
class TaskSettings(abc.ABC):
    """What the section `task` of an experiment names: the settings that a task is built from."""

    kind: ClassVar[str]
    #: Fields that name files. An experiment's identity holds the files' content (`fingerprint`) in their place.
    paths: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def build(self) -> Task:
        """Build the task. Raises InputError where the settings allow none."""

    def fingerprint(self) -> str:
        """Return a hash of the content of the files that `paths` name, or '' for a task without files."""
        return ""


@dataclass(frozen=True)
class TaskShape:
    """What a compiled program must know of a task: sizes, and which positions never change.

    Attributes:
        constants: for each position, the one token id that every input has there, or None.
        reads: the first position at which an answer is read and the one after the last; None: the last position only.
        n_symbols: one above the largest token id at a position that varies.
        n_features: real numbers per input, or None.
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


@dataclass(frozen=True, kw_only=True)
class Algebra:
    """What is known of a task beyond its table; measures refuse a task without the facts that they need.

    Attributes:
        p: the modulus.
        expression: the formula, in canonical form.
        operation: the published name of the operation, or what the task is instead, such as 'mixture' or 'images'.
        operands: (N, n) int32, the operands of each input, reduced mod p.
        n_variables: how many of the columns of `operands` are operands, where the others say which operation is meant.
        n_answers: how many of the classes are answers.
        commutative: whether no exchange of operands changes an answer.
        transposable: whether the answer of (a, b) follows from that of (b, a): it is the same, or the same negated.
        direction: +1 where the answer is a function of a + b alone, -1 of a - b, None otherwise.
        operations: the names of a mixture's operations.
        table: (n, n) int64 multiplication table of a group.
        trigrams: (n, 3) int32 rows a, b, c of skip trigrams.
        words: the vocabulary of a table from a file, in the order of the token ids.
    """

    p: int | None = None
    expression: str | None = None
    operation: str | None = None
    operands: np.ndarray | None = None
    n_variables: int | None = None
    n_answers: int | None = None
    commutative: bool = False
    transposable: bool = False
    direction: int | None = None
    operations: tuple[str, ...] = ()
    table: np.ndarray | None = None
    trigrams: np.ndarray | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A finite task: all inputs, all answers, and what is known of them.

    Attributes:
        inputs: (N, n_ctx) int32 token ids, one row per input, in the task's canonical (row-major) order.
        targets: (N,) int32 in 0..n_classes-1, the answer at the last position; (N, n_reads) for a task with `reads`.
        d_vocab: number of distinct token ids.
        n_classes: number of outputs of a network. It may exceed the answers that occur, as where the published softmax
            runs over the whole vocabulary.
        algebra: facts that measures need.
        reads: None, or (start, stop) for a task with an answer at each of these n_reads positions.
        mask: (N, n_reads) bool, which of these answers count.
        draw: draws a fresh batch where training data are endless; the table is then all test set.
        features: (N, d) real inputs, for learners that take them (kernel machines). Without tokens n_ctx is 0.
        units: (N,) numbers of what a split must not divide, such as the inputs that show one pair of operands; None
            where each input is its own.
        values: (N, k) real answers for regression, or None; `targets` are then zeros and n_classes is k.
        operations: (N,) int32, which operation of a mixture each input asks for, or None.
        loss_factor: what the mean loss of a set is multiplied by: the number of operations where their losses are
            summed.
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    d_vocab: int
    n_classes: int
    algebra: Algebra = Algebra()
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
    def n_answers(self) -> int:
        """How many of the classes are answers."""
        return self.algebra.n_answers or self.n_classes

    @property
    def modulus(self) -> int:
        """The p of arithmetic mod p. Raises InputError where there is none."""
        if not self.algebra.p:
            raise InputError(f"{self.name} has no modulus")
        return self.algebra.p

    @property
    def operands(self) -> np.ndarray:
        """(N, n) operands of each input. Raises InputError where there are none."""
        if self.algebra.operands is None:
            raise InputError(f"{self.name} has no operands")
        return self.algebra.operands

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
        n_operations = 0 if self.operations is None else len(self.algebra.operations)
        return TaskShape(
            self.d_vocab, self.n_ctx, self.n_classes, constants, self.reads, n_symbols, n_features, n_operations
        )
