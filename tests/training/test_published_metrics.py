"""The metrics of a run on disk follow its training, for those who watch from other processes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import groklab as gl
from groklab.store import RunWriter
from groklab.training import Progress
from groklab.training import _engine as engine


def test_metrics_on_disk_follow_the_training(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(engine, "PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr(engine, "PUBLISH_SHARE", 1e9)
    seen: list[tuple[int, int]] = []

    def look(progress: Progress) -> None:
        files = list(home.glob("*/metrics.parquet"))
        if files and not progress.compiling:
            recorded = gl.Run(files[0].parent).metrics["step"].max()
            seen.append((int(progress.steps[-1]), int(recorded or 0)))  # type: ignore[arg-type]

    run = gl.train(gl.preset("micro", {"budget.steps": 400, "checkpoints.rolling_seconds": 1e6}), view=look)
    # a view is called before the chunk that it shows is written: what is on disk is that of the chunk before
    steps = [step for step, _ in seen]
    assert len(steps) > 2
    assert [recorded for _, recorded in seen[1:-1]] == steps[:-2]
    assert run.metrics["step"].max() == 400


def test_one_slow_write_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """On a busy disk single writes wait; by their share of the time the next would wait fifty times as long."""
    now, steps = [0.0], []

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    def metrics(self: RunWriter, frame: pl.DataFrame) -> None:
        steps.append(frame["step"].max())
        now[0] += 5.0 if len(steps) == 1 else 0.001

    def chunk(self: engine._Training, stop: int) -> None:
        now[0] += 0.4
        advance(self, stop)

    advance = engine._Training._advance
    monkeypatch.setattr(engine, "time", Clock)
    monkeypatch.setattr(RunWriter, "metrics", metrics)
    monkeypatch.setattr(engine._Training, "_advance", chunk)
    gl.train(gl.preset("micro", {"budget.steps": 400, "checkpoints.rolling_seconds": 1e6}))
    assert len(steps) > 3


def test_a_run_that_is_killed_resumes_from_its_state_though_its_metrics_are_ahead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was published after the last state is measured again, and the end is the same to the last bit."""
    monkeypatch.setattr(engine, "PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr(engine, "PUBLISH_SHARE", 1e9)
    experiment = gl.preset("micro", {"budget.steps": 400})
    whole = gl.train(experiment, home=tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(progress: Progress) -> None:
        if progress.step >= 200:
            raise Killed

    with pytest.raises(Killed):
        gl.train(experiment, view=kill, home=tmp_path / "parts")
    parts = gl.Run(tmp_path / "parts" / whole.name)
    assert parts.metrics["step"].max() > parts.status.step
    ended = gl.resume(parts)
    assert ended.metrics.equals(whole.metrics)
    assert ended.summary()["weights_sha256"] == whole.summary()["weights_sha256"]
