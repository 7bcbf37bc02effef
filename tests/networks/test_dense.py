"""Dense layers on real inputs: values by hand, PyTorch's start, and Omnigrok's factor on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import Dense
from groklab.objectives import MeanSquaredError
from groklab.optimisers import norm
from groklab.tasks import TaskShape

PIXELS = TaskShape(0, 0, 10, (), n_features=784)
SMALL = TaskShape(0, 0, 3, (), n_features=4)
ROWS = np.random.default_rng(0).standard_normal((6, 4))


def started(network: Dense, shape: TaskShape = PIXELS, seed: int = 0, dtype: type = jnp.float64):
    return network.init(jax.random.key(seed), shape, dtype)


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 11.71), (8.0, 93.66)])
def test_the_norm_at_the_start_is_omnigroks(alpha: float, expected: float) -> None:
    for seed in range(3):
        # 199,210 uniform numbers: their norm varies by 0.1%
        assert float(norm(started(Dense(init_scale=alpha), seed=seed))) == pytest.approx(expected, rel=0.005)


def test_the_start_is_pytorchs_times_the_scale() -> None:
    network = Dense()
    weights = started(network)
    assert {name: w.shape for name, w in weights.items()} == network.shapes(PIXELS)
    assert list(weights) == ["hidden.0.W", "hidden.0.b", "hidden.1.W", "hidden.1.b", "unembed.W_U", "unembed.b_U"]
    for layer, fan_in in (("hidden.0.", 784), ("hidden.1.", 200), ("unembed.", 200)):
        own = [w for name, w in weights.items() if name.startswith(layer)]
        assert len(own) == 2
        for w in own:
            assert float(abs(w).max()) <= fan_in**-0.5
            # the largest of 10 uniform biases is rarely small
            assert float(abs(w).max()) > (0.5 if w.size == 10 else 0.95) * fan_in**-0.5
            assert float(abs(w.mean())) < 4 * (3 * fan_in * w.size) ** -0.5
    larger = started(Dense(init_scale=8.0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(8 * a, b, rtol=1e-12), weights, larger)


def by_hand(weights, rows, activation):
    x = activation(rows @ weights["hidden.0.W"] + weights["hidden.0.b"])
    x = activation(x @ weights["hidden.1.W"] + weights["hidden.1.b"])
    return x @ weights["unembed.W_U"] + weights["unembed.b_U"]


@pytest.mark.parametrize(("name", "function"), [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh)])
def test_values_are_those_by_hand(name, function) -> None:
    network = Dense(d_hidden=5, activation=name, init_scale=3.0)
    weights = started(network, SMALL)
    expected = by_hand(jax.tree.map(np.asarray, weights), ROWS, function)
    np.testing.assert_allclose(network.apply(weights, jnp.asarray(ROWS), SMALL), expected, rtol=1e-10)
    halved = Dense(d_hidden=5, activation=name, output_scale=0.5)
    np.testing.assert_allclose(halved.apply(weights, jnp.asarray(ROWS), SMALL), expected / 2, rtol=1e-10)


def test_without_biases_and_without_hidden_layers() -> None:
    bare = Dense(d_hidden=5, n_hidden_layers=1, biases=False)
    assert bare.shapes(SMALL) == {"hidden.0.W": (4, 5), "unembed.W_U": (5, 3)}
    weights = started(bare, SMALL)
    expected = np.maximum(ROWS @ weights["hidden.0.W"], 0) @ weights["unembed.W_U"]
    np.testing.assert_allclose(bare.apply(weights, jnp.asarray(ROWS), SMALL), expected, rtol=1e-10)
    linear = Dense(n_hidden_layers=0)
    assert linear.shapes(SMALL) == {"unembed.W_U": (4, 3), "unembed.b_U": (3,)}
    weights = started(linear, SMALL)
    expected = ROWS @ weights["unembed.W_U"] + weights["unembed.b_U"]
    np.testing.assert_allclose(linear.apply(weights, jnp.asarray(ROWS), SMALL), expected, rtol=1e-10)


def test_hooks_see_and_replace_what_arises() -> None:
    network = Dense(d_hidden=5)
    weights = started(network, SMALL)
    seen = {}

    def hook(name, value):
        seen[name] = value
        return jnp.zeros_like(value) if name == "hidden.1.hook_post" else value

    logits = network.reference_forward(weights, jnp.asarray(ROWS), SMALL, hook)
    layers = ("hidden.0.hook_pre", "hidden.0.hook_post", "hidden.1.hook_pre", "hidden.1.hook_post")
    assert tuple(seen) == (*layers, "logits")
    np.testing.assert_allclose(logits, np.tile(weights["unembed.b_U"], (6, 1)), rtol=1e-12)


def test_flops_are_those_of_the_products() -> None:
    assert Dense().flops(PIXELS, 200) == 2 * 200 * (784 * 200 + 200 * 200 + 200 * 10)


def test_a_single_precision_program_holds_no_double() -> None:
    network = Dense(d_hidden=5, init_scale=2.0)
    weights = started(network, SMALL, dtype=jnp.float32)
    targets = jnp.zeros(6, jnp.int32)

    def loss(w):
        return MeanSquaredError().per_row(network.apply(w, jnp.asarray(ROWS, jnp.float32), SMALL), targets).mean()

    assert "f64" not in str(jax.make_jaxpr(jax.grad(loss))(weights))


def test_tokens_are_refused_it_and_images_others() -> None:
    with pytest.raises(InputError, match=r"network\.kind = 'dense'"):
        gl.train(gl.preset("micro", {"network.kind": "dense"}))
    with pytest.raises(InputError, match=r"network\.kind = 'mlp'"):
        gl.train(gl.preset("omnigrok/mnist", {"network.kind": "mlp"}))
    with pytest.raises(InputError, match="needs a task of real inputs"):
        Dense().shapes(TaskShape(5, 2, 5, (None, None)))


@pytest.mark.parametrize(("setting", "value"), [("d_hidden", 0), ("n_hidden_layers", -1)])
def test_impossible_sizes_are_refused_by_name(setting: str, value: int) -> None:
    with pytest.raises(InputError, match=rf"network\.{setting} = {value}"):
        Dense(**{setting: value})
