"""All that algebra says of one operation on two numbers mod p."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.tasks._algebra.factoring import NotFactored, over_field, over_integers
from groklab.tasks._algebra.forms import additive, linear_form, product, rectangle, relabelled
from groklab.tasks._evaluation import Integers, Node
from groklab.tasks._expression import Expression, is_commutative
from groklab.tasks._residues import is_prime, power


def algebra_of(expression: Expression, table: Integers, p: int, modular: bool = True) -> dict[str, Any]:
    """Return what algebra says of an operation before any training.

    `constant`; `linear_form`, `additive`, `product` and `relabelled`: see the functions of those names, None for no;
    `symmetric`: f(y, x) = f(x, y), `antisymmetric`: f(y, x) = -f(x, y); `one_to_one`: in x for every y, and in y for
    every x; `integers` and `field`: its factors; `powers`: one entry for each exponent that is written or is the degree
    in an operand. `undefined` says, by the name of such a fact, why it is unknown; that fact is then None.

    Args:
        table: (p, p) its answers, the first operand down, -1 where it is not defined.
        modular: whether the answers are mod p.
    """
    undefined: dict[str, str] = {}
    prime = is_prime(p)
    if not modular:
        why = "its answers are not reduced mod p"
        undefined |= dict.fromkeys(("linear_form", "additive", "product", "relabelled", "antisymmetric", "field"), why)
    elif not prime:
        why = f"the integers mod {p} are not a field, as {p} is not a prime"
        undefined |= dict.fromkeys(("product", "field"), why)
    if modular and rectangle(table) is None:
        why = "the inputs at which it is defined are not all pairs of some x and some y"
        undefined |= dict.fromkeys(("additive", "product", "relabelled"), why)
    facts: dict[str, Any] = {
        "constant": len(np.unique(table[table >= 0])) == 1,
        "linear_form": linear_form(table, p) if "linear_form" not in undefined else None,
        "additive": additive(table, p) if "additive" not in undefined else None,
        "product": product(table, p) if "product" not in undefined else None,
        "relabelled": relabelled(table, p) if "relabelled" not in undefined else None,
        "symmetric": is_commutative(table),
        "antisymmetric": np.array_equal(table.T, np.where(table < 0, -1, -table % p)) if modular else None,
        "one_to_one": [_one_to_one(table), _one_to_one(table.T)],
        "integers": None,
        "field": None,
    }
    exponents = written_exponents(expression.tree)
    try:
        facts["integers"] = over_integers(expression.tree)
        exponents |= {*facts["integers"]["degrees"], *(f["multiplicity"] for f in facts["integers"]["factors"])}
        if "field" not in undefined:
            facts["field"] = over_field(expression.tree, p)
    except NotFactored as reason:
        if facts["integers"] is None:
            undefined["integers"] = str(reason)
        undefined.setdefault("field", str(reason))
    powers = [power(n, p) for n in sorted(exponents) if abs(n) > 1]
    return {**facts, "powers": powers, "undefined": undefined}


def written_exponents(tree: Node) -> set[int]:
    """Return the exponents of 2 and above that a formula is written with, and of -2 and below."""
    own = {node.value for node in [tree] if node.op == "^" and abs(node.value) > 1}
    return own.union(*(written_exponents(part) for part in tree.args))


def _one_to_one(table: Integers) -> bool:
    """Return whether no column of a table holds an answer twice."""
    ordered = np.sort(table, axis=0)
    return not ((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)).any()
