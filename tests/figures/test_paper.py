"""Figures on paper: one translation from Plotly to Matplotlib, at the size asked for, distinct in grey."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb

from corpus import Corpus
from groklab import figures
from groklab.errors import InputError
from groklab.figures import RunContext, figures_of
from groklab.figures import _theme as theme
from groklab.figures._paper import drawing, look, saving
from groklab.figures._paper.axes import axes_of, set_ends, ticks_of
from groklab.figures._paper.sizes import inches
from groklab.figures._paper.texts import number, plain
from groklab.figures._registry import SECTIONS
from groklab.text import visible

GREY = np.array([0.2126, 0.7152, 0.0722])


def drawn(figure: Any, width: float = 3.25, font: float = 8) -> Any:
    import matplotlib

    with matplotlib.rc_context(drawing.RC):
        return drawing.draw(look.printed(saving.spec_of(figure)), width, None, font)


def lines(colours: list[str], dashes: list[str] | None = None) -> Any:
    dashes = dashes or ["solid"] * len(colours)
    traces = [
        theme.trace("lines", [1, 2, 3], [i, i + 1, i], "", colour, f"line {i}", line={"dash": dash})
        for i, (colour, dash) in enumerate(zip(colours, dashes, strict=True))
    ]
    return theme.styled(traces, {"height": 300})


@pytest.mark.parametrize("name", ["ensemble", "transformer", "mixture", "rfm-multiply"])
def test_every_figure_of_a_run_fits_its_paper(corpus: Corpus, name: str) -> None:
    """Nothing is cut off, at the narrowest width that papers have."""
    run, transformer, n = RunContext.read(corpus[name]), RunContext.read(corpus["transformer"]), 0
    for section in SECTIONS:
        for figure in figures_of(section):
            # what looks into one member, or one operation, is like that of the transformer
            alike = section != "training" if name == "ensemble" else figure.applies_to(transformer)
            if alike and name != "transformer":
                continue
            for drawing_of in figure.drawings(run):
                if drawing_of.plot is None:
                    continue
                paper = drawn(drawing_of.plot)
                n += 1
                box = paper.get_tightbbox(paper.canvas.get_renderer())
                width, height = paper.get_size_inches()
                assert width == 3.25
                # a hundredth of an inch: what is measured at 100 dpi
                assert box.x0 > -0.015, figure.name
                assert box.y0 > -0.015, figure.name
                assert box.x1 < width + 0.015, figure.name
                assert box.y1 < height + 0.015, figure.name
    assert n > 0


def test_lines_of_different_colours_have_different_dashes() -> None:
    made = look.printed(saving.spec_of(lines(list(theme.SERIES))))
    dashes = [trace["line"]["dash"] for trace in made["data"]]
    assert len(set(dashes)) == len(theme.SERIES)
    # one alone stays as it is, and so do dashes that are distinct already
    assert look.printed(saving.spec_of(lines([theme.PINK])))["data"][0]["line"]["dash"] == "solid"
    own = look.printed(saving.spec_of(lines([theme.TEST, theme.TRAIN], ["dash", "solid"])))["data"]
    assert len({trace["line"]["dash"] for trace in own}) == 2


def test_one_colour_has_one_dash_in_all_panels() -> None:
    traces = [
        theme.trace("lines", [1, 2], [1, 2], "", colour, colour, panel)
        for panel, colours in enumerate([(theme.TRAIN, theme.TEST), (theme.GREEN, theme.TRAIN)])
        for colour in colours
    ]
    made = look.printed(saving.spec_of(theme.styled(traces, {"yaxis2": {"domain": [0, 0.4]}})))["data"]
    assert made[0]["line"]["dash"] == made[3]["line"]["dash"]


def test_bars_of_different_colours_have_different_hatches() -> None:
    bars = [theme.trace("bar", ["a", "b"], [1, 2], "", colour, colour) for colour in (theme.TEST, theme.TRAIN)]
    made = look.printed(saving.spec_of(theme.styled(bars, {})))["data"]
    assert made[0]["marker"]["pattern"]["shape"] != made[1]["marker"]["pattern"]["shape"]
    assert "pattern" not in bars[0]["marker"]


def test_a_scale_through_zero_gets_lighter_all_along() -> None:
    """So that the sign is legible in grey too."""
    lightness = [float(GREY @ np.array(to_rgb(colour))) for _, colour in look.DIVERGING]
    assert all(b > a + 0.1 for a, b in itertools.pairwise(lightness))
    frame = pl.DataFrame({"step": 0, "row": [0, 0, 1, 1], "column": [0, 1, 0, 1], "value": [1.0, -1.0, 2.0, 0.0]})
    made = look.printed(saving.spec_of(figures.feature_matrices(frame)))
    assert made["layout"]["coloraxis"]["colorscale"] == [list(stop) for stop in look.DIVERGING]


def test_text_has_the_size_that_is_asked_for() -> None:
    for size in (6, 8, 11):
        paper = drawn(lines([theme.TEST, theme.TRAIN]), font=size)
        assert {t.get_fontsize() for t in paper.axes[0].get_xticklabels()} == {size}
        assert all(t.get_fontsize() >= drawing.SMALLEST * size for t in paper.legends[0].get_texts())


def test_texts_are_as_wide_at_all_pixels_per_inch() -> None:
    """What fits when it is measured fits in the file too; hinted texts are up to 5% wider or narrower."""
    import matplotlib

    paper, widths = drawn(lines([theme.TEST] * 5)), []
    with matplotlib.rc_context(drawing.RC):
        for dpi in (72, 100, 300, 600):
            paper.set_dpi(dpi)
            widths.append(paper.legends[0].get_window_extent(paper.canvas.get_renderer()).width / dpi)
    assert max(widths) < 1.01 * min(widths)


@pytest.mark.parametrize("form", ["pdf", "svg", "png"])
def test_files_have_their_size_and_are_the_same_again(form: str, tmp_path: Path) -> None:
    figure = lines([theme.TEST, theme.TRAIN])
    first, second = (saving.save(figure, tmp_path / f"{n}.{form}", width="82.55mm") for n in ("a", "b"))
    content = first.read_bytes()
    assert content == second.read_bytes()
    if form == "pdf":
        # TrueType fonts, embedded; 3.25 inches are 234 points
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        assert re.search(rb"/MediaBox \[ 0 0 234 ", content)
    elif form == "svg":
        assert b'width="234pt"' in content
        assert b"<text" not in content
    else:
        from PIL import Image

        with Image.open(first) as picture:
            assert picture.width == 975
            assert picture.info["dpi"][0] == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("column", 3.25),
        ("page", 6.75),
        ("3.25in", 3.25),
        ("82.55mm", 3.25),
        ("8.255 cm", 3.25),
        ("234pt", 3.25),
        (4, 4),
    ],
)
def test_lengths(length: str | float, expected: float) -> None:
    assert inches("width", length) == pytest.approx(expected)


@pytest.mark.parametrize("length", ["wide", "3px", "-3in", "0.5in", "50in", "nan", float("nan"), 0.1, ""])
def test_what_is_not_a_length_is_refused(length: str | float) -> None:
    with pytest.raises(InputError, match="width"):
        inches("width", length)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"font_size": 99}, "font_size = 99: needs to be from 4 to 36 points"),
        ({"dpi": 3}, "dpi = 3: needs"),
        ({"engine": "gnuplot"}, "engine = 'gnuplot': unknown"),
        ({"step": 3}, "this figure has no checkpoints"),
        ({"height": "1in"}, "a height of 1 inches leaves no room for the panels: give a larger one"),
    ],
)
def test_what_cannot_be_written_is_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    figure = lines([theme.TEST])
    figure.update_layout(margin={"t": 400})
    with pytest.raises(InputError, match=words):
        saving.save(figure, tmp_path / "a.pdf", **settings)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean png"):
        saving.save(lines([theme.TEST]), tmp_path / "a.pngg")


def test_a_trace_that_matplotlib_does_not_draw_is_named(tmp_path: Path) -> None:
    pie = theme.styled([{"type": "pie", "values": [1, 2]}], {})
    with pytest.raises(InputError, match="Matplotlib draws no traces of the type 'pie'; engine='kaleido' draws them"):
        saving.save(pie, tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(saving.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape("needs Matplotlib: pip install 'groklab[paper]'")):
        saving.save(lines([theme.TEST]), tmp_path / "a.pdf")


def test_a_figure_is_written_as_it_is_at_a_checkpoint() -> None:
    frame = pl.DataFrame({"step": [0, 0, 5, 5], "frequency": [1, 2, 1, 2], "share": [0.5, 0.5, 0.1, 0.9]})
    figure = figures.embedding_spectrum(frame)
    assert list(saving.spec_of(figure)["data"][0]["y"]) == pytest.approx([0.1, 0.9])
    assert list(saving.spec_of(figure, 0)["data"][0]["y"]) == pytest.approx([0.5, 0.5])
    with pytest.raises(InputError, match="not a checkpoint of this figure; the nearest is 5"):
        saving.spec_of(figure, 4)


def test_data_beside_a_figure_have_no_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [0.1, 0.2], "phases": [["grokking"], ["confusion", "memorisation"]]})
    path = saving.write_data(frame, tmp_path / "a.pdf", "csv")
    assert path == tmp_path / "a.csv"
    assert path.read_text() == "x,phases\n0.1,grokking\n0.2,confusion; memorisation\n"
    assert pl.read_parquet(saving.write_data(frame, tmp_path / "a.pdf", "parquet")).equals(frame)


# -- texts and ticks ----------------------------------------------------------------------------------------------


def test_texts_lose_their_html_and_nothing_else() -> None:
    assert plain("cos(w<sub>k</sub> c)") == "cos(w$_{k}$ c)"
    assert plain("<b>k = 5</b> · 34%") == r"$\mathbf{k=5}$ · 34%"
    assert plain("a &lt; b<br>c") == "a < b\nc"
    # names are not formulas
    assert plain("$HOME costs $5 <sub>$x_{</sub>") == r"\$HOME costs \$5 $_{\$x\_\{}$"


@pytest.mark.parametrize("name", ["$", "$$", r"$\frac", "<b>$x^</b>", "<script>", "\x1b[31m", "名前", "a_{b}^%#&~\\"])
def test_hostile_names_are_drawn_as_they_are(name: str) -> None:
    figure = lines([theme.TEST, theme.TRAIN])
    figure.data[0].name = name
    figure.add_annotation(text=name, x=0.5, y=0.5, showarrow=False)
    paper = drawn(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        paper.canvas.draw()
    written = paper.legends[0].get_texts()[0].get_text()
    assert "<b>" in name or written.replace(r"\$", "$") == visible(name)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (12345.0, "", "12,345"),
        (0.25, ".0%", "25%"),
        (0.025, ".1~%", "2.5%"),
        (0.05, ".1~%", "5%"),
        (1e-7, "", "1×10⁻⁷"),
        (-2.5, "", "−2.5"),
        (1000.0, ",", "1,000"),
        (0.00123, ".3g", "0.00123"),
    ],
)
def test_numbers_are_written_as_axes_do(value: float, form: str, text: str) -> None:
    assert number(value, form) == text


@pytest.mark.parametrize("size", [6.0, 8.0, 14.0])
@pytest.mark.parametrize("length", [30.0, 100.0, 400.0])
@pytest.mark.parametrize(
    "settings",
    [
        {"range": [0, 1], "tickformat": ".0%"},
        {"range": [-0.3, 12345]},
        {"type": "log", "range": [1, 6.3], "dtick": 1, "tickformat": ","},
        {"type": "log", "range": [1.1, 1.4], "dtick": "D2"},
        {"type": "log", "range": [-12, 3], "dtick": 3},
        {"type": "category"},
        {"type": "category", "tickvals": ["name 3", "name 4", "name 30", "no such name"]},
    ],
)
def test_ticks_never_meet(settings: dict[str, Any], length: float, size: float) -> None:
    traces = [{"x": [f"name {i}" for i in range(40)]}] if settings.get("type") == "category" else []
    axis = axes_of({"xaxis": settings}, traces)["x"]
    set_ends({"x": axis})
    ticks = ticks_of(axis, length, size)
    low, high = axis.low, axis.high
    places = [(np.log10(v) if axis.is_log else v) for v in ticks.at]
    ends = [
        ((p - low) / (high - low) * length, 0.6 * size * len(t) / 2) for p, t in zip(places, ticks.texts, strict=True)
    ]
    ends.sort()
    assert ends
    assert set(ticks.texts) <= set(settings.get("tickvals", ticks.texts)) - {"no such name"}
    assert all(a + u <= b - v for (a, u), (b, v) in itertools.pairwise(ends))


def test_histograms_are_drawn_as_bars() -> None:
    """As a plug-in's figure, in CONTRIBUTING, is one."""
    figure = theme.styled([{"type": "histogram", "x": np.arange(10.0), "nbinsx": 5}], {})
    paper = drawn(figure)
    assert [bar.get_height() for bar in paper.axes[0].patches] == [2] * 5


