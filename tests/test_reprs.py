"""What objects look like in a notebook and in a plain session: short, true, and with every text escaped."""

from __future__ import annotations

from pathlib import Path

import pytest

import groklab as gl
from corpus import Corpus
from groklab.reproduction import PAPERS, results
from groklab.text import duration

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("name", ["transformer", "mlp", "ensemble", "mixture", "rfm", "flow"])
def test_a_run_shows_its_results_and_curves(corpus: Corpus, name: str) -> None:
    run = corpus[name]
    assert repr(run).startswith(f"Run({run.name!r}, finished at step {run.status.step:,}: ")
    html = run._repr_html_()
    assert html.count("<polyline") == 4
    assert run.summary()["status"] in html
    assert "task.kind" in html


@pytest.mark.parametrize("name", ["transformer", "mixture", "rfm", "flow"])
def test_an_analysis_says_its_verdict(corpus: Corpus, name: str) -> None:
    analysis = corpus[name].explain()
    for shown in (analysis, analysis.model):
        assert analysis.verdict() in repr(shown)
        assert len(repr(shown)) < 800
        assert "<li>" in shown._repr_html_() or not shown.sections()


def test_an_experiment_is_one_line_and_prints_as_yaml() -> None:
    experiment = gl.preset("micro")
    assert repr(experiment) == "Experiment('micro', x + y mod 23, mlp, adamw, 3,000 steps, seed 0)"
    assert str(experiment) == experiment.to_yaml()
    assert "optimiser.weight_decay" in experiment._repr_html_()


def test_claims_are_tables(home: Path) -> None:
    result = results("controls")
    counts = f"groklab's own findings: {len(result.claims)} not run; about {duration(result.seconds_left)} left"
    assert repr(result) == f"PaperResult('controls', quick: {counts})"
    assert "not run" in result._repr_html_()
    for shown in (PAPERS["controls"], result.claims[0], result.claims[0].claim):
        assert "micro-groks" in shown._repr_html_()
        assert len(repr(shown)) < 200


def test_many_runs_are_a_table(corpus: Corpus, home: Path) -> None:
    assert repr(gl.runs()).startswith("0 runs\nrun ")
    run = corpus.copy("mlp")
    lines = repr(gl.runs()).splitlines()
    assert lines[0] == "1 run"
    assert lines[2].startswith(run.name)
    assert run.name in gl.runs()._repr_html_()
    assert run.name in gl.Collection()._repr_html_()
    assert repr(gl.Collection()) == f"Collection({str(home)!r}, 1 run)"


def test_a_comparison_shows_what_the_models_compute_once_they_are_taken_apart(corpus: Corpus) -> None:
    comparison = gl.compare([corpus["mlp"], corpus["transformer"]])
    html = comparison._repr_html_()
    assert html.count("<table>") == 3
    assert "models" not in vars(comparison)
    comparison.measure()
    html = comparison._repr_html_()
    assert all(name in html for name in comparison.names)
    assert "Loss on all pairs after interventions" in html


def test_hostile_names_are_inert(corpus: Corpus, tmp_path: Path) -> None:
    run = corpus.copy("mlp")
    moved = run.path.rename(run.path.with_name(HOSTILE.replace("/", "")))
    assert "<img" not in gl.Run(moved)._repr_html_()
    assert "<img" not in gl.runs()._repr_html_()
    assert "<img" not in gl.compare([gl.Run(moved)])._repr_html_()


def test_what_is_damaged_says_so(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    (run.path / "status.json").write_text("{")
    assert repr(run).startswith(f"Run({run.name!r}, damaged: ")
    assert "damaged" in run._repr_html_()


def test_a_sweep_shows_its_map(home: Path) -> None:
    grid, short = {"split.frac_train": [0.5, 0.6]}, {"budget.steps": 50}
    sweep = gl.sweep("micro-fast", grid, overrides=short, workers=1, view=None)
    memorised = sweep.summary()["memorised"]
    words = f"finished: 2 of 2 members trained, {memorised} memorised, 0 generalised"
    assert repr(sweep) == f"Sweep({sweep.name!r}, {words})"
    assert "<path" in sweep._repr_html_()
    (sweep.path / "table.parquet").unlink()
    assert "2 of 2 members" in repr(gl.Sweep(sweep.path))
