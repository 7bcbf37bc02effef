"""Branches: a run that goes on from another's kept state, with its optimiser, its steps and its records."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.store import Run, storage

AT, STEPS = 20, 60
SETTINGS: dict[str, Any] = {
    "name": "stem",  # another run than that of the same identity without its optimiser
    "optimiser.learning_rate": 0.03,
    "budget.steps": STEPS,
    "evaluation.every": 2,
    "checkpoints.spacing": "linear",
    "checkpoints.every": 10,
    "checkpoints.optimiser": True,
    "checkpoints.rolling_seconds": 1e-9,
}
PRUNED = {"kind": "prune", "share": 0.3, "step": 10}
HELD = {"kind": "norm", "factor": 0.8, "hold": True, "step": 16}


def experiment(**settings: Any) -> gl.Experiment:
    return gl.preset("micro-fast", {**SETTINGS, **settings})


def branch(source: Run, step: int = AT, **settings: Any) -> gl.Experiment:
    start = {"start.run": str(source.path), "start.step": step, "start.with_optimiser": True}
    return experiment(**{"name": "branch", **start, **settings})


@pytest.fixture
def source(corpus: Corpus) -> Run:
    return corpus.train(experiment())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 40},
        {"optimiser.schedule": "cosine", "optimiser.decay_steps": 60.0, "optimiser.warmup_steps": 10.0},
        {"optimiser.filter.kind": "grokfast_ema"},
        {"interventions": [PRUNED, HELD]},
        {"interventions": [{**HELD, "step": AT}]},
        {"interventions": [{"kind": "set", "step": 10, "settings": {"optimiser.kind": "sgd"}}]},
    ],
    ids=lambda settings: next(iter(settings), "usual"),
)
def test_a_branch_without_a_change_has_the_bits_of_the_original(
    corpus: Corpus, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = corpus.train(experiment(**settings))
    run = gl.train(branch(source, **settings), home=tmp_path, view=None)
    assert run.metrics.equals(source.metrics)
    for step in (s for s in source.checkpoints if s >= AT):
        assert storage.digest(run.weights(step)) == storage.digest(source.weights(step))
        for name, array in run.optimiser_state(step)[0].items():
            np.testing.assert_array_equal(array, source.optimiser_state(step)[0][name])
    assert run.status.members[0].memorised_step == source.status.members[0].memorised_step
    assert run.identities != source.identities


def test_a_branch_with_a_change_is_the_run_with_that_change(corpus: Corpus, tmp_path: Path, source: Run) -> None:
    entry = {"kind": "set", "step": AT, "settings": {"optimiser.weight_decay": 5.0}}
    straight = corpus.train(experiment(interventions=[entry]))
    run = gl.train(branch(source, interventions=[entry]), home=tmp_path, view=None)
    assert run.metrics.equals(straight.metrics)
    back = {"kind": "reset", "to": "initial", "step": 30}
    rewound = gl.train(branch(source, interventions=[back]), home=tmp_path, view=None)
    for name, weight in rewound.weights(30).items():
        np.testing.assert_array_equal(weight, source.weights(0)[name])


def test_a_branch_resumes_when_its_source_is_gone(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Run
) -> None:
    moved = Run(Path(shutil.copytree(source.path, tmp_path / source.name)))
    straight = gl.train(branch(moved), home=tmp_path / "straight", view=None)

    class CrashError(BaseException):
        """Stands for the end of the process."""

    def end(progress: Any) -> None:
        raise CrashError

    with pytest.raises(CrashError):
        gl.train(branch(moved), home=tmp_path / "home", view=end)
    shutil.rmtree(moved.path)
    broken = Run(next(p for p in (tmp_path / "home").iterdir() if (p / "experiment.json").is_file()))
    resumed = gl.resume(broken, view=None)
    assert resumed.metrics.equals(straight.metrics)
    assert resumed.summary()["weights_sha256"] == straight.summary()["weights_sha256"]


def test_members_branch_off_together(corpus: Corpus, tmp_path: Path) -> None:
    settings = {"seed": 4}
    several = corpus.train([experiment(**{**settings, "optimiser.weight_decay": d}) for d in (1.0, 2.0)])
    members = [
        branch(several, **{**settings, "start.member": m, "optimiser.weight_decay": d})
        for m, d in enumerate((1.0, 2.0))
    ]
    run = gl.train(members, home=tmp_path, view=None)
    assert run.metrics.equals(several.metrics)
    assert storage.digest(run.weights()) == storage.digest(several.weights())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"start.step": 30, "evaluation.every": 4}, "start.step = 30: needs to be a multiple of 4"),
        ({"evaluation.every": 1}, "evaluation.every = 1: needs to be that of"),
        ({"budget.steps": 20}, "budget.steps = 20: counts from step 0"),
        ({"optimiser.kind": "sgd"}, "does not fit this experiment's"),
        ({"start.take": ["embedding"]}, "start: with_optimiser goes on with all of a run's state"),
        ({"interventions": [PRUNED]}, "interventions.0.step = 10: comes before the branch at step 20"),
    ],
)
def test_what_cannot_go_on_is_refused(tmp_path: Path, source: Run, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        gl.train(branch(source, **settings), home=tmp_path, view=None)
    assert sentence in str(refusal.value)


def test_what_was_applied_before_is_needed_here_too(corpus: Corpus, tmp_path: Path) -> None:
    source = corpus.train(experiment(interventions=[PRUNED, HELD]))
    with pytest.raises(InputError, match=r"interventions.0: .* has had 'prune' at step 10, before the branch"):
        gl.train(branch(source, interventions=[HELD]), home=tmp_path, view=None)


def test_a_run_without_its_optimiser_says_how_to_keep_it(corpus: Corpus, tmp_path: Path) -> None:
    source = corpus.train(experiment(**{"checkpoints.optimiser": False}, name="without"))
    with pytest.raises(InputError, match=r"kept no optimiser at step 20: train it with checkpoints.optimiser=true"):
        gl.train(branch(source), home=tmp_path, view=None)
    # what checkpoints hold is not part of an identity
    assert source.identities == experiment().identity.split()
