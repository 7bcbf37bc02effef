"""`groklab figures`: a run's and a sweep's figures as files for papers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab.figures._registry import FIGURES
from invented_sweep import EXPRESSION, FRACTION, Outcome, written

COMMAND = "figures"


@pytest.fixture
def run(corpus: Corpus) -> gl.Run:
    return corpus.copy("mlp")


@pytest.fixture
def registered() -> Iterator[None]:
    """Figures of a plug-in end with the test."""
    before = dict(FIGURES)
    yield
    FIGURES.data.clear()
    FIGURES.data.update(before)


def test_named_figures_are_written_with_their_data(program: Any, run: gl.Run) -> None:
    out, _ = program(run.name, "curves", "spectrum", "--format", "pdf,svg", "--width", "3.25in", "--data", "csv")
    folder = run.path / "figures"
    assert out.splitlines() == [str(folder / f"{n}.{f}") for n in ("curves", "spectrum") for f in ("pdf", "svg")]
    assert {p.name for p in folder.iterdir()} == {
        f"{n}.{f}" for n in ("curves", "spectrum") for f in ("pdf", "svg", "csv")
    }
    assert pl.read_csv(folder / "spectrum.csv").columns == ["step", "frequency", "share"]
    # the run is as complete as before
    assert gl.Run(run.path).status.state == "finished"


def test_all_figures_are_written_and_those_left_out_are_named(program: Any, corpus: Corpus, tmp_path: Path) -> None:
    run = corpus.copy("rfm-multiply")
    out, err = program(run.name, "--out", str(tmp_path), "--format", "svg", "--json")
    result = json.loads(out)
    assert sorted(result["files"]) == sorted(map(str, tmp_path.glob("*.svg")))
    assert {"curves.svg", "feature_matrix.svg", "block_fourier.svg"} <= {Path(file).name for file in result["files"]}
    assert set(result["files"]) <= set(err.splitlines())


def test_each_operation_of_a_mixture_has_a_file(program: Any, corpus: Corpus, tmp_path: Path) -> None:
    program(corpus.copy("mixture").name, "logits_2d", "--out", str(tmp_path), "--format", "svg")
    assert {p.name for p in tmp_path.iterdir() if p.suffix == ".svg"} == {f"logits_2d{i}.svg" for i in ("", "-2", "-3")}


def test_a_checkpoint_is_chosen_for_figures_that_have_some(program: Any, run: gl.Run, tmp_path: Path) -> None:
    folder = ["--out", str(tmp_path), "--format", "svg"]
    program(run.name, "curves", "spectrum", *folder)
    last = [(tmp_path / f"{name}.svg").read_bytes() for name in ("curves", "spectrum")]
    program(run.name, "curves", "spectrum", "--step", "0", *folder)
    first = [(tmp_path / f"{name}.svg").read_bytes() for name in ("curves", "spectrum")]
    assert [a == b for a, b in zip(first, last, strict=True)] == [True, False]
    _, err = program(run.name, "spectrum", "--step", "3", *folder, code=2)
    assert "spectrum: step = 3: is not a checkpoint of this figure; the nearest is" in err


def test_the_list_has_a_sentence_on_each(program: Any, run: gl.Run) -> None:
    out, _ = program(run.name, "--list", "--json")
    listed = {figure["name"]: figure["about"] for figure in json.loads(out)["figures"]}
    assert {"curves", "spectrum", "circles"} <= set(listed)
    assert all(len(about) > 30 for about in listed.values())
    assert not (run.path / "figures").exists()
    text, _ = program(run.name, "--list")
    assert "spectrum" in text


def test_figures_of_a_sweep_are_maps_of_each_slice(program: Any, home: Path) -> None:
    keys = {EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5], "optimiser.weight_decay": [0.0, 1.0]}

    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=400 + seed if point[FRACTION] == 0.5 else None, best=0.034)

    sweep = written(home, "operations", keys, outcome, seeds=2)
    out, _ = program("operations", "phases", "grokked", "--format", "svg", "--data", "csv", "--json")
    names = {Path(file).name for file in json.loads(out)["files"]}
    assert names == {f"{n}{i}.{f}" for n in ("phases", "grokked") for i in ("", "-2") for f in ("svg", "csv")}
    cells = pl.read_csv(sweep.path / "figures" / "grokked.csv")
    assert cells.filter(pl.col(FRACTION) == 0.5)["grokked_step"].to_list() == [400.0, 400.0]
    assert cells.filter(pl.col(FRACTION) == 0.3)["grokked_step"].null_count() == 2
    _, err = program("operations", "circles", code=2)
    assert "figure = 'circles': unknown; allowed: phases, grokked, accuracy" in err


PLUGIN = """
import groklab as gl
import plotly.graph_objects as go


@gl.figure("slices", title="Slices", about="A pie, which papers do not print.")
def slices(run):
    return gl.Drawing("Two halves.", go.Figure(go.Pie(values=[1, 1])))


@gl.figure("points", title="Points", about="Points in a figure of Plotly's own.")
def points(run):
    return gl.Drawing("Two points.", go.Figure(go.Scatter(x=[1, 2], y=[3, 4])))
"""


def test_figures_of_ones_own_are_drawn_or_named(program: Any, corpus: Corpus, tmp_path: Path, registered: None) -> None:
    run, file = corpus.copy("flow"), tmp_path / "mine.py"
    file.write_text(PLUGIN)
    folder = ["--out", str(tmp_path / "out"), "--plugin", str(file)]
    out, _ = program(run.name, *folder)
    assert f"{tmp_path / 'out' / 'points.pdf'}" in out
    needed = "engine='kaleido' draws them (pip install 'groklab[kaleido]')"
    sentence = f"Matplotlib draws no traces of the type 'pie'; {needed}"
    assert f"slices: {sentence}." in " ".join(out.split())
    _, err = program(run.name, "slices", *folder, code=2)
    assert sentence in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--width", "wide"], "--width = 'wide': needs a length such as 3.25in"),
        (["--font-size", "90"], "--font-size = 90.0: needs to be from 4 to 36 points"),
        (["--dpi", "1"], "--dpi = 1: needs to be from 50 to 2,400"),
        (["--format", "pdf,gif"], "--format = 'gif': unknown"),
        (["--format", ","], "--format = ',': unknown"),
        (["--engine", "plotly"], "--engine = 'plotly': unknown"),
        (["--data", "xls"], "--data = 'xls': unknown"),
        (["curvs"], "figure = 'curvs': unknown (did you mean curves?)"),
        (["survival"], "figure = 'survival': does not apply to"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(program: Any, run: gl.Run, arguments: list[str], words: str) -> None:
    _, err = program(run.name, *arguments, code=2)
    assert words in err
    assert not (run.path / "figures").exists()
