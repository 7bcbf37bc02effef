"""Feature matrices through the checkpoints: their entries, their eigenvalues, and the Fourier picture of a block."""

from __future__ import annotations

from math import floor, log10
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.heatmaps import SCALE
from groklab.figures.theme import DIVERGING, FAINT, GREEN, INK, MUTED, TEST, Figure, figure, slider
from groklab.tasks.residues import log_order

#: The largest whole number in which an entry is written: two bytes, a page's worth of matrices being large.
LARGEST = 32_000
_BAR = {"orientation": "h", "y": 0, "yanchor": "top", "thickness": 10, "len": 0.7, "outlinewidth": 0, "tickangle": 0}


def feature_matrices(frame: pl.DataFrame, *, reordered: bool = False) -> Figure:
    """Heat map of a feature matrix (2p, 2p) with a slider, at first at the last step, in colours centred at zero.

    frame: columns step, row, column, value (`feature_frames.matrix_frame`). reordered: beside it the same matrix with
    each operand's residues in the order 0, g, g², … = 1 of powers of the smallest generator; raises InputError where p
    is no prime. The colours end at the largest entry off the main diagonal, of all steps, so that a large diagonal
    hides nothing; entries are rounded to four figures or so.
    """
    values, steps = _stacked(frame)
    d = values.shape[1]
    p = d // 2
    natural = np.arange(p)
    orders = [("natural order", natural)]
    if reordered:
        orders.append(("in log order", np.concatenate([[0], log_order(p)])))
    whole, unit, power = _rounded(values)
    off = np.abs(values[:, ~np.eye(d, dtype=bool)])
    end = float(off.max(initial=0.0)) or float(np.abs(values).max(initial=0.0)) or 1.0
    layout: dict[str, Any] = {
        "width": 560 if len(orders) == 1 else 1000,
        "height": 636 if len(orders) == 1 else 580,
        "annotations": [],
        "shapes": [],
        "showlegend": False,
        "margin": {"l": 44, "r": 12, "t": 34, "b": 80},
        "sliders": [slider(steps)],
        "coloraxis": {
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -end / unit,
            "cmax": end / unit,
            "colorbar": {
                **_BAR,
                "ypad": 44,
                "tickvals": [t / unit for t in (-end, 0, end)],
                "ticktext": [f"−{end:.2g}", "0", f"{end:.2g}"],
            },
        },
    }
    traces, places = [], []
    for i, (title, order) in enumerate(orders):
        suffix = "" if i == 0 else "2"
        place = np.concatenate([order, p + order])
        places.append(np.ix_(place, place))
        x = [0.0, 1.0] if len(orders) == 1 else [0.56 * i, 0.44 + 0.56 * i]
        traces.append(
            {
                "type": "heatmap",
                "z": whole[-1][places[-1]],
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "coloraxis": "coloraxis",
                "hovertemplate": f"row %{{y}}, column %{{x}}: %{{z}} × 10<sup>−{power}</sup><extra></extra>",
            }
        )
        layout |= _axes(suffix, x, d, _ticks(p, powers=i == 1))
        layout["shapes"] += _cross(suffix, p)
        layout["annotations"].append(_title(title, sum(x) / 2))
    frames = [
        _frame(s, *({"type": "heatmap", "z": matrix[place]} for place in places))
        for s, matrix in zip(steps, whole, strict=True)
    ]
    return figure(traces, layout, frames)


def block_fourier(frame: pl.DataFrame) -> Figure:
    """Heat map of the magnitudes |F B F^H| of a block's Fourier transform, with a slider, at first at the last step.

    frame: columns step, row, column, value (`feature_frames.block_frame`): frequencies 0..q−1. One scale for all steps.
    """
    values, steps = _stacked(frame)
    q = values.shape[1]
    whole, unit, power = _rounded(values)
    end = float(values.max(initial=0.0)) or 1.0
    cells = {
        "type": "heatmap",
        "z": whole[-1],
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": end / unit,
        "colorbar": {**_BAR, "ypad": 48, "tickvals": [0, end / unit], "ticktext": ["0", f"{end:.2g}"]},
        "hovertemplate": f"frequencies %{{y}}, %{{x}}: %{{z}} × 10<sup>−{power}</sup><extra></extra>",
    }
    layout: dict[str, Any] = {
        "width": 560,
        "height": 630,
        "margin": {"l": 56, "r": 12, "t": 16, "b": 92},
        "showlegend": False,
        "sliders": [slider(steps)],
        **_axes("", [0.0, 1.0], q, {"nticks": 7}),
    }
    layout["xaxis"]["title"] = {"text": "frequency of the columns", "standoff": 4}
    layout["yaxis"]["title"] = {"text": "frequency of the rows", "standoff": 4}
    frames = [_frame(s, {"type": "heatmap", "z": m}) for s, m in zip(steps, whole, strict=True)]
    return figure([cells], layout, frames)


