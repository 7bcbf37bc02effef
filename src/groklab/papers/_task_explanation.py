"""An operation before any training: its algebra, its labels, and results of similar operations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.papers._published import MeasuredOperation, PublishedOperation, measured_of, published_of
from groklab.tasks import (
    PROPERTIES,
    Arithmetic,
    Facts,
    Integers,
    LabelStatistics,
    Resemblance,
    Split,
    Task,
    algebra_of,
    is_prime,
    label_statistics,
    resembling,
    resolve,
    same_answers,
)

#: All p x p answers are computed, for each of the paper's operations.
MAX_P = 500
OPERANDS = 2


@dataclass(frozen=True)
class Similar(Resemblance):
    """An operation of the paper that shares properties with one, and its results: published, and measured here."""

    published: PublishedOperation | None
    measured: list[MeasuredOperation]


@dataclass(frozen=True)
class TaskExplanation:
    """What algebra and label statistics show of an operation, and results of similar operations.

    Attributes:
        modular: whether its answers are mod p.
        inputs: number of pairs at which it is defined.
        operation: its name if it has one, with its group and the papers that use it.
        same_answers: other operations of Furuta et al. 2024 with the same answers mod p.
        labels: as of `label_statistics`.
        published, measured: results of this very operation.
        properties: those by which `resembles` is ranked.
    """

    expression: str
    formula: str
    p: int
    prime: bool
    modular: bool
    inputs: int
    operation: str | None
    group: str | None
    papers: list[str]
    same_answers: list[str]
    algebra: Facts
    labels: LabelStatistics
    published: PublishedOperation | None
    measured: list[MeasuredOperation]
    properties: list[str]
    resembles: list[Similar]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self) | {"labels": self.labels.to_dict()}


def explain_task(
    expression: str,
    p: int = 97,
    *,
    frac_train: float = 0.3,
    seeds: int = 100,
    most: int = 5,
    table: Path | None = None,
) -> TaskExplanation:
    """Return what algebra and label statistics show of an operation on two operands mod p, before any training.

    Args:
        expression: a formula in x and y (or a and b), or a named operation.
        frac_train: training fraction of the random splits behind the label statistics.
        seeds: number of these splits.
        most: number of similar operations of the paper.
        table: a file of measured rows, by default those of the papers (see `papers.measured_rows`).

    Raises:
        InputError: the formula cannot be read or has other than two operands, p is outside 2..500, a constant
            denominator has no inverse mod p, or the fraction leaves no training or test input.
    """
    if not 2 <= p <= MAX_P:
        raise InputError("p", p, f"needs an integer from 2 to {MAX_P}, as all p x p answers are computed")
    if not 0 < frac_train < 1:
        raise InputError("frac_train", frac_train, "needs a number above 0 and below 1")
    operation, parsed = resolve(expression)
    if len(parsed.variables) != OPERANDS:
        n = len(parsed.variables)
        allowed = f"has {n} operand{'s' if n > 1 else ''}, and only operations on two can be explained"
        raise InputError("task.expression", expression, allowed)
    task = Arithmetic(p=p, expression=expression, layout="a b", divisors="units").build()
    modular = task.algebra.p is not None
    answers = _table(task, p)
    algebra = algebra_of(parsed, answers, p, modular)
    same = same_answers(answers, p) if modular else []
    name = operation.name if operation else None
    itself = name or next(iter(same), None)
    return TaskExplanation(
        expression=expression,
        formula=str(parsed),
        p=p,
        prime=is_prime(p),
        modular=modular,
        inputs=task.n_inputs,
        operation=name,
        group=operation.group if operation else None,
        papers=list(operation.papers) if operation else [],
        same_answers=[other for other in same if other != name],
        algebra=algebra,
        labels=label_statistics(task, Split(frac_train=frac_train), seeds=seeds),
        published=published_of(itself) if itself else None,
        measured=measured_of(itself, table) if itself else [],
        properties=list(PROPERTIES),
        resembles=[
            Similar(**vars(row), published=published_of(row.operation), measured=measured_of(row.operation, table))
            for row in resembling(algebra, answers, p, most)
        ],
    )


def _table(task: Task, p: int) -> Integers:
    """(p, p) the answers of a task on pairs, -1 where it has no such input."""
    answers = np.full((p, p), -1, np.int64)
    answers[tuple(task.operands.T)] = task.targets
    return answers
