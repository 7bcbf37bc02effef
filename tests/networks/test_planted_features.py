"""An MLP on transformed one-hot pairs: the fast way is the reference, and what cannot be transformed is refused."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import MLP
from groklab.objectives import CrossEntropy
from groklab.tasks import TaskShape, matrix_power, planted_features
from groklab.training import training
from ways import FAST, forced

QUICK = {"xla_backend_optimization_level": 0}
P = 5
SHAPE = TaskShape(P, 2, P, (None, None))
PAIRS = np.stack(np.divmod(np.arange(P * P), P), axis=1).astype(np.int32)
CASES = {
    "toeplitz": {"features": "toeplitz", "activation": "quadratic", "features_seed": 3},
    "hankel_log": {"features": "hankel_log", "activation": "tanh", "n_hidden_layers": 2, "biases": True},
}


def drawn(net: MLP, dtype: type = jnp.float64) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(rng.normal(size=size) * 0.5, dtype) for name, size in net.shapes(SHAPE).items()}


def loss(net: MLP, way: str, weights: dict[str, jax.Array], tokens: jax.Array) -> jax.Array:
    if way in FAST:
        with forced(way):
            logits = net.apply(weights, net.prepare(tokens, SHAPE), SHAPE)
    else:
        logits = net.reference_forward(weights, tokens, SHAPE)
    return CrossEntropy().per_row(logits, tokens[:, 0]).mean()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("n", [7, 25])  # fewer inputs than rows of the tables, and more
def test_the_fast_way_is_the_reference_in_value_and_gradient(case: str, n: int, way: str) -> None:
    net = MLP(d_mlp=9, **CASES[case])
    tokens = jnp.asarray(np.random.default_rng(1).permutation(PAIRS)[:n])
    got, expected = (
        jax.jit(jax.value_and_grad(functools.partial(loss, net, one)), compiler_options=QUICK)(drawn(net), tokens)
        for one in (way, "reference_forward")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), got, expected)


def test_the_first_layer_sees_the_transformed_pair() -> None:
    net = MLP(d_mlp=9, **CASES["toeplitz"])
    weights = drawn(net)
    transform = matrix_power(planted_features(P, "toeplitz", 3), 1 / 4)
    np.testing.assert_array_equal(net.transform(SHAPE), transform)
    assert MLP().transform(SHAPE) is None
    x = np.concatenate([np.eye(P)[PAIRS[:, 0]], np.eye(P)[PAIRS[:, 1]]], axis=1)
    sums = (x @ transform) @ np.concatenate([weights["embed.0.W"], weights["embed.1.W"]])
    seen = gl.activations(weights, PAIRS, net)
    np.testing.assert_allclose(seen["hidden.0.hook_pre"], sums, atol=1e-12)
    np.testing.assert_allclose(seen["logits"], sums**2 @ np.asarray(weights["unembed.W_U"]), atol=1e-12)


@pytest.mark.parametrize("n", [7, 25])
def test_a_single_precision_program_holds_no_double(n: int) -> None:
    net = MLP(d_mlp=9, **CASES["toeplitz"])
    program = jax.make_jaxpr(jax.grad(functools.partial(loss, net, "tables")))
    assert "f64" not in str(program(drawn(net, jnp.float32), jnp.asarray(PAIRS[:n])))


def test_transforming_costs_what_the_cheaper_way_costs() -> None:
    plain, planted = MLP(d_mlp=10), MLP(d_mlp=10, features="toeplitz")
    assert planted.flops(SHAPE, 3) - plain.flops(SHAPE, 3) == 2 * 3 * 10 * 10
    assert planted.flops(SHAPE, 99) - plain.flops(SHAPE, 99) == 2 * 10 * 10 * 10


def test_an_experiment_trains_in_them_and_has_an_identity_of_its_own() -> None:
    small = {"task": {"p": 5, "layout": "a b"}, "network": {"kind": "mlp", "d_mlp": 8}, "budget": {"steps": 3}}
    changes = [{"network.features": "toeplitz", "network.features_seed": i} for i in (0, 1)]
    experiments = [gl.read(small), *(gl.read(small, c) for c in changes)]
    assert len({e.identity for e in experiments}) == 3
    assert experiments[1].program != experiments[2].program
    losses = [training.train(e).curves()["train_loss"][0] for e in experiments]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network.d_embed": 4}, "network.features = 'toeplitz': needs one-hot tokens, network.d_embed=null"),
        ({"task.layout": "a b ="}, "network.features = 'toeplitz': needs a task that shows two numbers and no sign"),
        ({"task.expression": "a + b + c"}, "network.features = 'toeplitz': needs a task that shows two numbers"),
        ({"task.p": 6, "network.features": "hankel_log"}, "task.p = 6: has no discrete logarithm"),
        ({"network.features_seed": -1}, "network.features_seed = -1: needs to be greater than or equal to 0"),
        ({"network.features": "circulant"}, "network.features = 'circulant': unknown; allowed"),
    ],
    ids=str,
)
def test_refusals(settings: dict[str, object], says: str) -> None:
    base = {"task": {"p": 5, "layout": "a b"}, "network": {"kind": "mlp", "features": "toeplitz"}}
    with pytest.raises(InputError) as caught:
        training.train(gl.read(base, settings))
    assert says in str(caught.value)
