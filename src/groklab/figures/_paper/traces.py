"""Plotly's traces as Matplotlib draws them: lines, points, texts, bars, histograms and heat maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab.errors import InputError
from groklab.figures import _theme as theme
from groklab.figures._paper.axes import Axis, panel_of
from groklab.figures._paper.colours import colour, scaled
from groklab.figures._paper.texts import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

KINDS = ("scatter", "scattergl", "bar", "histogram", "heatmap")
#: Dashes, marks and hatches by Plotly's names.
DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (4.5, 2)),
    "dot": (0, (1, 1.4)),
    "dashdot": (0, (4.5, 1.6, 1, 1.6)),
    "longdash": (0, (8, 2.5)),
    "longdashdot": (0, (8, 1.8, 1, 1.8, 1, 1.8)),
}
SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
    "line-ns": "|",
    "line-ew": "_",
}
HATCHES = {"/": "////", "\\": "\\\\\\\\", "x": "xxxx", "-": "----", "|": "||||", "+": "++++", ".": "...."}
#: Heat maps with more cells are pictures within the drawing.
MOST_CELLS = 4000
#: Horizontal and vertical alignment of a text beside its point, and the way that it is moved.
_SIDES = {"left": ("right", -1), "center": ("center", 0), "right": ("left", 1)}
_LEVELS = {"top": ("bottom", 1), "middle": ("center", 0), "bottom": ("top", -1)}


@dataclass(frozen=True)
class Panel:
    """Where traces are drawn.

    Args:
        axes: Matplotlib's.
        x, y: the axes as Plotly has them.
        layout: the figure's.
        unit: points (1/72 inch) of one of Plotly's pixels.
        font: size of texts in points.
    """

    axes: Axes
    x: Axis
    y: Axis
    layout: Mapping[str, Any]
    unit: float
    font: float


def check(traces: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError for traces, or their settings, that only Plotly draws."""
    for trace in traces:
        kind, filled = trace.get("type", "scatter"), trace.get("fill")
        what = None if kind in KINDS else f"traces of the type {kind!r}"
        if filled not in (None, "none", "tozeroy", "tonexty"):
            what = f"areas filled {filled!r}"
        if what:
            raise InputError(
                f"Matplotlib draws no {what}; engine='kaleido' draws them (pip install 'groklab[kaleido]')"
            )


# -- bars ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bars:
    """The bars of one trace: their middles, widths, feet and heights, along the axis of places and the other."""

    middle: np.ndarray
    width: np.ndarray
    foot: np.ndarray
    height: np.ndarray
    horizontal: bool


