from __future__ import annotations

from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from groklab.errors import InputError
from groklab.registry import kinds
from groklab.tasks import OPERATIONS, Arithmetic, RandomLabels, parse, resolve

# Furuta et al. 2024: elementary, linear, cross terms, univariate terms, deep cross terms, powers, factorizable
PAPER_TABLE = """
add subtract multiply
2x_y 2x_m_y 2x_3y 2x_m_3y
xy_y xy_m_y xy_x_y
x2_y x2_m_y x3_2y x3_m_2y
x2_xy_y2 x2_xy_y2_x x3_xy x3_xy2_y
x2_y2 x2_m_y2 x3_y3 x4_y4 x5_y5 x6_y6 x7_y7
x_plus_y_power_2 x_minus_y_power_2 x_plus_y_power_2_x_y x_plus_y_power_3 x_plus_y_power_4 x_minus_y_power_3
x_minus_y_power_4 x_plus_y_power_5 x_plus_y_power_6 x_plus_y_power_7
"""
PAPER_OPERATIONS = PAPER_TABLE.split()


def operands(task) -> tuple[np.ndarray, np.ndarray]:
    return task.algebra.operands[:, 0], task.algebra.operands[:, 1]


# --- bugs of public code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [5, 97])
def test_division_really_divides(p: int) -> None:
    task = Arithmetic(p=p, expression="divide").build()
    x, y = operands(task)
    assert task.n_inputs == p * (p - 1)
    assert (task.targets * y % p == x).all()


def test_operation_tokens_do_not_alias_numbers() -> None:
    for layout in ("a op b", "a op b =", "a b ="):
        task = Arithmetic(p=97, layout=layout).build()
        constants = [token for token in task.shape.constants if token is not None]
        assert min(constants) >= 97
        assert task.n_inputs == 97**2


def test_xy_x_m_y_is_what_its_name_says() -> None:
    task = Arithmetic(p=13, expression="xy_x_m_y_short").build()
    x, y = operands(task)
    assert (task.targets == (x * y + x - y) % 13).all()


def test_the_cubic_of_mallinar_ends_in_x() -> None:
    assert OPERATIONS["x3_xy2_x"].expression == "x^3 + x*y^2 + x"


# --- operations ------------------------------------------------------------------------------------------------------


def test_every_operation_is_canonical_named_once_and_builds() -> None:
    spellings = [s for o in OPERATIONS.values() for s in (o.name, *o.spellings)]
    assert len(set(spellings)) == len(spellings)
    for name, operation in OPERATIONS.items():
        assert str(parse(operation.expression)) == operation.expression
        assert operation.description
        assert operation.source
        assert Arithmetic(p=5, expression=name).build().algebra.operation == name
        for spelling in operation.spellings:
            assert resolve(spelling)[0] is operation
        with pytest.raises(InputError):
            parse(name)  # a name is never a formula, so that neither hides the other


def test_all_35_operations_of_furuta_are_there() -> None:
    assert len(PAPER_OPERATIONS) == len(set(PAPER_OPERATIONS)) == 35
    assert set(PAPER_OPERATIONS) <= set(OPERATIONS)
    for key in [
        "x_x_y_short",
        "2x_m_3y_short",
        "x2_2xy_y2_x_y_short",
        "_x_y__3_short",
        "_x_m_y__4_short",
        "x2_xy_y2_short",
    ]:
        assert resolve(key)[0] is not None


def test_a_formula_is_recognised_as_its_operation() -> None:
    assert Arithmetic(p=5, expression="a + b").build().algebra.operation == "add"
    assert Arithmetic(p=5, expression="ab").build().algebra.operation == "multiply"
    assert Arithmetic(p=5, expression="x + 2y").build().algebra.operation is None


@pytest.mark.parametrize(
    ("names", "labels", "largest", "smallest"),
    [
        ("add subtract 2x_y 2x_m_y 2x_3y 2x_m_3y x2_y x2_m_y x3_2y x3_m_2y x5_y5 x7_y7", 97, 97, 97),
        ("x_plus_y_power_5 x_plus_y_power_7", 97, 97, 97),
        ("multiply xy_x_y xy_y xy_m_y x2_xy_y2 x2_xy_y2_x x3_xy x2_y2 x2_m_y2", 97, 193, 96),
        ("x3_xy2_y", 97, 113, 77),
        ("x3_y3", 97, 289, 81),
        ("x4_y4", 97, 385, 40),
        ("x6_y6", 97, 577, 12),
        ("x_plus_y_power_2 x_minus_y_power_2 x_plus_y_power_2_x_y", 49, 194, 97),
        ("x_plus_y_power_3 x_minus_y_power_3", 33, 291, 97),
        ("x_plus_y_power_4 x_minus_y_power_4", 25, 388, 97),
        ("x_plus_y_power_6", 17, 582, 97),
    ],
)
def test_label_counts_of_furuta_section_6_3(names: str, labels: int, largest: int, smallest: int) -> None:
    for name in names.split():
        counts = np.bincount(Arithmetic(p=97, expression=name).build().targets)
        counts = counts[counts > 0]
        assert (len(counts), counts.max(), counts.min()) == (labels, largest, smallest), name


