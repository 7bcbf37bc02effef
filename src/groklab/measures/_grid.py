"""The inputs of a task in two operands a and b mod p as a p × p grid, and what is known where only a ± b counts.

Each operation of a mixture has a grid of its own.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Int
from groklab.tasks import Task, find_direction


@dataclass(frozen=True)
class Grid:
    """All p² pairs (a, b) of a task with answers g(a + b) or g(a − b), row-major in (a, b).

    Attributes:
        rows: (p, p) int, the task's row that holds the pair (or, for unordered pairs, its mirror image).
        sums: (p, p) int, s = a + direction·b mod p, which the answer is a function of.
        direction: +1 or −1.
        answers: (p,) int, the class g(s).
    """

    p: int
    direction: int
    rows: np.ndarray
    sums: np.ndarray
    answers: np.ndarray

    @cached_property
    def differences(self) -> np.ndarray:
        """(p, p) int, a − direction·b mod p: the other direction."""
        a, b = np.indices((self.p, self.p))
        return np.asarray((a - self.direction * b) % self.p)

    def by_sum(self, values: np.ndarray, opposite: bool = False) -> np.ndarray:
        """Return values (p, p, …) at [a, b] laid out at [s, a], or opposite at [difference, a]."""
        s, a = np.indices((self.p, self.p))
        sign = -self.direction if opposite else self.direction
        return np.asarray(values[a, sign * (s - a) % self.p])

    @cached_property
    def class_of(self) -> np.ndarray:
        """(p,) int, the class of each residue s, where no two residues share one.

        Raises InputError where they do: cos(w(s − c)) then has no c for an answer.
        """
        if len(np.unique(self.answers)) < self.p:
            raise InputError(f"two residues mod {self.p} share an answer, so a fit over (sum, answer) does not apply")
        return self.answers

    @property
    def formula(self) -> str:
        """What a cosine at the right answer is a function of: 'a + b − c', 'a − b + c' for b − a, and so on."""
        sign = "+" if self.direction > 0 else "−"
        s = np.arange(self.p)
        if np.array_equal(self.answers, s):
            return f"a {sign} b − c"
        if np.array_equal(self.answers, -s % self.p):
            return f"a {sign} b + c"
        return f"a {sign} b − s(c)"

    def weights(self, task_rows: np.ndarray | None = None) -> np.ndarray:
        """Return (p, p) float64 weights of the pairs that sum to one: equal on the task's rows given (None: on all
        pairs).

        Rows that are not of this grid, as those of a mixture's other operations, do not count. Of no rows at all, as
        where the split is unknown, there is no mean: NaN.
        """
        if task_rows is None:
            return np.full((self.p, self.p), self.p**-2.0)
        if not len(task_rows):
            return np.full((self.p, self.p), np.nan)
        own = np.intersect1d(self.rows, task_rows)
        of_row = np.zeros(int(self.rows.max()) + 1)
        of_row[own] = 1 / max(len(own), 1)
        # a row of a pair and its mirror image is shared between them
        return np.asarray((of_row / np.maximum(np.bincount(self.rows.ravel()), 1))[self.rows])

    def other_rows(self, task_rows: np.ndarray) -> np.ndarray:
        """Return the grid's rows of the task that are not among those given: the test set of a training set."""
        return np.setdiff1d(self.rows, task_rows)


def pair_rows(task: Task, operation: int | None = None) -> Int[np.ndarray, "p p"]:
    """Return the task's row that holds each pair (a, b), (p, p), for a task in two operands mod p that has every pair.

    Unordered pairs hold their mirror images, too; of token ids that stand for one residue, the smallest counts.

    Args:
        operation: the place of one of a mixture's operations.

    Raises:
        InputError: for any other task, or a pair left out.
    """
    p, own = _rows_in_two_operands(task, operation)
    a, b = task.operands[own, :2].T.astype(np.int64)
    rows = np.full((p, p), -1)
    pairs, first = np.unique(a * p + b, return_index=True)
    rows.flat[pairs] = own[first]
    if task.algebra.commutative:
        rows = np.where(rows < 0, rows.T, rows)
    if (rows < 0).any():
        a, b = np.argwhere(rows < 0)[0]
        raise InputError(f"this measure needs every pair mod {p}, and {task.name} leaves out ({a}, {b})")
    return rows


def grid_of(task: Task, operation: int | None = None) -> Grid:
    """Return the grid of a task, or of the operation at a place in a mixture.

    Raises:
        InputError: where its answers are not a function of a + b or a − b on all p² pairs.
    """
    p, _ = _rows_in_two_operands(task, operation)
    if operation is None:
        direction, name = task.algebra.direction, task.name
    else:
        direction = find_direction(task.targets[pair_rows(task, operation)].astype(np.int64), p)
        name = f"the operation {task.algebra.operations[operation]}"
    if direction is None:
        raise InputError(f"this measure applies where the answer is a function of a+b or a−b, and not to {name}")
    rows = pair_rows(task, operation)
    a, b = np.indices((p, p))
    sums = (a + direction * b) % p
    answers = np.zeros(p, int)
    answers[sums.ravel()] = task.targets[rows.ravel()]
    return Grid(p, int(direction), rows, sums, answers)


def grids_of(task: Task) -> tuple[dict[str, Grid], list[str]]:
    """Return the grid of the task, or of each operation of a mixture that has one, by name; and the names of the
    others.

    Raises:
        InputError: as `grid_of`, or where no operation of a mixture is a function of a + b or a − b.
    """
    names = task.algebra.operations
    if not names:
        return {task.name: grid_of(task)}, []
    grids = {}
    for i, name in enumerate(names):
        with contextlib.suppress(InputError):
            grids[name] = grid_of(task, i)
    if not grids:
        raise InputError(
            f"this measure applies where an answer is a function of a+b or a−b, and to no operation of {task.name}"
        )
    return grids, [name for name in names if name not in grids]


def _rows_in_two_operands(task: Task, operation: int | None) -> tuple[int, Int[np.ndarray, " n"]]:
    """Return the modulus, and the rows of the task or of one operation. Raises InputError unless there are two
    operands.
    """
    p, operands, names = task.algebra.p, task.algebra.operands, task.algebra.operations
    if operation is not None and not 0 <= operation < len(names):
        allowed = f"needs the place of one of the {len(names)} operations that {task.name} mixes"
        raise InputError("operation", operation, allowed)
    if names and operation is None:
        raise InputError(
            f"this measure is of one operation, and {task.name} mixes {len(names)}: progress, logit_parts, logits_2d "
            "and fourier_sparsity apply to a mixture"
        )
    columns = 2 if operation is None else 3
    if not p or operands is None or operands.shape[1] != columns:
        raise InputError(f"this measure applies to two operands mod p, and not to {task.name}")
    every = np.arange(len(operands))
    return int(p), every if operation is None else every[operands[:, 2] == operation]
