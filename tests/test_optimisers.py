from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from groklab import InputError
from groklab.components import hyperparameters_of, with_hyperparameters
from groklab.experiment import component
from groklab.registry import kinds


def run(optimiser: Any, weights: dict[str, np.ndarray], gradients: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Some updates as the engine makes them: inside jit, with every number traced."""

    @jax.jit
    def updates(hyperparameters: dict[str, jax.Array], w: Any) -> Any:
        made = with_hyperparameters(optimiser, hyperparameters)
        state = made.init(w)
        for s, g in enumerate(gradients):
            w, state = made.update({k: jnp.asarray(v) for k, v in g.items()}, state, w, jnp.int32(s))
        return w

    hyperparameters = {k: jnp.asarray(v, jnp.float64) for k, v in hyperparameters_of(optimiser).items()}
    return dict(updates(hyperparameters, {k: jnp.asarray(v) for k, v in weights.items()}))


@pytest.fixture
def case() -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    rng = np.random.default_rng(0)
    weights = {"a.W": rng.normal(size=(3, 4)), "a.b": rng.normal(size=4), "h.W_Q": rng.normal(size=(2, 3, 4))}
    return weights, [{k: rng.normal(size=v.shape) for k, v in weights.items()} for _ in range(5)]


def test_adamw_is_the_published_formula(case: Any) -> None:
    weights, gradients = case
    made = component(
        "optimiser", {"kind": "adamw", "learning_rate": 0.01, "weight_decay": 0.5, "b2": 0.98, "warmup_steps": 3}
    )
    found = run(made, weights, gradients)
    for name, w in weights.items():
        m = v = np.zeros_like(w)
        for t, g in enumerate(step[name] for step in gradients):
            m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
            direction = (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.98 ** (t + 1))) + 1e-8)
            w = w - 0.01 * min(t / 3, 1) * (direction + 0.5 * w)
        np.testing.assert_allclose(found[name], w, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"kind": "adamw", "weight_decay": 0.1}, optax.adamw(1e-3, b1=0.9, b2=0.98, weight_decay=0.1)),
        ({"kind": "sgd", "momentum": 0.5}, optax.sgd(1e-3, momentum=0.5)),
        ({"kind": "lion", "weight_decay": 0.1}, optax.lion(1e-3, weight_decay=0.1)),
        ({"kind": "rmsprop"}, optax.rmsprop(1e-3)),
        ({"kind": "adam"}, optax.adam(1e-3)),
        ({"kind": "radam"}, optax.radam(1e-3)),
        ({"kind": "adabelief"}, optax.adabelief(1e-3)),
        ({"kind": "adamax"}, optax.adamax(1e-3)),
        ({"kind": "adagrad"}, optax.adagrad(1e-3)),
    ],
)
def test_named_optimisers_are_optax(case: Any, settings: Any, reference: optax.GradientTransformation) -> None:
    weights, gradients = case
    found = run(component("optimiser", settings), weights, gradients)

    @jax.jit
    def updated(w: Any) -> Any:
        state = reference.init(w)
        for g in gradients:
            change, state = reference.update({k: jnp.asarray(v) for k, v in g.items()}, state, w)
            w = optax.apply_updates(w, change)
        return w

    expected = updated(weights)
    for name in weights:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


def test_every_optimiser_lowers_a_quadratic() -> None:
    target = {"a.W": np.full((3, 3), 2.0), "a.b": np.ones(3)}
    # other tests' plug-ins may still be registered here, one of which ends its process
    own = [kind for kind, made in kinds("optimiser").items() if made.__module__.startswith("groklab.")]
    assert len(own) >= 10
    for kind in own:
        made = component("optimiser", {"kind": kind, "learning_rate": 0.05})

        @jax.jit
        def loss_after(w: Any, made: Any = made) -> Any:
            def distance(w: Any) -> Any:
                return sum(jnp.sum((w[k] - target[k]) ** 2) for k in w)

            def step(s: Any, carry: Any) -> Any:
                w, state = carry
                return made.update(jax.grad(distance)(w), state, w, jnp.int32(s))

            # a loop: unrolled, each program takes the compiler a second
            return distance(jax.lax.fori_loop(0, 20, step, (w, made.init(w)))[0]) / distance(w)

        assert loss_after({k: jnp.zeros(v.shape, jnp.float64) for k, v in target.items()}) < 0.9, kind


def test_groups_freeze_and_scale(case: Any) -> None:
    weights, gradients = case
    groups = {"a.*": {"frozen": True}, "*.b": {"learning_rate_factor": 2.0, "weight_decay_factor": 0.0}}
    settings = {"kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.3, "groups": groups}
    found = run(component("optimiser", settings), weights, gradients[:1])
    np.testing.assert_array_equal(found["a.W"], weights["a.W"])
    np.testing.assert_allclose(found["a.b"], weights["a.b"] - 0.2 * gradients[0]["a.b"])
    np.testing.assert_allclose(found["h.W_Q"], 0.97 * weights["h.W_Q"] - 0.1 * gradients[0]["h.W_Q"])


def test_frozen_weights_stay_when_the_others_are_clamped(case: Any) -> None:
    weights, gradients = case
    settings = {"kind": "sgd", "clamp_norm": 2.5, "groups": {"a.*": {"frozen": True}}}
    found = run(component("optimiser", settings), weights, gradients)
    np.testing.assert_array_equal(found["a.W"], weights["a.W"])
    np.testing.assert_allclose(np.linalg.norm(found["h.W_Q"]), 2.5, rtol=1e-10)


def test_l2_is_coupled_and_decay_is_not(case: Any) -> None:
    """Named after a widespread confusion: Adam's L2 called weight decay."""
    weights, gradients = case
    coupled = run(component("optimiser", {"kind": "adamw", "l2": 0.5}), weights, gradients[:1])
    decoupled = run(component("optimiser", {"kind": "adamw", "weight_decay": 0.5}), weights, gradients[:1])
    g = gradients[0]["a.W"] + 0.5 * weights["a.W"]
    np.testing.assert_allclose(coupled["a.W"], weights["a.W"] - 1e-3 * np.sign(g), rtol=1e-5)
    assert not np.allclose(coupled["a.W"], decoupled["a.W"], rtol=1e-6)


def test_clip_and_clamp(case: Any) -> None:
    weights, gradients = case
    clipped = run(
        component("optimiser", {"kind": "sgd", "learning_rate": 1.0, "clip_norm": 0.1}), weights, gradients[:1]
    )
    change = np.sqrt(sum(np.sum((np.asarray(clipped[k]) - weights[k]) ** 2) for k in weights))
    np.testing.assert_allclose(change, 0.1, rtol=1e-10)
    clamped = run(component("optimiser", {"kind": "sgd", "clamp_norm": 2.5}), weights, gradients)
    np.testing.assert_allclose(np.sqrt(sum(np.sum(np.square(v)) for v in clamped.values())), 2.5, rtol=1e-10)
    free = run(component("optimiser", {"kind": "sgd"}), weights, gradients)
    loose = run(component("optimiser", {"kind": "sgd", "clamp_norm": 1e3, "clamp": "at_most"}), weights, gradients)
    np.testing.assert_array_equal(free["a.W"], loose["a.W"])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "inverse_sqrt"])
