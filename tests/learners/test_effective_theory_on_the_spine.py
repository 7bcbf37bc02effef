"""The effective theory through the engine: seeds, rates, resume, starts, schedules, measures, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.analysis import TheoryBesideRun, beside_run
from groklab.errors import InputError
from groklab.learners import EffectiveTheory
from groklab.theory import _effective_theory as theory
from groklab.theory import equations_of

THEORY = {
    "name": "theory",
    "task": {"p": 10, "modular": False, "pairs": "unordered", "layout": "a b"},
    "learner": {"kind": "effective_theory"},
    "split": {"frac_train": 0.8},
    "budget": {"steps": 60},
    "checkpoints": {"spacing": "linear", "every": 20},
}


def exactly(run: gl.Run, step: int, member: int = 0) -> np.ndarray:
    """The flow of a run's own start in closed form, without steps."""
    e = run.experiments[member]
    task = e.task.build()
    equations = equations_of(task)
    chosen = np.isin(np.arange(task.n_inputs), gl.tasks.make_split(e.split, task, e.seed).train)
    start = run.weights(0, member)["embed.W_E"]
    return theory.flow(start, equations.gram(chosen), 1, np.array([e.learner.eta * step]))[0]


def test_it_trains_like_any_other_learner() -> None:
    run = gl.train(gl.read(THEORY, {"measures.names": ["parallelograms"], "measures.every": 20}))
    assert run.experiment.dtype == "float64"
    assert list(run.curves()) == ["step", *EffectiveTheory.metrics]
    np.testing.assert_allclose(run.weights(60)["embed.W_E"], exactly(run, 60), atol=1e-10)
    curves = run.curves()
    np.testing.assert_array_equal(curves["step"], np.arange(61))
    assert curves["train_loss"][-1] < curves["train_loss"][0]
    assert run.measured is not None
    np.testing.assert_allclose(run.measured["parallelograms.rqi"].to_numpy(), curves["rqi"][::20])
    np.testing.assert_allclose(
        run.measured["parallelograms.predicted_test_accuracy"].to_numpy(), curves["test_accuracy"][::20]
    )
    # beside itself the theory is right
    found = beside_run(run)
    assert isinstance(found, TheoryBesideRun)
    assert found.eta == 1e-3
    theirs = {s: t for s, t in zip(found.theory.step, np.transpose(found.theory.traces), strict=True)}
    for step, places in zip(found.network.step, np.transpose(found.network.traces), strict=True):
        np.testing.assert_allclose(np.abs(places), np.abs(theirs[step]), atol=1e-9)


def test_members_differ_in_seed_and_rate_and_are_as_they_would_be_alone() -> None:
    members = [gl.read(THEORY, {"seed": s, "learner.eta": eta}) for s, eta in ((0, 1e-3), (1, 1e-3), (1, 1e-2))]
    run = gl.train(members)
    for member in range(3):
        np.testing.assert_allclose(run.weights(60, member)["embed.W_E"], exactly(run, 60, member), atol=1e-10)
    alone = gl.train(members[2])
    np.testing.assert_allclose(alone.weights(60)["embed.W_E"], run.weights(60, 2)["embed.W_E"], atol=1e-10)


def test_a_longer_budget_keeps_the_first_size_that_the_published_step_is_frozen_at() -> None:
    settings = {"learner.integrator": "euler_frozen"}
    short = gl.train(gl.read(THEORY, {**settings, "budget.steps": 40}))
    longer = gl.resume(short, {"budget.steps": 60})
    at_once = gl.train(gl.read(THEORY, settings), again=True)
    assert longer.status.members[0].weights_sha256 == at_once.status.members[0].weights_sha256


def test_it_starts_from_given_weights(tmp_path: Path) -> None:
    start = 3 * np.random.default_rng(8).normal(size=(10, 1))
    np.savez(tmp_path / "start.npz", **{"embed.W_E": start})
    run = gl.train(gl.read(THEORY, {"start.file": str(tmp_path / "start.npz")}))
    np.testing.assert_array_equal(run.weights(0)["embed.W_E"], start)
    np.testing.assert_allclose(run.weights(60)["embed.W_E"], exactly(run, 60), atol=1e-10)


def test_a_training_set_that_grows_brings_its_equations() -> None:
    run = gl.train(gl.read(THEORY, {"split.frac_train": 0.3, "split.schedule": [{"step": 40, "frac_train": 0.9}]}))
    e = run.experiment
    task, equations = e.task.build(), equations_of(e.task.build())
    split = gl.tasks.make_split(e.split, task, e.seed)
    before, after = (np.isin(np.arange(55), split.train[w > 0]) for w in split.schedule_weights)
    assert before.sum() < after.sum()
    middle = theory.flow(run.weights(0)["embed.W_E"], equations.gram(before), 1, np.array([0.04]))[0]
    np.testing.assert_allclose(run.weights(40)["embed.W_E"], middle, atol=1e-10)
    end = theory.flow(middle, equations.gram(after), 1, np.array([0.02]))[0]
    np.testing.assert_allclose(run.weights(60)["embed.W_E"], end, atol=1e-10)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"task.modular": True}, "circle"),
        ({"task": {"kind": "group", "group": "S3"}}, "commutative"),
        ({"learner.integrator": "ode", "dtype": "float32"}, "float64"),
        ({"network": {"kind": "mlp"}}, "has no such section"),
    ],
)
def test_it_refuses_before_there_is_a_run(overrides: dict[str, Any], message: str, home: Path) -> None:
    settings = {k: v for k, v in THEORY.items() if k not in overrides}
    with pytest.raises(InputError, match=message):
        gl.train(gl.read(settings, overrides))
    assert not list(home.glob("theory-*"))
