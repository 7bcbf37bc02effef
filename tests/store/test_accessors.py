"""What a run and a sweep offer from the packages that build on them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError


def test_a_run_offers_its_analyses_and_its_task(corpus: Corpus) -> None:
    run = corpus["transformer"]
    assert run.analysis().to_dict() == gl.analyse(run).to_dict()
    assert str(run.explain(0)) == str(gl.explain(run))
    assert run.task.algebra.p == run.experiment.task.p
    assert list(inspect.signature(run.analysis).parameters) == list(inspect.signature(gl.analyse).parameters)[1:]


def test_a_run_writes_its_page(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = corpus["mlp"].report(tmp_path, open=True)
    assert page == tmp_path / "report.html"
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert opened == [page.as_uri()]


def test_writing_methods_are_not_offered() -> None:
    assert not [name for name in dir(gl.Run) if name.startswith(("write", "create", "set_"))]


def test_runs_and_sweeps_are_found_by_name(corpus: Corpus, home: Path) -> None:
    run = corpus.copy("mlp")
    assert gl.run(run.name[:-2]).path == run.path
    assert gl.sweeps() == []
    (home / "sweeps" / "broken").mkdir(parents=True)
    (home / "sweeps" / "broken" / "sweep.json").write_text("{}")
    assert gl.sweeps(home) == []
    with pytest.raises(InputError, match="no run is named 'nothing'"):
        gl.run("nothing")


def test_training_takes_a_presets_name_and_overrides(corpus: Corpus) -> None:
    settings = {"budget.steps": 10}
    run = gl.train("micro-fast", settings)
    assert run.experiment == gl.preset("micro-fast", settings)
    assert gl.train(run.experiment, {"budget.steps": 20}).status.step == 20
    with pytest.raises(InputError, match="did you mean"):
        gl.train("micro-fats")
