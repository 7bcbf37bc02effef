"""Which operations of Furuta et al. 2024 an operation resembles: those that share most of eleven properties.

The properties are listed in `PROPERTIES`, each counts one, and nothing else enters. One that is unknown of either of
two operations is not shared by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from groklab.tasks._algebra import algebra_of
from groklab.tasks._evaluation import Integers
from groklab.tasks._expression import parse
from groklab.tasks._operations import FURUTA_OPERATIONS, OPERATIONS


def _kind_of_form(facts: Mapping[str, Any]) -> str:
    form = facts["linear_form"]
    if form is None:
        return "none"
    return str(form["form"]) if form["form"] in ("x + y", "x - y", "x", "y") else "another"


#: Name -> what it is of an operation's facts (see `algebra_of`), which are the same for operations that share it.
PROPERTIES: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "total degree": lambda f: f["integers"] and f["integers"]["degree"],
    "symmetry": lambda f: (f["symmetric"], f["antisymmetric"]),
    "a function of x + y or x - y": _kind_of_form,
    "a sum g(x) + h(y)": lambda f: f["additive"] is not None,
    "a product g(x)*h(y) + c": lambda f: f["product"] is not None,
    "addition or multiplication renamed": lambda f: f["relabelled"] and f["relabelled"]["of"],
    "operands in which it is one-to-one": lambda f: sum(f["one_to_one"]),
    "factors over the integers": lambda f: f["integers"] and f["integers"]["irreducible"],
    "factors mod p": lambda f: f["field"] and f["field"]["irreducible"],
    "one-to-one powers": lambda f: all(n["bijective"] for n in f["powers"]) if f["powers"] else "no powers",
    "how often labels occur": lambda f: f["label_counts"],
}
#: The fact that a property comes from; where that is undefined, so is the property.
_FROM = {
    "total degree": "integers",
    "symmetry": "antisymmetric",
    "a function of x + y or x - y": "linear_form",
    "a sum g(x) + h(y)": "additive",
    "a product g(x)*h(y) + c": "product",
    "addition or multiplication renamed": "relabelled",
    "factors over the integers": "integers",
    "factors mod p": "field",
}


def resembling(facts: Mapping[str, Any], table: Integers, p: int, most: int = 5) -> list[dict[str, Any]]:
    """Return the paper's operations that share most properties with one, best first, in the paper's order where equal.

    An operation with the very same answers is left out. Each row has `operation`, `formula`, `group`, `shared` of `of`
    properties; `differs` names those that it does not share, `unknown` those that are unknown of one of the two.

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
        operation = OPERATIONS[name]
        ranked.append(
            {
                "operation": name,
                "formula": operation.expression,
                "group": operation.group,
                "shared": len(PROPERTIES) - len(differs) - len(unknown),
                "of": len(PROPERTIES),
                "differs": differs,
                "unknown": unknown,
            }
        )
    return sorted(ranked, key=lambda row: -int(str(row["shared"])))[:most]


def same_answers(table: Integers, p: int) -> list[str]:
    """Return the paper's operations that have exactly these answers mod p, in the paper's order."""
    return [name for name, other in _of_the_paper(p).items() if np.array_equal(other.table, table)]


def _properties(facts: Mapping[str, Any], table: Integers) -> dict[str, object]:
    known = {**facts, "label_counts": label_counts(table).tobytes()}
    return {
        name: None if _FROM.get(name) in facts["undefined"] else ("known", derive(known))
        for name, derive in PROPERTIES.items()
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
