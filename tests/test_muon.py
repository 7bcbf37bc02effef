"""Muon against the published rule in NumPy, PyTorch's optimiser and optax's."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest

from groklab import optimisers
from groklab.components import hyperparameters_of, with_hyperparameters
from groklab.experiment import component

#: A transformer's weights in small: (heads, inputs, outputs) for Q, K and V, (heads, inputs, outputs) for O.
SHAPES = {
    "embed.W_E": (7, 6),
    "pos_embed.W_pos": (3, 6),
    "blocks.0.attn.W_Q": (2, 6, 3),
    "blocks.0.attn.W_K": (2, 6, 3),
    "blocks.0.attn.W_V": (2, 6, 3),
    "blocks.0.attn.W_O": (2, 3, 6),
    "blocks.0.mlp.W_in": (6, 12),
    "blocks.0.mlp.W_out": (12, 6),
    "blocks.0.mlp.b_in": (12,),
    "unembed.W_U": (6, 7),
}
HIDDEN = [name for name in SHAPES if ".W_" in name and name.startswith("blocks")]
LOCKED = {
    "kind": "muon",
    "learning_rate": 0.03,
    "weight_decay": 0.1,
    "adam_learning_rate": 1e-3,
    "adam_weight_decay": 1.0,
    "b2": 0.999,
    "groups": {"unembed.*": {"learning_rate": 2.5e-4}},
}


@pytest.fixture
def case() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    return weights, [{name: rng.normal(size=w.shape) for name, w in weights.items()} for _ in range(4)]


def run(settings: dict[str, Any], weights: Any, gradients: Any, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    """Updates as the engine makes them: inside jit, with every number traced."""
    optimiser = component("optimiser", settings)

    @jax.jit
    def updates(hyperparameters: dict[str, jax.Array], w: Any, gradients: Any) -> Any:
        made = with_hyperparameters(optimiser, hyperparameters)
        state = made.init(w)
        for s, g in enumerate(gradients):
            w, state = made.update(g, state, w, jnp.int32(s))
        return w

    hyperparameters = {k: jnp.asarray(v, dtype) for k, v in hyperparameters_of(optimiser).items()}
    own = jax.tree.map(lambda v: jnp.asarray(v, dtype), (weights, gradients))
    return {name: np.asarray(w) for name, w in updates(hyperparameters, *own).items()}


def by_numpy(u: np.ndarray, steps: int = 5) -> np.ndarray:
    """Newton–Schulz on one matrix (inputs, outputs), through its singular values."""
    u, s, v = np.linalg.svd(u / max(np.linalg.norm(u), 1e-7), full_matrices=False)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ v


def momenta(gradients: list[dict[str, np.ndarray]], name: str, nesterov: bool = True) -> list[np.ndarray]:
    m, result = np.zeros_like(gradients[0][name]), []
    for g in gradients:
        m = 0.95 * m + 0.05 * g[name]
        result.append(0.95 * m + 0.05 * g[name] if nesterov else m)
    return result


def joined(name: str, stack: np.ndarray) -> np.ndarray:
    """All heads' matrices as one (inputs, outputs), written by head."""
    if stack.ndim == 2:
        return stack
    return np.concatenate(list(stack), axis=0 if name.endswith("W_O") else 1)


@pytest.mark.parametrize("nesterov", [True, False])
def test_hidden_matrices_take_the_published_step_and_the_others_that_of_adamw(case: Any, nesterov: bool) -> None:
    weights, gradients = case
    found = run({**LOCKED, "nesterov": nesterov}, weights, gradients)
    for name in HIDDEN:
        w = joined(name, weights[name])
        inputs, outputs = w.shape
        for u in momenta(gradients, name, nesterov):
            w = (1 - 0.03 * 0.1) * w - 0.03 * math.sqrt(max(1, outputs / inputs)) * by_numpy(joined(name, u))
        np.testing.assert_allclose(joined(name, found[name]), w, rtol=1e-9, atol=1e-12)
    adamw = {"kind": "adamw", "learning_rate": 1e-3, "weight_decay": 1.0, "b2": 0.999}
    others = [name for name in SHAPES if name not in HIDDEN]
    assert len(others) == 4
    expected = run(
        adamw | {"groups": LOCKED["groups"]},
        {name: weights[name] for name in others},
        [{name: g[name] for name in others} for g in gradients],
    )
    for name in others:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


def changes(case: Any, **settings: Any) -> dict[str, np.ndarray]:
    """What one step at rate 1 without decay takes away."""
    weights, gradients = case
    found = run({"kind": "muon", "learning_rate": 1.0, **settings}, weights, gradients[:1])
    return {name: weights[name] - found[name] for name in HIDDEN}


