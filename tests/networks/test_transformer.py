import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.components import hyperparameters_of, with_hyperparameters
from groklab.errors import InputError
from groklab.networks import Transformer
from groklab.objectives import CrossEntropy
from groklab.tasks import TaskShape
from ways import FAST, forced

#: Compiling takes most of the time here.
QUICK = {"xla_backend_optimization_level": 0}
P = 5
SMALL = {"n_heads": 2, "d_model": 6, "d_mlp": 10}
#: name: (settings, which token stands at each position; None where it varies)
CASES = {
    "a b =": ({"biases": "all"}, (None, None, P)),
    "a op b": ({"positional_embedding": "none", "biases": "none", "d_head": 5, "activation": "gelu"}, (None, P, None)),
    "a b": ({"activation": "quadratic"}, (None, None)),
    "a": ({}, (None,)),
    "attention only, a op b =": ({"d_mlp": 0}, (None, P, None, P + 1)),
    "pre": ({"layer_norm": "pre", "biases": "all"}, (None, None, P)),
    "post": ({"layer_norm": "post", "activation": "abs"}, (None, P, None)),
    "two layers": ({"n_layers": 2, "biases": "all"}, (None, None, P)),
    "two layers, a op b, pre": ({"n_layers": 2, "layer_norm": "pre"}, (None, P, None)),
    "no mask": ({"mask": "none", "activation": "gelu_exact"}, (None, None)),
    "two layers, no mask": ({"n_layers": 2, "mask": "none", "activation": "tanh"}, (None, None)),
}


def make(case: str) -> tuple[Transformer, TaskShape]:
    changes, constants = CASES[case]
    return Transformer(init_scale=1.5, output_scale=1.3, **(SMALL | changes)), TaskShape(
        P + 2, len(constants), P, constants
    )


def draw(case: str, seed: int, dtype: type = jnp.float64) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
    """Weights (none of them zero), tokens and targets."""
    net, shape = make(case)
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(size=size) * 0.5 + name.endswith(".w") for name, size in net.shapes(shape).items()}
    weights = {name: jnp.asarray(w, dtype) for name, w in weights.items()}
    columns = [rng.integers(0, P, 21) if c is None else np.full(21, c) for c in shape.constants]
    return weights, jnp.asarray(np.stack(columns, axis=1), jnp.int32), jnp.asarray(rng.integers(0, P, 21), jnp.int32)


def loss(case, way, weights, tokens, targets, rate):
    net, shape = make(case)
    net = with_hyperparameters(net, hyperparameters_of(net) | {"attention_rate": rate})
    if way in FAST:
        with forced(way):
            logits = net.apply(weights, net.prepare(tokens, shape), shape)
    else:
        logits = net.reference_forward(weights, tokens, shape)[:, -1]
    return CrossEntropy().per_row(logits, targets).mean(), logits


@functools.cache
def value_and_gradient(case: str, way: str):
    return jax.jit(jax.value_and_grad(functools.partial(loss, case, way), has_aux=True), compiler_options=QUICK)


@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("case", CASES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 999), rate=st.floats(0, 1))
def test_the_fast_way_is_the_reference_in_value_and_gradient(case, way, seed, rate):
    drawn = *draw(case, seed), np.float64(rate)
    got, expected = (value_and_gradient(case, one)(*drawn) for one in (way, "reference_forward"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), got, expected)


def test_without_a_mask_every_position_sees_every_other():
    """Against a plain reference of attention alone; in one layer the mask makes no difference at the last position."""
    for n_layers in (1, 2):
        net = Transformer(n_layers=n_layers, d_mlp=0, mask="none", attention_rate=0.3, n_heads=2, d_model=6)
        shape = TaskShape(P, 3, P, (None,) * 3)
        rng = np.random.default_rng(n_layers)
        w = {name: rng.normal(size=size) / 2 for name, size in net.shapes(shape).items()}
        tokens = rng.integers(0, P, (7, 3))
        x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"]
        for layer in range(n_layers):
            q, k, v = (np.einsum("npd,hde->nphe", x, w[f"blocks.{layer}.attn.W_{s}"]) for s in "QKV")
            pattern = np.exp(np.einsum("nqhe,nkhe->nhqk", q, k) / 3**0.5)
            pattern = 0.3 * pattern / pattern.sum(-1, keepdims=True) + 0.7
            x = x + np.einsum("nhqk,nkhe,hed->nqd", pattern, v, w[f"blocks.{layer}.attn.W_O"])
        ours, ids = {name: jnp.asarray(array) for name, array in w.items()}, jnp.asarray(tokens, jnp.int32)
        logits = net.apply(ours, net.prepare(ids, shape), shape)
        np.testing.assert_allclose(logits, x[:, -1] @ w["unembed.W_U"], rtol=1e-10, atol=1e-10)
        causal = dataclasses.replace(net, mask="causal").reference_forward(ours, ids, shape)[:, -1]
        assert np.allclose(causal, logits, rtol=1e-10, atol=1e-10) == (n_layers == 1)
    with pytest.raises(InputError, match=r"network\.mask = 'none': needs a task that is read at its last position"):
        net.shapes(TaskShape(P, 3, P, (None,) * 3, (1, 3)))


