"""Members of an ensemble that stop on their own, while the rest goes on in fewer lanes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.store import Run, states, storage
from groklab.training import _engine as engine
from groklab.training import make_ensemble
from groklab.training._engine import STOP_EVALUATIONS

#: Decays with which small models grok early, later and never.
DECAYS = (4.0, 2.0, 0.0, 1.0)
SETTINGS: dict[str, Any] = {
    "optimiser.learning_rate": 0.03,
    "budget.steps": 300,
    "budget.stop_when_grokked": True,
    "budget.retire": True,
    "evaluation.every": 2,
    "checkpoints.rolling_seconds": 1e-9,
}


class CrashError(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def members(**more: Any) -> list[gl.Experiment]:
    base = gl.preset("micro-fast", SETTINGS | more)
    return [gl.read(base, {"optimiser.weight_decay": decay}) for decay in DECAYS]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return gl.train(members(), home=tmp_path_factory.mktemp("straight"))


def test_members_stop_one_by_one_and_keep_what_they_had(straight: Run) -> None:
    status = straight.status
    ends = [m.steps for m in status.members]
    assert ends[2] == 300
    assert status.members[2].grokked_step is None
    assert len(set(ends)) > 2, ends
    for number, (member, end) in enumerate(zip(status.members, ends, strict=True)):
        curves = straight.curves(number)
        assert curves["step"][-1] == end
        assert np.isfinite(curves["train_loss"]).all()
        assert member.train_loss == pytest.approx(float(curves["train_loss"][-1]))
        own = straight.weights(member=number)
        assert member.weights_sha256 == storage.digest(own)
        if end < 300:
            assert end % (STOP_EVALUATIONS * 2) == 0
            assert member.memorised_step <= end
            assert member.grokked_step <= end
            assert curves["train_accuracy"][-1] > 0.98


def test_a_member_ends_as_it_would_alone(straight: Run, tmp_path: Path) -> None:
    alone = gl.train(members()[0], home=tmp_path)
    together = straight.status.members[0]
    assert alone.status.reason == "grokked"
    assert alone.status.step == together.steps
    assert alone.status.members[0].grokked_step == together.grokked_step
    for name, weight in alone.weights().items():
        assert np.allclose(weight, straight.weights(member=0)[name], atol=2e-2), name


@pytest.mark.parametrize("retired", [False, True])
def test_a_crash_resumes_to_the_same_bits(
    straight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retired: bool
) -> None:
    first_end = min(m.steps for m in straight.status.members)

    def crash(progress: Any) -> None:
        if progress.step > (first_end if retired else 40):
            raise CrashError

    usual = engine.CHUNK_SECONDS
    if not retired:
        # to crash between two steps at which members may retire
        monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    with pytest.raises(CrashError):
        gl.train(members(), home=tmp_path, view=crash)
    monkeypatch.setattr(engine, "CHUNK_SECONDS", usual)
    broken = Run(next(p for p in tmp_path.iterdir() if (p / "experiment.json").is_file()))
    assert 0 < states(broken)[0].step < 300
    assert bool(states(broken)[0].retired) == retired
    resumed = gl.resume(broken)
    assert resumed.summary()["weights_sha256"] == straight.summary()["weights_sha256"]
    assert resumed.metrics.equals(straight.metrics)
    assert [m.steps for m in resumed.status.members] == [m.steps for m in straight.status.members]


def test_a_member_that_diverges_stops(tmp_path: Path) -> None:
    base = gl.preset("micro-fast", {**SETTINGS, "budget.steps": 200, "optimiser.learning_rate": 0.01})
    wild = gl.read(base, {"optimiser.learning_rate": 1e30})
    run = gl.train([base, wild], home=tmp_path)
    good, bad = run.status.members
    assert bad.diverged
    assert not good.diverged
    assert bad.steps < good.steps == 200
    assert json.loads(run.to_json())["status"] == "finished"


def test_when_all_have_stopped_the_run_is_done(tmp_path: Path) -> None:
    run = gl.train(members()[:2], home=tmp_path)
    assert run.status.reason == "grokked"
    assert run.status.step == max(m.steps for m in run.status.members) < 300
    before = (run.path / "status.json").stat().st_mtime_ns
    again = gl.train(members()[:2], home=tmp_path)
    assert again.path == run.path
    assert (run.path / "status.json").stat().st_mtime_ns == before


def test_retiring_needs_the_rule_that_it_follows() -> None:
    with pytest.raises(InputError, match=r"budget\.retire = True.*stop_when_grokked"):
        make_ensemble([gl.preset("micro", {"budget.retire": True})])


def test_members_that_have_all_retired_cannot_go_on() -> None:
    quick = gl.preset("micro-fast", SETTINGS | {"budget.steps": 600, "optimiser.weight_decay": 4.0})
    run = gl.train([quick, gl.read(quick, {"seed": 1})])
    assert run.status.reason == "grokked"
    assert gl.resume(run).name == run.name
    with pytest.raises(InputError, match="all its members had retired, of which only the weights are kept"):
        gl.resume(run, {"budget.extra_steps": 5000})
