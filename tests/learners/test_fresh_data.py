"""Answers at several positions and endless data, trained for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.learners._gradient_descent import FRESH
from groklab.measures._predictions import position_losses
from groklab.networks import Transformer
from groklab.objectives import CrossEntropy
from groklab.store import Run
from groklab.tasks import RepeatedSubsequence
from groklab.training import Progress, build_task, estimate, make_ensemble, training
from groklab.training import _engine as engine

SMALL: dict[str, Any] = {
    "task": {"kind": "repeated_subsequence", "vocabulary": 9, "seq_len": 13, "subsequence": 4, "examples": 40},
    "split": {"n_train": 30},
    "network": {"kind": "transformer", "d_model": 12, "n_heads": 2, "n_layers": 1, "d_mlp": 0},
    "budget": {"steps": 40},
    "evaluation": {"every": 5},
    "checkpoints": {"rolling_seconds": 1e-9},
    "batch_size": 8,
    "dtype": "float64",
}
ENDLESS = {"task.data": "infinite"}


class CrashError(BaseException):
    """Stands for the end of the process."""


def small(**settings: Any) -> gl.Experiment:
    return gl.read(SMALL, {k.replace("__", "."): v for k, v in settings.items()})


def same(a: Run, b: Run) -> bool:
    return bool(a.summary()["weights_sha256"] == b.summary()["weights_sha256"] and a.metrics.equals(b.metrics))


@pytest.mark.parametrize(
    "settings", [{**ENDLESS}, {**ENDLESS, "network.dropout": 0.2}, {"network.dropout": 0.2}], ids=str
)
def test_fresh_data_and_dropout_resume_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    experiment = gl.read(SMALL, settings)
    whole = training.train(experiment, home=tmp_path / "a")

    def view(progress: Progress) -> None:
        if progress.step >= 20:
            raise CrashError

    with pytest.raises(CrashError):
        training.train(experiment, home=tmp_path / "b", view=view)
    stopped = Run(next((tmp_path / "b").glob("experiment*")))
    assert 0 < stopped.status.step < 40
    assert same(training.train(experiment, home=tmp_path / "b"), whole)
    assert len(set(whole.curves()["train_loss"].tolist())) > 5


def test_members_have_data_of_their_own_and_train_as_alone() -> None:
    together = training.train(gl.read(SMALL, ENDLESS), seeds=2)
    for i in range(2):
        alone = training.train(gl.read(SMALL, {**ENDLESS, "seed": i}))
        np.testing.assert_allclose(together.curves(i)["train_loss"], alone.curves()["train_loss"], rtol=1e-6)
    assert together.curves(0)["train_loss"][3] != together.curves(1)["train_loss"][3]


@pytest.mark.parametrize(("batch_size", "n_layers"), [(None, 2), (8, 1)])
def test_losses_are_the_mean_over_what_is_asked(batch_size: int | None, n_layers: int) -> None:
    """Loss and accuracy of the last record, by hand from the last weights."""
    experiment = small(batch_size=batch_size, network__n_layers=n_layers, budget__steps=10)
    run = training.train(experiment)
    task = build_task(experiment)
    assert task.reads is not None
    assert task.mask is not None
    split = make_ensemble([experiment]).splits[0]
    weights = {k: jnp.asarray(v) for k, v in run.weights().items()}
    reference_forward = jax.jit(lambda w: experiment.network.reference_forward(w, jnp.asarray(task.inputs), task.shape))
    logits = np.asarray(reference_forward(weights))
    for name, rows in (("train", split.train), ("test", split.test)):
        losses, right = [], []
        for row in rows:
            for k, place in enumerate(range(*task.reads)):
                if task.mask[row, k]:
                    own, answer = logits[row, place], task.targets[row, k]
                    assert answer == task.inputs[row, place + 1]
                    losses.append(np.log(np.exp(own).sum()) - own[answer])
                    right.append(own.argmax() == answer)
        curves = run.curves()
        assert curves[f"{name}_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-6)
        assert curves[f"{name}_accuracy"][-1] == pytest.approx(np.mean(right), rel=1e-6)
    found = position_losses(run.weights(), task, split.train, network=experiment.network)
    counts = task.mask[split.test].sum(axis=0)
    for key, name in (("loss", "test_loss"), ("accuracy", "test_accuracy")):
        mean = np.nansum(found[key] * counts) / counts.sum()
        assert mean == pytest.approx(run.curves()[name][-1], rel=1e-6)
    assert found["answer_loss"].shape == (9,)
    assert found["position"].tolist() == list(range(task.reads[0] + 1, task.reads[1] + 1))


def test_the_loss_of_a_step_is_that_of_its_fresh_batch() -> None:
    run = training.train(small(**{"task__data": "infinite"}, budget__steps=0))
    experiment = run.experiment
    task = build_task(experiment)
    assert task.draw is not None
    key = jax.random.fold_in(jax.random.key(0), 1)
    inputs, targets, mask = jax.jit(task.draw, static_argnums=1)(
        jax.random.fold_in(jax.random.fold_in(key, FRESH), 0), 8
    )
    weights = {k: jnp.asarray(v) for k, v in run.weights().items()}
    logits = jax.jit(lambda w: experiment.network.apply(w, inputs, task.shape))(weights)
    losses = CrossEntropy().per_row(logits.reshape(-1, 9), targets.reshape(-1))
    expected = np.asarray(losses)[np.asarray(mask).ravel()].mean()
    assert run.curves()["train_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_reading_some_positions_is_reading_all_of_them() -> None:
    task = RepeatedSubsequence(vocabulary=9, seq_len=13, subsequence=4, examples=5).build()
    assert task.reads is not None
    network = Transformer(d_model=12, n_heads=2, n_layers=2, layer_norm="pre", biases="all")
    weights = jax.jit(lambda key: network.init(key, task.shape, jnp.float64))(jax.random.key(0))
    tokens = jnp.asarray(task.inputs)
    some = jax.jit(lambda w: network.apply(w, network.prepare(tokens, task.shape), task.shape))(weights)
    all_of_them = np.asarray(jax.jit(lambda w: network.reference_forward(w, tokens, task.shape))(weights))
    np.testing.assert_allclose(some, all_of_them[:, slice(*task.reads)], rtol=1e-12)


def test_the_doubled_residual_adds_each_input_once_more() -> None:
    task = RepeatedSubsequence(vocabulary=9, seq_len=13, subsequence=4, examples=5).build()
    network = Transformer(d_model=12, n_heads=2, n_layers=2, d_mlp=0, doubled_residual=True)
    weights = jax.jit(lambda key: network.init(key, task.shape, jnp.float64))(jax.random.key(0))
    seen = gl.activations(weights, task.inputs, network)
    for block in ("blocks.0.", "blocks.1."):
        before, added = seen[block + "hook_resid_pre"], seen[block + "hook_attn_out"]
        np.testing.assert_allclose(seen[block + "hook_resid_post"], 2 * before + added, rtol=1e-12)
    tokens = jnp.asarray(task.inputs)
    fast = jax.jit(lambda w: network.apply(w, network.prepare(tokens, task.shape), task.shape))(weights)
    np.testing.assert_allclose(fast, seen["logits"][:, slice(*task.reads)], rtol=1e-12)


def test_what_it_costs_is_known_before() -> None:
    fresh, fixed = (
        estimate([small(**asked, network__n_layers=2)]) for asked in ({"task__data": "infinite"}, {"batch_size": None})
    )
    assert fresh.flops_per_step * 30 == pytest.approx(fixed.flops_per_step * 8)
    assert fresh.memory_bytes > 0
    # by hand: keys and values at 12 positions, queries at all of them and at the 7 that are read; 9 classes
    layers = 2 * 2 * 12 * 144 + (12 + 7) * 2 * 12 * (12 + 12)
    assert fixed.flops_per_step == 3 * 2 * 30 * (layers + 7 * 12 * 9)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({**ENDLESS, "batch_size": None}, "batch_size = None: needs a number of inputs that each step draws"),
        ({"network": {"kind": "mlp"}}, "network.kind = 'mlp': cannot learn 3 x 4 repeated tokens in 13"),
        ({"network.dropout": 1.0}, r"network.dropout = 1.0: needs to be .*less than 1"),
        ({**ENDLESS, "split.schedule": [{"step": 5, "n_train": 3}]}, "split.schedule = .*needs a fixed training set"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        training.train(gl.read(SMALL, settings))


def test_members_with_endless_data_share_their_task() -> None:
    members = [gl.read(SMALL, {**ENDLESS, "task.examples": n}) for n in (40, 41)]
    with pytest.raises(InputError, match="need one and the same task"):
        make_ensemble(members)
    # fixed examples may differ
    assert make_ensemble([small(), small(task__data_seed=1)]).n_members == 2
