"""Errors and stratified accuracies of any learner, against loops."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.measures.feature_doubles import Constant, Kernel, metric, network_case, some_rows, task_of

import groklab as gl
from groklab.learners._gradient_descent import accuracy
from groklab.measures import is_right, outputs
from groklab.measures._predictions import transpose_is_trained
from groklab.tasks import Task


def test_outputs_are_a_networks_logits_and_a_machines_predictions() -> None:
    model = network_case("subtract", "gelu")
    found = outputs(model.weights, model.task, None, model.network)
    assert found.shape == (25, 5)
    x = np.concatenate([np.eye(5)[model.task.inputs[7, 0]], np.eye(5)[model.task.inputs[7, 1]]])
    np.testing.assert_allclose(found[7], model.function(x)[:5], atol=1e-12)
    task, weights = task_of("add"), {"M": metric(10)}
    rows = some_rows(task)
    found = outputs(weights, task, rows, Kernel())
    # without a ridge, the training set is met
    np.testing.assert_allclose(found[rows], np.eye(5)[task.targets[rows]], atol=1e-6)
    with pytest.raises(gl.InputError, match="needs train_rows"):
        outputs(weights, task, None, Kernel())
    with pytest.raises(gl.InputError, match="needs its settings"):
        outputs(weights, task, rows)
    many = dataclasses.replace(task, targets=np.zeros((25, 2), np.int32), reads=(0, 2))
    with pytest.raises(gl.InputError, match="one answer per input"):
        outputs(weights, many, rows, Kernel())


@given(seed=st.integers(0, 999))
def test_errors_against_loops(seed: int) -> None:
    task, rng = task_of("subtract"), np.random.default_rng(seed)
    # few values, so that there are ties
    table = rng.integers(-1, 2, size=(25, 6)).astype(np.float64)
    rows = np.sort(rng.permutation(25)[: rng.integers(1, 25)])
    found = gl.MEASURES["errors"]({}, task, rows, network=Constant(table))
    assert len(found) == 6
    for name, own in (("train", rows), ("test", [i for i in range(25) if i not in rows])):
        squares, right, of_class = [], [], []
        for i in own:
            y = task.targets[i]
            squares += [(table[i, c] - (c == y)) ** 2 for c in range(5)]
            right.append(all(table[i, y] > table[i, c] for c in range(5) if c != y))
            of_class.append((table[i, y] - 1) ** 2)
        assert found[f"{name}_mse"] == pytest.approx(np.mean(squares))
        assert found[f"{name}_accuracy"] == pytest.approx(np.mean(right))
        assert found[f"{name}_correct_loss"] == pytest.approx(np.mean(of_class))
    by_learner = accuracy(jnp.asarray(table), jnp.asarray(task.targets), jnp.ones(25))
    assert np.mean(is_right(table, task.targets)) == pytest.approx(float(by_learner))


def test_an_empty_test_set_has_no_error() -> None:
    found = gl.MEASURES["errors"]({}, task_of("add"), np.arange(25), network=Constant(np.zeros((25, 5))))
    assert found["train_accuracy"] == 0
    assert found["train_mse"] == pytest.approx(1 / 5)
    assert np.isnan(found["test_accuracy"])
    with pytest.raises(gl.InputError, match="need train_rows"):
        gl.MEASURES["errors"]({}, task_of("add"), network=Constant(np.zeros((25, 5))))


def with_a_bit(pair: Task, offset: int) -> Task:
    """Two operations of the same pairs, told apart by a third column: x + y, and x + y + offset."""
    operands = np.concatenate([np.insert(pair.algebra.operands, 2, bit, axis=1) for bit in (0, 1)])
    targets = np.concatenate([pair.targets, (pair.targets + offset) % pair.n_classes]).astype(np.int32)
    algebra = dataclasses.replace(pair.algebra, operands=operands.astype(np.int32), n_variables=2)
    return dataclasses.replace(pair, inputs=operands.astype(np.int32), targets=targets, algebra=algebra)


@given(seed=st.integers(0, 999), bit=st.booleans())
def test_strata_against_loops(seed: int, bit: bool) -> None:
    task, rng = task_of("add"), np.random.default_rng(seed)
    if bit:
        task = with_a_bit(task, 2)
    n = task.n_inputs
    rows = np.sort(rng.permutation(n)[: rng.integers(1, n)])
    table = rng.normal(size=(n, 5))
    table[np.arange(n), task.targets] += rng.integers(0, 4, size=n)
    found = gl.MEASURES["stratified_accuracy"]({}, task, rows, network=Constant(table))
    places = {tuple(o): i for i, o in enumerate(task.algebra.operands.tolist())}
    strata: dict[bool, list[bool]] = {True: [], False: []}
    for (a, b, *rest), i in places.items():
        if i not in rows:
            strata[places[b, a, *rest] in rows].append(int(np.argmax(table[i])) == task.targets[i])
    assert found["n_transposed"] == len(strata[True])
    assert found["n_transpose_free"] == len(strata[False])
    for name, own in (
        ("transposed", strata[True]),
        ("transpose_free", strata[False]),
        ("test", strata[True] + strata[False]),
    ):
        assert found[f"{name}_accuracy"] == pytest.approx(np.mean(own) if own else np.nan, nan_ok=True)


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_who_knows_symmetry_or_antisymmetry_alone_is_found_out(operation: str) -> None:
    task = task_of(operation)
    rows = some_rows(task)
    known = np.zeros((25, 5))
    for i in range(25):
        a, b = task.algebra.operands[i]
        if i in rows or 5 * b + a in rows:
            known[i, task.targets[i]] = 1
    found = gl.MEASURES["stratified_accuracy"]({}, task, rows, network=Constant(known))
    assert (found["transposed_accuracy"], found["transpose_free_accuracy"]) == (1, 0)
    assert found["test_accuracy"] == found["n_transposed"] / 13
    model = network_case("add =", "relu")
    assert gl.MEASURES["stratified_accuracy"].online
    of_network = gl.MEASURES["stratified_accuracy"](model.weights, model.task, rows, network=model.network)
    right = np.argmax(outputs(model.weights, model.task, None, model.network), axis=1) == model.task.targets
    assert of_network["test_accuracy"] == np.mean(np.delete(right, rows))


def test_strata_where_order_matters_or_is_fixed() -> None:
    with pytest.raises(gl.InputError, match="order of operands matters"):
        transpose_is_trained(gl.read({"task": {"p": 5, "expression": "x + 2*y"}}).task.build(), np.arange(3))
    half = gl.read({"task": {"p": 5, "expression": "x + y", "pairs": "unordered"}}).task.build()
    with pytest.raises(gl.InputError, match="in one order only"):
        transpose_is_trained(half, np.arange(3))
    three = gl.read({"task": {"p": 3, "expression": "x + y + z"}}).task.build()
    with pytest.raises(gl.InputError, match="pairs of operands"):
        transpose_is_trained(three, np.arange(3))