def histogram(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Return a histogram as bars: the same settings, with the counts of about as many bins as Plotly chooses."""
    values = np.asarray(trace["x"], float)
    values = values[np.isfinite(values)]
    wanted, bins = trace.get("nbinsx"), trace.get("xbins") or {}
    if {"start", "end", "size"} <= set(bins):
        edges: Any = np.arange(bins["start"], bins["end"] + bins["size"] / 2, bins["size"])
    else:
        edges = int(wanted) if wanted else "auto"
    counts, edges = np.histogram(values, edges) if values.size else (np.zeros(1), np.array([0.0, 1.0]))
    return {**trace, "type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": np.diff(edges)}


def bars_of(
    traces: Sequence[Mapping[str, Any]], axes: Mapping[str, Axis], layout: Mapping[str, Any]
) -> dict[int, Bars]:
    """Return the bars of each trace by its place: beside each other, on each other or in front of each other."""
    panels: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, trace in enumerate(traces):
        if trace.get("type") == "bar":
            panels[panel_of(trace)].append(i)
    mode, gap = layout.get("barmode", "group"), float(layout.get("bargap", 0.2))
    bars: dict[int, Bars] = {}
    for (x, y), members in panels.items():
        horizontal = traces[members[0]].get("orientation") == "h"
        along = axes[y] if horizontal else axes[x]
        names = ("y", "x") if horizontal else ("x", "y")
        places = {i: along.floats(traces[i][names[0]]) for i in members}
        known = np.unique(np.concatenate([p[np.isfinite(p)] for p in places.values()] or [np.zeros(0)]))
        unit = float(np.diff(known).min()) if len(known) > 1 else 1.0
        n = len(members) if mode == "group" else 1
        on: dict[float, float] = defaultdict(float)
        for j, i in enumerate(members):
            trace, place = traces[i], places[i]
            # lengths, and from a base downwards on a logarithmic axis too
            heights = np.array(trace[names[1]], float)
            own = trace.get("width")
            each = unit * (1 - gap) / n
            width = np.broadcast_to(np.asarray(each if own is None else own, float), place.shape)
            middle = place + ((j - (n - 1) / 2) * each if own is None and n > 1 else 0.0)
            foot = np.zeros(len(place)) if trace.get("base") is None else np.broadcast_to(trace["base"], place.shape)
            if mode in ("stack", "relative"):
                foot = np.array([on[p] for p in place])
                for p, h in zip(place, heights, strict=True):
                    on[p] += 0.0 if np.isnan(h) else h
            bars[i] = Bars(middle, width, np.asarray(foot, float), heights, horizontal)
    return bars


def measure(traces: Sequence[Mapping[str, Any]], bars: Mapping[int, Bars], axes: Mapping[str, Axis]) -> None:
    """Tell the axes what is drawn on them."""
    for i, trace in enumerate(traces):
        x, y = (axes[name] for name in panel_of(trace))
        if i in bars:
            b = bars[i]
            along, up = (y, x) if b.horizontal else (x, y)
            along.include(b.middle - b.width / 2)
            along.include(b.middle + b.width / 2)
            up.include(np.concatenate([b.foot, b.foot + b.height]), padded=True)
        elif trace.get("type") == "heatmap":
            for axis, edges in ((x, _edges(trace, x, 1)), (y, _edges(trace, y, 0))):
                axis.include(edges)
        else:
            has_marks = "markers" in mode_of(trace) or "text" in mode_of(trace)
            if trace.get("x") is not None:
                x.include(x.floats(trace["x"]), padded=has_marks)
            if trace.get("y") is not None:
                y.include(y.floats(trace["y"]), padded=True)
            if trace.get("fill") == "tozeroy":
                y.include([0.0])


def mode_of(trace: Mapping[str, Any]) -> str:
    """Return the mode of a scatter trace, which Plotly chooses by the number of points where it is not given."""
    y = trace.get("y")
    return str(trace.get("mode") or ("lines+markers" if y is not None and len(y) < 20 else "lines"))


# -- drawing ------------------------------------------------------------------------------------------------------


def draw(trace: Mapping[str, Any], panel: Panel, bars: Bars | None) -> None:
    """Draw a trace into its panel."""
    if bars is not None:
        _draw_bars(trace, panel, bars)
    elif trace.get("type") == "heatmap":
        _draw_heatmap(trace, panel)
    else:
        _draw_points(trace, panel)


def _draw_bars(trace: Mapping[str, Any], panel: Panel, b: Bars) -> None:
    marker = trace.get("marker") or {}
    colours, edge = _each(marker.get("color"), len(b.middle)), marker.get("line") or {}
    hatches = _each((marker.get("pattern") or {}).get("shape") or "", len(b.middle))
    up = panel.x if b.horizontal else panel.y
    # on a logarithmic axis bars stand on its end, as they have no zero
    foot = np.where(b.foot > 0, b.foot, 10.0 ** min(up.low, up.high)) if up.is_log else b.foot
    top = b.foot + b.height
    top = np.where(top > 0, top, np.nan) if up.is_log else top
    groups: dict[tuple[Any, str], list[int]] = defaultdict(list)
    for i, (c, hatch) in enumerate(zip(colours, hatches, strict=True)):
        if np.isfinite(top[i]) and np.isfinite(b.middle[i]) and top[i] != foot[i]:
            groups[c, str(hatch)].append(i)
    for (c, hatch), own in groups.items():
        look: dict[str, Any] = {
            "color": colour(c, theme.TEST),
            "alpha": trace.get("opacity"),
            "hatch": HATCHES.get(hatch, "") or None,
            "linewidth": float(edge.get("width", 0)) * panel.unit,
            "edgecolor": theme.PAPER if HATCHES.get(hatch) else colour(edge.get("color"), c),
        }
        place, foot_of, height = b.middle[own], foot[own], (top - foot)[own]
        if b.horizontal:
            panel.axes.barh(place, height, b.width[own], left=foot_of, zorder=2.5, **look)
        else:
            panel.axes.bar(place, height, b.width[own], bottom=foot_of, zorder=2.5, **look)


def _each(value: Any, n: int) -> list[Any]:
    """Return a setting of each of n bars."""
    if value is None or isinstance(value, str):
        return [value] * n
    return list(np.asarray(value, object).tolist())


def _edges(trace: Mapping[str, Any], axis: Axis, direction: int) -> np.ndarray:
    """Return the edges of a heat map's columns (direction 1) or rows (0)."""
    n, given = np.shape(trace["z"])[direction], trace.get("x" if direction else "y")
    if given is None or axis.names is not None:
        return np.arange(n + 1) - 0.5
    middle = np.asarray(given, float)
    if len(middle) < 2:
        return np.array([middle[0] - 0.5, middle[0] + 0.5])
    inner = (middle[1:] + middle[:-1]) / 2
    return np.concatenate([[2 * middle[0] - inner[0]], inner, [2 * middle[-1] - inner[-1]]])


def _draw_heatmap(trace: Mapping[str, Any], panel: Panel) -> None:
    z = np.array([[np.nan if v is None else v for v in row] for row in trace["z"]], float)
    x, y = _edges(trace, panel.x, 1), _edges(trace, panel.y, 0)
    look = scaled(trace, panel.layout, z, ("zmin", "zmax"))
    gap = float(max(trace.get("xgap") or 0, trace.get("ygap") or 0)) * panel.unit
    masked = np.ma.masked_invalid(z)
    even = all(np.allclose(np.diff(e), e[1] - e[0]) for e in (x, y))
    if z.size > MOST_CELLS and even and not (panel.x.is_log or panel.y.is_log):
        ends = (x[0], x[-1], y[0], y[-1])
        panel.axes.imshow(masked, origin="lower", extent=ends, aspect="auto", interpolation="nearest", **look)
    else:
        # without lines between the cells, some viewers show the paper there
        edges: dict[str, Any] = {"edgecolors": theme.PAPER if gap else "face", "linewidth": gap or 0.1}
        panel.axes.pcolormesh(x, y, masked, **look, **edges)


def _draw_points(trace: Mapping[str, Any], panel: Panel) -> None:
    x, y, mode = panel.x.floats(trace.get("x")), panel.y.floats(trace.get("y")), mode_of(trace)
    if not len(x) or not np.isfinite(x).any():
        return
    clip, alpha = trace.get("cliponaxis", True), trace.get("opacity")
    line, marker = trace.get("line") or {}, trace.get("marker") or {}
    if trace.get("connectgaps"):
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if trace.get("fill") in ("tozeroy", "tonexty"):
        shade = colour(trace.get("fillcolor"), line.get("color", theme.TEST))
        panel.axes.fill_between(x, y, color=shade, alpha=0.2 if alpha is None else alpha, linewidth=0, zorder=1.5)
    if "lines" in mode:
        look = line_look(trace, panel.unit)
        shapes = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}
        if line.get("shape") in shapes:
            look["drawstyle"] = shapes[str(line["shape"])]
        panel.axes.plot(x, y, alpha=alpha, clip_on=clip, zorder=2.6, **look)
    errors = trace.get("error_y") or {}
    if errors.get("array") is not None:
        look = {"ecolor": colour(line.get("color"), theme.TEST), "elinewidth": panel.unit, "capsize": 2 * panel.unit}
        panel.axes.errorbar(x, y, yerr=np.nan_to_num(np.asarray(errors["array"], float)), fmt="none", **look)
    if "markers" in mode:
        _draw_marks(trace, panel, x, y, alpha, clip)
    if "text" in mode:
        _draw_texts(trace, panel, x, y, float(_first(marker.get("size"), 6)) if "markers" in mode else 0.0)