def block_power(frame: pl.DataFrame) -> Figure:
    """Bars of the power of each frequency in a block's closest circulant, with a slider, at first at the last step.

    frame: columns step, frequency, power (`feature_frames.power_frame`).
    """
    steps, heights, last = _by_step(frame, "frequency", "power")
    bars = {
        "type": "bar",
        "x": last,
        "y": heights[-1],
        "marker": {"color": GREEN, "line": {"width": 0}},
        "hovertemplate": "frequency %{x}: %{y:.3g}<extra></extra>",
    }
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "frequency k"}, "showgrid": False},
        # one scale for all checkpoints, or nothing would seem to grow
        "yaxis": {"title": {"text": "power in the circulant"}, "range": [0, 1.05 * _most(heights)]},
        "bargap": 0.25,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "showlegend": False,
        "sliders": [slider(steps)],
    }
    return figure([bars], layout, [_frame(s, {"type": "bar", "y": y}) for s, y in zip(steps, heights, strict=True)])


def feature_eigenvalues(frame: pl.DataFrame) -> Figure:
    """The eigenvalues of a feature matrix in order, with a slider, at first at the last step.

    frame: columns step, place (1.., descending), value (`feature_frames.eigenvalue_frame`).
    """
    steps, heights, last = _by_step(frame, "place", "value")
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": last,
        "y": heights[-1],
        "marker": {"color": TEST, "size": 5},
        "hovertemplate": "eigenvalue %{x}: %{y:.3g}<extra></extra>",
    }
    low = min(float(np.nanmin(y)) for y in heights)
    top = _most(heights)
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "eigenvalue, in descending order"}, "showgrid": False, "range": [0, len(last) + 1]},
        "yaxis": {"title": {"text": "size"}, "range": [min(low, 0) - 0.03 * top, 1.05 * top]},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "showlegend": False,
        "sliders": [slider(steps)],
    }
    return figure(
        [points], layout, [_frame(s, {"type": "scatter", "y": y}) for s, y in zip(steps, heights, strict=True)]
    )


def _stacked(frame: pl.DataFrame) -> tuple[np.ndarray, list[int]]:
    """(n_steps, d, d) values, and the steps."""
    ordered = frame.sort("step", "row", "column")
    steps = ordered["step"].unique().sort().to_list()
    d = round((len(ordered) / len(steps)) ** 0.5)
    return ordered["value"].to_numpy().reshape(len(steps), d, d), steps


def _by_step(frame: pl.DataFrame, x: str, y: str) -> tuple[list[int], list[np.ndarray], np.ndarray]:
    parts = {s: rows for (s,), rows in frame.sort("step", x).group_by("step", maintain_order=True)}
    steps = [int(str(s)) for s in parts]
    return (
        steps,
        [rows[y].to_numpy().astype(np.float32) for rows in parts.values()],
        next(iter(parts.values()))[x].to_numpy(),
    )


def _most(heights: list[np.ndarray]) -> float:
    return max(float(np.nanmax(y)) for y in heights) or 1.0


def _frame(step: int, *changes: dict[str, Any]) -> dict[str, Any]:
    return {"name": str(step), "data": list(changes), "traces": list(range(len(changes)))}


def _rounded(values: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Values as whole numbers of 10^-power, the unit 10^-power, and the power."""
    largest = float(np.abs(values).max(initial=0.0))
    power = floor(log10(LARGEST / largest)) if largest > 0 else 4
    unit = 10.0**-power
    return np.round(values / unit).astype(np.int16), unit, power


def _ticks(p: int, *, powers: bool) -> dict[str, Any]:
    """Ticks of both operands' residues, two each so that a phone has room; the first is named by its operand."""
    middle = p // 2 if p < 20 else p // 2 // 5 * 5
    text = f"g<sup>{middle}</sup>" if powers else str(middle)
    return {"tickvals": [0, middle, p, p + middle], "ticktext": ["a: 0", text, "b: 0", text], "tickangle": 0}


def _axes(suffix: str, x: list[float], size: int, ticks: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"showgrid": False, "zeroline": False, "constrain": "domain", "ticks": "outside"}
    plain["tickfont"] = {"size": 11, "color": MUTED}
    across = {**plain, **ticks, "domain": x, "anchor": f"y{suffix}", "range": [-0.5, size - 0.5]}
    down = {**plain, **ticks, "anchor": f"x{suffix}", "range": [size - 0.5, -0.5], "scaleanchor": f"x{suffix}"}
    return {f"xaxis{suffix}": across, f"yaxis{suffix}": down}


def _cross(suffix: str, p: int) -> list[dict[str, Any]]:
    """Lines between the four blocks."""
    line = {"type": "line", "line": {"color": FAINT, "width": 1}}
    x, y, at = f"x{suffix}", f"y{suffix}", p - 0.5
    return [
        {**line, "xref": x, "yref": f"{y} domain", "x0": at, "x1": at, "y0": 0, "y1": 1},
        {**line, "xref": f"{x} domain", "yref": y, "x0": 0, "x1": 1, "y0": at, "y1": at},
    ]


def _title(text: str, x: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": x, "y": 1, "xanchor": "center", "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "yshift": 4, "font": {"size": 12.5, "color": INK}}