def test_an_unknown_name_is_answered_with_a_near_one() -> None:
    with pytest.raises(InputError, match="did you mean multiply"):
        Arithmetic(p=5, expression="multply").build()
    with pytest.raises(InputError, match="'q' at character 1"):
        Arithmetic(p=5, expression="qq").build()
    with pytest.raises(InputError, match="random_labels"):
        Arithmetic(p=5, expression="random").build()


# --- inputs and layouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "expression", "row", "d_vocab"),
    [
        ("a b =", "x + y", [1, 2, 7], 8),
        ("a op b", "x + y", [1, 8, 2], 12),
        ("a op b =", "x + y", [1, 8, 2, 7], 12),
        ("a b", "x + y", [1, 2], 7),
        ("a op b", "x - y", [1, 9, 2], 12),
        ("a op b", "x*y", [1, 10, 2], 12),
        ("a op b", "x/y", [1, 11, 2], 12),
        ("a op b", "x^2 + y", [1, 7, 2], 12),
        ("a b =", "x + y + z", [1, 2, 3, 7], 8),
        ("a op b", "x + y + z", [1, 8, 2, 8, 3], 12),
        ("a op b =", "x + y + z", [1, 8, 2, 8, 3, 7], 12),
        ("a b =", "x^2", [1, 7], 8),
        ("a op b", "x^2", [1], 12),
        ("a op b =", "x^2", [1, 7], 12),
        ("a b", "x^2", [1], 7),
    ],
)
def test_layouts(layout: str, expression: str, row: list[int], d_vocab: int) -> None:
    task = Arithmetic(p=7, expression=expression, layout=layout).build()
    values = [1, 2, 3][: task.operands.shape[1]]
    at = np.flatnonzero((task.algebra.operands == values).all(axis=1))
    assert task.inputs[at].tolist() == [row]
    assert task.d_vocab == d_vocab
    assert task.n_classes == 7
    assert task.inputs.dtype == task.targets.dtype == np.int32
    assert Arithmetic(p=7, expression=expression, layout=layout, outputs="vocabulary").build().n_classes == d_vocab


def test_inputs_are_row_major() -> None:
    task = Arithmetic(p=113).build()
    a, b = operands(task)
    assert (a * 113 + b == np.arange(113**2)).all()
    assert (task.targets == (a + b) % 113).all()
    assert task.algebra.direction == 1


def test_the_sign_can_be_chosen_where_it_is_shown() -> None:
    assert Arithmetic(p=7, layout="a op b", op_token="-").build().inputs[0, 1] == 9
    with pytest.raises(InputError, match="shows no sign"):
        Arithmetic(p=7, op_token="-").build()


@pytest.mark.parametrize(
    ("rule", "n"),
    [("none", 25), ("any", 16), ("last", 20), ("auto", 25)],
)
def test_zeros_are_left_out_as_asked(rule: str, n: int) -> None:
    assert Arithmetic(p=5, expression="x*y", exclude_zeros=rule).build().n_inputs == n


def test_a_named_operation_brings_its_own_rule_for_zeros() -> None:
    assert Arithmetic(p=5, expression="multiply_non_zero").build().n_inputs == 16
    assert Arithmetic(p=5, expression="multiply_non_zero", exclude_zeros="none").build().n_inputs == 25


def test_unordered_pairs() -> None:
    task = Arithmetic(p=10, expression="add_unreduced", pairs="unordered").build()
    a, b = operands(task)
    assert task.n_inputs == 55
    assert (a <= b).all()
    assert (np.diff(a * 10 + b) > 0).all()
    assert Arithmetic(p=4, expression="xyz", pairs="unordered").build().n_inputs == 20
    for expression in ("x - y", "x^2", "x/y"):
        with pytest.raises(InputError, match=r"task\.pairs"):
            Arithmetic(p=7, expression=expression, pairs="unordered").build()


