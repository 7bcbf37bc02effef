"""A random teacher: what it gives, and that a student with its weights has nothing left to learn."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import Dense
from groklab.tasks import TeacherStudent


def test_inputs_are_standard_normal_and_answers_the_teachers() -> None:
    task = TeacherStudent(examples=4000).build()
    assert task.features is not None
    assert task.values is not None
    assert (task.features.shape, task.values.shape, task.n_classes, task.n_ctx) == ((4000, 5), (4000, 5), 5, 0)
    assert not task.targets.any()
    # of 4,000: five standard errors are 0.08, of the fourth moment 0.8
    np.testing.assert_allclose(task.features.mean(0), 0, atol=0.08)
    np.testing.assert_allclose(np.cov(task.features.T), np.eye(5), atol=0.12)
    np.testing.assert_allclose((task.features**4).mean(0), 3, atol=0.8)
    (w0, b0), (w1, b1), (w2, b2) = TeacherStudent().teacher()
    by_hand = np.tanh(np.tanh(task.features @ w0 + b0) @ w1 + b1) @ w2 + b2
    np.testing.assert_allclose(task.values, by_hand, rtol=1e-12)
    assert task.values.std(0).min() > 0.05


def test_the_teacher_is_drawn_as_pytorch_draws_layers() -> None:
    layers = TeacherStudent(d_in=30, d_hidden=50, n_hidden_layers=3, d_out=7).teacher()
    assert [w.shape for w, _ in layers] == [(30, 50), (50, 50), (50, 50), (50, 7)]
    for w, b in layers:
        assert b.shape == w.shape[1:]
        bound = len(w) ** -0.5
        assert max(abs(w).max(), abs(b).max()) <= bound
        assert abs(w).max() > 0.97 * bound
        assert w.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_each_seed_draws_its_own_part() -> None:
    plain = TeacherStudent().build()
    again, data, teacher = (TeacherStudent(**s).build() for s in ({}, {"data_seed": 1}, {"teacher_seed": 1}))
    np.testing.assert_array_equal(plain.features, again.features)
    np.testing.assert_array_equal(plain.values, again.values)
    assert not np.isclose(plain.features, data.features).any()
    np.testing.assert_array_equal(plain.features, teacher.features)
    assert not np.isclose(plain.values, teacher.values).any()
    with pytest.raises(InputError, match=r"task\.data_seed"):
        TeacherStudent(data_seed=2**64).build()


def test_more_examples_begin_with_the_fewer() -> None:
    few, many = (TeacherStudent(examples=n).build() for n in (20, 50))
    assert few.features is not None
    assert many.features is not None
    np.testing.assert_array_equal(few.features, many.features[:20])


def test_a_student_with_the_teachers_weights_is_right() -> None:
    described = TeacherStudent()
    task = described.build()
    network = Dense(d_hidden=100, activation="tanh")
    shapes = network.shapes(task.shape)
    arrays = [a for layer in described.teacher() for a in layer]
    weights = {name: jnp.asarray(a) for name, a in zip(shapes, arrays, strict=True)}
    assert {name: w.shape for name, w in weights.items()} == shapes
    got = network.apply(weights, jnp.asarray(task.features), task.shape)
    np.testing.assert_allclose(got, task.values, rtol=1e-10, atol=1e-12)


def test_students_learn() -> None:
    changes = {"budget.steps": 300, "evaluation.every": 50, "optimiser.learning_rate": 3e-3, "network.d_hidden": 32}
    run = gl.train(gl.preset("omnigrok/teacher-student", changes))
    curves = run.curves()
    assert curves["train_loss"][-1] < 0.05 * curves["train_loss"][0]
    assert curves["test_loss"][-1] < 0.5 * curves["test_loss"][0]
    assert (curves["train_accuracy"][0], curves["test_accuracy"][0]) == (0, 0)
    assert curves["train_accuracy"][-1] > curves["test_accuracy"][-1]


def test_accuracy_is_the_share_within_the_tolerance() -> None:
    run = gl.train(gl.preset("omnigrok/teacher-student", {"budget.steps": 40, "objective.tolerance": 1e9}))
    assert (run.summary()["train_accuracy"], run.summary()["test_accuracy"]) == (1, 1)


def test_real_answers_need_a_real_objective() -> None:
    with pytest.raises(InputError, match=r"objective\.kind"):
        gl.train(gl.preset("omnigrok/teacher-student", {"objective.kind": "cross_entropy"}))
    with pytest.raises(InputError, match=r"split\.label_noise"):
        gl.train(gl.preset("omnigrok/teacher-student", {"split.label_noise": 0.1}))
