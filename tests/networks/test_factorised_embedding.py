"""An embedding that is the product of two factors: the same network, measures of the product, and what is taken."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.networks import MLP, Transformer, activations, recognise, with_embedding
from groklab.tasks import Arithmetic

TASK = Arithmetic(p=7, expression="x + y", layout="a b =").build()
NETWORKS = [
    (Transformer(d_model=16, n_heads=2, d_mlp=8, embedding_rank=3), Transformer(d_model=16, n_heads=2, d_mlp=8)),
    (MLP(d_mlp=8, d_embed=16, embedding_rank=3, activation="relu"), MLP(d_mlp=8, d_embed=16, activation="relu")),
]


def drawn(network: Any, key: int = 0) -> dict[str, jax.Array]:
    made: dict[str, jax.Array] = network.init(jax.random.key(key), TASK.shape, jnp.float64)
    return made


def logits(network: Any, weights: Any) -> np.ndarray:
    tokens = jnp.asarray(TASK.inputs)
    return np.asarray(network.apply(weights, network.prepare(tokens, TASK.shape), TASK.shape))


@pytest.mark.parametrize(("factorised", "whole"), NETWORKS, ids=["transformer", "mlp"])
def test_it_computes_what_the_network_of_the_product_does(factorised: Any, whole: Any) -> None:
    weights = drawn(factorised)
    assert {name: weights[name].shape for name in ("embed.A", "embed.B")} == {"embed.A": (8, 3), "embed.B": (3, 16)}
    product = with_embedding(weights)
    assert "embed.A" not in product
    np.testing.assert_allclose(product["embed.W_E"], np.asarray(weights["embed.A"]) @ np.asarray(weights["embed.B"]))
    expected = logits(whole, product)
    np.testing.assert_allclose(logits(factorised, weights), expected, rtol=1e-12)
    reference = factorised.reference_forward(weights, jnp.asarray(TASK.inputs), TASK.shape)
    np.testing.assert_allclose(reference[:, -1] if reference.ndim == 3 else reference, expected, rtol=1e-9, atol=1e-12)
    # without naming the network, too
    assert type(recognise(weights)) is type(whole)
    if isinstance(whole, Transformer):
        seen = np.asarray(activations(weights, TASK.inputs)["logits"])[:, -1]
        np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-12)
    # everything else is drawn as without factors, and the product is as large
    plain = drawn(whole)
    for name in set(plain) - {"embed.W_E"}:
        np.testing.assert_array_equal(plain[name], weights[name])
    keys = jax.random.split(jax.random.key(1), 300)

    @jax.jit
    def tables(keys: jax.Array) -> list[jax.Array]:
        both = [jax.vmap(lambda k, n=n: n.init(k, TASK.shape, jnp.float64))(keys) for n in (factorised, whole)]
        return [with_embedding(made)["embed.W_E"] for made in both]

    sizes = [float(np.std(made)) for made in tables(keys)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_measures_are_of_the_product() -> None:
    factorised = NETWORKS[0][0]
    weights = {name: np.asarray(w) for name, w in drawn(factorised).items()}
    product = {name: np.asarray(w) for name, w in with_embedding(weights).items()}
    measured = ("embedding_frequencies", "embedding_spectrum", "embedding_components", "fourier_sparsity", "neurons")
    for name in measured:
        of_factors, of_product = MEASURES[name](weights, TASK), MEASURES[name](product, TASK)
        assert of_product
        for key, value in of_product.items():
            np.testing.assert_allclose(of_factors[key], value, rtol=1e-6, atol=1e-12, err_msg=f"{name}.{key}")
    progress = [MEASURES["progress"](w, TASK, frequencies=[1, 2]) for w in (weights, product)]
    for key in ("gini_W_E", "gini_W_L", "restricted_loss"):
        np.testing.assert_allclose(progress[0][key], progress[1][key], rtol=1e-6, err_msg=key)


WEAK = {
    "task.p": 7,
    "task.layout": "a b =",
    "split.frac_train": 0.6,
    "network.kind": "mlp",
    "network.d_mlp": 8,
    "network.d_embed": 3,
    "budget.steps": 20,
    "name": "weak",
}
TARGET = {**WEAK, "network.d_mlp": 16, "network.d_embed": 12, "network.embedding_rank": 3, "name": "target"}


def test_the_embedding_of_a_weak_network_becomes_the_first_factor(home: Any) -> None:
    weak = gl.train(gl.read({}, WEAK))
    start = {"start.run": "weak", "start.take": ["embedding"]}
    target = gl.train(gl.read({}, TARGET | start))
    plain = gl.train(gl.read({}, {**TARGET, "name": "plain"}))
    first, last, fresh = target.weights(0), target.weights(), plain.weights(0)
    np.testing.assert_array_equal(first["embed.A"], weak.weights()["embed.W_E"])
    for name in set(first) - {"embed.A"}:
        # drawn outside the compiled program, whose last digit may differ
        np.testing.assert_allclose(first[name], fresh[name], rtol=1e-6)
    for name in ("embed.A", "embed.B"):
        assert not np.array_equal(first[name], last[name])
    # a transformer of other sizes takes it alike
    other = {
        **TARGET,
        "network.kind": "transformer",
        "network.d_model": 8,
        "network.n_heads": 2,
        "network.d_embed": None,
    }
    other = {k: v for k, v in other.items() if k not in ("network.d_embed",)}
    taken = gl.train(gl.read({}, {**other, "network.d_mlp": 8, "name": "other", **start}))
    np.testing.assert_array_equal(taken.weights(0)["embed.A"], weak.weights()["embed.W_E"])


def test_what_does_not_fit_is_refused(home: Any) -> None:
    gl.train(gl.read({}, WEAK))
    start = {"start.run": "weak", "start.take": ["embed.A"]}
    with pytest.raises(InputError, match=r"embed\.A.*has shape \(8, 3\) in weak and \(8, 4\) here"):
        gl.train(gl.read({}, {**TARGET, **start, "network.embedding_rank": 4}))
    with pytest.raises(InputError, match=r"start\.take.*embed\.B.* is not among the weights of weak"):
        gl.train(gl.read({}, {**TARGET, **start, "start.take": ["embed.A", "embed.B"]}))
    with pytest.raises(InputError, match=r"network\.embedding_rank.*needs network\.d_embed"):
        gl.read({}, {"task.p": 7, "network.kind": "mlp", "network.embedding_rank": 2})
    with pytest.raises(InputError, match=r"network\.embedding_rank.*at least 1"):
        gl.read({}, {"task.p": 7, "network.kind": "transformer", "network.embedding_rank": 0})
