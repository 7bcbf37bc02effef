"""Curves of training: losses, accuracies and norms over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.marks import marks
from groklab.figures.theme import GREEN, PINK, TEST, TRAIN, Figure, figure, log_axis, log_heights
from groklab.store.thinning import thin, thin_evenly

#: Points of one line, and of all members' lines together.
POINTS, ALL_POINTS = 1500, 30_000
STEP = "training step (log scale)"


def training_curves(
    metrics: pl.DataFrame, memorised: int | None, grokked: int | None, *, loss: str = "loss", linear: bool = False
) -> Figure:
    """Loss (log-log) above accuracy (log-x), train and test, with the two steps marked; a thin line a member.

    metrics: columns step, member, train_loss, test_loss, train_accuracy, test_accuracy. Of several members,
    `memorised` and `grokked` are the steps by which half of them have. loss: what the loss is, with its unit.
    Step 0 lies left of a logarithmic axis. linear: neither axis is logarithmic, for few steps and losses of zero.
    """
    frame, members, low, high = _prepared(metrics, (memorised, grokked), linear)
    half = "half " if members > 1 else ""
    panels = (("loss", "y", "x"), ("accuracy", "y2", "x2"))
    traces = [
        _lines(frame, f"{split}_{what}", split, colour, members, xaxis=x, yaxis=y, showlegend=what == "loss")
        for what, y, x in panels
        for split, colour in (("train", TRAIN), ("test", TEST))
    ]
    named = {f"{half}memorised": memorised, f"{half}grokked": grokked}
    layout = _two_panels(low, high, members, linear) | marks(named, low, high, ("y", "y2"), linear=linear)
    heights = log_heights(_heights(frame, "train_loss", "test_loss"), loss)
    layout["yaxis"] |= {"title": {"text": loss}, "rangemode": "tozero"} if linear else heights
    layout["yaxis2"] |= {"title": {"text": "accuracy"}, "tickformat": ".0%", "range": [-0.03, 1.05]}
    return figure(traces, layout)


def norms(metrics: pl.DataFrame, memorised: int | None = None, grokked: int | None = None) -> Figure:
    """Euclidean norm of all weights above that of the gradient (log), over the steps; a thin line a member.

    metrics: columns step, member, weight_norm, grad_norm.
    """
    frame, members, low, high = _prepared(metrics, (memorised, grokked))
    half = "half " if members > 1 else ""
    traces = [
        _lines(frame, "weight_norm", "weights", GREEN, members, xaxis="x", yaxis="y"),
        _lines(frame, "grad_norm", "gradient", PINK, members, xaxis="x2", yaxis="y2"),
    ]
    named = {f"{half}memorised": memorised, f"{half}grokked": grokked}
    layout = _two_panels(low, high, members) | marks(named, low, high, ("y", "y2"))
    layout["yaxis"] |= {"title": {"text": "norm of weights"}, "rangemode": "tozero"}
    layout["yaxis2"] |= log_heights(_heights(frame, "grad_norm"), "norm of gradient")
    return figure(traces, {**layout, "showlegend": False})


def machine_sizes(metrics: pl.DataFrame, memorised: int | None = None, grokked: int | None = None) -> Figure:
    """Trace and norm of a kernel machine's M above its kernel matrix's condition number (log), over the steps.

    metrics: columns step, member, trace, weight_norm, condition; a thin line a member.
    """
    frame, members, low, high = _prepared(metrics, (memorised, grokked), linear=True)
    half = "half " if members > 1 else ""
    traces = [
        _lines(frame, "trace", "trace of M", GREEN, members, xaxis="x", yaxis="y"),
        _lines(frame, "weight_norm", "norm of M", TEST, members, xaxis="x", yaxis="y"),
        _lines(frame, "condition", "condition number", PINK, members, xaxis="x2", yaxis="y2", showlegend=False),
    ]
    named = {f"{half}memorised": memorised, f"{half}grokked": grokked}
    layout = _two_panels(low, high, members, linear=True) | marks(named, low, high, ("y", "y2"), linear=True)
    layout["yaxis"] |= {"title": {"text": "size of M"}, "rangemode": "tozero"}
    layout["yaxis2"] |= log_heights(_heights(frame, "condition"), "condition number")
    return figure(traces, layout)


def _prepared(
    metrics: pl.DataFrame, keep: Sequence[int | None], linear: bool = False
) -> tuple[pl.DataFrame, int, int, int]:
    """Thinned rows, after step 0 unless axes are linear, the number of members, and the first and last step."""
    members = max(metrics["member"].n_unique(), 1)
    if linear:
        steps = metrics["step"].unique().sort().to_numpy()
        kept = thin_evenly(steps, max(200, min(POINTS, ALL_POINTS // members)))
        low, high = (kept[0], max(kept[-1], kept[0] + 1)) if kept else (0, 10)
        return metrics.filter(pl.col("step").is_in(kept)).sort("member", "step"), members, low, high
    steps = metrics.filter(pl.col("step") > 0)["step"].unique().sort().to_numpy()
    kept = thin(steps, max(200, min(POINTS, ALL_POINTS // members)), keep)
    low, high = (kept[0], kept[-1]) if kept else (1, 10)
    return metrics.filter(pl.col("step").is_in(kept)).sort("member", "step"), members, low, high


def _heights(frame: pl.DataFrame, *columns: str) -> list[float]:
    return [v for c in columns for v in frame[c].to_list() if v is not None]


def _lines(frame: pl.DataFrame, column: str, name: str, colour: str, members: int, **settings: Any) -> dict[str, Any]:
    """All members' lines as one trace, a gap between two, since a page slows down with its number of traces."""
    xs: list[Any] = []
    ys: list[Any] = []
    who: list[Any] = []
    for (member,), rows in frame.group_by("member", maintain_order=True):
        xs += [rows["step"].to_numpy().astype(np.float64), [np.nan]]
        ys += [rows[column].to_numpy().astype(np.float32), np.array([np.nan], np.float32)]
        who += [np.full(len(rows) + 1, member, np.int32)]
    several = members > 1
    y = np.concatenate(ys) if ys else np.zeros(0, np.float32)
    if column.endswith(("loss", "grad_norm")):
        # zero and below have no place on a logarithmic axis
        y = np.where(y > 0, y, np.float32(np.nan))
    value = "%{y:.2%}" if column.endswith("accuracy") else "%{y:.4g}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "x": np.concatenate(xs) if xs else np.zeros(0),
        "y": y,
        "customdata": np.concatenate(who) if several else None,
        "line": {"color": colour, "width": 1.25 if several else 2.25},
        "opacity": max(0.3, 0.9 - 0.02 * members) if several else 1,
        "hovertemplate": f"{name} {value}"
        + ("<br>member %{customdata}, step %{x:,}" if several else "")
        + "<extra></extra>",
        **settings,
    }


def _two_panels(low: int, high: int, members: int, linear: bool = False) -> dict[str, Any]:
    pad = 0.015 * (high - low)
    even = {"range": [low - pad, high + pad], "tickformat": ","}
    lower = {**even, "title": {"text": "step"}} if linear else log_axis(low, high, STEP)
    return {
        "height": 560,
        "xaxis": {**(even if linear else log_axis(low, high)), "anchor": "y", "matches": "x2", "showticklabels": False},
        "xaxis2": {**lower, "anchor": "y2"},
        "yaxis": {"domain": [0.54, 1], "anchor": "x"},
        "yaxis2": {"domain": [0, 0.46], "anchor": "x2"},
        # between the panels, where no line and no name of a step can meet it
        "legend": {"orientation": "h", "x": 0, "y": 0.5, "yanchor": "middle", "xanchor": "left"},
        "margin": {"l": 68, "r": 16, "t": 56, "b": 52},
        "hovermode": "x unified" if members == 1 else "closest",
    }
