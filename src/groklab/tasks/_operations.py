"""Named operations of the papers: the formula, the inputs that are left out, and the sign between the operands.

Polynomials are named by their terms joined by underscores, with `m` before a term that is subtracted: `2x_m_3y` is 2x -
3y, `x3_xy2_y` is x^3 + x*y^2 + y. The configuration keys of the published code of Furuta et al. are accepted as other
spellings, with and without their ending `_short`; they mean the formula that the name says, which for `xy_x_m_y` is not
what that code computes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from groklab.errors import InputError, did_you_mean
from groklab.tasks._expression import Expression, parse
from groklab.tasks._layouts import Sign

Zeros = Literal["none", "any", "last"]
#: The families of Furuta et al. 2024, and one for what their paper has none for.
Group = Literal[
    "elementary",
    "linear",
    "cross terms of degree 1",
    "univariate terms",
    "cross terms of degree n",
    "sums of powers",
    "factorizable",
    "three operands",
]

#: Modules of `groklab.papers` whose papers train on named operations, and how those papers are cited.
PAPERS = {
    "nanda2023": "Nanda et al. 2023",
    "furuta2024": "Furuta et al. 2024",
    "mallinar2024": "Mallinar et al. 2024",
    "liu2022": "Liu et al. 2022",
}


@dataclass(frozen=True)
class Operation:
    """A named operation.

    Attributes:
        group: its family.
        papers: modules of `groklab.papers` whose paper trains on it.
        in_furuta_code: not an operation of a paper, but of the published code of Furuta et al. 2024.
        zeros: which inputs are left out: 'none', 'any' (every input that holds a zero) or 'last' (last operand zero).
        modular: False where the answer is not reduced.
        sign: the token between the operands where the layout shows one.
        spellings: other accepted names.
    """

    name: str
    expression: str
    description: str
    group: Group
    papers: tuple[str, ...] = ()
    in_furuta_code: bool = False
    zeros: Zeros = "none"
    modular: bool = True
    sign: Sign = "="
    spellings: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The papers that train on it, as text."""
        code = [f"published code of {PAPERS['furuta2024']}"] if self.in_furuta_code else []
        return "; ".join([*(PAPERS[paper] for paper in self.papers), *code])


_DESCRIPTIONS: dict[Group, str] = {
    "linear": "linear: two different multiples added",
    "cross terms of degree 1": "product plus terms of degree one",
    "univariate terms": "a power of one operand plus the other",
    "cross terms of degree n": "cross terms that are not a function of x+y or x-y",
    "sums of powers": "the same power of both operands",
    "factorizable": "a function of x+y or x-y alone",
    "three operands": "three operands",
}
_FURUTA = ("furuta2024",)
_TOO = ("furuta2024", "mallinar2024")
_ALL_THREE = ("nanda2023", "furuta2024", "mallinar2024")


def _elementary(
    name: str, expression: str, description: str, sign: Sign, papers: tuple[str, ...] = (), *spellings: str, **more: Any
) -> Operation:
    settings = {"in_furuta_code": not papers, "spellings": spellings, **more}
    return Operation(name, expression, description, "elementary", papers, sign=sign, **settings)


def _polynomial(
    name: str, expression: str, group: Group, *peer_keys: str, papers: tuple[str, ...] = _FURUTA, description: str = ""
) -> Operation:
    spellings = tuple(spelling for key in peer_keys for spelling in (key, f"{key}_short") if spelling != name)
    description = description or _DESCRIPTIONS[group]
    return Operation(name, expression, description, group, papers, in_furuta_code=not papers, spellings=spellings)


def _three_operands(name: str, expression: str, sign: Sign) -> Operation:
    group: Group = "three operands"
    return Operation(name, expression, _DESCRIPTIONS[group], group, in_furuta_code=True, sign=sign)


