"""A law and the times that it was fitted to: points, bounds, and the law's lines with their bands over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._theme import INK, MUTED, SERIES, axis, log_axis, styled, trace

#: Opacity of a line's band.
BAND = 0.15
#: Widest range of an axis that is linear; beyond it the axis is logarithmic.
LINEAR = 4.0


def law_fit(points: pl.DataFrame, curves: pl.DataFrame, formula: str, time: str, x_axis: tuple[str, str]) -> Figure:
    """Draw the times of members over a setting, or over what the law predicts, with the law's lines.

    Args:
        points: one row per member: `time`, `observed`, `early`, and the column of the x axis; a time that is not
            observed is a bound, from above where it is `early`.
        curves: columns x, line, predicted, low and high; `low` and `high` are the band.
        formula: the law's.
        time: what T is.
        x_axis: the column of `points` to the right, and the axis's title.
    """
    column, title = x_axis
    lines = curves["line"].unique(maintain_order=True).to_list()
    colours = dict(zip(lines, SERIES * (1 + len(lines) // len(SERIES)), strict=False)) if len(lines) > 1 else {}
    traces: list[dict[str, Any]] = []
    for line in lines:
        own = curves.filter(pl.col("line") == line)
        colour = colours.get(line, INK)
        x, middle, low, high = (own[name].to_numpy() for name in ("x", "predicted", "low", "high"))
        if not np.array_equal(low, high):
            around = {"fill": "toself", "fillcolor": colour, "opacity": BAND, "hoverinfo": "skip", "line": {"width": 0}}
            shape = trace("lines", np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]]), "", **around)
            traces.append({k: v for k, v in shape.items() if k != "hovertemplate"})
        look = {"color": colour, "width": 2}
        traces.append(trace("lines", x, middle, f"{line}: %{{y:,.0f}}", name=str(line), line=look))
    kinds = (
        ("observed", "circle", pl.col("observed")),
        ("not yet at its budget", "triangle-up-open", ~pl.col("observed") & ~pl.col("early")),
        ("within the first evaluation", "triangle-down-open", pl.col("early")),
    )
    for name, symbol, which in kinds:
        rows = points.filter(which)
        if not len(rows):
            continue
        shades = _shades(rows, curves, colours, column)
        marker = {"symbol": symbol, "size": 7 if name == "observed" else 10, "color": shades, "opacity": 0.75}
        marker |= {} if name == "observed" else {"line": {"width": 1.5}}
        hover = f"{title} %{{x:.4g}}: %{{y:,}} ({name})"
        traces.append(
            trace("markers", rows[column].to_numpy(), rows["time"].to_numpy(), hover, name=name, marker=marker)
        )
    times = [float(v) for v in (*points["time"], *curves["predicted"]) if v is not None and np.isfinite(v) and v > 0]
    layout = {
        "height": 420,
        "xaxis": _x_axis([float(v) for v in (*points[column], *curves["x"]) if v is not None], title),
        "yaxis": log_axis(min(times), max(times), time),
        "margin": {"t": 64},
        "annotations": [_written(formula)],
    }
    return styled(traces, layout, data=points)


def _shades(rows: pl.DataFrame, curves: pl.DataFrame, colours: dict[str, str], column: str) -> Any:
    """Return the colour of each point: that of its line, where there is one per value of another variable."""
    if not colours:
        return MUTED
    values = {str(line).rpartition(" ")[2]: colour for line, colour in colours.items()}
    names = set(rows.columns) - {"member", "seed", "time", "observed", "early", "cell", "predicted", column}
    other = next(iter(names))
    return [values.get(f"{value:g}", MUTED) for value in rows[other]]


def _x_axis(values: list[float], title: str) -> dict[str, Any]:
    finite = [v for v in values if np.isfinite(v)]
    low, high = min(finite), max(finite)
    return log_axis(low, high, title, tickformat="~g") if low > 0 and high / low > LINEAR else axis(title)


def _written(formula: str) -> dict[str, Any]:
    """Return the law's formula, above the figure."""
    place = {"xref": "paper", "yref": "paper", "x": 1, "y": 1, "xanchor": "right", "yanchor": "top"}
    return {**place, "text": formula, "showarrow": False, "font": {"color": MUTED, "size": 12}}
