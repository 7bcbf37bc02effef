"""What figures are put together from: lines, marks and texts, panels over the same steps, bars with a slider."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from math import isfinite, log10
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._theme import (
    GRID,
    INK,
    MUTED,
    PAPER,
    axis,
    axis_suffix,
    key_swatches,
    legend,
    log_heights,
    slider,
    styled,
    trace,
)
from groklab.store import thin_evenly

#: A title, its lines, and settings of the vertical axis.
Panel: TypeAlias = tuple[str, list[dict[str, Any]], dict[str, Any]]
#: Settings of the vertical axis of accuracies.
ACCURACY: dict[str, Any] = {"range": [-0.04, 1.06], "tickformat": ".0%"}
#: Share of the height between two panels, and the pixels that it has at least: one row of a legend, and air.
GAP, ROW = 0.06, 36
#: Pixels of one panel with its gap, and above the first and below the last.
HEIGHT, TOP, BOTTOM = 210, 76, 52
#: Pixels of the narrowest plot in which names of marks must fit, and of a letter.
NARROW, LETTER = 260, 6.5
#: Points of one line.
POINTS = 1200


def domain(place: int, places: int, gap: float) -> list[float]:
    """Return the ends of one of several panels from left to right or from the bottom up, as shares of the figure."""
    width = (1 - gap * (places - 1)) / places
    return [place * (width + gap), place * (width + gap) + width]


def thinned(frame: pl.DataFrame, points: int = POINTS) -> pl.DataFrame:
    """Return the rows of at most `points` evenly spaced steps, in their order."""
    return frame.filter(pl.col("step").is_in(thin_evenly(frame["step"].unique().sort().to_numpy(), points))).sort(
        "step"
    )


def joined(*frames: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of frames by step in one frame, with nulls where one has no row of a step."""
    first, *others = frames
    for other in others:
        first = first.join(other, on="step", how="full", coalesce=True)
    return first.sort("step")


def in_parts(**frames: pl.DataFrame) -> pl.DataFrame:
    """Return frames of other columns below each other, behind a column `panel` with their names."""
    parts = [frame.select(pl.lit(name).alias("panel"), *frame.columns) for name, frame in frames.items()]
    return pl.concat(parts, how="diagonal_relaxed")


def first_and_last_step(*frames: pl.DataFrame) -> tuple[int, int]:
    """Return the first and the last step of frames, which are at least one apart."""
    steps = [step for frame in frames for step in (frame["step"].min(), frame["step"].max()) if step is not None]
    low, high = (int(min(steps)), int(max(steps))) if steps else (0, 1)  # type: ignore[arg-type]
    return low, max(high, low + 1)


def metric_line(
    frame: pl.DataFrame,
    column: str,
    name: str,
    colour: str,
    *,
    width: float = 2,
    dash: str = "solid",
    positive: bool = False,
    markers: int = 60,
    **settings: Any,
) -> dict[str, Any]:
    """Return a column of a frame as a line over its steps.

    Args:
        positive: leave out values without a logarithm.
        markers: the most points that have markers.
    """
    y = frame[column].cast(pl.Float64).to_numpy().astype(np.float32)
    value = "%{y:.1%}" if "accuracy" in column else "%{y:.3g}"
    y = np.where(y > 0, y, np.float32(np.nan)) if positive else y
    kind = "lines+markers" if len(frame) <= markers else "lines"
    settings |= {"line": {"width": width, "dash": dash}, "marker": {"size": 4, "color": colour}}
    return trace(kind, frame["step"].to_numpy(), y, f"{name} {value} at step %{{x:,}}", colour, name, **settings)


def joined_lines(frame: pl.DataFrame, column: str, by: str) -> dict[str, Any]:
    """Return the lines of all values of `by` as one trace with gaps; a page slows down with its number of traces.

    Returns:
        x and y, and customdata with the value of `by` at each point.
    """
    xs, ys, owners = [np.zeros(0)], [np.zeros(0, np.float32)], [np.zeros(0, np.int32)]
    for (owner,), rows in frame.sort("step").group_by(by, maintain_order=True):
        xs += [rows["step"].to_numpy().astype(np.float64), np.array([np.nan])]
        ys += [rows[column].to_numpy().astype(np.float32), np.array([np.nan], np.float32)]
        owners += [np.full(len(rows) + 1, owner, np.int32)]
    return {"x": np.concatenate(xs), "y": np.concatenate(ys), "customdata": np.concatenate(owners)}


