"""What algebra says of operations: against brute force, and the facts that the literature's operations are known by."""

from __future__ import annotations

from itertools import product as pairs_of

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.tasks import (
    FURUTA_OPERATIONS,
    OPERATIONS,
    Arithmetic,
    Facts,
    algebra_of,
    over_field,
    over_integers,
    parse,
    power,
)
from groklab.tasks._algebra.factoring import NotFactored
from groklab.tasks._algebra.forms import Parts, Relabelling, additive, linear_form, product, relabelled
from groklab.tasks._residues import Power

coefficients = st.integers(-9, 9)
seeds = st.integers(0, 2**32 - 1)


def facts(text: str, p: int) -> Facts:
    expression = parse(text)
    return algebra_of(expression, expression.table(p), p)


def operations_that(p: int, holds) -> set[str]:
    return {name for name in FURUTA_OPERATIONS if holds(facts(OPERATIONS[name].expression, p))}


@st.composite
def polynomials(draw) -> str:
    """A product of sums of terms, multiplied by a constant that may be a fraction."""

    def term(c: int, i: int, j: int) -> str:
        return f"({c})*x^{i}*y^{j}"

    degrees = st.integers(0, 2)
    sums = st.lists(st.builds(term, coefficients, degrees, degrees), min_size=1, max_size=3).map(" + ".join)
    factors = draw(st.lists(st.tuples(sums, st.integers(1, 2)), min_size=1, max_size=2))
    constant = draw(st.sampled_from(["1", "-1", "6", "1/6", "-4/3"]))
    return f"{constant}*" + "*".join(f"({text})^{n}" for text, n in factors) + " + 0*x*y"


# --- factors ---------------------------------------------------------------------------------------------------------


@given(polynomials(), st.sampled_from([5, 7, 13]))
def test_factors_multiply_to_the_formula(text: str, p: int) -> None:
    tree, table = parse(text).tree, parse(text).table(p)
    for found in (over_integers(tree), over_field(tree, p)):
        np.testing.assert_array_equal(parse(f"{found.text} + 0*x*y").table(p), table)
        listed = "*".join([found.unit, *(f"({f.polynomial})^{f.multiplicity}" for f in found.factors)])
        np.testing.assert_array_equal(parse(f"{listed} + 0*x*y").table(p), table)
        assert found.irreducible == (sum(f.multiplicity for f in found.factors) == 1)


def test_a_quadratic_mod_3_is_irreducible_where_no_two_lines_multiply_to_it() -> None:
    lines = [line for line in pairs_of(range(3), repeat=3) if any(line[:2])]

    def times(left, right) -> tuple[int, ...]:
        (a, b, c), (d, e, f) = left, right
        return tuple(n % 3 for n in (a * d, a * e + b * d, b * e, a * f + c * d, b * f + c * e, c * f))

    reducible = {times(left, right) for left in lines for right in lines}
    generator = np.random.default_rng(0)
    quadratics = [q for q in generator.integers(0, 3, (60, 6)).tolist() if any(q[:3])]
    verdicts = []
    for a, b, c, d, e, f in quadratics:
        text = f"{a}*x^2 + {b}*x*y + {c}*y^2 + {d}*x + {e}*y + {f}"
        verdicts.append(over_field(parse(text).tree, 3).irreducible)
        assert verdicts[-1] == ((a, b, c, d, e, f) not in reducible), text
    assert set(verdicts) == {True, False}


@pytest.mark.parametrize(
    ("text", "p", "factors"),
    [
        ("x^2 + x*y + y^2", 97, {"x - 35*y", "x + 36*y"}),
        ("x^2 + x*y + y^2", 59, {"x^2 + x*y + y^2"}),
        ("x^2 + x*y + y^2", 113, {"x^2 + x*y + y^2"}),
        ("x^2 + y^2", 97, {"x - 22*y", "x + 22*y"}),
        ("x^2 + y^2", 113, {"x - 15*y", "x + 15*y"}),
        ("x^2 + y^2", 59, {"x^2 + y^2"}),
    ],
)
def test_what_is_irreducible_over_the_integers_may_factor_over_the_field(text: str, p: int, factors: set) -> None:
    found = facts(text, p)
    assert found.integers.irreducible
    assert {f.polynomial for f in found.field.factors} == factors


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x^2 - y^2", "(x + y)*(x - y)"),
        ("x*y + y", "y*(x + 1)"),
        ("(2*x + y)^2/4", "1/4*(2*x + y)^2"),
        ("y - x", "-(x - y)"),
        ("x^2 + 2*x*y + y^2", "(x + y)^2"),
        ("6*y^2*x", "6*x*y^2"),
        ("x*y + x + y", "x*y + x + y"),
        ("0*x + 3 + 0*y", "3"),
    ],
)
def test_factors_are_written_as_by_hand(text: str, written: str) -> None:
    assert over_integers(parse(text).tree).text == written


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x/y", "divides by a variable"),
        ("x*y^-2", "divides by a variable"),
        ("(x + y)^999999999", "degree may reach 999,999,999"),
        ("999999999^999999999*x", "bits"),
        ("x/(1 - 1) + y", "divides by zero"),
    ],
)
def test_what_is_not_factored_says_why(text: str, why: str) -> None:
    with pytest.raises(NotFactored, match=why):
        over_integers(parse(text).tree)


