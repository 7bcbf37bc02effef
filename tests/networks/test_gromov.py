"""Weights written down: how often they are right is a function of the width alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab import training
from groklab.errors import InputError
from groklab.networks.mlp import MLP
from groklab.tasks.base import TaskShape


def accuracy(p: int, width: int, seed: int, scheme: str = "gromov", **settings: object) -> float:
    """Share of all pairs (of non-zero numbers for products) whose answer has the largest logit."""
    net = MLP(d_mlp=width, activation="quadratic", init_scheme=scheme, **settings)
    shape = TaskShape(p, 2, p, (None, None))
    weights = net.init(jax.random.key(seed), shape, jnp.float32)
    first = int(scheme == "gromov_log")
    a, b = np.mgrid[first:p, first:p].reshape(2, -1)
    logits = net.apply(weights, net.prepare(jnp.asarray(np.stack([a, b], 1), jnp.int32), shape), shape)
    return float((np.asarray(logits).argmax(1) == (a * b if first else a + b) % p).mean())


@pytest.mark.parametrize("p", [97, 113])
def test_addition_is_solved_as_the_width_grows(p: int) -> None:
    mean = {width: np.mean([accuracy(p, width, seed) for seed in range(5)]) for width in (50, 100)}
    assert 0.8 <= mean[50] <= 0.97
    assert mean[100] >= 0.99
    assert [accuracy(p, width, seed) for width in (200, 500) for seed in range(3)] == [1.0] * 6


@pytest.mark.parametrize("p", [31, 61])
def test_multiplication_is_solved_in_logarithms(p: int) -> None:
    assert [accuracy(p, 400, seed, "gromov_log") for seed in range(3)] == [1.0] * 3
    assert accuracy(p, 50, 0, "gromov_log") < 1


def test_logits_are_the_one_hot_answer_up_to_noise() -> None:
    p, width = 23, 20_000
    shape = TaskShape(p + 1, 3, p, (None, None, p))
    net = MLP(d_mlp=width, activation="quadratic", init_scheme="gromov", biases=True)
    weights = net.init(jax.random.key(0), shape, jnp.float64)
    assert {k: w.shape for k, w in weights.items()} == net.shapes(shape)
    assert not weights["embed.0.W"][p].any()  # the sign's
    assert float(abs(weights["embed.1.W"]).max()) == pytest.approx((2 / width) ** (1 / 3), rel=1e-3)
    a, b = np.mgrid[:p, :p].reshape(2, -1)
    tokens = jnp.asarray(np.stack([a, b, np.full(p * p, p)], 1), jnp.int32)
    expected = np.eye(p)[(a + b) % p] * (1 + 1 / (p - 1)) - 1 / (p - 1)
    np.testing.assert_allclose(net.textbook(weights, tokens, shape), expected, atol=8 / width**0.5)


def test_scales_multiply_and_zero_has_no_logarithm() -> None:
    shape = TaskShape(7, 2, 7, (None, None))
    net = MLP(d_mlp=50, activation="quadratic", init_scheme="gromov_log", init_scale=2.0, init_std={"W_U": 1.0})
    weights = net.init(jax.random.key(0), shape, jnp.float64)
    assert not weights["embed.0.W"][0].any()
    assert not weights["unembed.W_U"][:, 0].any()
    assert float(abs(weights["unembed.W_U"]).max()) == pytest.approx(2 * 2**0.5, rel=1e-2)
    other = net.init(jax.random.key(1), shape, jnp.float64)
    assert not np.allclose(weights["embed.0.W"], other["embed.0.W"])


def test_a_run_that_starts_there_has_grokked_at_once() -> None:
    settings = {"kind": "mlp", "d_mlp": 300, "activation": "quadratic", "init_scheme": "gromov"}
    task, objective = {"p": 23, "layout": "a b"}, {"kind": "mse"}
    run = training.train(gl.read({"task": task, "objective": objective, "network": settings, "budget": {"steps": 0}}))
    assert run.curves()["test_accuracy"][0] == 1
    assert run.curves()["test_loss"][0] < 0.02


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network.n_hidden_layers": 2}, "network.init_scheme = 'gromov': needs one hidden layer with activation"),
        ({"network.activation": "relu"}, "needs one hidden layer with activation 'quadratic'"),
        ({"network.d_embed": 3}, "on one-hot tokens as they are"),
        ({"network.features": "toeplitz"}, "on one-hot tokens as they are"),
        ({"network.init_scheme": "gromov_log", "task.p": 6}, "task.p = 6: has no discrete logarithm"),
        ({"network.init_scheme": "gromov_log", "task.p": 2}, "needs a task of two numbers"),
        ({"task.expression": "a + b + c"}, "network.init_scheme = 'gromov': needs a task of two numbers"),
        ({"task.layout": "a b =", "task.outputs": "vocabulary"}, "whose answers are the same numbers"),
    ],
    ids=str,
)
def test_refusals(settings: dict[str, object], says: str) -> None:
    network = {"kind": "mlp", "activation": "quadratic", "init_scheme": "gromov"}
    with pytest.raises(InputError) as caught:
        training.train(gl.read({"task": {"p": 7, "layout": "a b"}, "network": network}, settings))
    assert says in str(caught.value)
