"""Named operations of the papers: what is computed, which inputs are left out, and the sign that stands between.

Polynomials are named by their terms joined by underscores, with `m` before a term that is subtracted: `2x_m_3y` is
2x - 3y, `x3_xy2_y` is x^3 + x*y^2 + y. The configuration keys of the published code of Furuta et al. are accepted as
other spellings, with and without their ending `_short`; they mean the formula that the name says, which for
`xy_x_m_y` is not what that code computes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from groklab.errors import InputError
from groklab.tasks.expression import Expression, parse
from groklab.tasks.layouts import Sign

Zeros = Literal["none", "any", "last"]

FURUTA = "Furuta et al. 2024"
MALLINAR = "Mallinar et al. 2024"
LIU = "Liu et al. 2022"
NANDA = "Nanda et al. 2023"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A named operation.

    zeros: which inputs are left out: 'none', 'any' (every input that holds a zero) or 'last' (last operand zero).
    modular: False where the answer is not reduced. sign: the token between the operands where the layout shows one.
    spellings: other accepted names.
    """

    name: str
    expression: str
    description: str
    source: str
    zeros: Zeros = "none"
    modular: bool = True
    sign: Sign = "="
    spellings: tuple[str, ...] = ()


def _polynomial(name: str, expression: str, family: str, *peer_keys: str, source: str = FURUTA) -> Operation:
    both = tuple(spelling for key in peer_keys for spelling in (key, f"{key}_short") if spelling != name)
    return Operation(name=name, expression=expression, description=family, source=source, spellings=both)


_LINEAR = "linear: two different multiples added"
_CROSS = "product plus terms of degree one"
_UNIVARIATE = "a power of one operand plus the other"
_DEEP_CROSS = "cross terms that are no function of x+y or x-y"
_POWERS = "the same power of both operands"
_FACTORABLE = "a function of x+y or x-y alone"
_THREE = "three operands"

