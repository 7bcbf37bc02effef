"""Weights written down: how often they are right is a function of the width alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import MLP
from groklab.tasks import TaskShape
from groklab.training import training


def accuracies(p: int, widths: tuple[int, ...], scheme: str = "gromov", seeds: int = 4) -> list[list[float]]:
    """For each width and seed the share of pairs (of products, non-zero ones) whose answer has the largest logit."""
    nets = [MLP(d_mlp=width, activation="quadratic", init_scheme=scheme) for width in widths]
    shape = TaskShape(p, 2, p, (None, None))
    init = jax.jit(jax.vmap(lambda key: [net.init(key, shape, jnp.float32) for net in nets]))
    first = int(scheme == "gromov_log")
    a, b = np.mgrid[first:p, first:p].reshape(2, -1)
    answers = (a * b if first else a + b) % p
    found = []
    for drawn in init(jax.random.split(jax.random.key(0), seeds)):
        tables = (np.asarray(drawn[name]) for name in ("embed.0.W", "embed.1.W", "unembed.W_U"))
        found.append(
            [float((((v[a] + w[b]) ** 2 @ u).argmax(1) == answers).mean()) for v, w, u in zip(*tables, strict=True)]
        )
    return found


@pytest.mark.parametrize("p", [97, 113])
def test_addition_is_solved_as_the_width_grows(p: int) -> None:
    narrow, medium, wide, widest = accuracies(p, (50, 100, 200, 300))
    assert 0.8 <= np.mean(narrow) <= 0.97
    assert np.mean(medium) >= 0.99
    assert min(wide) >= 0.9995  # at times one pair of all is wrong
    assert widest == [1.0] * 4


@pytest.mark.parametrize("p", [31, 61])
def test_multiplication_is_solved_in_logarithms(p: int) -> None:
    narrow, wide = accuracies(p, (50, 400), "gromov_log")
    assert np.mean(narrow) < 1
    assert wide == [1.0] * 4


def test_logits_are_the_one_hot_answer_up_to_noise() -> None:
    p, width = 23, 20_000
    shape = TaskShape(p + 1, 3, p, (None, None, p))
    net = MLP(d_mlp=width, activation="quadratic", init_scheme="gromov", biases=True)
    weights = jax.jit(lambda key: net.init(key, shape, jnp.float64))(jax.random.key(0))
    weights = {name: np.asarray(w) for name, w in weights.items()}
    assert {k: w.shape for k, w in weights.items()} == net.shapes(shape)
    assert not weights["embed.0.W"][p].any()  # the sign's
    assert abs(weights["embed.1.W"]).max() == pytest.approx((2 / width) ** (1 / 3), rel=1e-3)
    a, b = np.mgrid[:p, :p].reshape(2, -1)
    tokens = jnp.asarray(np.stack([a, b, np.full(p * p, p)], 1), jnp.int32)
    expected = np.eye(p)[(a + b) % p] * (1 + 1 / (p - 1)) - 1 / (p - 1)
    noise = np.asarray(jax.jit(lambda w: net.reference_forward(w, tokens, shape))(weights)) - expected
    assert noise.var() == pytest.approx(5 / width, rel=0.3)
    assert abs(noise).max() < 6 * (5 / width) ** 0.5


def test_scales_multiply_and_zero_has_no_logarithm() -> None:
    shape = TaskShape(7, 2, 7, (None, None))
    net = MLP(d_mlp=50, activation="quadratic", init_scheme="gromov_log", init_scale=2.0, init_std={"W_U": 1.0})
    init = jax.jit(lambda key: net.init(key, shape, jnp.float64))
    weights, other = ({name: np.asarray(w) for name, w in init(jax.random.key(seed)).items()} for seed in (0, 1))
    assert not weights["embed.0.W"][0].any()
    assert not weights["unembed.W_U"][:, 0].any()
    assert abs(weights["unembed.W_U"]).max() == pytest.approx(2 * 2**0.5, rel=1e-2)
    assert not np.allclose(weights["embed.0.W"], other["embed.0.W"])


def test_a_run_that_starts_there_has_grokked_at_once() -> None:
    settings = {"kind": "mlp", "d_mlp": 300, "activation": "quadratic", "init_scheme": "gromov"}
    task, objective = {"p": 23, "layout": "a b"}, {"kind": "mse"}
    run = training.train(gl.read({"task": task, "objective": objective, "network": settings, "budget": {"steps": 0}}))
    assert run.curves()["test_accuracy"][0] == 1
    assert run.curves()["test_loss"][0] == pytest.approx(5 / 300, rel=0.4)


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
