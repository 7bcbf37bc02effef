from __future__ import annotations

import numpy as np
import pytest

from groklab.errors import InputError
from groklab.tasks import Mixture, Split, make_split


def test_each_operation_answers_as_it_does_alone() -> None:
    task = Mixture(p=5, expressions=("x + y", "x^2 + y^2", "divide")).build()
    x, y, place = task.algebra["operands"].T
    assert task.n_inputs == 25 + 25 + 20
    assert task.d_vocab == 8
    for row in range(task.n_inputs):
        a, b, answer = int(x[row]), int(y[row]), int(task.targets[row])
        expected = [(a + b) % 5, (a * a + b * b) % 5, None][place[row]]
        assert answer == expected if expected is not None else answer * b % 5 == a
        assert task.inputs[row].tolist() == [a, 5 + place[row], b]
    assert task.features is not None
    assert task.features.shape == (70, 12)
    np.testing.assert_array_equal(task.features.sum(1), 2 + (place > 0))
    assert not task.algebra["commutative"]
    assert Mixture(p=5, expressions=("x + y", "x*y")).build().algebra["commutative"]


@pytest.mark.parametrize("frac_train", [0.3, 0.8])
def test_a_pair_is_trained_on_in_every_operation_or_in_none(frac_train: float) -> None:
    task = Mixture(p=7, expressions=("x + y", "x - y", "x*y")).build()
    rows = make_split(Split(frac_train=frac_train), task, 3)
    operands = task.algebra["operands"]
    train, test = ({tuple(o[:2]) for o in operands[part]} for part in (rows.train, rows.test))
    assert not train & test
    assert len(train) == int(frac_train * 49)
    assert len(rows.train) == 3 * len(train)
    assert rows.phase_weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("expressions", "message"),
    [(("x + y",), "two operations or more"), (("x + y", "x + y"), "twice"), (("x + y", "x + y + z"), "3 operands")],
)
def test_what_is_no_mixture_is_refused(expressions: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(p=5, expressions=expressions).build()
