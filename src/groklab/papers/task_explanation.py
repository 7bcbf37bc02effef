"""What can be said of an operation before any training: its algebra, its labels, and what others like it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.papers.published import measured_of, published_of
from groklab.tasks import Arithmetic, Split, Task
from groklab.tasks.algebra import algebra_of
from groklab.tasks.algebra.resembling import PROPERTIES, resembling, same_answers
from groklab.tasks.evaluation import Integers
from groklab.tasks.label_statistics import label_statistics
from groklab.tasks.operations import resolve
from groklab.tasks.residues import is_prime

#: The whole table of p x p answers is looked at, for each of the paper's operations.
MAX_P = 500
OPERANDS = 2


def explain_task(
    expression: str,
    p: int = 97,
    *,
    frac_train: float = 0.3,
    seeds: int = 100,
    most: int = 5,
    table: Path | None = None,
) -> dict[str, Any]:
    """What algebra and the statistics of its labels say of an operation on two numbers mod p, before any training.

    expression: a formula in x and y (or a and b), or a named operation. frac_train, seeds: of the random splits behind
    the label statistics. most: how many of the paper's operations that it resembles are told. table: what was
    measured here (see `papers.furuta2024_tables`).

    `formula`, `p`, `prime`, `inputs`; `operation`, its name if it has one, with `group` and `papers`; `same_answers`,
    the operations of Furuta et al. 2024 that have the same answers mod p; `algebra` as `tasks.algebra.algebra_of`
    tells it; `labels` as `tasks.label_statistics` does; `published` and `measured`, what is known of this very
    operation; `properties`, by which `resembles` is ranked, each of it with its own `published` and `measured`.

    Raises InputError for a formula that cannot be read or has other than two operands, for p outside 2..500, where a
    constant denominator has no inverse mod p, and for a fraction that leaves no training or test input.
    """
    if not 2 <= p <= MAX_P:
        raise InputError(
            "p", p, f"needs an integer from 2 to {MAX_P}, as the whole table of p x p answers is looked at"
        )
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
    likest = resembling(algebra, answers, p, most)
    return {
        "expression": expression,
        "formula": str(parsed),
        "p": p,
        "prime": is_prime(p),
        "modular": modular,
        "inputs": task.n_inputs,
        "operation": name,
        "group": operation.group if operation else None,
        "papers": list(operation.papers) if operation else [],
        "same_answers": [other for other in same if other != name],
        "algebra": algebra,
        "labels": label_statistics(task, Split(frac_train=frac_train), seeds=seeds),
        "published": published_of(itself) if itself else None,
        "measured": measured_of(itself, table) if itself else [],
        "properties": list(PROPERTIES),
        "resembles": [
            {**row, "published": published_of(row["operation"]), "measured": measured_of(row["operation"], table)}
            for row in likest
        ],
    }


def _table(task: Task, p: int) -> Integers:
    """(p, p) the answers of a task on pairs, -1 where it has no such input."""
    answers = np.full((p, p), -1, np.int64)
    answers[tuple(task.operands.T)] = task.targets
    return answers