def line_look(trace: Mapping[str, Any], unit: float) -> dict[str, Any]:
    """Return colour, width and dash of a trace's line, with no marks."""
    line = trace.get("line") or {}
    width = max(float(line.get("width", 2)) * unit, 0.4)
    dash = DASHES.get(str(line.get("dash", "solid")), "-")
    return {
        "color": colour(line.get("color"), theme.TEST),
        "linewidth": width,
        "linestyle": dash,
        "dash_capstyle": "butt",
        "solid_joinstyle": "round",
    }


def marks_look(trace: Mapping[str, Any], unit: float) -> dict[str, Any]:
    """Return the look of a trace's marks of one colour."""
    marker = trace.get("marker") or {}
    symbol = str(_first(marker.get("symbol"), "circle"))
    base, is_open = symbol.removesuffix("-open"), symbol.endswith("-open")
    edge = marker.get("line") or {}
    one = marker.get("color")
    fill = colour(one if isinstance(one, str) else None, (trace.get("line") or {}).get("color") or theme.TEST)
    thin = base in ("line-ns", "line-ew")
    width = float(_first(edge.get("width"), 1 if is_open or thin else 0)) * unit
    return {
        "marker": SYMBOLS.get(base, "o"),
        "markersize": float(_first(marker.get("size"), 6)) * unit,
        "markerfacecolor": "none" if is_open else fill,
        "markeredgecolor": fill if is_open or thin else colour(edge.get("color"), fill),
        "markeredgewidth": max(width, 0.6) if is_open or thin else width,
        "linestyle": "none",
    }