@pytest.mark.parametrize("names", [None, list("abcdef")], ids=["numbers", "categories"])
def test_a_shape_without_its_axes_belongs_to_the_first_panel(names: list[str] | None) -> None:
    """As Plotly takes it: the boxes around the key frequencies of a map."""
    cells = {"type": "heatmap", "z": np.arange(36.0).reshape(6, 6), "x": names, "y": names, "showscale": False}
    box = {"type": "rect", "x0": 2.5, "x1": 4.5, "y0": 2.5, "y1": 4.5, "line": {"color": theme.TEST, "width": 2}}
    paper = drawn(theme.styled([cells], {"height": 300, "shapes": [box]}))
    panel, (rectangle,) = paper.axes[0].get_position(), [a for a in paper.artists if hasattr(a, "get_xy")]
    assert panel.x0 < rectangle.get_x() < rectangle.get_x() + rectangle.get_width() < panel.x1
    assert panel.y0 < rectangle.get_y() < rectangle.get_y() + rectangle.get_height() < panel.y1


def test_bars_on_a_logarithmic_axis_start_at_their_base() -> None:
    """As those of ablations do, at the loss of the complete model; what is better than that goes down."""
    bars = {"type": "bar", "x": [1, 2, 3], "y": [0.99, -0.009, 1e-6], "base": 0.01}
    layout = {"height": 300, "yaxis": {"type": "log", "range": [-3.5, 0.5]}}
    patches = drawn(theme.styled([bars], layout)).axes[0].patches
    ends = [(p.get_y(), p.get_y() + p.get_height()) for p in patches]
    np.testing.assert_allclose(ends, [(0.01, 1.0), (0.01, 0.001), (0.01, 0.010001)])


def test_stacked_bars_stand_on_each_other() -> None:
    bars = [theme.trace("bar", ["a", "b"], [1, 2], "", c, c) for c in (theme.TEST, theme.SOFT)]
    paper = drawn(theme.styled(bars, {"barmode": "stack"}))
    boxes = [(b.get_x(), b.get_y(), b.get_height()) for b in paper.axes[0].patches]
    assert boxes[:2] == [(boxes[2][0], 0, 1), (boxes[3][0], 0, 2)]
    assert [b[1] for b in boxes[2:]] == [1, 2]


@pytest.mark.browser
def test_kaleido_draws_the_same_at_the_same_size(tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    path = saving.save(lines([theme.TEST, theme.TRAIN]), tmp_path / "a.svg", width="234pt", engine="kaleido")
    # in CSS a point is 4/3 of a pixel
    width = re.search(r'width="([0-9.]+)"', path.read_text())
    assert width is not None
    assert float(width[1]) == pytest.approx(312, abs=1)
