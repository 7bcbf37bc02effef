"""The local learning coefficient of runs: chains around checkpoints, from the training set alone."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab import figures
from groklab.analysis import LearningCoefficients
from groklab.errors import InputError
from groklab.measures import MEASURES, chains_around
from groklab.networks import MLP
from groklab.tasks import Arithmetic
from groklab.theory import Chains, Sampling

SHORT = Sampling(draws=20, chains=2, batch_size=32)


def test_steps_are_those_of_the_formula() -> None:
    """One chain written out in NumPy, with the noise that its keys give."""
    network, task = MLP(d_mlp=4, activation="quadratic"), Arithmetic(p=5).build()
    rng = np.random.default_rng(0)
    weights = {k: rng.normal(size=s) for k, s in network.shapes(task.shape).items()}
    rows = np.arange(0, 25, 2)
    s = Sampling(epsilon=0.01, nbeta=3.0, gamma=2.0, draws=5, chains=1, batch_size=None, dtype="float64")
    found = chains_around(weights, task, rows, network, None, s)

    def loss(w: dict[str, jax.Array]) -> jax.Array:
        logits = network.reference_forward(w, jnp.asarray(task.inputs[rows]), task.shape)
        return -jax.nn.log_softmax(logits)[jnp.arange(len(rows)), jnp.asarray(task.targets[rows])].mean()

    key, w = jax.random.fold_in(jax.random.key(0), 0), {k: jnp.asarray(v) for k, v in weights.items()}
    losses, distances = [], []
    for t in range(5):
        own = jax.random.fold_in(key, t)
        losses.append(float(loss(w)))
        distances.append(float(np.sqrt(sum(np.sum((w[k] - weights[k]) ** 2) for k in w))))
        slope = jax.grad(loss)(w)
        for i, k in enumerate(sorted(w), 1):
            noise = jax.random.normal(jax.random.fold_in(own, i), w[k].shape, jnp.float64)
            w[k] = w[k] - 0.005 * (3 * slope[k] + 2 * (w[k] - weights[k])) + 0.1 * noise
    np.testing.assert_allclose(found.losses[0], losses, rtol=1e-9)
    np.testing.assert_allclose(found.distances[0], distances, atol=1e-9)
    assert found.start == pytest.approx(losses[0])
    assert found.estimates[0] == pytest.approx(3 * (np.mean(losses) - losses[0]))


def test_a_run_has_chains_around_each_checkpoint(corpus: Corpus) -> None:
    run = corpus["mlp"]
    found = gl.learning_coefficient(run, sampling=SHORT)
    frame = found.frame()
    assert frame["step"].to_list() == run.checkpoints
    again = gl.learning_coefficient(run, steps=run.checkpoints[-1:], draws=20, chains=2, batch_size=32).frame()
    assert again.equals(frame.tail(1))
    # the training loss that was recorded is L(w*)
    last = run.metrics.filter(pl.col("step") == run.checkpoints[-1])
    assert frame["loss"][-1] == pytest.approx(float(last["train_loss"][0]), rel=1e-4)
    traces = found.traces()
    assert traces.columns == ["step", "draw", "chain", "loss", "estimate", "distance"]
    assert len(traces) == 40
    end = traces.filter(pl.col("draw") == 19)["estimate"].to_numpy()
    np.testing.assert_allclose(end.min(), frame["chain_min"][-1])
    assert set(found.to_dict()) >= {"sampling", "learning_coefficient", "r_hat", "problem", "sentences"}
    with pytest.raises(InputError, match="needs one of"):
        found.traces(7_777)
    with pytest.raises(InputError, match="is not one of epsilon, nbeta"):
        gl.learning_coefficient(run, epsilom=1.0)


def test_test_rows_have_no_part_in_it(corpus: Corpus) -> None:
    run = corpus["mlp"]
    experiment, weights = run.experiments[0], run.weights()
    task = experiment.task.build()
    train = np.arange(100)
    other = task.targets.copy()
    other[100:] = 0
    same = (
        chains_around(weights, t, train, experiment.network, experiment.objective, SHORT)
        for t in (task, replace(task, targets=other))
    )
    first, second = (c.losses for c in same)
    np.testing.assert_array_equal(first, second)


def test_the_measure_takes_the_runs_objective_and_noisy_labels() -> None:
    settings = {"budget.steps": 20, "task.p": 5, "network.d_mlp": 4, "objective.kind": "mse", "split.label_noise": 0.5}
    online = {"measures.names": ["learning_coefficient"], "measures.every": 20}
    run = gl.train("micro-fast", {**settings, **online}, view=None)
    taken = gl.take(run, "learning_coefficient", steps=[20])
    last = run.metrics.tail(1)
    assert taken["loss"][0] == pytest.approx(float(last["train_loss"][0]), rel=1e-4)
    assert run.measured is not None
    measured = run.measured["learning_coefficient.loss"].to_list()[-1]
    assert measured == pytest.approx(taken["loss"][0], rel=1e-6)


def test_problems_become_sentences() -> None:
    good = Chains(np.full((2, 10), 3.0) + np.arange(10), np.ones((2, 10)), 1.0, 2.0)
    bad = Chains(np.full((2, 10), np.nan), np.ones((2, 10)), 1.0, 2.0)
    found = LearningCoefficients("run", 0, SHORT, {0: bad, 10: good, 20: bad})
    frame = found.frame()
    assert frame["learning_coefficient"].is_nan().to_list() == [True, False, True]
    text = " ".join(found.sentences())
    assert "13 at most, at step 10, and 13 at step 10" in text
    assert "No estimate at step 0, 20: 2 of 2 chains diverged" in text
    assert "R-hat is above 1.01 at 1 of 1 checkpoints" in text
    assert "the pull alone" not in text
    far = replace(good, distances=np.full((2, 10), 4.0), n_weights=80)
    held = LearningCoefficients("run", 0, SHORT, {10: far}).sentences()
    assert any(s.startswith("Chains end 100% as far from the weights as the pull alone") for s in held)


def test_what_has_no_such_loss_is_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="applies to networks"):
        gl.learning_coefficient(corpus["rfm"])
    run = corpus["mlp"]
    with pytest.raises(InputError, match="needs train_rows"):
        MEASURES["learning_coefficient"](run.weights(), run.experiment.task.build())


def test_figures_draw_the_course_the_chains_and_the_grid(corpus: Corpus) -> None:
    run = corpus["mlp"]
    found = gl.learning_coefficient(run, sampling=SHORT)
    course = figures.learning_coefficients(found.frame(), run.metrics)
    names = [t.name for t in course.data]
    assert {"learning coefficient", "chains", "train", "test"} <= set(names)
    assert len(course.data_frame) >= len(found.frame())
    traces = figures.chain_traces(found.traces())
    assert sum(t.name == "chain 0" for t in traces.data) == 1
    grid = gl.learning_coefficient_grid(run, epsilons=[1e-3, 1e30], nbetas=[1.0, 2.0], draws=5, chains=2)
    assert grid["epsilon"].to_list() == [1e-3, 1e-3, 1e30, 1e30]
    assert grid["problem"].str.contains("diverged").to_list() == [False, False, True, True]
    drawn = figures.learning_coefficient_grid(grid)
    assert np.isnan(drawn.data[0].z).any()
    assert np.isfinite(drawn.data[0].z).any()