def test_heads_are_orthogonalised_as_asked(case: Any) -> None:
    gradients = case[1][0]
    each, qkv = changes(case, heads="each"), changes(case, heads="qkv")
    for name in ("blocks.0.attn.W_K", "blocks.0.attn.W_O"):
        inputs, outputs = SHAPES[name][1:]
        for head in range(2):
            expected = math.sqrt(max(1, outputs / inputs)) * by_numpy(gradients[name][head])
            np.testing.assert_allclose(each[name][head], expected, rtol=1e-9, atol=1e-12)
    three = ["blocks.0.attn.W_Q", "blocks.0.attn.W_K", "blocks.0.attn.W_V"]
    together = by_numpy(np.concatenate([joined(name, gradients[name]) for name in three], axis=1)) * math.sqrt(3)
    for name, part in zip(three, np.split(together, 3, axis=1), strict=True):
        np.testing.assert_allclose(joined(name, qkv[name]), part, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(qkv["blocks.0.attn.W_O"], changes(case)["blocks.0.attn.W_O"], rtol=1e-12)


def test_scales_are_the_published_factors(case: Any) -> None:
    plain = changes(case, scale="none")
    for scale, factors in (("shape", (2**0.5, 1)), ("consistent_rms", (0.2 * 12**0.5,) * 2)):
        scaled = changes(case, scale=scale)
        for name, factor in zip(("blocks.0.mlp.W_in", "blocks.0.mlp.W_out"), factors, strict=True):
            np.testing.assert_allclose(scaled[name], factor * plain[name], rtol=1e-12)


def test_every_matrix_is_orthogonalised_where_nothing_is_left_to_adamw(case: Any) -> None:
    weights, gradients = case
    found = run({"kind": "muon", "learning_rate": 1.0, "outer": []}, weights, gradients[:1])
    singular = np.linalg.svd(weights["embed.W_E"] - found["embed.W_E"], compute_uv=False)
    assert singular.max() / singular.min() < 2
    # a vector is none of its own
    np.testing.assert_allclose(
        weights["blocks.0.mlp.b_in"] - found["blocks.0.mlp.b_in"], np.sign(gradients[0]["blocks.0.mlp.b_in"]), atol=1e-5
    )


def test_newton_schulz_is_that_of_optax() -> None:
    # its momentum has two bias corrections that Jordan's has not, so that only first steps are the same
    rng = np.random.default_rng(1)
    weights = {"a.W": jnp.asarray(rng.normal(size=(5, 8)))}
    gradients = {"a.W": jnp.asarray(rng.normal(size=(5, 8)))}
    for settings, options in (({}, {}), ({"scale": "consistent_rms"}, {"consistent_rms": 0.2})):
        theirs = optax.contrib.muon(0.1, **options)
        moved, _ = theirs.update(gradients, theirs.init(weights), weights)
        made = {"kind": "muon", "learning_rate": 0.1, **settings}
        found = run(made, weights, [gradients])["a.W"]
        np.testing.assert_allclose(found, np.asarray(optax.apply_updates(weights, moved)["a.W"]), rtol=1e-6)


@pytest.mark.parametrize("scale", ["shape", "consistent_rms"])
@pytest.mark.parametrize("precision", ["weights", "bfloat16"])
def test_steps_are_those_of_torch(scale: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch.optim.Muon", minversion="2.9")
    if precision == "weights":
        # where it rounds to bfloat16, nothing is rounded
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
    rng = np.random.default_rng(2)
    shapes = {"hidden.0.W": (4, 9), "hidden.1.W": (9, 4), "hidden.2.W": (5, 5)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    gradients = [{name: rng.normal(size=w.shape) for name, w in weights.items()} for _ in range(10)]
    # theirs are (outputs, inputs)
    theirs = {name: torch.nn.Parameter(torch.tensor(w.T.copy())) for name, w in weights.items()}
    adjust = {"shape": "original", "consistent_rms": "match_rms_adamw"}[scale]
    optimiser = torch.optim.Muon(list(theirs.values()), lr=0.02, weight_decay=0.1, adjust_lr_fn=adjust)
    for g in gradients:
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(g[name].T.copy())
        optimiser.step()
    settings = {"kind": "muon", "learning_rate": 0.02, "weight_decay": 0.1, "scale": scale, "precision": precision}
    found = run(settings, weights, gradients)
    for name, w in weights.items():
        wanted = theirs[name].detach().numpy().T
        # sixteen bits are rounded in another order: of the way that a weight has gone, a fifth
        tolerance = 1e-10 if precision == "weights" else 0.2 * np.abs(wanted - w).mean()
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=tolerance)


def test_sixteen_bits_move_a_step_by_hundredths(case: Any) -> None:
    full, half = changes(case), changes(case, precision="bfloat16")
    for name in HIDDEN:
        assert 1e-4 < np.abs(full[name] - half[name]).max() < 0.1, name


def test_nothing_moves_without_a_gradient() -> None:
    zero = np.asarray(optimisers.newton_schulz(jnp.zeros((3, 4))))
    np.testing.assert_array_equal(zero, np.zeros((3, 4)))
    tiny = np.asarray(optimisers.newton_schulz(jnp.full((1, 1), 1e-9)))
    # below 1e-7 a step shrinks with its gradient
    np.testing.assert_allclose(tiny, by_numpy(np.full((1, 1), 1e-9)), rtol=1e-6)
    assert tiny[0, 0] < 10
