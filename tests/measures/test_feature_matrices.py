"""Feature matrices of networks and kernel machines, against gradients taken one input at a time."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from tests.measures.feature_doubles import NETWORK_CASES, Kernel, metric, network_case, pairs, some_rows, task_of

import groklab as gl
from groklab.measures import _feature_matrices as fm
from groklab.measures import activity
from groklab.networks import MLP, Transformer
from groklab.tasks import Task


@pytest.mark.parametrize(("task_name", "network_name"), NETWORK_CASES)
def test_closed_forms_against_jacobians(task_name: str, network_name: str) -> None:
    model = network_case(task_name, network_name)
    given = (model.weights, model.task, model.train, model.network)
    j = model.jacobians()
    by_class = np.zeros((j.shape[1], j.shape[2], j.shape[2]))
    for one in j:
        for i, row in enumerate(one):
            by_class[i] += np.outer(row, row) / len(j)
    np.testing.assert_allclose(fm.class_agops(*given), by_class, atol=1e-12)
    np.testing.assert_allclose(fm.network_agop(*given), by_class.sum(axis=0), atol=1e-12)
    root = fm.feature_matrix(*given)
    np.testing.assert_allclose(root @ root, by_class.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    nfm = fm.neural_feature_matrix(model.weights, model.task, model.network)
    np.testing.assert_allclose(nfm, model.w1.T @ model.w1, atol=1e-12)
    # the double is the network
    logits = activity(model.weights, model.task, model.network)["logits"]
    function = jax.jit(model.function)
    own = np.stack([function(x) for x in pairs(model.task)])
    np.testing.assert_allclose(logits, own[:, : logits.shape[1]], atol=1e-12)


def test_a_quadratic_network_has_the_formula_of_its_second_moment() -> None:
    model = network_case("add", "quadratic")
    w1, w2, x = model.w1, model.weights["unembed.W_U"].T, pairs(model.task)[model.train]
    moment = x.T @ x / len(x)
    expected = 4 * w1.T @ ((w2.T @ w2) * (w1 @ moment @ w1.T)) @ w1
    np.testing.assert_allclose(
        fm.network_agop(model.weights, model.task, model.train, model.network), expected, atol=1e-12
    )
    # a network that is not given is taken to be quadratic, and rows that are not given are all
    of_all = fm.network_agop(model.weights, model.task, np.arange(25), model.network)
    np.testing.assert_array_equal(fm.network_agop(model.weights, model.task), of_all)


def test_another_token_that_varies_counts_in_the_sums_and_not_in_the_matrix() -> None:
    pair = task_of("add =")
    inputs = np.concatenate([np.insert(pair.inputs, 2, sign, axis=1) for sign in (0, 1)])
    operands = np.concatenate([np.insert(pair.algebra.operands, 2, sign, axis=1) for sign in (0, 1)])
    task = dataclasses.replace(
        pair,
        inputs=inputs.astype(np.int32),
        targets=np.tile(pair.targets, 2),
        algebra=dataclasses.replace(pair.algebra, operands=operands.astype(np.int32), n_variables=2),
    )
    rng = np.random.default_rng(0)
    network = MLP(d_mlp=6, activation="quadratic")
    weights = {k: rng.normal(size=shape) for k, shape in network.shapes(task.shape).items()}
    moved = {k: v for k, v in weights.items() if k != "embed.2.W"} | {
        "hidden.0.b": weights["embed.2.W"][1],
        "unembed.b_U": np.zeros(5),
    }
    biased = MLP(d_mlp=6, activation="quadratic", biases=True)
    rows = some_rows(pair)
    np.testing.assert_allclose(
        fm.network_agop(weights, task, 25 + rows, network), fm.network_agop(moved, pair, rows, biased), atol=1e-12
    )
    np.testing.assert_array_equal(fm.operand_places(task, 15), range(10))


def test_coordinates_of_a_kernel_machine() -> None:
    # a sign that varies between the operands has one-hots of its own, and makes every position's longer
    pair = task_of("add")
    a, b = pair.inputs.T
    operands = np.concatenate([np.stack([a, b, np.full(25, sign)], axis=1) for sign in (5, 6)])
    algebra = dataclasses.replace(pair.algebra, operands=operands, n_variables=2)
    targets = np.tile(pair.targets, 2)
    mixed = dataclasses.replace(pair, inputs=operands[:, [0, 2, 1]], targets=targets, d_vocab=8, algebra=algebra)
    np.testing.assert_array_equal(fm.operand_places(mixed, 21), [*range(5), *range(14, 19)])
    with pytest.raises(gl.InputError, match="needs 7 coordinates per position"):
        fm.operand_places(mixed, 10)
    # real features: the operands' one-hots, then whatever else there is
    features = np.concatenate([np.tile(pairs(pair), (2, 1)), operands[:, 2:] == 6], axis=1)
    real = dataclasses.replace(mixed, inputs=np.zeros((50, 0), np.int32), features=features.astype(np.float64))
    np.testing.assert_array_equal(fm.operand_places(real, 11), range(10))
    np.testing.assert_array_equal(fm.feature_matrix({"M": metric(11)}, real), metric(11)[:10, :10])
    for other in (
        dataclasses.replace(real, features=features[:, ::-1] * 1.0),
        dataclasses.replace(real, features=None),
    ):
        with pytest.raises(gl.InputError):
            fm.operand_places(other, 11)


def test_a_kernel_machine_keeps_its_matrix() -> None:
    task, m = task_of("add"), metric(10)
    for network in (Kernel(), None):
        np.testing.assert_array_equal(fm.feature_matrix({"M": m}, task, None, network), m)
    first, upper, lower, second = fm.blocks(m)
    np.testing.assert_array_equal(np.block([[first, upper], [lower, second]]), m)


def test_agops_of_classes_by_a_kernel_machine() -> None:
    pair = task_of("add")
    task = dataclasses.replace(pair, features=np.pad(pairs(pair), ((0, 0), (0, 1)), constant_values=1.0))
    weights, rows = {"M": metric(11)}, some_rows(task)
    found = fm.class_agops(weights, task, rows, Kernel(1))
    assert found.shape == (5, 10, 10)
    np.testing.assert_allclose(found.sum(axis=0), Kernel(1).agop(weights, task, rows)[:10, :10])
    with pytest.raises(gl.InputError, match="needs its settings"):
        fm.class_agops(weights, task, rows)
    with pytest.raises(gl.InputError, match="needs train_rows"):
        fm.class_agops(weights, task, None, Kernel(1))


def test_what_does_not_apply_is_refused() -> None:
    model = network_case("add", "quadratic")
    task, weights = model.task, model.weights
    for network, other in (
        (Transformer(), "a transformer"),
        (MLP(d_mlp=6, n_hidden_layers=2), "more layers"),
        (MLP(d_mlp=6, d_embed=3), "shared embedding"),
    ):
        with pytest.raises(gl.InputError, match=f"one hidden layer on one-hot tokens, and not .*{other}"):
            fm.feature_matrix(weights, task, None, network)
    with pytest.raises(gl.InputError, match=r"\(6, 6\) for"):
        fm.feature_matrix(weights, task_of("even"), None, model.network)
    with pytest.raises(gl.InputError, match=r"unembed.W_U = 'missing'"):
        fm.feature_matrix({k: v for k, v in weights.items() if k != "unembed.W_U"}, task, None, model.network)
    with pytest.raises(gl.InputError, match="weights of a network"):
        fm.neural_feature_matrix({"M": np.eye(10)}, task)
    with pytest.raises(gl.InputError, match="weights are M; there are embed"):
        fm.feature_matrix(weights, task, None, Kernel())
    with pytest.raises(gl.InputError, match="needs 6 coordinates per position"):
        fm.feature_matrix({"M": np.eye(10)}, task_of("even"))
    for settings, why in (
        ({"p": 3, "expression": "x + y + z"}, "two operands mod p"),
        ({"p": 5, "expression": "x + y", "modular": False}, "two operands mod p"),
        ({"p": 5, "expression": "x + y", "operand_range": "vocabulary"}, "numbers for tokens"),
    ):
        with pytest.raises(gl.InputError, match=why):
            fm.feature_matrix({"M": np.eye(30)}, gl.read({"task": settings}).task.build())
    bare = Task("bare", task.inputs, task.targets, 5, 5)
    with pytest.raises(gl.InputError, match="bare is not such a task"):
        fm.feature_matrix({"M": np.eye(30)}, bare)
