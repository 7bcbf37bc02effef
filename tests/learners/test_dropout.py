"""Dropout: in training only, right on average, and absent where it is not asked for."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.networks import Transformer
from groklab.networks._common import dropping
from groklab.tasks import Arithmetic
from groklab.training import training

TASK = Arithmetic(p=7).build()
NETWORK = {"kind": "transformer", "d_model": 8, "n_heads": 2, "d_mlp": 16}
SMALL = {"task": {"p": 7}, "network": NETWORK, "split": {"frac_train": 0.6}, "budget": {"steps": 20}}


def test_entries_are_dropped_with_that_probability_and_means_stay() -> None:
    hook = dropping(jax.random.key(0), jnp.float64(0.3), ("hook_mlp_out",))
    value = jnp.ones((400, 5, 50))
    dropped = np.asarray(hook("blocks.0.hook_mlp_out", value))
    assert set(np.unique(dropped)) == {0.0, dropped.max()}
    n = dropped.size
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / n) ** 0.5)
    assert dropped.mean() == pytest.approx(1, abs=4 * (0.3 / 0.7 / n) ** 0.5)
    other = np.asarray(hook("blocks.1.hook_mlp_out", value))
    assert (dropped != other).any()
    assert hook("blocks.0.hook_attn_out", value) is value


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_rate_of_zero_is_no_dropout(n_layers: int) -> None:
    network = Transformer(d_model=8, n_heads=2, n_layers=n_layers, dropout=0.0)
    weights = jax.jit(lambda key: network.init(key, TASK.shape, jnp.float64))(jax.random.key(1))
    tokens = jnp.asarray(TASK.inputs)
    noisy = jax.jit(lambda w, key: network.apply_noisy(w, tokens, TASK.shape, key))(weights, jax.random.key(2))
    plain = jax.jit(lambda w: network.apply(w, network.prepare(tokens, TASK.shape), TASK.shape))(weights)
    np.testing.assert_allclose(noisy, plain, rtol=1e-10, atol=1e-12)


def test_training_at_a_rate_of_zero_is_training_without() -> None:
    settings = {"dtype": "float64", "evaluation.every": 5}
    without = training.train(gl.read(SMALL, settings))
    zero = training.train(gl.read(SMALL, {**settings, "network.dropout": 0.0}))
    some = training.train(gl.read(SMALL, {**settings, "network.dropout": 0.5}))
    for name in ("train_loss", "test_loss", "train_accuracy"):
        np.testing.assert_allclose(zero.curves()[name], without.curves()[name], rtol=1e-6)
    assert some.curves()["train_loss"][-1] != pytest.approx(without.curves()["train_loss"][-1], rel=1e-3)
    # losses are measured without dropout, before as after
    assert some.curves()["train_loss"][0] == pytest.approx(without.curves()["train_loss"][0], rel=1e-6)


def test_the_gradient_is_right_on_average_in_a_linear_network() -> None:
    """Attention alone is linear in what is dropped, so the mean over masks is the value without."""
    network = Transformer(d_model=8, n_heads=2, d_mlp=0, dropout=0.25)
    weights = jax.jit(lambda key: network.init(key, TASK.shape, jnp.float64))(jax.random.key(1))
    tokens = jnp.asarray(TASK.inputs)
    keys = jax.random.split(jax.random.key(5), 4000)
    noisy = jax.jit(jax.vmap(lambda k: network.apply_noisy(weights, tokens, TASK.shape, k)))(keys)
    plain = jax.jit(lambda w: network.apply(w, network.prepare(tokens, TASK.shape), TASK.shape))(weights)
    error = np.asarray(noisy.std(axis=0)) / len(keys) ** 0.5
    assert (np.abs(np.asarray(noisy.mean(axis=0) - plain)) < 6 * error + 1e-12).all()


def test_members_of_an_ensemble_may_differ_in_rate() -> None:
    members = [gl.read(SMALL, {"network.dropout": rate, "dtype": "float64"}) for rate in (0.0, 0.5)]
    together = training.train(members)
    for i, member in enumerate(members):
        alone = training.train(member)
        np.testing.assert_allclose(together.curves(i)["test_loss"], alone.curves()["test_loss"], rtol=1e-6)


def test_defaults_that_are_written_out_leave_the_identity_as_it_is() -> None:
    plain = gl.read(SMALL)
    said = gl.read(SMALL, {"network.dropout": None, "network.doubled_residual": False})
    assert said.identity == plain.identity
    changed = [gl.read(SMALL, o) for o in ({"network.dropout": 0.0}, {"network.doubled_residual": True})]
    assert len({plain.identity, *(c.identity for c in changed)}) == 3