def test_schedules_start_at_the_rate_and_end_at_the_floor(schedule: str) -> None:
    settings = {"kind": "sgd", "learning_rate": 0.5, "schedule": schedule, "decay_steps": 100, "final_factor": 0.25}
    made = component("optimiser", settings)
    rates = [float(made.rate(jnp.int32(s))) for s in (0, 50, 100, 10**9)]
    assert rates[0] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.125)
    assert rates == sorted(rates, reverse=True)
    if schedule != "inverse_sqrt":
        assert rates[1] == pytest.approx(0.5 * (0.25 + 0.75 / 2))


def test_a_schedule_needs_its_length() -> None:
    with pytest.raises(InputError, match="decay_steps"):
        component("optimiser", {"kind": "adamw", "schedule": "cosine"})


def test_the_norm_of_the_start_can_be_kept(case: Any) -> None:
    weights, gradients = case
    settings = {"kind": "adamw", "learning_rate": 0.1, "clamp": "initial", "groups": {"a.*": {"frozen": True}}}
    found = run(component("optimiser", settings), weights, gradients)
    free = [k for k in weights if not k.startswith("a.")]

    def norm(of: Any) -> float:
        return float(np.sqrt(sum(float((of[k] ** 2).sum()) for k in free)))

    np.testing.assert_allclose(norm(found), norm(weights), rtol=1e-10)
    assert not np.allclose(found["h.W_Q"], weights["h.W_Q"])
    with pytest.raises(InputError, match="clamp_norm"):
        component("optimiser", {**settings, "clamp_norm": 1.0})


def test_groups_may_have_rates_and_decays_of_their_own(case: Any) -> None:
    weights, gradients = case
    groups = {"a.*": {"learning_rate": 0.4, "weight_decay": 0.0}, "*.b": {"learning_rate_factor": 0.5}}
    settings = {"kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.3, "groups": groups}
    found = run(component("optimiser", settings), weights, gradients[:1])
    np.testing.assert_allclose(found["a.W"], weights["a.W"] - 0.4 * gradients[0]["a.W"])
    # the later group wins, whole
    np.testing.assert_allclose(found["a.b"], weights["a.b"] - 0.05 * (gradients[0]["a.b"] + 0.3 * weights["a.b"]))


def test_first_rows_stay_as_they_are(case: Any) -> None:
    weights, gradients = case
    settings = {"kind": "adamw", "learning_rate": 0.1, "weight_decay": 0.5}
    kept = component("optimiser", {**settings, "groups": {"a.W": {"frozen_rows": 2}}})
    found, free = run(kept, weights, gradients), run(component("optimiser", settings), weights, gradients)
    np.testing.assert_array_equal(found["a.W"][:2], weights["a.W"][:2])
    np.testing.assert_allclose(found["a.W"][2:], free["a.W"][2:], rtol=1e-14)
    np.testing.assert_allclose(found["a.b"], free["a.b"], rtol=1e-14)
    with pytest.raises(InputError, match="frozen_rows cannot be kept where all weights are rescaled"):
        component("optimiser", {**settings, "clamp_norm": 1.0, "groups": {"a.W": {"frozen_rows": 2}}})
