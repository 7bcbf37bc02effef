"""A leaderboard's figures: when each entry's models grokked, beside the baseline, and the medians of all entries."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._panels import domain, note
from groklab.figures._survival import event_frame
from groklab.figures._theme import (
    FAINT,
    GREEN,
    GREY,
    INK,
    PAPER,
    TEST,
    TRAIN,
    axis,
    axis_suffix,
    legend,
    log_axis,
    styled,
    trace,
)

#: Pixels of one entry's panel with its gap, of its row of medians, above and below all of them, and of a name.
PANEL, ROW, TOP, BOTTOM, NAME = 104, 46, 62, 56, 20
#: Verdicts with their colours and symbols, which tell them apart without colours.
VERDICTS = {
    "sooner": (GREEN, "triangle-left"),
    "later": (TRAIN, "triangle-right"),
    "undecided": (GREY, "circle-open"),
    "baseline": (TEST, "diamond"),
}
STEP = "training step (log scale)"


def entry_curves(frame: pl.DataFrame, baseline: str) -> Figure:
    """Draw the share of each entry's models that have grokked by each step, with the baseline's dotted in each panel.

    Args:
        frame: columns entry (one panel each, in this order), seed, step (where it grokked or ended) and grokked.
        baseline: its entry.
    """
    names = frame["entry"].unique(maintain_order=True).to_list()
    low = max(int(frame["step"].min() or 1) / 1.5, 1)  # type: ignore[arg-type]
    high = max(int(frame["step"].max() or 10), low + 1)  # type: ignore[arg-type]
    curves = {name: _curve(frame.filter(pl.col("entry") == name)) for name in names}
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"height": TOP + BOTTOM + PANEL * len(names), "margin": {"t": TOP, "b": BOTTOM}}
    gap = 34 / PANEL / max(len(names), 1)
    for i, name in enumerate(names):
        suffix, last = axis_suffix(i), i == len(names) - 1
        if name != baseline and baseline in curves:
            first = "baseline" if "baseline" not in {t.get("name") for t in traces} else ""
            traces.append(_line(curves[baseline], low, high, GREY, baseline, i, first, dash="dot"))
        first = "the entry" if "the entry" not in {t.get("name") for t in traces} else ""
        traces.append(_line(curves[name], low, high, TEST, name, i, first))
        ends = curves[name].filter(pl.col("censored") > 0)
        if len(ends):
            x, y, n = (ends[column].to_numpy() for column in ("step", "share", "censored"))
            marker = {"symbol": "line-ns-open", "size": 12, "line": {"width": 2}}
            look: dict[str, Any] = {"customdata": n, "marker": marker, "cliponaxis": False}
            hover = f"{html.escape(name)}: %{{customdata}} had not grokked by step %{{x:,}}"
            traces.append(trace("markers", x, y, hover, TEST, panel=i, **look))
        heights = domain(len(names) - 1 - i, len(names), gap)
        shares: dict[str, Any] = {"range": [-0.06, 1.1], "tickvals": [0, 0.5, 1], "tickformat": ".0%"}
        layout[f"yaxis{suffix}"] = axis("", domain=heights, anchor=f"x{suffix}", **shares)
        scale = log_axis(low, high, STEP if last else "")
        layout[f"xaxis{suffix}"] = {**scale, "anchor": f"y{suffix}", "showticklabels": last}
        if i:
            layout[f"xaxis{suffix}"]["matches"] = "x"
    layout["annotations"] = [
        note(html.escape(name), 0, domain(len(names) - 1 - i, len(names), gap)[1], xanchor="left")
        for i, name in enumerate(names)
    ]
    # above the name of the first panel
    layout |= {"legend": legend(1 + NAME / (PANEL * len(names))), "showlegend": True}
    return styled(traces, layout, data=frame)


def _curve(rows: pl.DataFrame) -> pl.DataFrame:
    """Return columns step, share and censored of one entry."""
    events = [step if done else None for step, done in zip(rows["step"], rows["grokked"], strict=True)]
    return event_frame({"grokked": events}, rows["step"].to_list())


def _line(
    curve: pl.DataFrame, low: float, high: float, colour: str, entry: str, panel: int, name: str, dash: str = "solid"
) -> dict[str, Any]:
    shares = curve["share"].to_numpy()
    x = np.maximum(np.concatenate([[low], curve["step"].to_numpy(), [high]]), low)
    y = np.concatenate([[0.0], shares, shares[-1:]])
    line = {"width": 2 if dash == "solid" else 1.5, "shape": "hv", "dash": dash}
    hover = f"{html.escape(entry)}: %{{y:.0%}} by step %{{x:,}}"
    return trace("lines", x, y, hover, colour, name, panel, line=line)


def entry_medians(frame: pl.DataFrame) -> Figure:
    """Draw each entry's median step with its 95% interval, and the steps of its seeds as small dots.

    Args:
        frame: columns entry, verdict (see `VERDICTS`), median, low, high (None beyond the budget), budget, and seeds,
            the list of the steps that were reached.
    """
    n = len(frame)
    known = [s for s in (*frame["median"], *frame["low"], *frame["budget"], *frame["seeds"].explode()) if s]
    low, high = (min(known) / 1.3, max(known) * 1.15) if known else (1.0, 10.0)
    traces: list[dict[str, Any]] = []
    dots = [(step, i) for i, steps in enumerate(frame["seeds"]) for step in steps]
    marker: dict[str, Any] = {"size": 5, "opacity": 0.9}
    if dots:
        x, y = zip(*dots, strict=True)
        traces.append(trace("markers", x, y, "a seed at step %{x:,}", FAINT, "a seed", marker=marker))
    for i, row in enumerate(frame.iter_rows(named=True)):
        colour, _ = VERDICTS[row["verdict"]]
        first, last = row["low"], high if row["high"] is None else row["high"]
        if row["median"] is not None and first is not None:
            text = f"{row['low']:,.0f} to " + ("beyond the budget" if row["high"] is None else f"{row['high']:,.0f}")
            hover = f"95% interval {text}"
            traces.append(trace("lines", [first, last], [i, i], hover, colour, line={"width": 4}, opacity=0.55))
    for verdict, (colour, symbol) in VERDICTS.items():
        rows = [(row["median"], i) for i, row in enumerate(frame.iter_rows(named=True)) if row["verdict"] == verdict]
        placed = [(median, i) for median, i in rows if median is not None]
        if placed:
            marker = {"symbol": symbol, "size": 13, "line": {"width": 2 if "open" in symbol else 1}}
            if "open" not in symbol:
                marker["line"] = {"width": 1, "color": PAPER}
            x, y = zip(*placed, strict=True)
            traces.append(trace("markers", x, y, "median %{x:,}", colour, verdict, marker=marker))
    beyond = [(row["budget"], i) for i, row in enumerate(frame.iter_rows(named=True)) if row["median"] is None]
    place = {"yref": "y", "xanchor": "left", "yshift": 9, "borderpad": 0}
    names = [note(html.escape(name), 0, i, **place) for i, name in enumerate(frame["entry"])]
    if beyond:
        x, y = zip(*beyond, strict=True)
        marker = {"symbol": "x-thin-open", "size": 9, "line": {"width": 2}}
        hover = "no median within the budget of %{x:,} steps"
        traces.append(trace("markers", x, y, hover, INK, "no median within the budget", marker=marker))
    layout = {
        "height": TOP + BOTTOM + ROW * (n + 1),
        "xaxis": log_axis(low, high, STEP),
        "yaxis": {"range": [n - 0.4, -0.95], "showticklabels": False, "zeroline": False, "showgrid": False},
        "annotations": names,
        "legend": legend(1.0),
        "margin": {"l": 16, "t": TOP, "b": BOTTOM},
        "showlegend": True,
    }
    return styled(traces, layout, data=frame)
