"""Training in the way of a graphics card, on whatever this machine has."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import TRANSFORMER
from groklab.learners import Span
from groklab.learners._compiled import CompiledProgram, _parts
from groklab.store import Run
from groklab.training import Lanes, _lanes, compile_ahead, make_ensemble, training
from groklab.training import _engine as engine
from ways import forced

SETTINGS = {"budget.steps": 60, "evaluation.every": 5, "dtype": "float64"}


@pytest.fixture(autouse=True)
def dense() -> Iterator[None]:
    with forced("dense"):
        yield


def trained(home: Path, way: str = "dense", preset: str = "micro-fast", **settings: Any) -> Run:
    with forced(way):
        changes = {k.replace("__", "."): v for k, v in settings.items()}
        return training.train(gl.preset(preset, {**SETTINGS, **changes}), home=home)


def same(a: Run, b: Run) -> bool:
    return bool(a.summary()["weights_sha256"] == b.summary()["weights_sha256"] and a.metrics.equals(b.metrics))


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("micro-fast", {}),
        ("demo", {**TRANSFORMER, "budget.steps": 40}),
        ("demo", {**TRANSFORMER, "budget.steps": 20, "network.n_layers": 2, "network.layer_norm": "pre"}),
    ],
)
def test_the_trajectory_is_that_of_tables(tmp_path: Path, preset: str, settings: dict[str, Any]) -> None:
    runs = [trained(tmp_path / way, way, preset, **settings) for way in ("tables", "dense")]
    first, second = (run.metrics for run in runs)
    for name in first.columns:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-8, atol=1e-12, err_msg=name)


def test_chunks_checkpoints_and_budgets_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = trained(tmp_path / "straight")
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    assert same(trained(tmp_path / "chunks"), straight)
    listed = {"checkpoints__spacing": "listed", "checkpoints__steps": [7, 8, 30, 59]}
    assert same(trained(tmp_path / "kept", **listed), straight)
    for first in (7, 30, 32):
        trained(tmp_path / "longer", budget__steps=first, name=f"to-{first}")
        longer = trained(tmp_path / "longer", name=f"to-{first}")
        assert same(longer, straight)


@pytest.mark.parametrize(
    ("start", "stop", "every"), [(0, 0, 5), (0, 60, 5), (3, 4, 5), (3, 60, 1), (7, 33, 10), (5, 25, 10)]
)
def test_the_parts_of_a_span_follow_each_other(start: int, stop: int, every: int) -> None:
    parts = _parts(start, stop, every)
    assert [parts[0][0].start, parts[-1][0].stop] == [start, stop]
    assert all(a.stop == b.start for (a, _), (b, _) in itertools.pairwise(parts))
    for span, stride in parts:
        assert stride in (None, every)
        assert stride is None or (span.start % every == 0 and (span.stop - span.start) % every == 0)
    whole = type(parts[0][0])(start, stop, every)
    assert sum(span.n_records for span, _ in parts) == whole.n_records


def test_the_narrower_program_is_compiled_ahead_of_retiring(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead: list[Any] = []
    monkeypatch.setattr(_lanes, "on_gpu", lambda: True)
    monkeypatch.setattr(CompiledProgram, "compile_ahead", lambda self, *block: ahead.append(self.lowered(*block)))
    settings = {"budget.stop_when_grokked": True, "budget.retire": True, "optimiser.weight_decay": 2.0}
    lanes = Lanes(make_ensemble([gl.preset("micro-fast", {**SETTINGS, **settings, "seed": s}) for s in range(2)]))
    lanes._lay_out([[0, 1]])
    lanes.begin(None)
    for start in (0, 10):
        lanes.advance(start, start + 10, 5)
    until = time.monotonic() + 60
    while not ahead and time.monotonic() < until:
        time.sleep(0.01)
    lanes.retire([0])
    block = (lanes.states[-1], lanes.data[-1], lanes.hyperparameters[-1], lanes.keys[-1])
    span = Span(*map(np.int32, (20, 30, 5)))
    assert lanes.blocks == [[1]]
    assert ahead[0].as_text() == lanes.program._compiled_advance.lower(*block, span, 5).as_text()


def test_the_program_of_the_next_pack_is_compiled_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead: list[Any] = []
    monkeypatch.setattr(CompiledProgram, "compile_ahead", lambda self, *block: ahead.append(self.lowered(*block)))
    members = [gl.preset("micro-fast", {**SETTINGS, "seed": s}) for s in range(2)]
    compile_ahead(members)
    lanes = Lanes(make_ensemble(members))
    lanes.begin(None)
    block = (lanes.states[0], lanes.data[0], lanes.hyperparameters[0], lanes.keys[0])
    real = lanes.program._compiled_advance.lower(*block, Span(*map(np.int32, (0, 10, 5))), 5)
    assert ahead[0].as_text() == real.as_text()
    compile_ahead([gl.preset("rfm-small")])  # which compiles nothing
    assert len(ahead) == 1
