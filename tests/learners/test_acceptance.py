"""Every registered learner is trained, resumed, killed, exported, measured and reported like any other."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.registry import kinds
from groklab.report import write_report
from groklab.store import states
from groklab.training import build_task, make_ensemble, memory_estimate, program_of, step_flops, weight_shapes
from processes import Program

LEARNERS = sorted(kinds("learner"))


@dataclass(frozen=True)
class Case:
    """A learner's run in the corpus, a measure of its weights, and where a killed process may be long at work."""

    run: str
    measure: str
    answers: bool = True


#: One of each learner; a learner without one fails.
CASES = {
    "gradient_descent": Case("mlp", "neurons"),
    "rfm": Case("rfm", "errors"),
    "effective_theory": Case("flow", "parallelograms", answers=False),
}


@pytest.fixture(params=LEARNERS)
def case(request: pytest.FixtureRequest) -> Case:
    assert request.param in CASES, "a learner needs a run in tests/corpus.py and a case here"
    return CASES[request.param]


@pytest.fixture
def run(case: Case, corpus: Corpus) -> gl.Run:
    return corpus[case.run]


def same_bits(a: gl.Run, b: gl.Run) -> bool:
    # polars takes NaN for equal to itself
    return bool(a.metrics.equals(b.metrics)) and a.summary()["weights_sha256"] == b.summary()["weights_sha256"]


def test_records_hold_the_metrics_that_it_declares(run: gl.Run) -> None:
    learner, task = run.experiment.learner, build_task(run.experiment)
    program = program_of(run.experiment, task.shape)
    assert set(learner.metrics) <= set(program.metrics)
    assert list(run.curves()) == ["step", *program.metrics]
    assert np.isfinite(run.curves()["train_loss"]).all()
    assert run.status.state == "finished"


def test_costs_are_known_before_anything_is_made(run: gl.Run) -> None:
    ensemble = make_ensemble([run.experiment])
    task = ensemble.tasks[0]
    assert weight_shapes(run.experiment, task) == {name: value.shape for name, value in run.weights().items()}
    assert step_flops(run.experiment, task, len(ensemble.splits[0].train)) > 0
    held = sum(value.nbytes for value in run.weights().values())
    assert memory_estimate(ensemble.experiments, ensemble.tasks, ensemble.splits) >= held


def test_predictions_are_those_that_were_recorded(run: gl.Run, case: Case) -> None:
    ensemble = make_ensemble([run.experiment])
    task, split = ensemble.tasks[0], ensemble.splits[0]
    predict = run.experiment.learner.predict
    if not case.answers:
        with pytest.raises(InputError, match="gives no answers"):
            predict(run.experiment, run.weights(), task, split.train)
        return
    outputs = predict(run.experiment, run.weights(), task, split.train)
    right = outputs.argmax(axis=1) == task.targets
    # a tie counts as wrong, and there is none; the recorded share is in the run's own precision
    assert run.curves()["train_accuracy"][-1] == pytest.approx(right[split.train].mean(), abs=1e-7)
    assert run.curves()["test_accuracy"][-1] == pytest.approx(right[split.test].mean(), abs=1e-7)


def test_a_longer_budget_ends_in_the_same_bits(run: gl.Run) -> None:
    budget, every = run.experiment.budget.steps, int(run.curves()["step"][1])
    short = gl.train(gl.read(run.experiment, {"budget.steps": budget // every // 2 * every}))
    longer = gl.resume(short, {"budget.steps": budget})
    assert same_bits(longer, run)


def test_members_train_side_by_side_as_they_would_alone(run: gl.Run) -> None:
    budget = int(run.curves()["step"][2])
    members = gl.train(gl.read(run.experiment, {"budget.steps": budget}), seeds=2)
    assert members.status.members[0].weights_sha256 != members.status.members[1].weights_sha256
    # widths of vmap round differently
    alone = gl.train(gl.read(run.experiment, {"budget.steps": budget}))
    for name, value in members.weights(budget, 0).items():
        np.testing.assert_allclose(value, alone.weights(budget)[name], atol=1e-5)


# each waits for a process to start and to write its first state, which takes seconds
def test_a_killed_process_is_resumed_to_the_same_bits(run: gl.Run, tmp_path: Path) -> None:
    never_ending = {"budget.steps": 1_000_000, "checkpoints.rolling_seconds": 0.01, "checkpoints.spacing": "none"}
    description = tmp_path / "experiment.yaml"
    description.write_text(gl.read(run.experiment, never_ending).to_yaml())
    process = Program("train", str(description), "--quiet", environment={"GROKLAB_HOME": str(tmp_path / "killed")})
    while process.poll() is None and not list(tmp_path.glob("killed/*/state/rolling_?.safetensors")):
        time.sleep(0.005)
    process.kill()
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    killed = gl.Run(next(tmp_path.glob("killed/*/experiment.json")).parent)
    step, every = max(state.step for state in states(killed)), int(run.curves()["step"][1])
    assert 0 < step < 1_000_000
    end = {"budget.steps": step + 10 * every}
    resumed = gl.resume(killed, end)
    assert same_bits(resumed, gl.train(gl.read(run.experiment, {**end, "checkpoints.spacing": "none"})))


def test_what_it_is_exported_as_holds_its_weights(run: gl.Run, tmp_path: Path) -> None:
    folder = gl.export(run, to="safetensors", out=tmp_path / "out")
    exported = load_file(folder / "model.safetensors")
    assert exported.keys() == run.weights().keys()
    for name, value in run.weights().items():
        np.testing.assert_array_equal(exported[name], value)


def test_it_is_measured_and_reported(run: gl.Run, case: Case, tmp_path: Path) -> None:
    frame = gl.take(run, case.measure, steps=run.checkpoints[-1:])
    assert len(frame) == 1
    analysis: Any = gl.analyse(run)
    assert analysis
    page = write_report([run], tmp_path / "page.html").read_text()
    assert run.name in page
    assert "Traceback" not in page


def test_what_it_cannot_learn_is_refused_before_there_is_a_run(run: gl.Run, home: Path) -> None:
    with pytest.raises(InputError):
        gl.train(gl.read(run.experiment, {"task": {"kind": "skip_trigrams"}}))
    assert not list(home.glob("*"))