def _draw_marks(
    trace: Mapping[str, Any], panel: Panel, x: np.ndarray, y: np.ndarray, alpha: float | None, clip: bool
) -> None:
    marker = trace.get("marker") or {}
    shades = marker.get("color")
    if shades is None or isinstance(shades, str):
        panel.axes.plot(x, y, alpha=alpha, clip_on=clip, zorder=2.7, **marks_look(trace, panel.unit))
        return
    look = marks_look(trace, panel.unit)
    values = np.asarray(shades, object).tolist()
    if any(isinstance(v, str) for v in values):
        colours: dict[str, Any] = {"c": [colour(v) for v in values]}
    else:
        colours = {"c": np.asarray(values, float), **scaled(marker, panel.layout, values, ("cmin", "cmax"))}
    area, edge = look["markersize"] ** 2, {"linewidths": look["markeredgewidth"]}
    if look["marker"] not in "|_":
        # strokes have no inside, so no edge of another colour
        of_edge = (marker.get("line") or {}).get("color")
        edge |= {"edgecolors": colour(of_edge if isinstance(of_edge, str) else None, theme.PAPER)}
    panel.axes.scatter(x, y, s=area, marker=look["marker"], alpha=alpha, clip_on=clip, zorder=2.7, **colours, **edge)


def _draw_texts(trace: Mapping[str, Any], panel: Panel, x: np.ndarray, y: np.ndarray, mark: float) -> None:
    texts, places = _each(trace.get("text"), len(x)), _each(trace.get("textposition") or "middle center", len(x))
    font = trace.get("textfont") or {}
    size = max(float(font.get("size", 12)) * panel.font / 13, 0.75 * panel.font)
    for i, (text, place) in enumerate(zip(texts, places, strict=True)):
        if not text or not np.isfinite(x[i]) or not np.isfinite(y[i]):
            continue
        vertical, horizontal = str(place).split()
        (align, right), (base, up) = _SIDES[horizontal], _LEVELS[vertical]
        away = (mark / 2 + 2) * panel.unit
        panel.axes.annotate(
            plain(str(text).strip()),
            (x[i], y[i]),
            (right * away, up * away),
            textcoords="offset points",
            ha=align,
            va=base,
            fontsize=size,
            color=colour(font.get("color"), theme.INK),
            annotation_clip=False,
            zorder=3,
        )


def _first(value: Any, otherwise: Any) -> Any:
    """Return a setting of all points, the first of those of each."""
    if value is None:
        return otherwise
    return value if isinstance(value, str | int | float) else np.asarray(value, object).tolist()[0]


def colour_scale(
    settings: Mapping[str, Any], layout: Mapping[str, Any], ends: Sequence[str]
) -> tuple[Colormap, float, float]:
    """Return the colours of a colour bar, and its ends."""
    values = settings.get("z") if "z" in settings else settings.get("color")
    look = scaled(settings, layout, [] if values is None else np.asarray(values, float).ravel(), ends)
    return look["cmap"], look["vmin"], look["vmax"]
