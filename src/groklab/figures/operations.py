"""The operations of a mixture side by side, by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.panels import Panel, stacked
from groklab.figures.theme import DASHES, SERIES, Figure, figure
from groklab.figures.thinning import thin_evenly


def operation_accuracies(metrics: pl.DataFrame, names: Sequence[str], *, points: int = 1200) -> Figure:
    """Two panels, training and test accuracy, with a line for each operation.

    metrics: columns step, train_accuracy_op0, test_accuracy_op0, …, of one member; names: the operations'.
    """
    kept = metrics.filter(pl.col("step").is_in(thin_evenly(metrics["step"].unique().sort().to_numpy(), points)))
    kept = kept.sort("step")
    axis = {"range": [-0.04, 1.06], "tickformat": ".0%"}
    panels: list[Panel] = [
        (
            f"{said} accuracy",
            [_line(kept, f"{part}_accuracy_op{i}", name, i) for i, name in enumerate(names)],
            dict(axis),
        )
        for part, said in (("train", "training"), ("test", "test"))
    ]
    steps = kept["step"].to_numpy()
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 1)
    return figure([line for _, lines, _ in panels for line in lines], stacked(panels, low, max(high, low + 1)))


def _line(frame: pl.DataFrame, column: str, name: str, place: int) -> dict[str, Any]:
    dash = DASHES[place // len(SERIES) % len(DASHES)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": frame["step"].to_numpy(),
        "y": frame[column].cast(pl.Float64).to_numpy().astype(np.float32),
        "line": {"color": SERIES[place % len(SERIES)], "width": 2, "dash": dash},
        "hovertemplate": f"{name} %{{y:.1%}} at step %{{x:,}}<extra></extra>",
    }
