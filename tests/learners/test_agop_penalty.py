"""The trace of the average gradient outer product: right by autodiff, descended, and never reported as loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.learners._gradient_descent import GradientDescent
from groklab.networks import MLP
from groklab.objectives import CrossEntropy, MeanSquaredError
from groklab.optimisers import SGD
from groklab.tasks import TaskShape
from groklab.training import training

P = 5
SHAPE = TaskShape(P, 2, P, (None, None))
PAIRS = np.stack(np.divmod(np.arange(P * P), P), axis=1).astype(np.int32)
NETWORKS = {
    "quadratic": MLP(d_mlp=7, activation="quadratic", init_scheme="torch"),
    "gelu, biases": MLP(d_mlp=7, activation="gelu", biases=True, output_scale=1.7),
    "quadratic, planted": MLP(d_mlp=7, activation="quadratic", features="toeplitz"),
    "tanh, planted": MLP(d_mlp=7, activation="tanh", features="hankel_log", features_seed=2),
}
ACTIVATIONS = {"quadratic": jnp.square, "gelu": jax.nn.gelu, "tanh": jnp.tanh}


def drawn(net: MLP) -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(rng.normal(size=size) * 0.5) for name, size in net.shapes(SHAPE).items()}


def rows() -> tuple[np.ndarray, jax.Array]:
    """Inputs and weights that sum to one, one of them zero."""
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=12)
    weights[3] = 0
    return rng.permutation(PAIRS)[:12], jnp.asarray(weights / weights.sum())


def by_autodiff(net: MLP, weights: dict[str, jax.Array], inputs: np.ndarray, row_weights: jax.Array) -> jax.Array:
    """The weighted mean of the squared norms of the Jacobians of single inputs."""
    transform = net.transform(SHAPE)

    def logits(x: jax.Array) -> jax.Array:
        seen = x if transform is None else jnp.asarray(transform) @ x
        sums = seen @ jnp.concatenate([weights["embed.0.W"], weights["embed.1.W"]])
        if net.biases:
            sums = sums + weights["hidden.0.b"]
        return ACTIVATIONS[net.activation](sums) @ weights["unembed.W_U"] * net.output_scale

    x = jnp.concatenate([jnp.eye(P)[inputs[:, 0]], jnp.eye(P)[inputs[:, 1]]], axis=1)
    return jnp.sum(row_weights * (jax.vmap(jax.jacfwd(logits))(x) ** 2).sum(axis=(1, 2)))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_closed_form_is_the_jacobians_in_value_and_gradient(name: str) -> None:
    net, (inputs, row_weights) = NETWORKS[name], rows()

    def closed(weights: dict[str, jax.Array]) -> jax.Array:
        return net.agop_trace(weights, net.prepare(jnp.asarray(inputs), SHAPE), SHAPE, row_weights)

    got = jax.jit(jax.value_and_grad(closed))(drawn(net))
    expected = jax.jit(jax.value_and_grad(lambda w: by_autodiff(net, w, inputs, row_weights)))(drawn(net))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), got, expected)


def test_the_trace_of_a_quadratic_network_by_its_formula() -> None:
    """4 Σ (W2'W2) o (W1 S W1') o (W1 W1') with S the mean of x x'."""
    net, (inputs, row_weights) = NETWORKS["quadratic"], rows()
    weights = drawn(net)
    x = np.concatenate([np.eye(P)[inputs[:, 0]], np.eye(P)[inputs[:, 1]]], axis=1)
    first = np.concatenate([weights["embed.0.W"], weights["embed.1.W"]]).T
    last = np.asarray(weights["unembed.W_U"]).T
    second_moment = x.T @ (np.asarray(row_weights)[:, None] * x)
    expected = 4 * ((last.T @ last) * (first @ second_moment @ first.T) * (first @ first.T)).sum()
    got = jax.jit(lambda w: net.agop_trace(w, net.prepare(jnp.asarray(inputs), SHAPE), SHAPE, row_weights))(weights)
    assert float(got) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("objective", [CrossEntropy, MeanSquaredError])
@pytest.mark.parametrize("name", ["quadratic", "tanh, planted"])
def test_a_step_descends_loss_and_penalty_and_tells_the_loss(name: str, objective: Any) -> None:
    net, (inputs, row_weights) = NETWORKS[name], rows()
    weights, targets = drawn(net), jnp.asarray(inputs.sum(axis=1) % P)
    asked = objective(agop_penalty=0.3)
    learner = GradientDescent(net, asked, SGD(learning_rate=1.0), SHAPE, None, "float64")
    hyperparameters = {"objective.agop_penalty": jnp.float64(0.3), "optimiser.learning_rate": jnp.float64(1.0)}
    hyperparameters |= {
        k: jnp.float64(v)
        for k, v in gl.components.hyperparameters_of(learner.parts).items()
        if k not in hyperparameters
    }
    raw = {
        "train_inputs": jnp.asarray(inputs),
        "test_inputs": jnp.asarray(inputs),
        "train_targets": targets,
        "test_targets": targets,
        "schedule_steps": jnp.zeros(1, jnp.int32),
        "schedule_weights": row_weights[None],
        "test_weights": row_weights,
    }
    state = {"weights": weights, "optimiser": SGD().init(weights)}
    step = jax.jit(lambda s: learner.step(s, learner.prepare(raw), hyperparameters, jax.random.key(0), jnp.int32(0)))
    moved, outputs = step(state)

    def plain(w: dict[str, jax.Array]) -> jax.Array:
        logits = net.reference_forward(w, jnp.asarray(inputs), SHAPE)
        return jnp.sum(objective().per_row(logits, targets) * row_weights)

    gradient = jax.jit(jax.grad(lambda w: plain(w) + 0.3 * by_autodiff(net, w, inputs, row_weights)))(weights)
    for key, w in weights.items():
        np.testing.assert_allclose(w - moved["weights"][key], gradient[key], rtol=1e-9, atol=1e-12)
    assert float(outputs["train_loss"]) == pytest.approx(float(plain(weights)), rel=1e-12)
    norm = sum(float((g**2).sum()) for g in gradient.values()) ** 0.5
    assert float(outputs["grad_norm"]) == pytest.approx(norm, rel=1e-9)


SMALL = {
    "task": {"p": 7, "layout": "a b"},
    "split": {"frac_train": 0.6},
    "network": {"kind": "mlp", "d_mlp": 16, "activation": "quadratic"},
    "objective": {"kind": "mse"},
    "optimiser": {"learning_rate": 1e-2},
    "budget": {"steps": 200},
    "dtype": "float64",
}


def test_the_penalty_lowers_the_trace_and_members_may_differ_in_it() -> None:
    members = [gl.read(SMALL, {"objective.agop_penalty": penalty, "batch_size": 8}) for penalty in (0.0, 1e-2)]
    together = training.train(members)
    alone = training.train(members[1])
    curves = [together.curves(i)["train_loss"] for i in range(2)]
    np.testing.assert_allclose(curves[1], alone.curves()["train_loss"], rtol=1e-6)
    assert curves[0][0] == pytest.approx(curves[1][0], rel=1e-6)
    net, task = members[0].network, members[0].task.build()
    batch = jax.jit(lambda tokens: net.prepare(tokens, task.shape))(task.inputs)
    weights = [jax.tree.map(jnp.asarray, together.weights(member=i)) for i in range(2)]
    trace = jax.jit(lambda w: net.agop_trace(w, batch, task.shape, jnp.full(49, 1 / 49)))
    traces = [trace(w) for w in weights]
    assert traces[1] < 0.7 * traces[0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network": {"kind": "transformer"}}, "objective.agop_penalty = 0.001: needs a network of kind 'mlp'"),
        ({"network.n_hidden_layers": 2}, "objective.agop_penalty = 0.001: needs a network of kind 'mlp'"),
        ({"network.d_embed": 3}, "with one hidden layer on one-hot tokens"),
        ({"objective.agop_penalty": -1.0}, "objective.agop_penalty = -1.0: needs to be greater than or equal to 0"),
        ({"objective.kind": "cross_entropy", "objective.agop_penalty": -1.0}, "greater than or equal to 0"),
    ],
    ids=str,
)
def test_refusals(settings: dict[str, Any], says: str, home: Path) -> None:
    base = {**SMALL, **{k: v for k, v in settings.items() if "." not in k}}
    changes = {k: v for k, v in settings.items() if "." in k}
    with pytest.raises(InputError) as caught:
        training.train(gl.read(base, {"objective.agop_penalty": 1e-3, **changes}))
    assert says in str(caught.value)
    assert not home.exists() or not list(home.glob("experiment*"))


def test_defaults_that_are_written_out_leave_the_identity_as_it_is() -> None:
    for name in ("micro", "micro-mse"):
        plain = gl.preset(name)
        said = {"network.features": "one_hot", "network.features_seed": 0, "objective.agop_penalty": None}
        assert gl.read(plain, said).identity == plain.identity
        assert gl.read(plain, {"objective.agop_penalty": 0.0}).identity != plain.identity
