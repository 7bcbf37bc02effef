"""Figures register themselves, and a run's page has those that apply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.figures import RunContext, figures_of
from groklab.figures._registry import FIGURES, SECTIONS
from groklab.report import write_report

PLUGIN = """
import groklab as gl

@gl.figure("first", title="Comes first", section="training", place=1)
def first(run):
    return [gl.Drawing("One."), gl.Drawing("Two.", title="Comes second")]

@gl.figure("refusing", title="Refuses", section="features")
def refusing(run):
    raise gl.InputError("there is nothing to draw")

@gl.figure("broken", title="Is broken")
def broken(run):
    return run.no_such_attribute

@gl.figure("absent", title="Is absent", applies_to=lambda run: False)
def absent(run):
    raise AssertionError

@gl.figure("empty", title="Is empty")
def empty(run):
    return None
"""


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(FIGURES)
    yield
    FIGURES.clear()
    FIGURES.update(before)


def test_every_figure_has_a_title_a_place_of_its_own_and_says_what_it_shows() -> None:
    for section in SECTIONS:
        figures = figures_of(section)
        assert [f.place for f in figures] == sorted({f.place for f in figures})
        assert all(f.title and f.draw.__doc__ for f in figures)
    assert len(FIGURES) == 27


def test_a_plug_in_adds_figures_and_cannot_break_the_page(corpus: Corpus, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    gl.load_plugin(plugin)
    page = write_report([corpus["flow"]], tmp_path / "page.html").read_text("utf-8")
    assert page.index("Comes first") < page.index("Comes second") < page.index("Loss and accuracy")
    assert "Left out: there is nothing to draw." in page
    assert "Left out: its function raised AttributeError" in page
    assert "Is absent" not in page
    assert "Is empty" not in page


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(InputError, match="is not one of training, computes, features"):
        gl.figure("lost", title="Lost", section="nowhere")  # type: ignore[arg-type]


def test_what_no_applicable_figure_asks_for_is_not_computed(corpus: Corpus) -> None:
    run = RunContext.read(corpus["mlp"])
    for figure in figures_of("training"):
        if figure.name != "sparsity":  # which needs to know whether there is a circuit
            figure.drawings(run)
    assert not {"checkpoints", "model", "feature_analysis"} & set(vars(run))
    flow = RunContext.read(corpus["flow"])
    assert [drawing for figure in figures_of("features") for drawing in figure.drawings(flow)] == []
    assert "checkpoints" in vars(flow)
