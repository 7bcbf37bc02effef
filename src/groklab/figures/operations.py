"""The operations of a mixture side by side, by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.panels import Panel, stacked
from groklab.figures.theme import DASHES, SERIES, Figure, figure, log_heights
from groklab.store.thinning import thin_evenly

#: The panels, from above: what a column of metrics begins with, and how it is called.
PANELS = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "train_loss": "training loss",
}


def operation_curves(metrics: pl.DataFrame, names: Sequence[str], *, points: int = 1200) -> Figure:
    """Panels of test and training accuracy and of test and training loss (log), with a line for each operation.

    metrics: columns step, train_accuracy_op0, test_accuracy_op0, train_loss_op0, test_loss_op0, …, of one member, the
    losses each operation's own mean; panels whose columns are not all there are left out. names: the operations'.
    """
    kept = metrics.filter(pl.col("step").is_in(thin_evenly(metrics["step"].unique().sort().to_numpy(), points)))
    kept = kept.sort("step")
    panels: list[Panel] = []
    for prefix, title in PANELS.items():
        columns = [f"{prefix}_op{i}" for i in range(len(names))]
        if not set(columns) <= set(kept.columns):
            continue
        lines = [_line(kept, column, name, i) for i, (column, name) in enumerate(zip(columns, names, strict=True))]
        # the operations are the same in all panels: one legend names them
        lines = [line | {"showlegend": not panels} for line in lines]
        seen = [float(v) for line in lines for v in line["y"]]
        accuracy = {"range": [-0.04, 1.06], "tickformat": ".0%"}
        panels.append((title, lines, log_heights(seen, title) if prefix.endswith("loss") else accuracy))
    steps = kept["step"].to_numpy()
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 1)
    layout = stacked(panels, low, max(high, low + 1))
    layout["margin"]["t"] = 36
    return figure([line for _, lines, _ in panels for line in lines], layout)


def _line(frame: pl.DataFrame, column: str, name: str, place: int) -> dict[str, Any]:
    dash = DASHES[place // len(SERIES) % len(DASHES)]
    y = frame[column].cast(pl.Float64).to_numpy().astype(np.float32)
    if "loss" in column:
        # zero has no place on a logarithmic axis
        y = np.where(y > 0, y, np.float32(np.nan))
    value = "%{y:.3g}" if "loss" in column else "%{y:.1%}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "x": frame["step"].to_numpy(),
        "y": y,
        "line": {"color": SERIES[place % len(SERIES)], "width": 2, "dash": dash},
        "hovertemplate": f"{name} {value} at step %{{x:,}}<extra></extra>",
    }
