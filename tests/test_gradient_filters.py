"""Gradient filters against plain NumPy in double precision, and within the optimiser, the engine and the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab import InputError
from groklab.components import hyperparameters_of, with_hyperparameters
from groklab.experiment import component, parse_overrides, read_recorded
from groklab.registry import kinds
from groklab.training import Progress, build_task, make_ensemble, memory_estimate, step_flops, training
from groklab.training import _engine as engine

STEPS = 250
SHAPES = {"a.W": (3, 4), "a.b": (4,), "h.W_Q": (2, 3, 4)}
Arrays = dict[str, np.ndarray]


def gradient_of(weights: Any, step: Any) -> dict[str, Any]:
    """A gradient that depends on the weights and oscillates, so that a wrong filter leads elsewhere."""
    return {k: w - 1 + (0.3 + i) * (0.9 - 0.7 * (step % 7)) for i, (k, w) in enumerate(weights.items())}


@pytest.fixture
def start() -> Arrays:
    rng = np.random.default_rng(0)
    return {k: rng.normal(size=shape) for k, shape in SHAPES.items()}


def descend(settings: dict[str, Any], start: Arrays, **optimiser: Any) -> tuple[Arrays, list[Arrays]]:
    """Updates as the engine makes them, in one compiled loop with every number traced: the end, and all weights."""
    made = component("optimiser", {"kind": "sgd", "learning_rate": 0.01, "filter": settings, **optimiser})

    @jax.jit
    def all_weights(hyperparameters: dict[str, jax.Array], w: Any) -> Any:
        own = with_hyperparameters(made, hyperparameters)

        def step(carry: Any, s: Any) -> Any:
            w, state = carry
            w, state = own.update(gradient_of(w, s), state, w, s)
            return (w, state), w

        return jax.lax.scan(step, (w, own.init(w)), jnp.arange(STEPS, dtype=jnp.int32))[1]

    numbers = {k: jnp.asarray(v, jnp.float64) for k, v in hyperparameters_of(made).items()}
    found = all_weights(numbers, {k: jnp.asarray(v) for k, v in start.items()})
    steps = [{k: np.asarray(v[s]) for k, v in found.items()} for s in range(STEPS)]
    return steps[-1], steps


def ema(start: str, alpha: float, lamb: float) -> Any:
    slow: Arrays = {}

    def apply(g: Arrays, w: Arrays) -> Arrays:
        for k, v in g.items():
            before = slow.get(k, v if start == "first" else np.zeros_like(v))
            slow[k] = alpha * before + (1 - alpha) * v
        return {k: v + lamb * slow[k] for k, v in g.items()}

    return apply


def ma(window: int, lamb: float, from_start: bool) -> Any:
    seen: list[Arrays] = []

    def apply(g: Arrays, w: Arrays) -> Arrays:
        seen.append(g)
        last = seen[-window:]
        if len(last) < window and not from_start:
            return g
        return {k: v + lamb * sum(one[k] for one in last) / len(last) for k, v in g.items()}

    return apply


def perpgrad(groups: list[list[str]], rescale: bool) -> Any:
    def apply(g: Arrays, w: Arrays) -> Arrays:
        filtered = {}
        for names in groups:
            wv, gv = (np.concatenate([of[k].ravel() for k in names]) for of in (w, g))
            rest = gv - wv @ gv / (wv @ wv + 1e-30) * wv
            if rescale:
                rest = rest * np.linalg.norm(gv) / (np.linalg.norm(rest) + 1e-30)
            for k in names:
                filtered[k], rest = rest[: w[k].size].reshape(w[k].shape), rest[w[k].size :]
        return filtered

    return apply


ALONE = [[k] for k in SHAPES]


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"kind": "grokfast_ema"}, ema("first", 0.98, 2.0)),
        ({"kind": "grokfast_ema", "alpha": 0.8, "lamb": 0.1, "start": "zero"}, ema("zero", 0.8, 0.1)),
        ({"kind": "grokfast_ma"}, ma(100, 5.0, False)),
        ({"kind": "grokfast_ma", "window": 7, "lamb": 0.5, "from_start": True}, ma(7, 0.5, True)),
        ({"kind": "perpgrad", "rescale": False}, perpgrad(ALONE, False)),
        ({"kind": "perpgrad", "joined": ["a.*"]}, perpgrad([["a.W", "a.b"], ["h.W_Q"]], True)),
        ({"kind": "perpgrad", "joined": ["*"]}, perpgrad([[*SHAPES]], True)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "reference",
)
def test_a_filter_is_its_formula(settings: dict[str, Any], reference: Any, start: Arrays) -> None:
    _, found = descend(settings, start)
    w = start
    for s in range(STEPS):
        g = reference(gradient_of(w, s), w)
        for k in w:
            np.testing.assert_allclose(found[s][k], w[k] - 0.01 * g[k], rtol=1e-12, atol=1e-12, err_msg=f"{k} at {s}")
        w = found[s]  # near a minimum, rescaling magnifies rounding: steps are compared, with the filter's state
    plain, _ = descend({"kind": "grokfast_ema", "lamb": 0.0}, start)
    assert max(np.abs(plain[k] - w[k]).max() for k in w) > 1e-3, "the filter does something"


def test_what_perpgrad_leaves_is_perpendicular_and_as_long(start: Arrays) -> None:
    w = {k: jnp.asarray(v) for k, v in start.items()}
    g = gradient_of(w, 3)
    filtered, _ = component("gradient_filter", "perpgrad").apply(g, (), w)
    for k in w:
        assert abs(float(jnp.vdot(filtered[k], w[k]))) < 1e-12
        np.testing.assert_allclose(jnp.linalg.norm(filtered[k]), jnp.linalg.norm(g[k]), rtol=1e-12)
    zeros = {k: jnp.zeros_like(v) for k, v in w.items()}
    for gradients, weights in (
        (zeros, w),
        (g, zeros),
        (w, w),
    ):  # a gradient along the weight leaves rounding or nothing
        filtered, _ = component("gradient_filter", "perpgrad").apply(gradients, (), weights)
        assert all(bool(jnp.isfinite(v).all()) for v in filtered.values())


def test_the_window_goes_on_for_ever() -> None:
    """Its count does not grow without bound, and the mean is that of the last gradients, whenever it is looked at."""
    made = component("gradient_filter", {"kind": "grokfast_ma", "window": 3, "lamb": 1.0})
    w = {"w": jnp.zeros(1)}
    state = made.init(w)
    apply = jax.jit(lambda g, state: made.apply(g, state, w))
    for s in range(20):
        filtered, state = apply({"w": jnp.full(1, float(s))}, state)
        assert float(filtered["w"][0]) == pytest.approx(s if s < 2 else s + (s - 1), abs=1e-12)
        assert int(state["seen"]) < 6


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"kind": "grokfast_ema"}, ema("first", 0.98, 2.0)),
        ({"kind": "grokfast_ma", "window": 5}, ma(5, 5.0, False)),
        ({"kind": "perpgrad", "joined": ["*"]}, perpgrad([["a.b", "h.W_Q"]], True)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "reference",
)
def test_frozen_weights_take_no_part(settings: dict[str, Any], reference: Any, start: Arrays) -> None:
    """What is trained moves as if the frozen matrix and the frozen rows were not there, joined or not."""
    _, found = descend(settings, start, groups={"a.W": {"frozen": True}, "h.*": {"frozen_rows": 1}})

    def trained(of: Arrays) -> Arrays:
        return {"a.b": of["a.b"], "h.W_Q": of["h.W_Q"][1:]}

    w = start
    for s in range(STEPS):
        g = reference(trained(gradient_of(w, s)), trained(w))
        for k, v in trained(w).items():
            np.testing.assert_allclose(trained(found[s])[k], v - 0.01 * g[k], rtol=1e-12, atol=1e-12)
        w = found[s]
    np.testing.assert_array_equal(w["a.W"], start["a.W"])
    np.testing.assert_array_equal(w["h.W_Q"][0], start["h.W_Q"][0])


def test_the_filter_comes_before_clipping_and_decay(start: Arrays) -> None:
    settings = {"kind": "grokfast_ema", "alpha": 0.5, "lamb": 9.0}
    _, found = descend(settings, start, clip_norm=0.1, l2=0.3)
    reference, w = ema("first", 0.5, 9.0), start
    for s in range(20):
        g = reference(gradient_of(w, s), w)
        size = np.sqrt(sum((v**2).sum() for v in g.values()))
        w = {k: v - 0.01 * (min(1, 0.1 / size) * g[k] + 0.3 * v) for k, v in w.items()}
    for k in w:
        np.testing.assert_allclose(found[19][k], w[k], rtol=1e-11)


def micro(**settings: Any) -> gl.Experiment:
    common = {"budget.steps": 60, "evaluation.every": 5, "checkpoints.rolling_seconds": 1e-9}
    return gl.preset("micro-fast", {**common, **{k.replace("__", "."): v for k, v in settings.items()}})


def filtered(kind: str) -> dict[str, Any]:
    return {"kind": kind, **({"window": 20} if kind == "grokfast_ma" else {})}


OWN = sorted(kind for kind, cls in kinds("gradient_filter").items() if cls.__module__.startswith("groklab."))


@pytest.mark.parametrize("kind", OWN)
def test_an_interrupted_run_resumes_to_the_same_bits(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    made = micro(optimiser__filter=filtered(kind))
    straight = training.train(made, home=tmp_path / "straight")

    class StopError(BaseException):
        pass

    def view(progress: Progress) -> None:
        if progress.step >= 30:
            raise StopError

    with pytest.raises(StopError):
        training.train(made, home=tmp_path / "again", view=view)
    again = training.train(made, home=tmp_path / "again")
    assert again.metrics.equals(straight.metrics)
    assert again.summary()["weights_sha256"] == straight.summary()["weights_sha256"]


@pytest.mark.parametrize(("kind", "number"), [("grokfast_ema", "alpha"), ("grokfast_ma", "lamb")])
def test_members_with_numbers_of_their_own_train_as_alone(kind: str, number: str) -> None:
    members = [
        micro(optimiser__filter={**filtered(kind), number: value}, seed=seed, dtype="float64")
        for seed, value in ((0, 0.9), (1, 0.5))
    ]
    together = gl.train(members)
    for i, member in enumerate(members):
        np.testing.assert_allclose(together.curves(i)["test_loss"], gl.train(member).curves()["test_loss"], rtol=1e-9)


def test_without_a_filter_nothing_changes() -> None:
    plain = micro()
    assert "filter" not in plain.to_dict()["optimiser"]
    assert gl.read(plain, {"optimiser.filter": None}).identity == plain.identity
    identities = {micro(optimiser__filter=filtered(kind)).identity for kind in OWN} | {plain.identity}
    assert len(identities) == len(OWN) + 1
    task = build_task(plain)
    n = 100
    assert step_flops(plain, task, n) < step_flops(micro(optimiser__filter=filtered("grokfast_ema")), task, n)
    estimates = {}
    for window in (5, 105):
        made = micro(optimiser__filter={"kind": "grokfast_ma", "window": window})
        ensemble = make_ensemble([made])
        estimates[window] = memory_estimate(ensemble.experiments, ensemble.tasks, ensemble.splits)
    parameters = sum(w.size for w in gl.train(micro(budget__steps=0)).weights().values())
    assert estimates[105] - estimates[5] == 4 * 100 * parameters


def test_a_filter_is_a_section_that_reads_back(tmp_path: Path) -> None:
    words = ["optimiser.filter=grokfast_ema", "optimiser.filter.alpha=0.9"]
    made = gl.read(micro(), parse_overrides(words))
    assert (made.optimiser.filter.alpha, made.optimiser.filter.lamb) == (0.9, 2.0)
    assert gl.read(made.to_dict()).identity == made.identity
    assert made.hyperparameters["optimiser.filter.alpha"] == 0.9
    # another kind starts from its own defaults, another optimiser keeps the filter
    assert gl.read(made, {"optimiser.filter.kind": "perpgrad"}).optimiser.filter.joined == ()
    assert gl.read(made, {"optimiser.kind": "sgd"}).optimiser.filter.alpha == 0.9
    assert gl.read(made, {"optimiser.filter": None}).optimiser.filter is None
    named = gl.read({**micro().to_dict(), "optimiser": {"filter": "grokfast_ma"}}, {"optimiser.filter.window": 4})
    assert named.optimiser.filter.window == 4


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {"optimiser.filter": "grokfast"},
            r"optimiser\.filter\.kind = 'grokfast': unknown \(did you mean grokfast_\w+",
        ),
        ({"optimiser.filter": 3}, r"optimiser\.filter = 3: needs a section"),
        ({"optimiser.filter.alpha": 0.9}, r"optimiser\.filter\.kind is missing; allowed: grokfast_ema"),
        ({"optimiser.filter": {"kind": "grokfast_ema", "lam": 1}}, r"optimiser\.filter\.lam: unknown setting"),
        ({"optimiser.filter": {"kind": "grokfast_ema", "alpha": 1}}, r"optimiser\.filter\.alpha = 1: needs to be less"),
        ({"optimiser.filter": {"kind": "grokfast_ma", "window": 0}}, r"optimiser\.filter\.window = 0"),
    ],
)
def test_a_refusal_names_the_field(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        gl.read(micro(), overrides)


def test_a_pattern_that_matches_no_weight_is_refused() -> None:
    made = micro(optimiser__filter={"kind": "perpgrad", "joined": ["embd.*"]})
    with pytest.raises(InputError, match=r"optimiser\.filter\.joined = 'embd\.\*': matches no weight"):
        gl.train(made)


def test_a_run_whose_filter_is_of_a_plug_in_can_be_looked_at_without_it() -> None:
    description = micro().to_dict()
    description["optimiser"]["filter"] = {"kind": "of_a_stranger", "strength": 2.0}
    recorded = read_recorded(description)
    assert recorded.to_dict()["optimiser"]["filter"] == description["optimiser"]["filter"]
    assert recorded.chosen()["optimiser.filter.strength"] == 2.0
    assert recorded.optimiser is not None
    with pytest.raises(InputError, match="the code of 'of_a_stranger', which a plug-in registers, is not loaded"):
        recorded.optimiser.init({"w": jnp.zeros(1)})
    with pytest.raises(InputError, match=r"optimiser\.filter\.kind = 'of_a_stranger': unknown"):
        gl.read(description)


def test_a_filter_that_comes_in_training_leaves_the_moments_as_they_are() -> None:
    """One of strength zero changes nothing, and taking it away again does not either."""
    plain = gl.train(micro(dtype="float64"))
    settings = [{"optimiser.filter": {"kind": "grokfast_ema", "lamb": 0.0}}, {"optimiser.filter": None}]
    changes = [{"kind": "set", "step": at, "settings": s} for at, s in zip((20, 40), settings, strict=True)]
    changed = gl.train(micro(dtype="float64", interventions=changes))
    np.testing.assert_allclose(changed.curves()["test_loss"], plain.curves()["test_loss"], rtol=1e-10)