def note(text: str, x: float, y: float, **settings: Any) -> dict[str, Any]:
    """Return a text without an arrow; x and y are shares of the figure unless `xref` and `yref` name axes."""
    place = {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"size": 12, "color": INK}, **place, **settings}


def vertical(at: float, panel: int = 0, dash: str = "dash") -> dict[str, Any]:
    """Return a vertical line across a panel."""
    suffix = axis_suffix(panel)
    ends = {"x0": at, "x1": at, "y0": 0, "y1": 1, "xref": f"x{suffix}", "yref": f"y{suffix} domain"}
    return {"type": "line", **ends, "line": {"color": MUTED, "width": 1.25, "dash": dash}}


def marks(
    steps: Mapping[str, int | None], low: float, high: float, panels: int = 1, *, linear: bool = False, above: int = 2
) -> dict[str, Any]:
    """Return layout settings (`shapes`, `annotations`) that mark steps by their names across panels.

    Names have rows of their own above the first panel, so that near steps stay legible.

    Args:
        steps: by name; those off the axis and None are left out.
        low, high: the ends of the axis, which is logarithmic unless `linear`.
        above: pixels between the panel and the lowest name.
    """
    shapes, annotations = [], []
    shown = {name: s for name, s in steps.items() if s is not None and low <= s <= high}
    for row, (name, step) in enumerate(sorted(shown.items(), key=lambda item: -item[1])):
        along = (step - low) / max(high - low, 1e-9) if linear else log10(step / low) / max(log10(high / low), 1e-9)
        # shapes on the axes of other panels would follow those when zoomed
        shapes += [vertical(step, i) | {"xref": "x"} for i in range(panels)]
        text = f"{name} {step:,}"
        fits = NARROW * along + LETTER * len(text) <= NARROW
        # unlike a shape's, an annotation's place on a logarithmic axis is its logarithm
        x, anchor = step if linear else log10(step), "left" if fits else "right"
        annotations.append(note(text, x, 1, xref="x", xanchor=anchor, yshift=above + 16 * row))
    return {"shapes": shapes, "annotations": annotations}


def stacked(panels: Sequence[Panel], low: int, high: int, top: int = TOP) -> dict[str, Any]:
    """Return the layout of panels over the steps low to high, each with its own legend, and give lines their axes.

    Args:
        top: pixels above the first panel.
    """
    n = len(panels)
    gap = max(GAP, ROW / (HEIGHT * n - TOP - BOTTOM))
    layout: dict[str, Any] = {"height": HEIGHT * n, "margin": {"l": 68, "t": top, "b": BOTTOM}, "showlegend": True}
    pad = 0.015 * (high - low)
    for i, (title, lines, scale) in enumerate(panels):
        suffix, ends, last = axis_suffix(i), domain(n - 1 - i, n, gap), i == n - 1
        layout[f"xaxis{suffix}"] = {
            **axis("step" if last else "", range=[low - pad, high + pad], tickformat=",", showticklabels=last),
            **{"anchor": f"y{suffix}", **({} if i == 0 else {"matches": "x"})},
        }
        titled = {"title": {"text": title, "font": {"size": 12}}}
        layout[f"yaxis{suffix}"] = {**scale, "domain": ends, "anchor": f"x{suffix}", **titled}
        layout[f"legend{suffix}"] = legend(ends[1])
        for line in lines:
            line |= {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "legend": f"legend{suffix}"}
    return layout


def in_panels(
    panels: Sequence[Panel], low: int, high: int, top: int = TOP, *, data: pl.DataFrame | None = None, **settings: Any
) -> Figure:
    """Return the figure of `stacked` panels, which draw `data`; settings are added to its layout."""
    layout = stacked(panels, low, high, top) | settings
    return styled([line for _, lines, _ in panels for line in lines], layout, data=data)


