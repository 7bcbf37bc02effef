"""Factors of a polynomial over the integers and over the field of p elements, by FLINT.

A formula whose constants are fractions is factored over the rationals, which is the same but for a constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groklab.tasks._evaluation import NAMES, Node, divides, is_constant

if TYPE_CHECKING:
    from flint import fmpq_mpoly

#: Beyond these nothing is multiplied out: total degree, and bits of a coefficient.
MAX_DEGREE = 40
MAX_BITS = 4000

#: A polynomial in x and y: its coefficients by the exponents of x and y.
Terms = dict[tuple[int, int], int]


class NotFactored(Exception):
    """Why a formula was not factored, as the end of a sentence."""


@dataclass(frozen=True)
class Factor:
    """An irreducible polynomial, as text, and how often it divides a formula."""

    polynomial: str
    multiplicity: int


@dataclass(frozen=True)
class Factors:
    """A factored formula.

    Attributes:
        text: the product of everything.
        unit: the constant in front, as text.
        factors: the irreducible factors that are not constant.
        irreducible: whether there is exactly one.
        degree: the total degree, -1 for zero.
        degrees: those in x and in y.
    """

    text: str
    unit: str
    factors: list[Factor]
    irreducible: bool
    degree: int
    degrees: list[int]


def over_integers(tree: Node) -> Factors:
    """Factor a formula in x and y over the integers.

    Raises:
        NotFactored: for a formula that divides by a variable, or is too large once multiplied out.
    """
    polynomial = _polynomial(tree)
    unit, factors = polynomial.factor()
    terms = []
    for factor, n in factors:
        # FLINT makes rational factors monic; their denominators go into the constant
        coefficients = factor.to_dict()
        scale = math.lcm(*(int(c.denominator) for c in coefficients.values()))
        terms.append((_terms({k: int(scale * c) for k, c in coefficients.items()}), int(n)))
        unit /= scale**n
    return _factors(str(unit), terms, _terms(polynomial.to_dict()))


def over_field(tree: Node, p: int) -> Factors:
    """Factor a formula over the field of p elements, p a prime, as `over_integers` does.

    Coefficients are written from -(p-1)/2 to p/2. A polynomial that vanishes mod p has no factors, and `text` is '0'.

    Raises:
        NotFactored: as `over_integers`, and where p divides a denominator.
    """
    from flint import Ordering, nmod_mpoly_ctx

    rational = _terms(_polynomial(tree).to_dict())
    if any(int(c.denominator) % p == 0 for c in rational.values()):
        raise NotFactored(f"p = {p} divides a denominator")
    residues = {k: int(c.numerator) * pow(int(c.denominator), -1, p) % p for k, c in rational.items()}
    reduced: dict[tuple[int, ...], int] = {k: c for k, c in residues.items() if c}
    if not reduced:
        return _factors("0", [], {})
    context = nmod_mpoly_ctx.get(NAMES[:2], modulus=p, ordering=Ordering.lex)
    unit, factors = context.from_dict(reduced).factor()
    terms = [(_signed(_terms(factor.to_dict()), p), int(n)) for factor, n in factors]
    if sum(n for _, n in terms) == 1:
        # an irreducible one stays as it is, instead of becoming monic
        return _factors("1", [(_signed(_terms(reduced), p), 1)], _terms(reduced))
    return _factors(str(_signed({(0, 0): int(unit)}, p)[0, 0]), terms, _terms(reduced))


def _terms(coefficients: Mapping[Any, Any]) -> dict[tuple[int, int], Any]:
    return {(int(i), int(j)): c for (i, j), c in coefficients.items()}


def _signed(terms: Mapping[tuple[int, int], Any], p: int) -> Terms:
    return {k: int(c) if int(c) <= p // 2 else int(c) - p for k, c in terms.items()}


def _factors(unit: str, factors: list[tuple[Terms, int]], all_terms: Mapping[tuple[int, int], Any]) -> Factors:
    # short ones first and x before y, as one would write them by hand
    ordered = sorted(factors, key=lambda f: (_degree(f[0]), len(f[0]), [(-i, -j, -c) for (i, j), c in _by_hand(f[0])]))
    written = [(_written(terms), n) for terms, n in ordered]
    alone = len(written) == 1 and written[0][1] == 1
    if alone and unit == "1":
        text = written[0][0]
    else:
        parts = [(f"({t})" if " " in t else t) + (f"^{n}" if n > 1 else "") for t, n in written]
        sign = "-" if unit == "-1" and parts else ""
        text = sign + "*".join(parts if parts and unit in ("1", "-1") else [unit, *parts])
    degrees = [max((k[i] for k in all_terms), default=-1) for i in (0, 1)]
    return Factors(text, unit, [Factor(*f) for f in written], alone, _degree(all_terms), degrees)


def _by_hand(terms: Terms) -> list[tuple[tuple[int, int], int]]:
    """Order terms by total degree, the highest first, and x before y."""
    return sorted(terms.items(), key=lambda item: (-sum(item[0]), -item[0][0]))


def _written(terms: Terms) -> str:
    text = ""
    for powers, coefficient in _by_hand(terms):
        letters = "*".join(name if n == 1 else f"{name}^{n}" for name, n in zip(NAMES, powers, strict=False) if n)
        size = str(abs(coefficient)) if not letters or abs(coefficient) != 1 else ""
        part = "*".join(filter(None, (size, letters)))
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} {part}" if text else part if coefficient > 0 else f"-{part}"
    return text


def _degree(terms: Mapping[tuple[int, int], Any]) -> int:
    return max((i + j for i, j in terms), default=-1)


def _polynomial(tree: Node) -> fmpq_mpoly:
    """Multiply the formula out, with rational coefficients. Raises NotFactored."""
    from flint import Ordering, fmpq_mpoly_ctx

    if divides(tree):
        raise NotFactored("it divides by a variable, and is not a polynomial")
    degree, bits = _size(tree)
    if degree > MAX_DEGREE or bits > MAX_BITS:
        what = f"its degree may reach {degree:,}" if degree > MAX_DEGREE else f"its coefficients may have {bits:,} bits"
        limit = MAX_DEGREE if degree > MAX_DEGREE else MAX_BITS
        raise NotFactored(f"{what} once multiplied out, and nothing above {limit:,} is factored")
    context = fmpq_mpoly_ctx.get(NAMES[:2], Ordering.lex)
    variables = context.gens()

    def value(node: Node) -> Any:
        match node.op:
            case "number":
                return context.constant(node.value)
            case "variable":
                return variables[node.value]
            case "negate":
                return -value(node.args[0])
            case "^":
                base = value(node.args[0])
                return base**node.value if node.value >= 0 else _inverse(base) ** -node.value
        left, right = (value(part) for part in node.args)
        match node.op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case _:
                return left * _inverse(right)

    def _inverse(constant: Any) -> Any:
        if not constant:
            raise NotFactored("it divides by zero")
        return context.constant(1 / constant.leading_coefficient())

    multiplied_out: fmpq_mpoly = value(tree)
    return multiplied_out


def _size(node: Node) -> tuple[int, int]:
    """Bound the total degree and the bits of a coefficient, before anything is multiplied out."""
    match node.op:
        case "number":
            return 0, max(node.value.bit_length(), 1)
        case "variable":
            return 1, 1
        case "negate":
            return _size(node.args[0])
        case "^":
            degree, bits = _size(node.args[0])
            terms = 0 if is_constant(node.args[0]) else 2 * (degree + 1)
            return degree * abs(node.value), (bits + terms) * max(abs(node.value), 1)
    (left, left_bits), (right, right_bits) = (_size(part) for part in node.args)
    if node.op in "+-":
        return max(left, right), max(left_bits, right_bits) + 1
    return left + right, left_bits + right_bits + min(left, right).bit_length() * 2
