"""Runs side by side."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import DASHES, SERIES, Figure, figure, log_axis
from groklab.store.thinning import thin


def accuracy_overlay(frame: pl.DataFrame, points: int = 1500) -> Figure:
    """Test accuracy over the steps (log), one colour and dash a run, a thin line a member.

    frame: columns run (its name), member, step, test_accuracy.
    """
    after = frame.filter(pl.col("step") > 0)
    low, high = int(after["step"].min() or 1), int(after["step"].max() or 10)  # type: ignore[arg-type]
    traces: list[dict[str, Any]] = []
    for i, ((run,), rows) in enumerate(after.group_by("run", maintain_order=True)):
        members = rows["member"].n_unique()
        kept = thin(rows["step"].unique().sort().to_numpy(), max(150, points // members))
        xs: list[Any] = []
        ys: list[Any] = []
        for _, line in rows.filter(pl.col("step").is_in(kept)).sort("step").group_by("member", maintain_order=True):
            xs += [line["step"].to_numpy().astype(np.float64), [np.nan]]
            ys += [line["test_accuracy"].to_numpy().astype(np.float32), np.array([np.nan], np.float32)]
        name = html.escape(str(run))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": np.concatenate(xs),
                "y": np.concatenate(ys),
                "line": {
                    "color": SERIES[i % len(SERIES)],
                    "dash": DASHES[i % len(DASHES)],
                    "width": 2.25 if members == 1 else 1.25,
                },
                "opacity": 1 if members == 1 else 0.75,
                "hovertemplate": name + "<br>step %{x:,}: %{y:.2%}<extra></extra>",
            }
        )
    layout = {
        "height": 420,
        "xaxis": log_axis(low, max(high, low + 1), "training step (log scale)"),
        "yaxis": {"title": {"text": "test accuracy"}, "tickformat": ".0%", "range": [-0.03, 1.05]},
        "margin": {"l": 64, "r": 16, "t": 40, "b": 52},
        "showlegend": True,
    }
    return figure(traces, layout)