@pytest.mark.parametrize("way", FAST)
def test_members_of_a_batch_are_as_alone(way):
    seeds = (0, 1)
    rates = np.array([1.0, 0.4])
    drawn = [draw("a b =", seed) for seed in seeds]
    many = jax.tree.map(lambda *x: np.stack(x), *drawn)
    (_, logits), gradients = jax.jit(jax.vmap(value_and_gradient("a b =", way).__wrapped__), compiler_options=QUICK)(
        *many, rates
    )
    for i, one in enumerate(drawn):
        (_, alone), gradient = value_and_gradient("a b =", way)(*one, rates[i])
        np.testing.assert_allclose(logits[i], alone, rtol=1e-10, atol=1e-10)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-10, atol=1e-10), gradients, gradient)


@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("case", ["a b =", "two layers, a op b, pre"])
def test_a_single_precision_program_holds_no_double(case, way):
    weights, tokens, targets = draw(case, 0, jnp.float32)
    program = jax.make_jaxpr(jax.grad(functools.partial(loss, case, way), has_aux=True))
    assert "f64" not in str(program(weights, tokens, targets, jnp.float32(1)))


def test_names_and_shapes_are_those_of_transformerlens():
    net, shape = Transformer(), TaskShape(114, 3, 113, (None, None, 113))
    weights = net.init(jax.random.key(0), shape, jnp.float32)
    assert (
        {name: w.shape for name, w in weights.items()}
        == net.shapes(shape)
        == {
            "embed.W_E": (114, 128),
            "pos_embed.W_pos": (3, 128),
            "blocks.0.attn.W_Q": (4, 128, 32),
            "blocks.0.attn.W_K": (4, 128, 32),
            "blocks.0.attn.W_V": (4, 128, 32),
            "blocks.0.attn.W_O": (4, 32, 128),
            "blocks.0.mlp.W_in": (128, 512),
            "blocks.0.mlp.W_out": (512, 128),
            "blocks.0.mlp.b_in": (512,),
            "blocks.0.mlp.b_out": (128,),
            "unembed.W_U": (128, 113),
        }
    )
    assert sum(w.size for w in weights.values()) == 226_816 - 128  # the authors' has a 114th class
    assert 3 * net.flops(shape, 3830) == pytest.approx(3.72e9, rel=1e-3)


@pytest.mark.parametrize(
    ("scheme", "w_e", "w_u", "w_out"),
    [
        ("nanda2023", 128**-0.5, 114**-0.5, 128**-0.5),
        ("furuta2024", 114**-0.5, 128**-0.5, 128**-0.5),
        ("transformer_lens", 0.8 * 128**-0.5, 0.8 * 128**-0.5, 0.8 * 128**-0.5),
        ("fan_in", 128**-0.5, 128**-0.5, 512**-0.5),
    ],
)
def test_initial_deviations(scheme, w_e, w_u, w_out):
    shape = TaskShape(114, 3, 113, (None, None, 113))
    net = Transformer(init_scheme=scheme, init_scale=2.0, init_std={"W_K": 0.5, "blocks.0.attn.W_Q": 0.25})
    weights = net.init(jax.random.key(0), shape, jnp.float32)
    expected = {"embed.W_E": w_e, "unembed.W_U": w_u, "blocks.0.mlp.W_out": w_out}
    expected |= {"blocks.0.attn.W_K": 0.5, "blocks.0.attn.W_Q": 0.25}
    for name, deviation in expected.items():
        assert float(weights[name].std()) == pytest.approx(2 * deviation, rel=0.03)
    assert not weights["blocks.0.mlp.b_in"].any()


def test_each_matrix_is_drawn_by_its_name():
    shape = TaskShape(7, 3, 5, (None, None, 5))
    one, two = (Transformer(n_layers=n, **SMALL).init(jax.random.key(0), shape, jnp.float32) for n in (1, 2))
    assert all((two[name] == w).all() for name, w in one.items())


@pytest.mark.parametrize(
    "wrong", [{"d_model": 10, "n_heads": 3}, {"n_layers": 0}, {"d_mlp": -1}, {"init_std": {"W_X": 1.0}}]
)
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(InputError, match="network\\."):
        Transformer(**wrong)