def test_addition_without_a_modulus() -> None:
    task = Arithmetic(p=10, modular=False).build()
    assert (task.n_classes, task.n_inputs) == (19, 100)
    assert task.algebra.p is None
    assert task.algebra.direction is None
    assert task.algebra.commutative
    with pytest.raises(InputError, match=r"negative answer -9"):
        Arithmetic(p=10, expression="x - y", modular=False).build()
    with pytest.raises(InputError, match="without a modulus answers must be below"):
        Arithmetic(p=97, expression="x^7", modular=False).build()
    with pytest.raises(InputError, match=r"task\.outputs"):
        Arithmetic(p=10, modular=False, outputs="vocabulary").build()


def test_the_operand_range_of_the_published_code() -> None:
    task = Arithmetic(p=97, layout="a op b", outputs="vocabulary", operand_range="vocabulary").build()
    assert task.n_inputs == 102**2
    assert (task.inputs[:, [0, 2]] >= 97).any(axis=1).sum() == 995
    assert (task.targets == (task.inputs[:, 0] + task.inputs[:, 2]) % 97).all()
    assert task.algebra.operands.max() == 96
    assert task.algebra.direction == 1
    assert task.algebra.commutative


@pytest.mark.parametrize("p", [2, 4, 6, 15, 16])
def test_division_modulo_a_composite_number_needs_units(p: int) -> None:
    if p > 2:
        with pytest.raises(InputError, match=r"task\.p.*divisors=units"):
            Arithmetic(p=p, expression="x/y").build()
    task = Arithmetic(p=p, expression="x/y", divisors="units").build()
    x, y = operands(task)
    assert task.n_inputs == p * sum(gcd(d, p) == 1 for d in range(p))
    assert (task.targets * y % p == x).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.sampled_from(sorted(OPERATIONS)))
def test_operations_agree_with_python_for_every_modulus(p: int, name: str) -> None:
    operation = OPERATIONS[name]
    if name == "divide" or len(parse(operation.expression).variables) > 2:
        return
    task = Arithmetic(p=p, expression=name).build()
    formula = operation.expression.replace("^", "**")
    for (x, y), answer in zip(task.algebra.operands.tolist(), task.targets.tolist(), strict=True):
        exact = eval(formula, {"x": x, "y": y})
        assert answer == (exact % p if operation.modular else exact)


def test_nothing_left_and_too_much() -> None:
    with pytest.raises(InputError, match="leaves no input"):
        Arithmetic(p=5, expression="x/(y - y)").build()
    with pytest.raises(InputError, match=r"gives 50,013,184 inputs \([0-9,]+ bytes\)"):
        Arithmetic(p=7072).build()
    with pytest.raises(InputError, match=r"task\.p"):
        Arithmetic(p=10**30, expression="xyz").build()


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"p": 1}, "task.p"), ({"p": 7, "layout": "a+b"}, "task.layout"), ({"p": 7, "pairs": "some"}, "task.pairs")],
)
def test_settings_by_hand_are_checked(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Arithmetic(**fields).build()
    assert caught.value.field == field


def test_components_are_registered_and_validated() -> None:
    assert kinds("task")["arithmetic"] is Arithmetic
    assert kinds("task")["random_labels"] is RandomLabels
    assert TypeAdapter(Arithmetic).validate_python({"p": 7}) == Arithmetic(p=7)
    for wrong in ({"p": 1}, {"p": 7, "layout": "ab"}, {"p": 7, "modulus": 7}, {}):
        with pytest.raises(ValidationError):
            TypeAdapter(Arithmetic).validate_python(wrong)


def test_random_labels_are_fixed_for_ever() -> None:
    task = RandomLabels(p=113).build()
    assert task.targets[:8].tolist() == [21, 26, 27, 105, 78, 21, 17, 12]
    assert (task.targets == RandomLabels(p=113, layout="a op b").build().targets).all()
    assert (task.targets != RandomLabels(p=113, label_seed=1).build().targets).mean() > 0.9
    assert np.array_equal(task.inputs, Arithmetic(p=113).build().inputs)
    counts = np.bincount(task.targets, minlength=113)
    assert 100 < ((counts - 113) ** 2 / 113).sum() < 150  # chi-square of 112 degrees of freedom, 4 deviations: 52-172
    assert task.algebra.direction is None
    assert not task.algebra.commutative


def test_random_labels_refuse_a_wrong_seed() -> None:
    with pytest.raises(InputError, match="label_seed"):
        RandomLabels(p=5, label_seed=-1).build()
    with pytest.raises(InputError, match="inputs"):
        RandomLabels(p=10**5).build()
