import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from groklab.errors import InputError
from groklab.networks import MLP
from groklab.objectives import CrossEntropy
from groklab.tasks import TaskShape
from ways import FAST, forced

#: Compiling takes most of the time here.
QUICK = {"xla_backend_optimization_level": 0}
P = 5
#: name: (settings, which token stands at each position; None where it varies)
CASES = {
    "one-hot": ({"activation": "quadratic"}, (None, None, P)),
    "deep": ({"activation": "tanh", "n_hidden_layers": 3, "biases": True}, (None, P, None)),
    "embedded": ({"d_embed": 4, "biases": True, "n_hidden_layers": 2}, (None, None)),
}


def make(case: str) -> tuple[MLP, TaskShape]:
    changes, constants = CASES[case]
    return MLP(d_mlp=9, **changes), TaskShape(P + 1, len(constants), P, constants)


def draw(case: str, seed: int, dtype: type = jnp.float64):
    net, shape = make(case)
    rng = np.random.default_rng(seed)
    weights = {name: jnp.asarray(rng.normal(size=size) * 0.5, dtype) for name, size in net.shapes(shape).items()}
    columns = [rng.integers(0, P, 21) if c is None else np.full(21, c) for c in shape.constants]
    return weights, jnp.asarray(np.stack(columns, axis=1), jnp.int32), jnp.asarray(rng.integers(0, P, 21), jnp.int32)


def loss(case, way, weights, tokens, targets):
    net, shape = make(case)
    if way in FAST:
        with forced(way):
            logits = net.apply(weights, net.prepare(tokens, shape), shape)
    else:
        logits = net.reference_forward(weights, tokens, shape)
    return CrossEntropy().per_row(logits, targets).mean(), logits


@functools.cache
def value_and_gradient(case: str, way: str):
    return jax.jit(jax.value_and_grad(functools.partial(loss, case, way), has_aux=True), compiler_options=QUICK)


@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_fast_way_is_the_reference_in_value_and_gradient(case, way, seed):
    drawn = draw(case, seed)
    got, expected = (value_and_gradient(case, one)(*drawn) for one in (way, "reference_forward"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), got, expected)


@pytest.mark.parametrize("way", FAST)
def test_members_of_a_batch_are_as_alone(way):
    drawn = [draw("one-hot", seed) for seed in (0, 1)]
    many = jax.tree.map(lambda *x: np.stack(x), *drawn)
    got = jax.jit(jax.vmap(value_and_gradient("one-hot", way).__wrapped__), compiler_options=QUICK)(*many)
    for i, one in enumerate(drawn):
        alone = value_and_gradient("one-hot", way)(*one)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-10, atol=1e-10), got, alone)


@pytest.mark.parametrize("way", FAST)
def test_a_single_precision_program_holds_no_double(way):
    drawn = draw("deep", 0, jnp.float32)
    program = jax.make_jaxpr(jax.grad(functools.partial(loss, "deep", way), has_aux=True))
    assert "f64" not in str(program(*drawn))


def test_the_micro_family_by_its_formula():
    net, shape = MLP(activation="quadratic"), TaskShape(23, 2, 23, (None, None))
    weights = net.init(jax.random.key(0), shape, jnp.float64)
    assert {name: w.shape for name, w in weights.items()} == net.shapes(shape)
    assert list(weights) == ["embed.0.W", "embed.1.W", "unembed.W_U"]
    for w in weights.values():
        assert float(w.std()) == pytest.approx(0.5 / 256 ** (1 / 3), rel=0.05)
    a, b = np.array([3, 7, 0]), np.array([22, 7, 1])
    tokens = jnp.asarray(np.stack([a, b], axis=1))
    got = jax.jit(lambda w: net.apply(w, net.prepare(tokens, shape), shape))(weights)
    first, second, last = (np.asarray(w) for w in weights.values())
    by_hand = (first[a] + second[b]) ** 2 @ last
    np.testing.assert_allclose(got, by_hand, rtol=1e-12)
    assert net.flops(shape, 343) == 2 * 343 * 128 * 23


def test_torch_initialisation_is_uniform_within_one_over_root_fan_in():
    net, shape = MLP(init_scheme="torch", n_hidden_layers=2), TaskShape(23, 2, 23, (None, None))
    hidden = net.init(jax.random.key(0), shape, jnp.float32)["hidden.1.W"]
    assert 0.99 < float(abs(hidden).max()) * 128**0.5 <= 1.000001


def test_impossible_settings_are_refused_by_name():
    shape = TaskShape(23, 2, 23, (None, None))
    with pytest.raises(InputError, match="d_mlp = 0"):
        MLP(d_mlp=0)
    with pytest.raises(InputError, match="unknown matrix"):
        MLP(init_std={"W_E": 1.0}).init(jax.random.key(0), shape, jnp.float32)
    with pytest.raises(InputError, match="not constant"):
        MLP().shapes(TaskShape(2, 1, 2, (1,)))
