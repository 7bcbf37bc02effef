"""The effective theory's flow: exactness, what it keeps, the published numbers, and the road through the engine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from groklab.errors import InputError
from groklab.learners import EffectiveTheory
from groklab.learners._effective_theory import Flow, effective_loss
from groklab.learners._effective_theory import normalised as jax_normalised
from groklab.measures import normalised, parallelogram_quality, rqi
from groklab.tasks import Arithmetic, Group, Task, TaskShape
from groklab.theory import equations_of, flow

PLAIN = SimpleNamespace(dtype="float64", matmul_precision="highest")
#: A line of mean 0 and squares that sum to 9.
LINE = 0.3302891295379082 * (np.arange(10) - 4.5)


def addition(p: int = 10, **settings: Any) -> Task:
    return Arithmetic(p=p, **{"modular": False, "pairs": "unordered", **settings}).build()


def training_rows(task: Task, size: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(task.n_inputs)[:size])


def raw_data(task: Task, train: np.ndarray) -> dict[str, np.ndarray]:
    """One member's data, both sets filled up to the size of the task with rows that only pad."""
    n, test = task.n_inputs, np.setdiff1d(np.arange(task.n_inputs), train)

    def filled(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        return values[np.append(rows, np.full(n - len(rows), rows[0]))]

    weights = [np.append(np.full(len(rows), 1 / len(rows)), np.zeros(n - len(rows))) for rows in (train, test)]
    return {
        "train_inputs": filled(train, task.inputs),
        "train_targets": filled(train, task.targets),
        "test_inputs": filled(test, task.inputs),
        "test_targets": filled(test, task.targets),
        "schedule_steps": np.zeros(1, np.int32),
        "schedule_weights": weights[0][None],
        "test_weights": weights[1],
    }


#: Steps of one call of `steps`: all lengths of a flow share one program.
MANY = 20


@lru_cache(maxsize=64)
def compiled(learner: EffectiveTheory, shape: TaskShape) -> tuple[Any, Any, Any]:
    """`prepare`, MANY `steps` and `evaluate` of a learner whose eta is a number of the call."""
    flow = Flow(learner, shape, "float64")

    def steps(state: Any, data: Any, hyperparameters: Any, key: Any, first: Any) -> tuple[Any, Any]:
        def one(state: Any, s: Any) -> tuple[Any, Any]:
            moved, outputs = flow.step(state, data, hyperparameters, key, s)
            assert not outputs
            return moved, moved["weights"]["embed.W_E"]

        return jax.lax.scan(one, state, first + np.arange(MANY, dtype=np.int32))

    return jax.jit(flow.prepare), jax.jit(steps), jax.jit(flow.evaluate)


def prepared(task: Task, train: np.ndarray, **fields: Any) -> Any:
    return compiled(EffectiveTheory(**fields), task.shape)[0](raw_data(task, train))


def measured(task: Task, train: np.ndarray, e: np.ndarray, **fields: Any) -> dict[str, float]:
    """Metrics of embeddings."""
    evaluate = compiled(EffectiveTheory(**fields), task.shape)[2]
    state = {"weights": {"embed.W_E": jax.numpy.asarray(e)}}
    found = evaluate(state, prepared(task, train, **fields), {}, np.int32(0))
    return {k: float(v) for k, v in found.items()}


def follow(task: Task, train: np.ndarray, start: np.ndarray, n: int, *, eta: float = 1e-3, **fields: Any) -> np.ndarray:
    """Embeddings (n + 1, p, d) after 0..n steps."""
    learner = EffectiveTheory(**fields)
    learner.check(PLAIN, task)
    steps, data = compiled(learner, task.shape)[1], prepared(task, train, **fields)
    state = {"weights": {"embed.W_E": jax.numpy.asarray(start)}, "first_z0": jax.numpy.zeros(())}
    hyperparameters, key, found = {"learner.eta": jax.numpy.asarray(eta)}, jax.random.key(0), [start[None]]
    for first in range(0, n, MANY):
        state, passed = steps(state, data, hyperparameters, key, np.int32(first))
        found.append(np.asarray(passed))
    return np.concatenate(found)[: n + 1]


def random_start(p: int = 10, d: int = 1, seed: int = 0) -> np.ndarray:
    return normalised(np.random.default_rng(seed).random((p, d)))


def test_it_starts_centred_and_of_unit_deviation() -> None:
    task = addition()
    flow = Flow(EffectiveTheory(d=3), task.shape, "float64")
    e = np.asarray(flow.init(jax.random.key(1), {})["weights"]["embed.W_E"])
    np.testing.assert_allclose(e.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((e**2).sum(axis=0), 9)
    assert np.abs(e - np.asarray(flow.init(jax.random.key(2), {})["weights"]["embed.W_E"])).max() > 0.1


@pytest.mark.parametrize("normalisation", ["one", "parallelograms"])
@pytest.mark.parametrize("which", ["train", "all"])
@pytest.mark.parametrize("pairs", ["unordered", "ordered"])
def test_its_equations_are_those_of_the_training_set(normalisation: Any, which: Any, pairs: str) -> None:
    task = addition(7, pairs=pairs, layout="a b =")
    train = training_rows(task, task.n_inputs // 2, 1)
    data = prepared(task, train, normalisation=normalisation, equations=which)
    equations, chosen = equations_of(task), np.isin(np.arange(task.n_inputs), train)
    phase = jax.tree.map(lambda x: x[0], data["phases"])
    by_paper = normalisation == "parallelograms"
    for found, rows in ((phase["train"], chosen), (data["all"], None), (phase, chosen if which == "train" else None)):
        np.testing.assert_allclose(found["gram"], equations.gram(rows), atol=1e-12)
        assert found["nu"] == (equations.count(rows) if by_paper else 1)
    np.testing.assert_allclose(phase["values"], equations.eigenvalues(rows), atol=1e-10)
    assert (np.asarray(phase["values"]) == 0).sum() >= 2


@pytest.mark.parametrize("pairs", ["ordered", "unordered"])
@pytest.mark.parametrize("d", [1, 3])
def test_its_metrics_are_those_of_the_measures(d: int, pairs: str) -> None:
    task = addition(6, pairs=pairs)
    equations = equations_of(task)
    for seed in range(10):
        train = training_rows(task, task.n_inputs // 2, seed)
        # near a line, so that some parallelograms hold
        e = np.outer(np.arange(6), np.ones(d)) + 0.1 * np.random.default_rng(seed).normal(size=(6, d))
        found = measured(task, train, e, d=d)
        expected = parallelogram_quality(e, task, train)
        assert found["rqi"] == pytest.approx(expected["rqi"])
        assert found["test_accuracy"] == pytest.approx(expected["predicted_test_accuracy"])
        assert found["train_accuracy"] == 1
        assert found["weight_norm"] == pytest.approx(np.linalg.norm(e))
        chosen = np.isin(np.arange(task.n_inputs), train)
        for name, rows in (("train", chosen), ("test", None)):
            loss = np.trace(e.T @ equations.gram(rows) @ e) / (e**2).sum()
            assert found[f"{name}_loss"] == pytest.approx(loss)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("size", [24, 40])
def test_it_stays_centred_and_keeps_its_size(size: int, d: int) -> None:
    task = addition()
    train = training_rows(task, size, d)
    e = follow(task, train, random_start(d=d, seed=size), 1000, eta=0.02, d=d)
    np.testing.assert_allclose((e**2).sum(axis=(1, 2)), 9 * d, atol=1e-10)
    np.testing.assert_allclose(e.mean(axis=1), 0, atol=1e-10)
    losses = [measured(task, train, one, d=d)["train_loss"] for one in e[::100]]
    assert (np.diff(losses) < 1e-12).all()
    assert losses[-1] < losses[0] / 100


@pytest.mark.parametrize("seed", range(6))
def test_it_ends_in_the_line_if_and_only_if_nothing_else_is_free(seed: int) -> None:
    task = addition()
    # sizes at which about half of all training sets force a line
    train = training_rows(task, 22 + 2 * (seed % 3), seed)
    chosen = np.isin(np.arange(55), train)
    forced = equations_of(task).null_dimension(chosen) == 2
    e = follow(task, train, random_start(seed=seed), 100, eta=100.0)
    found = measured(task, train, e[-1])
    end = e[-1, :, 0] * np.sign(e[-1, -1, 0])
    assert (np.abs(end - LINE).max() < 1e-6) == forced
    assert found["train_loss"] < 1e-12
    if forced:
        assert end[-1] == pytest.approx(1.4863, abs=1e-5)
        assert found["rqi"] == 1
        assert found["test_accuracy"] == pytest.approx(equations_of(task).reachable(chosen)[~chosen].mean())
    else:
        assert found["rqi"] <= 0.95


def test_normalisation_and_flow_are_those_of_the_theory() -> None:
    """The learner in JAX and the theory in NumPy agree but for rounding."""
    drawn = np.random.default_rng(7).random((10, 3)) * [1, 10, 0]
    np.testing.assert_allclose(jax_normalised(jax.numpy.asarray(drawn)), normalised(drawn), atol=1e-14)
    task = addition()
    train, start = training_rows(task, 30, 7), random_start(d=2, seed=7)
    equations, chosen = equations_of(task), np.isin(np.arange(55), train)
    for normalisation, nu in (("one", 1), ("parallelograms", equations.count(chosen))):
        eta = 0.05 * nu
        e = follow(task, train, start, 20, eta=eta, normalisation=normalisation, d=2)
        expected = flow(start, equations.gram(chosen), nu, eta * np.arange(21))
        np.testing.assert_allclose(e, expected, atol=1e-10)


@pytest.mark.parametrize(("normalisation", "d"), [("one", 2), ("parallelograms", 1)])
def test_the_closed_form_is_what_integrating_the_gradient_gives(normalisation: Any, d: int) -> None:
    task = addition()
    train, start = training_rows(task, 30, 3), random_start(d=d, seed=3)
    eta = 0.05 * (40 if normalisation == "parallelograms" else 1)
    fields: dict[str, Any] = {"normalisation": normalisation, "d": d}
    exact = follow(task, train, start, 20, eta=eta, **fields)
    integrated = follow(task, train, start, 20, eta=eta, integrator="ode", **fields)
    np.testing.assert_allclose(integrated, exact, atol=1e-7)
    # steps compose: half the size, twice the number
    halves = follow(task, train, start, 40, eta=eta / 2, **fields)
    np.testing.assert_allclose(halves[::2], exact, atol=1e-11)
    # the frozen step errs by its own size, so ten times as fine is ten times as near
    errors = []
    for fineness in (200, 2000):
        fine = follow(task, train, start, 2 * fineness, eta=eta / fineness, integrator="euler_frozen", **fields)
        errors.append(np.abs(fine[-1] - exact[2]).max())
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.3)


def test_it_descends_the_gradient_of_its_loss() -> None:
    task = addition()
    train, start = training_rows(task, 30, 5), random_start(d=2, seed=5)
    e = follow(task, train, start, 1, eta=1e-6, d=2)
    gram = jax.numpy.asarray(equations_of(task).gram(np.isin(np.arange(55), train)))
    gradient = jax.grad(effective_loss)(jax.numpy.asarray(start), gram, jax.numpy.ones(()))
    np.testing.assert_allclose((e[1] - e[0]) / 1e-6, -np.asarray(gradient), rtol=1e-3, atol=1e-4)


def test_the_published_step_inflates_the_embedding() -> None:
    task = addition()
    train, start = training_rows(task, 45, 0), random_start(seed=58)
    frozen = follow(task, train, start, 5000, integrator="euler_frozen", equations="all")
    exact = follow(task, train, start, 5000, equations="all")
    assert 0.02 < (frozen[-1] ** 2).sum() / 9 - 1 < 0.3
    assert abs((exact[-1] ** 2).sum() - 9) < 1e-10


def test_the_published_run_is_reproduced(reference: Path) -> None:
    with np.load(reference / "liu2022_seed58.npz") as saved:
        start, train = normalised(saved["E"].astype(float)), np.sort(saved["train_index"])
    task = addition()

    def passes(**fields: Any) -> tuple[int, np.ndarray]:
        e = follow(task, train, start, 5000, **fields)
        evaluate, data = compiled(EffectiveTheory(**fields), task.shape)[2], prepared(task, train, **fields)
        quality = jax.jit(jax.vmap(lambda one: evaluate({"weights": {"embed.W_E": one}}, data, {}, np.int32(0))["rqi"]))
        first = int(np.argmax(np.asarray(quality(e)) > 0.95))
        # the flow's own, against the measure
        assert rqi(e[first - 1], task) <= 0.95 < rqi(e[first], task)
        return first, e[-1]

    published, end = passes(equations="all", integrator="euler_frozen")
    # within 2 of the published 885 and 2355
    assert published == pytest.approx(885, abs=2)
    assert np.abs(end).max() == pytest.approx(1.572, abs=1e-3)
    assert (end**2).sum() / 9 == pytest.approx(1.12, abs=0.005)
    of_training, end = passes()
    assert of_training == pytest.approx(2355, abs=2)
    assert np.abs(end).max() < 1.5
    assert rqi(end, task) == 1


def test_frozen_is_the_size_that_the_run_starts_from() -> None:
    task = addition()
    train, start = training_rows(task, 45, 0), 2 * random_start(seed=1)
    e = follow(task, train, start, 300, integrator="euler_frozen")
    grown = follow(task, train, start / 2, 300, integrator="euler_frozen", eta=1e-3 / 4)
    # the flow of 2 E at eta is that of E at eta / 4, twice as large
    np.testing.assert_allclose(e, 2 * grown, atol=1e-10)


def test_what_the_theory_says_nothing_of_is_refused() -> None:
    learner = EffectiveTheory()
    with pytest.raises(InputError, match=r"says nothing here.*circle"):
        learner.check(PLAIN, Arithmetic(p=7).build())
    with pytest.raises(InputError, match="commutative"):
        learner.check(PLAIN, Group(group="S3").build())
    with pytest.raises(InputError, match="two operands"):
        learner.check(PLAIN, Arithmetic(p=3, expression="x + y + z", modular=False).build())
    with pytest.raises(InputError, match="eta"):
        EffectiveTheory(eta=0.0)
    single = SimpleNamespace(dtype="float32")
    with pytest.raises(InputError, match="float64"):
        EffectiveTheory(integrator="ode").make(single, addition().shape)
    with pytest.raises(InputError, match="no decoder"):
        learner.predict(PLAIN, {}, addition(), np.arange(3))
    learner.check(PLAIN, addition(pairs="ordered"))