# In the order of the paper's table 5, what other papers or the published code add in between.
_ALL = (
    _elementary("add", "x + y", "addition", "+", (*_ALL_THREE, "liu2022")),
    _elementary("subtract", "x - y", "subtraction", "-", _ALL_THREE),
    _elementary("multiply", "x*y", "multiplication", "*", _TOO),
    _elementary("divide", "x/y", "division: the answer times y is x", "/", ("mallinar2024",), "division", zeros="last"),
    _elementary(
        "multiply_non_zero", "x*y", "multiplication of non-zero numbers, a cyclic group for prime p", "*", zeros="any"
    ),
    _elementary(
        "add_unreduced",
        "x + y",
        "addition of integers, the answer not reduced",
        "+",
        ("liu2022",),
        "only_add",
        in_furuta_code=True,
        modular=False,
    ),
    _polynomial("2x_y", "2*x + y", "linear", "x_x_y"),
    _polynomial("2x_m_y", "2*x - y", "linear", "x_x_m_y"),
    _polynomial("2x_3y", "2*x + 3*y", "linear", "2x_3y"),
    _polynomial("2x_m_3y", "2*x - 3*y", "linear", "2x_m_3y"),
    _polynomial("xy_y", "x*y + y", "cross terms of degree 1", "xy_y"),
    _polynomial("xy_m_y", "x*y - y", "cross terms of degree 1", "xy_m_y"),
    _polynomial(
        "xy_x_y",
        "x*y + x + y",
        "cross terms of degree 1",
        "xy_x_y",
        description="multiplication of (x+1) and (y+1), less one",
    ),
    _polynomial("xy_x_m_y", "x*y + x - y", "cross terms of degree 1", "xy_x_m_y", papers=()),
    _polynomial("x2_y", "x^2 + y", "univariate terms", "x2_y", papers=_TOO),
    _polynomial("x2_m_y", "x^2 - y", "univariate terms", "x2_m_y"),
    _polynomial("x3_2y", "x^3 + 2*y", "univariate terms", "x3_2y"),
    _polynomial("x3_m_2y", "x^3 - 2*y", "univariate terms", "x3_m_2y"),
    _polynomial("x2_xy_y2", "x^2 + x*y + y^2", "cross terms of degree n", "x2_xy_y2", papers=_ALL_THREE),
    _polynomial("x2_xy_y2_x", "x^2 + x*y + y^2 + x", "cross terms of degree n", "x2_xy_y2_x", papers=_TOO),
    _polynomial("x3_xy", "x^3 + x*y", "cross terms of degree n", "x3_xy", papers=_TOO),
    _polynomial("x3_xy2_y", "x^3 + x*y^2 + y", "cross terms of degree n", "x3_xy2_y"),
    _polynomial(
        "x3_xy2_x",
        "x^3 + x*y^2 + x",
        "cross terms of degree n",
        papers=("mallinar2024",),
        description=f"{_DESCRIPTIONS['cross terms of degree n']}; the paper's formula",
    ),
    _polynomial("x2_y2", "x^2 + y^2", "sums of powers", "x2_y2", papers=_TOO),
    _polynomial("x2_m_y2", "x^2 - y^2", "sums of powers", "x2_m_y2"),
    *(_polynomial(f"x{n}_y{n}", f"x^{n} + y^{n}", "sums of powers") for n in (3, 4, 5, 6, 7)),
    _polynomial("x_plus_y_power_2", "(x + y)^2", "factorizable", "x2_2xy_y2"),
    *(_polynomial(f"x_plus_y_power_{n}", f"(x + y)^{n}", "factorizable", f"_x_y__{n}") for n in (3, 4)),
    *(_polynomial(f"x_plus_y_power_{n}", f"(x + y)^{n}", "factorizable") for n in (5, 6, 7)),
    _polynomial("x_plus_y_power_2_x_y", "(x + y)^2 + x + y", "factorizable", "x2_2xy_y2_x_y"),
    _polynomial("x_minus_y_power_2", "(x - y)^2", "factorizable", "x2_m_2xy_y2"),
    *(_polynomial(f"x_minus_y_power_{n}", f"(x - y)^{n}", "factorizable", f"_x_m_y__{n}") for n in (3, 4)),
    _three_operands("add_3", "x + y + z", "+"),
    _three_operands("subtract_3", "x - y - z", "-"),
    _three_operands("multiply_3", "x*y*z", "*"),
    _three_operands("x2_y2_z", "x^2 + y^2 + z", "="),
    _three_operands("x2_y2_z2", "x^2 + y^2 + z^2", "="),
)

#: name -> operation
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
#: Names of the 35 operations that Furuta et al. 2024 train on, family by family.
FURUTA_OPERATIONS: tuple[str, ...] = tuple(o.name for o in _ALL if "furuta2024" in o.papers)
_SPELLINGS = {spelling: operation for operation in _ALL for spelling in (operation.name, *operation.spellings)}
# Of two operations with one formula the first is meant, which leaves nothing out and reduces.
_BY_FORMULA = {operation.expression: operation for operation in reversed(_ALL)}
# Holds an underscore or a letter that no formula has: meant as a name, so that another name is worth suggesting.
_NAME = re.compile(r"(?=.*[^xyzabc0-9])[A-Za-z0-9_]+")
_RANDOM = ("random", "rand", "random_labels", "random_table")


def resolve(text: str) -> tuple[Operation | None, Expression]:
    """Return the expression meant by a name or a formula, and the operation if it is one of the table.

    Raises:
        InputError: on 'task.expression' if the text is neither.
    """
    name = text.strip()
    if name in _SPELLINGS:
        return _SPELLINGS[name], parse(_SPELLINGS[name].expression)
    if name in _RANDOM:
        raise InputError("task.expression", text, "is a task of its own: task.kind=random_labels")
    try:
        expression = parse(text)
    except InputError:
        hint = did_you_mean(name, _SPELLINGS) if _NAME.fullmatch(name) else ""
        if not hint:
            raise
        raise InputError("task.expression", text, f"is neither an expression nor an operation{hint}") from None
    return _BY_FORMULA.get(str(expression)), expression