def by_step(frame: pl.DataFrame, x: str, y: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return x and y (float32), sorted by x, of each step of a frame."""
    parts = frame.sort("step", x).group_by("step", maintain_order=True)
    return {int(str(s)): (rows[x].to_numpy(), rows[y].to_numpy().astype(np.float32)) for (s,), rows in parts}


def slider_frames(changes: Mapping[int, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return Plotly's frames; changes: what each step changes of each trace."""
    return [{"name": str(s), "data": list(data), "traces": list(range(len(data)))} for s, data in changes.items()]


def bars_by_step(
    frame: pl.DataFrame,
    y: str,
    bars: Mapping[str, tuple[str, dict[str, Any], str]],
    titles: tuple[str, str],
    *,
    by: str | None = None,
    keys: Sequence[int] = (),
    **heights: Any,
) -> Figure:
    """Return bars over frequencies with a slider, at first at the last step.

    Args:
        frame: columns step, frequency, the column y and, for several groups of bars, the column `by`.
        bars: name, marker and text where the pointer is, by the values of `by`; with no `by`, of the only ones.
        titles: of the axes.
        keys: key frequencies, which the legend names in their colours.
        heights: more settings of the vertical axis.
    """
    groups = {key: frame if by is None else frame.filter(pl.col(by) == key) for key in bars}
    values = {key: by_step(rows, "frequency", y) for key, rows in groups.items() if len(rows)}
    steps = list(next(iter(values.values())))
    last = {key: heights[steps[-1]] for key, heights in values.items()}
    traces = [
        trace("bar", *last[key], hover, None, name, marker={"line": {"width": 0}, **marker}, showlegend=False)
        for key, (name, marker, hover) in bars.items()
        if key in values
    ]
    # a legend of patterns in ink, as colours are those of the frequencies
    traces += [
        trace("bar", [None], [None], "", None, name, marker={"color": MUTED, "pattern": marker.get("pattern", {})})
        for key, (name, marker, _) in bars.items()
        if by is not None and key in values
    ]
    traces += key_swatches(keys)
    top = float(np.nanmax(frame[y].to_numpy())) or 1.0
    layout = {
        "height": 380,
        "xaxis": axis(titles[0], showgrid=False),
        # one scale for all checkpoints, or nothing would seem to grow
        "yaxis": axis(titles[1], **{"range": [0, 1.05 * top], **heights}),
        "bargap": 0.25,
        "barmode": "group",
        "margin": {"t": 16 if by is None and not keys else 40},
        "legend": legend(1.0, entrywidth=0 if not keys else 52 if by is None else 66),
        "showlegend": by is not None or bool(keys),
        "sliders": [slider(steps)],
    }
    changes = {s: [{"type": "bar", "y": values[key][s][1]} for key in values] for s in steps}
    data = frame.select("step", "frequency", *([] if by is None else [by]), y)
    return styled(traces, layout, slider_frames(changes), data)


def row_layout(names: Sequence[str], losses: Sequence[float], title: str, height: int = 40) -> dict[str, Any]:
    """Return the layout of rows of losses (log), each below its name, which leaves them the plot's full width."""
    positive = [float(v) for v in losses if v > 0 and isfinite(v)]
    floor, top = min(positive, default=1e-3) / 4, 4 * max(positive, default=1.0)
    n = len(names)
    place = {"yref": "y", "xanchor": "left", "yshift": 7, "bgcolor": PAPER, "borderpad": 0}
    rows = {"range": [n - 0.4, -0.95], "tickvals": list(range(n))}
    return {
        "height": 90 + height * n,
        "xaxis": log_heights(positive, title) | {"range": [log10(floor), log10(top)]},
        "yaxis": {**rows, "showticklabels": False, "gridcolor": GRID, "zeroline": False},
        "annotations": [note(html.escape(name), 0, i, **place) for i, name in enumerate(names)],
        "legend": legend(1.0),
        "margin": {"l": 16, "t": 32},
        "showlegend": True,
    }


def level(value: float, name: str, ends: Sequence[float], *, along: str = "x", colour: str = MUTED) -> dict[str, Any]:
    """Return a line at a loss from one end to the other, along an axis."""
    ends, dash = list(ends), "dot" if colour == MUTED else "dash"
    x, y = (ends, [value, value]) if along == "x" else ([value, value], ends)
    return trace("lines", x, y, f"{value:.3g}", colour, name, line={"width": 1.5, "dash": dash})
