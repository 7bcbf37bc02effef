from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.learners._gradient_descent import ByGradient, draw_batch
from groklab.training import _ensemble as ensemble
from groklab.training import make_ensemble

VARIED = [
    {"seed": 3, "optimiser.learning_rate": 1e-3},
    {"seed": 4, "optimiser.weight_decay": 0.1, "network.init_scale": 1.5},
    {"seed": 5, "optimiser.b1": 0.8, "network.output_scale": 0.7},
]


@pytest.mark.parametrize(
    ("dtype", "steps", "tolerance", "fractions"),
    [
        # the second is padded to more than three times its training rows, the others to as many more test rows
        ("float32", 20, 1e-5, (0.65, 0.2, 0.65)),
        # the first is padded in both
        ("float64", 200, 1e-10, (0.65, 0.5, 0.8)),
    ],
)
def test_members_train_as_they_would_alone(dtype: str, steps: int, tolerance: float, fractions: list[float]) -> None:
    common = {"budget.steps": steps, "evaluation.every": 5, "dtype": dtype}
    members = [
        gl.preset("micro", {**common, **changes, "split.frac_train": fraction})
        for changes, fraction in zip(VARIED, fractions, strict=True)
    ]
    together = gl.train(members)
    for i, member in enumerate(members):
        alone = gl.train(member)
        for name in ("train_loss", "test_loss", "weight_norm", "grad_norm"):
            np.testing.assert_allclose(together.curves(i)[name], alone.curves()[name], rtol=10 * tolerance)
        theirs, own = together.weights(member=i), alone.weights()
        for name in own:
            np.testing.assert_allclose(theirs[name], own[name], rtol=0, atol=tolerance)


def test_more_members_than_one_block_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = gl.preset("micro-fast", {"budget.steps": 30})
    members = [dataclasses.replace(experiment, seed=seed) for seed in range(11)]
    assert [len(b) for b in make_ensemble(members).blocks()] == [6, 6]
    # as many lanes as most ensembles of the tests have
    monkeypatch.setattr(ensemble, "CPU_LANES", 3)
    assert make_ensemble(members).blocks() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 10]]
    run = gl.train(experiment, seeds=11)
    assert run.n_members == 11
    assert run.metrics.filter(run.metrics["step"] == 30).height == 11
    assert len(set(run.summary()["weights_sha256"])) == 11
    alone = gl.train(dataclasses.replace(experiment, seed=10))
    np.testing.assert_allclose(run.curves(10)["test_loss"], alone.curves()["test_loss"], rtol=1e-4)


def test_members_must_share_a_program() -> None:
    with pytest.raises(gl.InputError, match="program"):
        gl.train([gl.preset("micro"), gl.preset("micro-relu")])
    with pytest.raises(gl.InputError, match="budget"):
        gl.train([gl.preset("micro"), gl.preset("micro", {"budget.steps": 10})])


def test_padding_weighs_nothing() -> None:
    small, large = (gl.preset("micro", {"split.n_train": n}) for n in (100, 400))
    raw = make_ensemble([small, large]).raw_data([0, 1])
    assert raw["train_inputs"].shape[:2] == (2, 400)
    np.testing.assert_allclose(raw["schedule_weights"].sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(raw["test_weights"].sum(-1), 1, rtol=1e-6)


def test_mini_batches_visit_every_row_once_an_epoch() -> None:
    weights = jnp.asarray([0.0, *[1 / 10] * 10, 0.0], jnp.float32)
    key = jax.random.key(1)
    draw = jax.jit(draw_batch, static_argnums=3)
    seen: list[int] = []
    for s in range(3):
        rows, row_weights = draw(key, jnp.int32(s), weights, 4)
        used = np.asarray(rows)[np.asarray(row_weights) > 0]
        assert float(row_weights.sum()) == pytest.approx(1)
        seen += used.tolist()
    assert sorted(seen) == list(range(1, 11))  # the last batch is partial, padding never comes up
    again = [int(r) for s in range(3, 6) for r in draw(key, jnp.int32(s), weights, 4)[0]]
    assert again != seen


def test_mini_batch_training_learns_and_full_batch_is_its_limit() -> None:
    full = gl.train(gl.preset("micro", {"budget.steps": 40}))
    for size in (343, 10**15):
        whole = gl.train(gl.preset("micro", {"budget.steps": 40, "batch_size": size}))
        np.testing.assert_array_equal(whole.curves()["train_loss"], full.curves()["train_loss"])
    nearly = gl.train(gl.preset("micro", {"budget.steps": 40, "batch_size": 342}))
    assert not np.array_equal(nearly.curves()["train_loss"], full.curves()["train_loss"])
    small = gl.train(gl.preset("micro-fast", {"budget.steps": 200, "batch_size": 64}))
    assert small.summary()["train_accuracy"] > 0.95


def test_a_training_set_that_changes_at_a_step() -> None:
    changes = {"budget.steps": 100, "evaluation.every": 1, "optimiser.learning_rate": 2e-3}
    early = gl.train(gl.preset("micro", changes))
    later = {"split.schedule": [{"step": 100, "frac_train": 0.9}], "budget.steps": 200}
    run = gl.train(gl.preset("micro", changes | later))
    curves = run.curves()
    np.testing.assert_allclose(curves["train_loss"][:100], early.curves()["train_loss"][:100], rtol=1e-3)
    # new pairs arrive, and they are not known yet
    assert curves["train_loss"][100] > 1.05 * curves["train_loss"][99]
    assert curves["train_accuracy"][199] > curves["train_accuracy"][100]


def test_label_noise_is_fitted_and_test_labels_stay_clean() -> None:
    noisy = gl.preset("micro-fast", {"split.label_noise": 0.2, "budget.steps": 10})
    made = make_ensemble([noisy])
    split, task = made.splits[0], made.tasks[0]
    wrong = (split.train_targets != task.targets[split.train]).mean()
    assert wrong == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(made.raw_data([0])["test_targets"][0], task.targets[split.test])


def test_a_learner_limits_the_lanes_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [gl.preset("micro", {"seed": seed}) for seed in range(4)]
    assert make_ensemble(members).width == 4
    monkeypatch.setattr(ByGradient, "max_lanes", 2)
    assert make_ensemble(members).blocks() == [[0, 1], [2, 3]]
