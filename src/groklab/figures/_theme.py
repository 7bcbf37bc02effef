"""The look that all figures share: colours that are legible on white and on black, for every kind of colour vision.

Figures are made in the light colours; `in_dark` returns the same figure in the dark ones, colour by colour. The hues
are those of Okabe & Ito (2008), darkened where they would be too faint for a line on white.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, isfinite, log10
from typing import Any

import polars as pl

from groklab.figures._figure import Figure

TRAIN = "#D55E00"
TEST = "#0072B2"
GREEN = "#008A64"
PINK = "#B8558F"
OLIVE = "#857000"
GREY = "#6C7482"
INK = "#1D2129"
MUTED = "#565D6A"
SOFT = "#8A93A1"
FAINT = "#B9C0CA"
GRID = "#E4E7EC"
PAPER = "#FFFFFF"
CLEAR = "rgba(0,0,0,0)"

#: The dark page's colour for each of the light page's.
DARK = {
    TRAIN: "#F0A030",
    TEST: "#5BB8F0",
    GREEN: "#3CCB9E",
    PINK: "#E59BC6",
    OLIVE: "#EBDD4F",
    GREY: "#A9B1BD",
    INK: "#ECEEF2",
    MUTED: "#A7AEBA",
    SOFT: "#727B8A",
    FAINT: "#4E5664",
    GRID: "#2C323C",
    PAPER: "#191C22",
}
#: Colours of things without a fixed colour, such as runs side by side.
SERIES = (TEST, TRAIN, GREEN, PINK, OLIVE, GREY)
#: Colours of key frequencies; grey is that of all others.
KEYS = (TEST, TRAIN, GREEN, PINK, OLIVE, INK)
DASHES = ("solid", "dash", "dot", "dashdot")
#: A circle of hues of middling lightness, for residues.
CYCLE = ((0.0, TEST), (0.25, PINK), (0.5, TRAIN), (0.75, GREEN), (1.0, TEST))
#: From nothing to much in one hue, from the page's own colour to that of its ink.
SEQUENTIAL = ((0.0, PAPER), (0.6, TEST), (1.0, INK))
#: From below zero through the page's own colour to above.
DIVERGING = ((0.0, TEST), (0.5, PAPER), (1.0, TRAIN))

#: A colour bar below a heat map, where it takes none of a phone's width.
BAR: dict[str, Any] = {
    "orientation": "h",
    "y": 0,
    "yanchor": "top",
    "thickness": 10,
    "len": 0.7,
    "outlinewidth": 0,
    "tickangle": 0,
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def styled(
    traces: Sequence[Mapping[str, Any]],
    layout: Mapping[str, Any],
    frames: Sequence[Mapping[str, Any]] = (),
    data: pl.DataFrame | None = None,
) -> Figure:
    """Return a figure of traces, layout and frames in Plotly's own nested settings, in the shared look.

    Settings of `layout` replace the shared ones; axes (`xaxis…`, `yaxis…`) are merged setting by setting.

    Args:
        data: the tidy data frame of what is drawn, the figure's `data_frame`; None reads it off the traces.
    """
    shared: dict[str, Any] = {
        "template": {},
        "font": {"family": FONT, "size": 13, "color": INK},
        # a notebook may be dark, and the ink is that of a light page
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": FAINT, "font": {"color": INK, "family": FONT}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": CLEAR},
        "dragmode": "zoom",
    }
    look = {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "zerolinecolor": GRID,
        "tickfont": {"color": MUTED},
        "automargin": True,
    }
    merged = {k: {**look, **v} if k.startswith(("xaxis", "yaxis")) else v for k, v in layout.items()}
    for name in ("xaxis", "yaxis"):
        merged.setdefault(name, look)
    if "margin" in layout:
        merged["margin"] = {**shared["margin"], **layout["margin"]}
    return Figure({"data": list(traces), "layout": {**shared, **merged}, "frames": list(frames)}, data_frame=data)


def trace(
    kind: str, x: Any, y: Any, hover: str, colour: Any = None, name: str = "", panel: int = 0, **settings: Any
) -> dict[str, Any]:
    """Return bars or points of a panel, which the legend names if they have a name.

    Args:
        kind: 'bar', 'heatmap', or a mode of points such as 'lines'.
        hover: what is shown at a point, in Plotly's format.
        colour: of the bars, lines or points.
        settings: others of Plotly's; those of `line` or `marker` are added to the colour.
    """
    shape: dict[str, Any] = {"type": kind} if kind in ("bar", "heatmap") else {"type": "scatter", "mode": kind}
    if colour is not None:
        shape["line" if kind.startswith("lines") else "marker"] = {"color": colour}
    for part in ("line", "marker"):
        if part in settings:
            shape[part] = shape.get(part, {}) | settings.pop(part)
    suffix = axis_suffix(panel)
    shape |= {"name": name} if name else {"showlegend": False}
    place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    return {**shape, "x": x, "y": y, **place, "hovertemplate": f"{hover}<extra></extra>", **settings}


def axis_suffix(panel: int) -> str:
    """Return what follows 'x' and 'y' in the names of a panel's axes: '' for panel 0, '2' for panel 1."""
    return "" if panel == 0 else str(panel + 1)


