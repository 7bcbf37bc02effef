from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.tasks import Expression, find_direction, parse
from groklab.tasks._evaluation import invert
from groklab.tasks._expression import MAX_LENGTH, MAX_NESTING, is_commutative

Reference = Callable[[int, int, int, int], int | None]
Written = tuple[str, Reference]


def _binary(sign: str, left: Written, right: Written) -> Written:
    def value(x: int, y: int, z: int, p: int) -> int | None:
        a, b = left[1](x, y, z, p), right[1](x, y, z, p)
        if a is None or b is None:
            return None
        if sign == "/":
            try:
                return a * pow(b, -1, p) % p
            except ValueError:
                return None
        return {"+": a + b, "-": a - b, "*": a * b, "": a * b}[sign] % p

    text = f"({left[0]}){sign}({right[0]})"
    return text, value


def _power(base: Written, exponent: int) -> Written:
    def value(x: int, y: int, z: int, p: int) -> int | None:
        a = base[1](x, y, z, p)
        try:
            return None if a is None else pow(a, exponent, p)
        except ValueError:
            return None

    return f"({base[0]})**({exponent})", value


def _negated(inner: Written) -> Written:
    def value(x: int, y: int, z: int, p: int) -> int | None:
        a = inner[1](x, y, z, p)
        return None if a is None else -a % p

    return f"-({inner[0]})", value


leaves = st.one_of(
    st.sampled_from(["x", "y", "z"]).map(lambda v: (v, lambda x, y, z, p: {"x": x, "y": y, "z": z}[v] % p)),
    st.integers(0, 10**9 - 1).map(lambda n: (str(n), lambda x, y, z, p: n % p)),
)
expressions = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(_binary, st.sampled_from(["+", "-", "*", "/", ""]), parts, parts),
        st.builds(_power, parts, st.one_of(st.integers(-5, 5), st.integers(-(10**9) + 1, 10**9 - 1))),
        st.builds(_negated, parts),
    ),
    max_leaves=6,
).filter(lambda written: len(written[0]) <= MAX_LENGTH and any(v in written[0] for v in "xyz"))
moduli = st.one_of(st.integers(2, 40), st.sampled_from([97, 113, 2**31 - 1, 2**31 - 2, 65536]))


def _points(e: Expression, seed: int, n: int = 12) -> dict[str, np.ndarray]:
    draws = np.random.Philox(key=seed).random_raw(n * len(e.variables)) % np.uint64(2**40)
    return dict(zip(e.variables, draws.astype(np.int64).reshape(-1, n) - 2**39, strict=True))


@settings(max_examples=150, deadline=None)
@given(expressions, moduli, st.integers(0, 2**32))
def test_values_equal_python_integers_modulo_p(written: Written, p: int, seed: int) -> None:
    text, reference = written
    e = parse(text)
    points = _points(e, seed)
    full = {"x": [0] * 12, "y": [0] * 12, "z": [0] * 12} | {k: v.tolist() for k, v in points.items()}
    expected = [reference(x, y, z, p) for x, y, z in zip(full["x"], full["y"], full["z"], strict=True)]
    try:
        answers, units = e.evaluate(points, p), e.unit_mask(points, p)
    except InputError:  # a constant denominator without an inverse
        assert expected == [None] * 12
        return
    assert answers.dtype == np.int64
    assert [int(a) if u else None for a, u in zip(answers, units, strict=True)] == expected


@settings(max_examples=150, deadline=None)
@given(expressions, st.integers(0, 2**32))
def test_canonical_text_reads_back_as_the_same_expression(written: Written, seed: int) -> None:
    e = parse(written[0])
    again = parse(str(e))
    assert again == e
    assert str(again) == str(e)
    assert again.divides == e.divides


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=250), st.text("xyzabc0123456789+-*/^() ", max_size=40)))
def test_any_text_is_an_expression_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        e = parse(text)
        e.evaluate({name: np.arange(5) for name in e.variables}, 5)


