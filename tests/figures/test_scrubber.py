"""One slider that moves several figures of a run together."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus


def test_one_slider_moves_all_figures(corpus: Corpus) -> None:
    run = corpus["transformer"]
    figure = run.scrub()
    (slider,) = figure.layout.sliders
    steps = [int(step.args[0][0]) for step in slider.steps]
    assert [int(frame.name) for frame in figure.frames] == steps
    assert steps[-1] == run.checkpoints[-1]
    curves, spectrum, circles = run.plot.curves(), run.plot.spectrum(), run.plot.circles()
    assert set(figure.data_frame["figure"]) == {"curves", "spectrum", "circles"}
    assert len(figure.data) == len(curves.data) + len(spectrum.data) + len(circles.data)
    bars, points = len(curves.data), len(curves.data) + len(spectrum.data)
    for frame, of_bars, of_circles in zip(figure.frames, spectrum.frames, circles.frames, strict=True):
        assert list(frame.traces) == list(range(bars, len(figure.data)))
        assert list(frame.data[0].y) == list(of_bars.data[0].y)
        assert list(frame.data[points - bars].x) == list(of_circles.data[0].x)


def test_curves_have_a_line_at_the_step(corpus: Corpus) -> None:
    figure = corpus["transformer"].scrub("spectrum", "curves")
    fixed = len(corpus["transformer"].plot.curves().layout.shapes)
    for frame in figure.frames[1:]:
        cursors = frame.layout.shapes[fixed:]
        assert {line.x0 for line in cursors} == {max(int(frame.name), min(line.x0 for line in cursors))}
        assert all(0 <= line.y0 < line.y1 <= 1 for line in cursors)
        # on the axes of the second figure
        assert all(line.xref not in ("x", "x2") for line in cursors)


def test_panels_do_not_overlap(corpus: Corpus) -> None:
    figure = corpus["transformer"].scrub("spectrum", "readout", "curves")
    ends = sorted(tuple(axis.domain) for axis in figure.select_yaxes())
    assert all(high <= low for (_, high), (low, _) in pairwise(ends))
    names = {trace.legend for trace in figure.data}
    assert len(names) == 3  # each figure keeps its own legend


def test_what_does_not_move_is_refused(corpus: Corpus) -> None:
    run = corpus["transformer"]
    with pytest.raises(gl.InputError, match="need one with checkpoints"):
        run.scrub("curves")
    with pytest.raises(gl.InputError, match="nothing moves"):
        run.scrub("spectrum", "ablations")
    with pytest.raises(gl.InputError, match="spectrum"):
        run.scrub("spectrun")


def test_a_saved_figure_waits_for_the_slider(corpus: Corpus, tmp_path: Path) -> None:
    figure = corpus["transformer"].scrub("spectrum")
    assert "Plotly.animate" not in figure.to_html(include_plotlyjs=False)
    figure.write_html(tmp_path / "figure.html", include_plotlyjs=False)
    text = (tmp_path / "figure.html").read_text("utf-8")
    assert "Plotly.addFrames" in text
    assert "Plotly.animate" not in text


def test_a_saved_notebook_holds_the_figure_as_html_too(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import plotly.io as pio

    shown: list[Any] = []
    monkeypatch.setattr(pio, "show", lambda figure: shown.append("by Plotly"))
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    figure = corpus["mlp"].plot.curves()
    before = pio.renderers.default
    try:
        for name in ("plotly_mimetype", "svg"):
            pio.renderers.default = name
            figure._ipython_display_()
    finally:
        pio.renderers.default = before
    # no output but the figure's: pages made of a notebook draw it with a script of their own
    bundle, other = shown
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/html"}
    assert bundle["text/html"].count("https://cdn.plot.ly/") == 1
    assert other == "by Plotly"
