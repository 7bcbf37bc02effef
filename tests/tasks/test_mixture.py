from __future__ import annotations

import numpy as np
import pytest

from groklab.errors import InputError
from groklab.tasks import Arithmetic, Mixture, Split, make_split


def test_each_operation_answers_as_it_does_alone() -> None:
    task = Mixture(p=5, expressions=("x + y", "x^2 + y^2", "multiply")).build()
    x, y, place = task.algebra.operands.T
    assert task.n_inputs == 25 * 3
    assert task.d_vocab == 8
    for row in range(task.n_inputs):
        a, b, answer = int(x[row]), int(y[row]), int(task.targets[row])
        assert answer == [(a + b) % 5, (a * a + b * b) % 5, a * b % 5][place[row]]
        assert task.inputs[row].tolist() == [a, 5 + place[row], b]
    assert task.features is not None
    assert task.features.shape == (75, 12)
    np.testing.assert_array_equal(task.features.sum(1), 2 + (place > 0))
    assert task.algebra.commutative
    assert not Mixture(p=5, expressions=("x + y", "x - y")).build().algebra.commutative
    np.testing.assert_array_equal(task.operations, place)
    assert (task.loss_factor, task.shape.n_operations) == (3, 3)
    assert Mixture(p=5, expressions=("x + y", "x*y"), losses="mean").build().loss_factor == 1


def test_operations_keep_the_signs_that_they_have_alone() -> None:
    three = Mixture(p=5, expressions=("add", "multiply", "subtract"), tokens="signs", outputs="vocabulary").build()
    for i, name in enumerate(("add", "multiply", "subtract")):
        alone = Arithmetic(p=5, expression=name, layout="a op b", outputs="vocabulary").build()
        np.testing.assert_array_equal(three.inputs[three.operations == i], alone.inputs)
        np.testing.assert_array_equal(three.targets[three.operations == i], alone.targets)
        assert (three.d_vocab, three.n_classes) == (alone.d_vocab, alone.n_classes) == (10, 10)
    names = ("x2_y2", "add", "x3_xy", "x + y^2")
    more = Mixture(p=5, expressions=names, tokens="signs").build()
    # '=' is the first polynomial's, '+' addition's, and the others follow the five signs
    assert [int(more.inputs[more.operations == i][0, 1]) for i in range(4)] == [5, 6, 10, 11]
    assert (more.d_vocab, more.n_classes) == (12, 5)


@pytest.mark.parametrize("frac_train", [0.3, 0.8])
def test_a_pair_is_trained_on_in_every_operation_or_in_none(frac_train: float) -> None:
    task = Mixture(p=7, expressions=("x + y", "x - y", "x*y")).build()
    rows = make_split(Split(frac_train=frac_train), task, 3)
    operands = task.algebra.operands
    train, test = ({tuple(o[:2]) for o in operands[part]} for part in (rows.train, rows.test))
    assert not train & test
    assert len(train) == int(frac_train * 49)
    assert len(rows.train) == 3 * len(train)
    assert rows.schedule_weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("expressions", "message"),
    [
        (("x + y",), "two operations or more"),
        (("x + y", "x + y"), "twice"),
        (("x + y", "x + y + z"), "3 operands"),
        (("x + y", "x*y mod 7"), r"'x\*y mod 7': names a modulus; all of a mixture share task.p = 5"),
        (("x + y", "add_unreduced"), "not reduced mod p"),
        (("x + y", "x/y"), r"'x/y': is undefined at 5 pairs mod 5: \(0, 0\), \(1, 0\), \(2, 0\), …"),
    ],
)
def test_what_is_no_mixture_is_refused(expressions: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(p=5, expressions=expressions).build()


def test_rows_that_leave_an_operation_without_test_pairs_are_refused() -> None:
    task = Mixture(p=3, expressions=("x + y", "x*y")).build()
    with pytest.raises(InputError, match=r"leaves no test pair of the operation x \+ y"):
        make_split(Split(rows=tuple(range(10))), task, 0)
    with pytest.raises(InputError, match=r"leaves no training pair of the operation x\*y"):
        make_split(Split(rows=(0, 1)), task, 0)
    with pytest.raises(InputError, match="leaves no test input"):
        make_split(Split(n_train=9), task, 0)