@settings(max_examples=100, deadline=None)
@given(expressions, st.integers(1, 2000))
def test_integers_without_a_modulus_are_exact_or_refused(written: Written, largest: int) -> None:
    e = parse(written[0])
    points = {name: np.array([0, 1, largest]) for name in e.variables}
    try:
        answers = e.evaluate(points, None)
    except InputError:
        return
    big = (1 << 80) + 7  # every answer that fits 64 bits is told apart by its remainder
    for row, answer in enumerate(answers):
        value = {"x": 0, "y": 0, "z": 0} | {k: int(v[row]) for k, v in points.items()}
        assert written[1](value["x"], value["y"], value["z"], big) == int(answer) % big


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2x", "2*x"),
        ("xy", "x*y"),
        ("2(x+y)", "2*(x + y)"),
        ("(a+b)(a-b)", "(x + y)*(x - y)"),
        ("a ** 2 + b^-1", "x^2 + y^-1"),
        ("-x^2", "-x^2"),
        ("(-x)^2", "(-x)^2"),
        ("x - (y - z)", "x - (y - z)"),
        ("x/(y/z)", "x/(y/z)"),
        ("x--y", "x - -y"),
        ("y", "y"),
    ],
)
def test_notation(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_signs_and_powers_bind_as_in_algebra() -> None:
    three = {"x": np.array([3]), "y": np.array([5]), "z": np.array([2])}
    for text, value in [("-x^2 + y", -4), ("2x^2", 18), ("x - y - z", -4), ("x*-y", -15), ("xy^2", 75), ("x^0", 1)]:
        assert parse(text).evaluate(three, None).tolist() == [value]
    assert parse("x/y*z").evaluate(three, 7).tolist() == [3 * 3 * 2 % 7]  # 1/5 = 3 mod 7


def test_a_lone_y_is_a_function_of_two_operands() -> None:
    assert parse("b").variables == ("x", "y")
    assert parse("x + z").variables == ("x", "y", "z")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x" * 201, "201 characters"),
        ("x" * 150, "299 characters once every product"),
        ("(" * 51 + "x" + ")" * 51, "character 51"),
        ("-" * 51 + "x", "character 51"),
        ("1000000000x", "10^9"),
        ("x^1000000000", "10^9"),
        ("x^y", "at character 3, before 'y'"),
        ("x^2^3", "(x^2)^3"),
        ("x/2y", "ambiguous"),
        ("x2", "at character 2, before '2'"),
        ("x + a", "not both"),
        ("12", "at least one variable"),
        ("x +", "the end"),
        ("x)", "at character 2, before ')'"),
        ("1.5x", "'.' at character 2"),
        ("__import__('os')", "'_' at character 1"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_limits_themselves_are_allowed() -> None:
    assert parse("(" * MAX_NESTING + "x" + ")" * MAX_NESTING).variables == ("x",)
    assert len(parse("+".join("x" * 100)).text) == 199
    assert parse("x^999999999").evaluate({"x": np.array([5])}, 2**31 - 1) == pow(5, 999999999, 2**31 - 1)


def test_division_without_a_modulus_and_overflow_are_refused() -> None:
    for text in ("x/2", "x^-1"):
        with pytest.raises(InputError, match="needs a modulus"):
            parse(text).evaluate({"x": np.array([4])}, None)
    e = parse("x^63")
    assert e.evaluate({"x": np.array([1, 0, -1])}, None).tolist() == [1, 0, -1]
    with pytest.raises(InputError, match="64-bit"):
        e.evaluate({"x": np.array([2])}, None)
    with pytest.raises(InputError, match="64-bit"):
        parse("x^999999999").evaluate({"x": np.array([2])}, None)


@pytest.mark.parametrize("text", ["x^y", "2^x", "x**(y + 1)", "gcd(x, y)", "x % y", "x mod y", "x!", "|x|"])
def test_other_functions_are_told_about_tables_and_plug_ins(text: str) -> None:
    with pytest.raises(InputError, match=r"is a table of yours \(task\.kind=table\) or a plug-in$"):
        parse(text)


def test_a_constant_denominator_must_be_a_unit() -> None:
    assert not parse("x/2").divides
    assert parse("x/2").evaluate({"x": np.arange(5)}, 5).tolist() == [0, 3, 1, 4, 2]
    with pytest.raises(InputError, match=r"task\.p = 6: .*divides by 2\*2"):
        parse("x/(2*2)").evaluate({"x": np.arange(6)}, 6)


@pytest.mark.parametrize("p", [1, 0, -3, 2**31])
def test_the_modulus_has_a_range(p: int) -> None:
    with pytest.raises(InputError) as caught:
        parse("x").evaluate({"x": np.arange(2)}, p)
    assert caught.value.field == "task.p"


@pytest.mark.parametrize("p", [2, 12, 97, 360])
def test_inverses(p: int) -> None:
    inverse = invert(np.arange(p), p)
    for value in range(p):
        try:
            assert inverse[value] == pow(value, -1, p)
        except ValueError:
            assert inverse[value] == 0


def test_direction_and_commutativity() -> None:
    cases = {
        "x + y": (1, True),
        "x - y": (-1, False),
        "(x - y)^2": (-1, True),
        "(x+y)^2 + x + y": (1, True),
        "x*y": (None, True),
        "x^2 + xy + y^2": (None, True),
        "2x + y": (None, False),
        "x/y": (None, False),
        "(x+y)/(x+y)": (1, True),
        "x^11 + y": (1, True),  # Fermat: x^11 = x mod 11
    }
    for text, (direction, commutative) in cases.items():
        assert find_direction(parse(text).table(11), 11) == direction, text
        assert is_commutative(parse(text).table(11)) == commutative, text
    assert find_direction(parse("x^2").table(11), 11) is None
    assert not is_commutative(parse("x^2").table(11))
    assert is_commutative(parse("xyz").table(5))
    assert not is_commutative(parse("x + y - z").table(5))


def test_broadcasting_keeps_unused_operands() -> None:
    e = parse("y")
    x, y = np.ix_(np.arange(3), np.arange(4))
    assert e.evaluate({"x": x, "y": y}, 5).tolist() == [[0, 1, 2, 3]] * 3
    assert e.unit_mask({"x": x, "y": y}, 5).shape == (3, 4)


def test_division_agrees_with_rational_numbers() -> None:
    value = Fraction(3, 4) - Fraction(2, 5)
    expected = value.numerator * pow(value.denominator, -1, 97) % 97
    assert parse("x/4 - 2/5").evaluate({"x": np.array([3])}, 97).tolist() == [expected]
