"""What share of an ensemble's members has memorised and grokked by each step, those cut off counted as cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import GREEN, TEST, TRAIN, Figure, figure, log_axis

COLOURS = {"memorised": TRAIN, "grokked": TEST}


def reached_share(frame: pl.DataFrame, low: float | None = None, high: float | None = None) -> Figure:
    """Staircases of the share of members over the steps, with a tick where members ended unreached (censored).

    frame: as `event_frame` makes it (event, step, share, censored). low, high: 95% interval of the median step of
    grokking, shaded; high None means beyond the last step.
    """
    first = max(int(frame["step"].min() or 1), 1)  # type: ignore[arg-type]
    last = max(int(frame["step"].max() or 1), first + 1)  # type: ignore[arg-type]
    start = max(first / 2, 1)
    traces: list[dict[str, Any]] = []
    for (event,), rows in frame.sort("step").group_by("event", maintain_order=True):
        colour = COLOURS.get(str(event), GREEN)
        steps = np.maximum(np.concatenate([[start], rows["step"].to_numpy(), [last]]), start)
        shares = np.concatenate([[0.0], rows["share"].to_numpy(), rows["share"].to_numpy()[-1:]])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": str(event),
                "legendgroup": str(event),
                "x": steps,
                "y": shares,
                "line": {"color": colour, "width": 2.25, "shape": "hv"},
                "hovertemplate": "%{y:.0%} " + str(event) + " by step %{x:,}<extra></extra>",
            }
        )
        ticks = rows.filter(pl.col("censored") > 0)
        if len(ticks):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"ended before having {event}",
                    "x": ticks["step"].to_numpy(),
                    "y": ticks["share"].to_numpy(),
                    "customdata": ticks["censored"].to_numpy(),
                    "marker": {"symbol": "line-ns-open", "size": 16, "color": colour, "line": {"width": 2.5}},
                    "cliponaxis": False,
                    "hovertemplate": f"%{{customdata}} ended at step %{{x:,}}, not {event}<extra></extra>",
                }
            )
    shapes = []
    if low is not None:
        band = {"x0": low, "x1": high if high is not None else last, "y0": 0, "y1": 1, "layer": "below"}
        shapes.append(
            {"type": "rect", "xref": "x", "yref": "y", **band, "fillcolor": TEST, "opacity": 0.1, "line": {"width": 0}}
        )
    layout = {
        "height": 340,
        "xaxis": log_axis(start, last, "training step (log scale)"),
        "yaxis": {"title": {"text": "share of members"}, "tickformat": ".0%", "range": [-0.03, 1.06]},
        "shapes": shapes,
        "margin": {"l": 64, "r": 16, "t": 36, "b": 52},
    }
    return figure(traces, layout)