# --- functions of less -----------------------------------------------------------------------------------------------


@given(st.sampled_from([2, 3, 5, 7, 31]), seeds)
def test_a_function_of_one_form_is_found_with_its_form(p: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    u, v = generator.integers(0, p, 2)
    x, y = np.mgrid[:p, :p]
    answer_of = generator.integers(0, p, p)
    table = answer_of[(u * x + v * y) % p]
    found = linear_form(table, p)
    if len(np.unique(table)) == 1:
        assert found is None
        return
    assert found is not None
    a, b = found.coefficients
    assert (a * v - b * u) % p == 0
    assert (a % p, b % p) != (0, 0)
    assert found.values == len(np.unique(answer_of))
    assert found.bijective == (len(np.unique(answer_of)) == p)
    table[0, 0] = (table[0, 0] + 1) % p
    if p > 3:
        assert linear_form(table, p) is None


@pytest.mark.parametrize(
    ("text", "p", "form"),
    [
        ("(2*x - 3*y)^2", 97, "2*x - 3*y"),
        ("y - x", 97, "x - y"),
        ("49*x + y", 97, "x + 2*y"),
        ("y^3 + 0*x", 97, "y"),
        ("(x - y)^2", 96, "x - y"),
        ("2*x + y", 96, None),
        ("x*y", 97, None),
    ],
)
def test_forms_are_written_with_small_multiples(text: str, p: int, form: str | None) -> None:
    found = facts(text, p).linear_form
    assert (found and found.form) == form


@given(st.sampled_from([5, 7, 31]), seeds)
def test_sums_and_products_are_found_and_nothing_near_them(p: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    g, h = generator.permutation(p), generator.integers(0, p, p)
    c = int(generator.integers(0, p))
    values = [p, len(np.unique(h))]
    total, times = (g[:, None] + h) % p, (g[:, None] * h + c) % p
    found = additive(total, p)
    assert found == Parts(values, [True, values[1] == p])
    assert product(total, p) is None
    if values[1] > 1:
        found = product(times, p)
        assert found is not None
        assert found.constant % p == c
        assert found.values == values
        assert additive(times, p) is None
    for table in (total, times):
        table[0, 0] = (table[0, 0] + 1) % p
        assert additive(table, p) is None
    assert product(total, p) is None


@given(st.sampled_from([2, 3, 5, 7, 13]), seeds)
def test_addition_and_multiplication_are_known_by_other_names(p: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    g, h, names = (generator.permutation(p) for _ in range(3))
    total = names[(g[:, None] + h) % p]
    found = relabelled(total, p)
    assert found is not None
    assert found.of == "addition"
    times = names[g[:, None] * h % p]
    found = relabelled(times, p)
    assert found is not None
    assert found.of == "multiplication"
    if p > 2:
        assert found.zeros == [int(np.argmin(g)), int(np.argmin(h))]
        assert found.zero == names[0]
        total[0, 0] = total[0, 1]
        times[g == 1, h == 1] = names[2]
        assert relabelled(total, p) is None
        assert relabelled(times, p) is None


def test_a_latin_square_that_is_no_cyclic_group_is_not_addition() -> None:
    klein = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    assert relabelled(klein, 4) is None
    # a loop of order 5 in which 1 o 1 = 2 o 2 = 0: no group, as 2 does not divide 5
    loop = np.array([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
    assert all(sorted(line) == [0, 1, 2, 3, 4] for line in (*loop, *loop.T))
    assert relabelled(loop, 5) is None


def test_division_is_multiplication_where_it_is_defined() -> None:
    found = facts("x/y", 13)
    assert found.relabelled == Relabelling("multiplication", [0, None], 0, [None, 0])
    assert found.product.constant == 0
    assert found.one_to_one == [True, False]
    task = Arithmetic(p=13, expression="multiply_non_zero", layout="a b").build()
    table = np.full((13, 13), -1, np.int64)
    table[tuple(task.inputs.T)] = task.targets
    assert relabelled(table, 13) == Relabelling("multiplication", [None, None], None, [0, 0])
    assert facts("x^-1 + 2*y", 13).relabelled == Relabelling("addition", [None, None], None, [0, None])
    assert facts("3 - x^-1 + y^-5", 13).relabelled == Relabelling("addition", [None, None], None, [0, 0])
    assert facts("x^-2 + y", 13).relabelled is None


# --- the operations of Furuta et al. 2024 ----------------------------------------------------------------------------

PLAIN = {"add", "subtract", "2x_y", "2x_m_y", "2x_3y", "2x_m_3y"}
FIFTH_AND_SEVENTH = {"x5_y5", "x7_y7", "x_plus_y_power_5", "x_plus_y_power_7"}
CUBES = {"x3_y3", "x3_2y", "x3_m_2y", "x_plus_y_power_3", "x_minus_y_power_3"}


@pytest.mark.parametrize(
    ("p", "addition"),
    [(97, PLAIN | FIFTH_AND_SEVENTH), (59, PLAIN | FIFTH_AND_SEVENTH | CUBES), (113, PLAIN | CUBES | {"x5_y5"})],
)
def test_which_are_addition_or_multiplication_in_disguise(p: int, addition: set[str]) -> None:
    def named(kind: str) -> set[str]:
        return operations_that(p, lambda f: f.relabelled and f.relabelled.of == kind)

    fifth = {"x_plus_y_power_5"} if p == 113 else set()
    assert named("addition") == addition | fifth
    assert named("multiplication") == {"multiply", "xy_y", "xy_m_y", "xy_x_y"}


def test_families_are_what_their_names_say() -> None:
    group = {name: OPERATIONS[name].group for name in FURUTA_OPERATIONS}
    of_x_and_y = operations_that(97, lambda f: f.linear_form and f.linear_form.form in ("x + y", "x - y"))
    assert of_x_and_y == {n for n in group if group[n] == "factorizable"} | {"add", "subtract"}
    sums = operations_that(97, lambda f: f.additive)
    assert sums == {n for n in group if group[n] in ("sums of powers", "univariate terms", "linear")} | {
        "add",
        "subtract",
    }
    nothing = operations_that(97, lambda f: not (f.linear_form or f.additive or f.product))
    assert nothing == {n for n in group if group[n] == "cross terms of degree n"}


@pytest.mark.parametrize(
    ("p", "counts"),
    [
        (97, [49, 33, 25, 97, 17, 97]),
        (59, [30, 59, 30, 59, 30, 59]),
        (113, [57, 113, 29, 113, 57, 17]),
    ],
)
def test_how_many_powers_there_are(p: int, counts: list[int]) -> None:
    found = [power(n, p) for n in range(2, 8)]
    assert [f.values for f in found] == counts
    assert [f.bijective for f in found] == [n == p for n in counts]
    assert [1 + (p - 1) // f.gcd for f in found] == counts


def test_the_powers_that_occur() -> None:
    def exponents(text: str) -> list[int]:
        return [f.exponent for f in facts(text, 97).powers]

    assert exponents("(x + y)^5") == [5]
    assert exponents("x^3 + x*y^2 + y") == [2, 3]
    assert exponents("x*x + 2*x*y + y*y") == [2]
    assert exponents("x*y") == []
    assert exponents("x^-2*y") == [-2]
    assert facts("x^999999999 + y", 97).powers[0].values == power(999_999_999 % 96, 97).values


def test_symmetry() -> None:
    assert (facts("x*y", 97).symmetric, facts("x*y", 97).antisymmetric) == (True, False)
    assert (facts("(x - y)^3", 97).symmetric, facts("(x - y)^3", 97).antisymmetric) == (False, True)
    assert (facts("(x - y)^3", 2).symmetric, facts("(x - y)^3", 2).antisymmetric) == (True, True)
    assert facts("x^2 + y", 97).one_to_one == [False, True]


def test_what_is_undefined_says_why_and_is_none() -> None:
    found = facts("x^2 + 3*y", 12)
    assert set(found.undefined) == {"product", "relabelled", "field"}
    assert all("12 is not a prime" in why for why in found.undefined.values())
    assert found.powers == [Power(exponent=2, gcd=None, values=4, bijective=False)]
    found = facts("x/(x + y)", 11)
    assert set(found.undefined) == {"additive", "product", "relabelled", "integers", "field"}
    assert all(getattr(found, key) is None for key in found.undefined)
    expression = parse("x + y")
    found = algebra_of(expression, expression.evaluate({"x": np.arange(5)[:, None], "y": np.arange(5)}, None), 5, False)
    assert found.symmetric
    assert {"linear_form", "relabelled", "antisymmetric"} < set(found.undefined)
    assert facts("97*x + 0*y", 97).constant
    assert facts("97*x + 0*y", 97).field.text == "0"


FORMULAS = (
    "x + y",
    "x - y",
    "x*y",
    "2*x + 3*y",
    "x^2 + y",
    "x^2 + y^2",
    "(x - y)^3",
    "x*y + x + y",
    "3*x + 0*y",
    "x/y",
    "x^3 + x*y",
)


@pytest.mark.parametrize("p", [2, 3, 7, 11, 4, 8, 9, 25, 6, 12, 15])
@pytest.mark.parametrize("text", FORMULAS)
def test_facts_hold_by_brute_force_for_any_modulus(text: str, p: int) -> None:
    """Primes, powers of primes and others; what is not decided for a modulus says so and is None."""
    found, table, prime = facts(text, p), parse(text).table(p), p in (2, 3, 7, 11)
    defined = [(x, y) for x in range(p) for y in range(p) if table[x, y] >= 0]
    f = {(x, y): int(table[x, y]) for x, y in defined}
    assert found.symmetric == all(f.get((y, x)) == v for (x, y), v in f.items())
    assert found.antisymmetric == all(f.get((y, x)) == -v % p for (x, y), v in f.items())
    columns = [[v for (_, y), v in f.items() if y == at] for at in range(p)]
    rows = [[v for (x, _), v in f.items() if x == at] for at in range(p)]
    assert found.one_to_one == [all(len(set(c)) == len(c) for c in lines) for lines in (columns, rows)]
    assert found.constant == (len(set(f.values())) == 1)

    def depends_on(u: int, v: int) -> bool:
        answer_of: dict[int, int] = {}
        return all(answer_of.setdefault((u * x + v * y) % p, answer) == answer for (x, y), answer in f.items())

    tried = [(u, v) for u in range(p) for v in range(p) if u or v] if prime else [(1, 0), (0, 1), (1, 1), (1, p - 1)]
    if found.linear_form is None:
        assert found.constant or not any(depends_on(u, v) for u, v in tried)
    else:
        assert depends_on(*found.linear_form.coefficients)
        assert found.linear_form.values == len(set(f.values()))

    xs, ys = sorted({x for x, _ in f}), sorted({y for _, y in f})
    if len(f) < len(xs) * len(ys):
        assert {"additive", "product", "relabelled"} <= set(found.undefined)
        return
    is_sum = all((f[x, y] - f[xs[0], y] - f[x, ys[0]] + f[xs[0], ys[0]]) % p == 0 for x, y in f)
    assert (found.additive is not None) == is_sum

    def is_product(c: int) -> bool:
        inside = np.array([[f[x, y] - c for y in ys] for x in xs])
        at = np.argwhere(inside % p)
        if not len(at):
            return True
        i, j = at[0]
        return not ((inside * inside[i, j] - np.outer(inside[:, j], inside[i])) % p).any()

    if prime:
        assert (found.product is not None) == (not is_sum and any(map(is_product, range(p))))
    else:
        assert {"product", "field"} <= set(found.undefined)
        # a sum with both parts one-to-one is addition renamed; a product is renamed nothing that has been decided
        latin = len(xs) == len(ys) == p and all(found.one_to_one)
        if is_sum and latin:
            assert found.relabelled is not None
            assert found.relabelled.of == "addition"
        elif not latin:
            assert "relabelled" in found.undefined
    for one in found.powers:
        values = {pow(x, abs(one.exponent), p) for x in range(p)}
        assert (one.values, one.bijective) == (len(values), len(values) == p)
