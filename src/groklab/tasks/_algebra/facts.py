"""All that algebra says of one operation on two numbers mod p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groklab.tasks._algebra.factoring import Factors, NotFactored, over_field, over_integers
from groklab.tasks._algebra.forms import (
    LinearForm,
    Parts,
    Product,
    Relabelling,
    additive,
    linear_form,
    product,
    rectangle,
    relabelled,
)
from groklab.tasks._evaluation import Integers, Node
from groklab.tasks._expression import Expression, is_antisymmetric, is_commutative
from groklab.tasks._residues import Power, is_prime, power


@dataclass(frozen=True)
class Facts:
    """What algebra says of an operation on two numbers mod p; None for no, and for what is unknown.

    Attributes:
        constant: whether all answers are the same.
        linear_form, additive, product, relabelled: see the functions of those names.
        symmetric: whether f(y, x) = f(x, y).
        antisymmetric: whether f(y, x) = -f(x, y).
        one_to_one: whether in x for every y, and in y for every x.
        integers, field: the formula's factors over the integers, and mod p.
        powers: one entry for each exponent that is written or is the degree in an operand.
        undefined: by the name of a fact, why it is unknown.
    """

    constant: bool
    linear_form: LinearForm | None
    additive: Parts | None
    product: Product | None
    relabelled: Relabelling | None
    symmetric: bool
    antisymmetric: bool | None
    one_to_one: list[bool]
    integers: Factors | None
    field: Factors | None
    powers: list[Power]
    undefined: dict[str, str]


def algebra_of(expression: Expression, table: Integers, p: int, modular: bool = True) -> Facts:
    """Return what algebra says of an operation before any training.

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
    renamed = None if "relabelled" in undefined else relabelled(table, p)
    if renamed is None and not prime:
        why = f"not addition renamed, and for multiplication {p} is not a prime"
        undefined.setdefault("relabelled", why)
    integers = field = None
    exponents = written_exponents(expression.tree)
    try:
        integers = over_integers(expression.tree)
        exponents |= {*integers.degrees, *(f.multiplicity for f in integers.factors)}
        if "field" not in undefined:
            field = over_field(expression.tree, p)
    except NotFactored as reason:
        if integers is None:
            undefined["integers"] = str(reason)
        undefined.setdefault("field", str(reason))
    return Facts(
        constant=len(np.unique(table[table >= 0])) == 1,
        linear_form=linear_form(table, p) if "linear_form" not in undefined else None,
        additive=additive(table, p) if "additive" not in undefined else None,
        product=product(table, p) if "product" not in undefined else None,
        relabelled=renamed,
        symmetric=is_commutative(table),
        antisymmetric=is_antisymmetric(table, p) if modular else None,
        one_to_one=[_one_to_one(table), _one_to_one(table.T)],
        integers=integers,
        field=field,
        powers=[power(n, p) for n in sorted(exponents) if abs(n) > 1],
        undefined=undefined,
    )


def written_exponents(tree: Node) -> set[int]:
    """Return the exponents of 2 and above that a formula is written with, and of -2 and below."""
    own = {node.value for node in [tree] if node.op == "^" and abs(node.value) > 1}
    return own.union(*(written_exponents(part) for part in tree.args))


def _one_to_one(table: Integers) -> bool:
    """Return whether no column of a table holds an answer twice."""
    ordered = np.sort(table, axis=0)
    return not ((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)).any()