_ALL = (
    Operation(
        name="add", expression="x + y", description="addition", source=f"{NANDA}; {FURUTA}; {MALLINAR}", sign="+"
    ),
    Operation(
        name="subtract",
        expression="x - y",
        description="subtraction",
        source=f"{NANDA}; {FURUTA}; {MALLINAR}",
        sign="-",
    ),
    Operation(
        name="multiply", expression="x*y", description="multiplication", source=f"{FURUTA}; {MALLINAR}", sign="*"
    ),
    Operation(
        name="divide",
        expression="x/y",
        description="division: the answer times y is x",
        source=MALLINAR,
        zeros="last",
        sign="/",
        spellings=("division",),
    ),
    Operation(
        name="multiply_non_zero",
        expression="x*y",
        description="multiplication of non-zero numbers, a cyclic group for prime p",
        source=FURUTA,
        zeros="any",
        sign="*",
    ),
    Operation(
        name="add_unreduced",
        expression="x + y",
        description="addition of integers, the answer not reduced",
        source=f"{LIU}; {FURUTA}",
        modular=False,
        sign="+",
        spellings=("only_add",),
    ),
    _polynomial("2x_y", "2*x + y", _LINEAR, "x_x_y"),
    _polynomial("2x_m_y", "2*x - y", _LINEAR, "x_x_m_y"),
    _polynomial("2x_3y", "2*x + 3*y", _LINEAR, "2x_3y"),
    _polynomial("2x_m_3y", "2*x - 3*y", _LINEAR, "2x_m_3y"),
    _polynomial("xy_y", "x*y + y", _CROSS, "xy_y"),
    _polynomial("xy_m_y", "x*y - y", _CROSS, "xy_m_y"),
    _polynomial("xy_x_y", "x*y + x + y", "multiplication of (x+1) and (y+1), less one", "xy_x_y"),
    _polynomial("xy_x_m_y", "x*y + x - y", _CROSS, "xy_x_m_y"),
    _polynomial("x2_y", "x^2 + y", _UNIVARIATE, "x2_y", source=f"{FURUTA}; {MALLINAR}"),
    _polynomial("x2_m_y", "x^2 - y", _UNIVARIATE, "x2_m_y"),
    _polynomial("x3_2y", "x^3 + 2*y", _UNIVARIATE, "x3_2y"),
    _polynomial("x3_m_2y", "x^3 - 2*y", _UNIVARIATE, "x3_m_2y"),
    _polynomial("x2_xy_y2", "x^2 + x*y + y^2", _DEEP_CROSS, "x2_xy_y2", source=f"{NANDA}; {FURUTA}; {MALLINAR}"),
    _polynomial("x2_xy_y2_x", "x^2 + x*y + y^2 + x", _DEEP_CROSS, "x2_xy_y2_x", source=f"{FURUTA}; {MALLINAR}"),
    _polynomial("x3_xy", "x^3 + x*y", _DEEP_CROSS, "x3_xy", source=f"{FURUTA}; {MALLINAR}"),
    _polynomial("x3_xy2_y", "x^3 + x*y^2 + y", _DEEP_CROSS, "x3_xy2_y"),
    _polynomial("x3_xy2_x", "x^3 + x*y^2 + x", f"{_DEEP_CROSS}; the paper's formula", source=MALLINAR),
    _polynomial("x2_y2", "x^2 + y^2", _POWERS, "x2_y2", source=f"{FURUTA}; {MALLINAR}"),
    _polynomial("x2_m_y2", "x^2 - y^2", _POWERS, "x2_m_y2"),
    *(_polynomial(f"x{n}_y{n}", f"x^{n} + y^{n}", _POWERS) for n in (3, 4, 5, 6, 7)),
    _polynomial("x_plus_y_power_2", "(x + y)^2", _FACTORABLE, "x2_2xy_y2"),
    *(_polynomial(f"x_plus_y_power_{n}", f"(x + y)^{n}", _FACTORABLE, f"_x_y__{n}") for n in (3, 4)),
    *(_polynomial(f"x_plus_y_power_{n}", f"(x + y)^{n}", _FACTORABLE) for n in (5, 6, 7)),
    _polynomial("x_plus_y_power_2_x_y", "(x + y)^2 + x + y", _FACTORABLE, "x2_2xy_y2_x_y"),
    _polynomial("x_minus_y_power_2", "(x - y)^2", _FACTORABLE, "x2_m_2xy_y2"),
    *(_polynomial(f"x_minus_y_power_{n}", f"(x - y)^{n}", _FACTORABLE, f"_x_m_y__{n}") for n in (3, 4)),
    Operation(name="add_3", expression="x + y + z", description=_THREE, source=FURUTA, sign="+"),
    Operation(name="subtract_3", expression="x - y - z", description=_THREE, source=FURUTA, sign="-"),
    Operation(name="multiply_3", expression="x*y*z", description=_THREE, source=FURUTA, sign="*"),
    _polynomial("x2_y2_z", "x^2 + y^2 + z", _THREE),
    _polynomial("x2_y2_z2", "x^2 + y^2 + z^2", _THREE),
)

#: name -> operation
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
_SPELLINGS = {spelling: operation for operation in _ALL for spelling in (operation.name, *operation.spellings)}
# Of two operations with one formula the first is meant, which leaves nothing out and reduces.
_BY_FORMULA = {operation.expression: operation for operation in reversed(_ALL)}
# Holds an underscore or a letter that no formula has: meant as a name, so that another name is worth suggesting.
_NAME = re.compile(r"(?=.*[^xyzabc0-9])[A-Za-z0-9_]+")
_RANDOM = ("random", "rand", "random_labels", "random_table")


def resolve(text: str) -> tuple[Operation | None, Expression]:
    """The expression meant by a name or a formula, and the operation if it is one of the table.

    Raises InputError on 'task.expression' if the text is neither.
    """
    name = text.strip()
    if name in _SPELLINGS:
        return _SPELLINGS[name], parse(_SPELLINGS[name].expression)
    if name in _RANDOM:
        raise InputError("task.expression", text, "is no formula but a task of its own: task.kind=random_labels")
    try:
        expression = parse(text)
    except InputError:
        near = difflib.get_close_matches(name, _SPELLINGS, n=1) if _NAME.fullmatch(name) else []
        if not near:
            raise
        raise InputError(
            "task.expression", text, f"is neither an expression nor an operation; is {near[0]!r} meant?"
        ) from None
    return _BY_FORMULA.get(str(expression)), expression