def axis(title: str, **settings: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": title}, **settings}


def log_axis(low: float, high: float, title: str = "", **settings: Any) -> dict[str, Any]:
    """Return a logarithmic axis from `low` to `high`, both positive, with plain numbers at its decades."""
    decades = log10(high / low) if high > low else 0.0
    pad = 0.02 * max(decades, 0.5)
    return {
        "type": "log",
        "range": [log10(low) - pad, log10(high) + pad],
        **axis(title),
        "dtick": 1 if decades > 2 else "D2",
        "tickformat": ",",
        "minor": {"dtick": "D1", "ticks": "outside", "ticklen": 3, "tickcolor": FAINT},
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": FAINT,
        **settings,
    }


def log_heights(values: Iterable[float], title: str) -> dict[str, Any]:
    """Return a logarithmic axis for the positive ones of `values`, with few ticks over any span."""
    positive = [v for v in values if v > 0 and isfinite(v)]
    decades = log10(max(positive) / min(positive)) if positive else 0.0
    ticks = "D2" if decades < 1.5 else max(1, ceil(decades / 5))
    # Plotly writes powers of ten a quarter larger than the size of the font
    font = {"color": MUTED, "size": 10 if isinstance(ticks, int) else 12}
    return axis(title, type="log", exponentformat="power", dtick=ticks, tickfont=font)


def slider(steps: Sequence[int]) -> dict[str, Any]:
    """Return Plotly's slider through checkpoints, whose frames are named by their steps; it starts at the last."""
    instantly = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    return {
        "active": len(steps) - 1,
        # below the title of the axis, which is as wide as the figure on a phone
        "pad": {"t": 62},
        "currentvalue": {"prefix": "step ", "font": {"color": MUTED}},
        "bgcolor": GRID,
        "bordercolor": FAINT,
        "tickcolor": FAINT,
        "steps": [{"label": f"{s:,}", "method": "animate", "args": [[str(s)], instantly]} for s in steps],
    }


def key_colours(keys: Sequence[int]) -> dict[int, str]:
    """Return each key frequency's colour, the same in every figure; none where there are more than colours."""
    return dict(zip(sorted(keys), KEYS, strict=False)) if len(keys) <= len(KEYS) else {}


def bar_colours(frequencies: Iterable[int], keys: Sequence[int]) -> list[str]:
    """Return the colours of bars by frequency: each key frequency's own, or one for all where they are many."""
    colours = key_colours(keys) or dict.fromkeys(keys, TEST)
    return [colours.get(k, SOFT) for k in frequencies]


def swatch(name: str, colour: str, **marker: Any) -> dict[str, Any]:
    """Return a trace without points that gives the legend a square of a colour."""
    look = {"color": colour, "symbol": "square", "size": 10, **marker}
    return {"type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None], "marker": look}


def key_swatches(keys: Sequence[int]) -> list[dict[str, Any]]:
    """Return swatches that name the key frequencies, and nothing where there are none."""
    colours = key_colours(keys)
    named = [swatch(f"k = {k}", colour) for k, colour in colours.items()]
    if keys and not colours:
        named = [swatch("key frequencies", TEST)]
    return [*named, swatch("others", SOFT)] if keys else []


def legend(above: float, **settings: Any) -> dict[str, Any]:
    """Return a legend for one panel, in a row above its top, which is at the share `above` of the figure's height."""
    place = {"orientation": "h", "x": 0, "xanchor": "left", "y": above, "yanchor": "bottom", "bgcolor": CLEAR}
    return {**place, "font": {"size": 12}, **settings}


def in_dark(light: Figure) -> Figure:
    """Return the same figure in the colours of a dark page."""
    return Figure(_recoloured(light.to_dict()), data_frame=light.data_frame)


def _recoloured(node: Any) -> Any:
    if isinstance(node, str):
        return DARK.get(node, node)
    if isinstance(node, dict):
        return {k: _recoloured(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_recoloured(v) for v in node]
    return node
