"""Intermediates by name: what is seen is what is computed, and what is replaced is what goes on."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

import groklab as gl
from groklab.networks import MLP, Transformer, recognise

NETWORKS = {
    "nanda": (Transformer(d_model=16, n_heads=2), "a b ="),
    "two layers, norms": (Transformer(d_model=16, n_heads=2, n_layers=2, layer_norm="pre", biases="all"), "a op b ="),
    "no positions, post": (
        Transformer(d_model=16, n_heads=2, layer_norm="post", positional_embedding="none", biases="none"),
        "a b",
    ),
    "attention only": (Transformer(d_model=16, n_heads=2, n_layers=2, d_mlp=0, biases="none"), "a b ="),
    "one-hot": (MLP(d_mlp=8, activation="quadratic"), "a b"),
    "one-hot with signs": (MLP(d_mlp=8, activation="quadratic", n_hidden_layers=2), "a op b ="),
    "embedded": (MLP(d_mlp=8, d_embed=4, activation="quadratic", biases=True), "a b ="),
}


@functools.cache
def case(name):
    network, layout = NETWORKS[name]
    task = gl.read({"task": {"p": 5, "layout": layout}}).task.build()
    weights = jax.jit(lambda key: network.init(key, task.shape, "float64"))(jax.random.key(0))
    return network, task, {k: np.asarray(v) for k, v in weights.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_intermediate_is_the_logits_of_the_fast_pass(name: str) -> None:
    network, task, weights = case(name)
    tokens = jax.numpy.asarray(task.inputs)
    fast = jax.jit(lambda w: network.apply(w, network.prepare(tokens, task.shape), task.shape))(weights)
    for given in (network, None):
        found = gl.activations(weights, task.inputs, given)["logits"]
        found = found[:, -1] if found.ndim == 3 else found
        np.testing.assert_allclose(found, fast, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_recognised_by_their_weights(name: str) -> None:
    network, task, weights = case(name)
    assert recognise(weights).shapes(task.shape) == network.shapes(task.shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_replacing_every_intermediate_by_itself_changes_nothing(name: str) -> None:
    network, task, weights = case(name)
    seen = gl.activations(weights, task.inputs, network)
    again = gl.patch(weights, task.inputs, seen, network)
    assert list(again) == list(seen)
    for key, value in seen.items():
        np.testing.assert_array_equal(again[key], value)


def test_what_is_replaced_is_what_goes_on() -> None:
    network, task, weights = case("nanda")
    found = gl.patch(weights, task.inputs, {"blocks.0.mlp.hook_post": 0.0}, network)
    expected = (found["blocks.0.hook_resid_mid"] + weights["blocks.0.mlp.b_out"]) @ weights["unembed.W_U"]
    np.testing.assert_allclose(found["logits"], expected, atol=1e-12)
    doubled = gl.patch(weights, task.inputs, {"hook_embed": lambda x: 2 * x}, network)
    by_hand = gl.activations({**weights, "embed.W_E": 2 * weights["embed.W_E"]}, task.inputs, network)
    np.testing.assert_allclose(doubled["logits"], by_hand["logits"], atol=1e-12)


def test_shapes_are_those_of_transformer_lens() -> None:
    network, task, weights = case("nanda")
    found = {k: v.shape for k, v in gl.activations(weights, task.inputs, network).items()}
    assert found["hook_embed"] == found["blocks.0.hook_resid_post"] == (25, 3, 16)
    assert found["blocks.0.attn.hook_pattern"] == found["blocks.0.attn.hook_attn_scores"] == (25, 2, 3, 3)
    assert found["blocks.0.attn.hook_z"] == found["blocks.0.attn.hook_q"] == (25, 3, 2, 8)
    assert found["blocks.0.mlp.hook_post"] == (25, 3, 64)
    only = gl.activations(weights, task.inputs, network, last_only=True)
    assert only["blocks.0.attn.hook_pattern"].shape == (25, 2, 1, 3)
    full = gl.activations(weights, task.inputs, network)
    np.testing.assert_allclose(only["logits"][:, 0], full["logits"][:, -1], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tokens": np.array([[0, 1, 9]])}, "tokens = 9: needs ids from 0 to 5"),
        ({"tokens": np.zeros((2, 3))}, "needs to be (n, n_ctx) integers"),
        ({"tokens": np.zeros((2, 9), int)}, "more positions"),
        ({"weights": {"W": np.zeros(3)}}, "belong to no known network"),
    ],
)
def test_refusals(change, says: str) -> None:
    _, task, weights = case("nanda")
    given = {"weights": weights, "tokens": task.inputs, **change}
    with pytest.raises(gl.InputError) as caught:
        gl.activations(given["weights"], given["tokens"])
    assert says in str(caught.value)
    with pytest.raises(gl.InputError) as caught:
        gl.patch(weights, task.inputs, {"hook_nothing": 0.0})
    assert "unknown; allowed: hook_embed" in str(caught.value)
    with pytest.raises(gl.InputError) as caught:
        gl.activations({**weights, "unembed.W_U": weights["unembed.W_U"][:-1]}, task.inputs)
    assert "unembed.W_U" in str(caught.value)
