"""Which operations of Furuta et al. 2024 an operation resembles: those that share most of eleven properties.

The properties are listed in `PROPERTIES`, each counts one, and nothing else enters. One that is unknown of either of
two operations is not shared by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from groklab.tasks._algebra.facts import Facts, algebra_of
from groklab.tasks._evaluation import Integers
from groklab.tasks._expression import parse
from groklab.tasks._operations import FURUTA_OPERATIONS, OPERATIONS


def _kind_of_form(facts: Facts, counts: bytes) -> str:
    form = facts.linear_form
    if form is None:
        return "none"
    return form.form if form.form in ("x + y", "x - y", "x", "y") else "another"


#: Name -> the fact that it comes from, where that may be undefined, and its value from an operation's facts and the
#: counts of its labels; operations of equal values share it.
PROPERTIES: dict[str, tuple[str | None, Callable[[Facts, bytes], object]]] = {
    "total degree": ("integers", lambda f, _: f.integers and f.integers.degree),
    "symmetry": ("antisymmetric", lambda f, _: (f.symmetric, f.antisymmetric)),
    "a function of x + y or x - y": ("linear_form", _kind_of_form),
    "a sum g(x) + h(y)": ("additive", lambda f, _: f.additive is not None),
    "a product g(x)*h(y) + c": ("product", lambda f, _: f.product is not None),
    "addition or multiplication renamed": ("relabelled", lambda f, _: f.relabelled and f.relabelled.of),
    "operands in which it is one-to-one": (None, lambda f, _: sum(f.one_to_one)),
    "factors over the integers": ("integers", lambda f, _: f.integers and f.integers.irreducible),
    "factors mod p": ("field", lambda f, _: f.field and f.field.irreducible),
    "one-to-one powers": (None, lambda f, _: all(n.bijective for n in f.powers) if f.powers else "no powers"),
    "how often labels occur": (None, lambda _, counts: counts),
}


@dataclass(frozen=True)
class Resemblance:
    """How far an operation of the paper shares the properties of another.

    Attributes:
        shared: number of shared properties.
        of: number of all properties.
        differs: those that are not shared.
        unknown: those that are unknown of one of the two.
    """

    operation: str
    formula: str
    group: str
    shared: int
    of: int
    differs: list[str]
    unknown: list[str]


def resembling(facts: Facts, table: Integers, p: int, most: int = 5) -> list[Resemblance]:
    """Return the paper's operations that share most properties with one, best first, in the paper's order where equal.

    An operation with the very same answers is left out.

    Args:
        facts: of `algebra_of`.
        table: (p, p) the operation's answers, -1 where it is not defined.
    """
    own = _properties(facts, table)
    ranked = []
    for name, other in _of_the_paper(p).items():
        if np.array_equal(other.table, table):
            continue
        unknown = [key for key in PROPERTIES if own[key] is None or other.properties[key] is None]
        differs = [key for key in PROPERTIES if key not in unknown and own[key] != other.properties[key]]
        operation, total = OPERATIONS[name], len(PROPERTIES)
        shared = total - len(differs) - len(unknown)
        ranked.append(Resemblance(name, operation.expression, operation.group, shared, total, differs, unknown))
    return sorted(ranked, key=lambda row: -row.shared)[:most]


def same_answers(table: Integers, p: int) -> list[str]:
    """Return the paper's operations that have exactly these answers mod p, in the paper's order."""
    return [name for name, other in _of_the_paper(p).items() if np.array_equal(other.table, table)]


def _properties(facts: Facts, table: Integers) -> dict[str, object]:
    counts = label_counts(table).tobytes()
    return {
        name: None if fact in facts.undefined else ("known", derive(facts, counts))
        for name, (fact, derive) in PROPERTIES.items()
    }


def label_counts(table: Integers) -> Integers:
    """Return how often the answers of a table occur, in ascending order."""
    counts: Integers = np.sort(np.unique(table[table >= 0], return_counts=True)[1]).astype(np.int64)
    return counts


class _Known:
    def __init__(self, name: str, p: int) -> None:
        expression = parse(OPERATIONS[name].expression)
        self.table = expression.table(p)
        self.properties = _properties(algebra_of(expression, self.table, p), self.table)


@lru_cache(maxsize=4)
def _of_the_paper(p: int) -> dict[str, _Known]:
    return {name: _Known(name, p) for name in FURUTA_OPERATIONS}
