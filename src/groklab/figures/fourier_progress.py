"""Fourier frequency sparsity and coefficient ratio through training (Furuta et al. 2024, figures 8 and A.14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures.panels import Panel, stacked
from groklab.figures.theme import GREEN, PINK, TEST, TRAIN, Figure, figure
from groklab.store.thinning import thin_evenly

#: The matrices measured, as they are written, and their colours.
MATRICES = {"W_E": ("W<sub>E</sub>", GREEN), "W_L": ("W<sub>L</sub>", PINK)}
#: A panel each: what its columns begin with, and its title.
NUMBERS = {"ffs": "frequency sparsity", "fcr": "cosine-sine ratio", "sigma_ratio": "ratio, shift-invariant"}


def fourier_progress(frame: pl.DataFrame, metrics: pl.DataFrame | None = None, *, points: int = 1200) -> Figure:
    """Panels over the steps: FFS, FCR and the shift-invariant ratio of W_E and W_L, below accuracy where it is given.

    frame: columns step and some of ffs_W_E, fcr_W_E, sigma_ratio_W_E and the same of W_L, as the measure
    `fourier_sparsity` has them; a panel without columns is left out. metrics: columns step, train_accuracy,
    test_accuracy, drawn at no more than some `points`.
    """
    frame = frame.sort("step")
    panels: list[Panel] = []
    if metrics is not None:
        kept = metrics.filter(pl.col("step").is_in(thin_evenly(metrics["step"].unique().sort().to_numpy(), points)))
        kept = kept.sort("step")
        lines = [
            _line(kept, f"{name}_accuracy", name, colour, dash)
            for name, colour, dash in (("train", TRAIN, "dash"), ("test", TEST, "solid"))
        ]
        panels.append(("accuracy", lines, {"range": [-0.04, 1.06], "tickformat": ".0%"}))
    for prefix, title in NUMBERS.items():
        lines = [
            _line(frame, f"{prefix}_{name}", label, colour)
            for name, (label, colour) in MATRICES.items()
            if f"{prefix}_{name}" in frame.columns
        ]
        if lines:
            panels.append((title, lines, {"range": [-0.04, 1.06]}))
    panels = panels or [(NUMBERS["ffs"], [], {"range": [-0.04, 1.06]})]
    steps = np.concatenate([line["x"] for _, lines, _ in panels for line in lines] or [np.zeros(1)])
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 1)
    return figure([line for _, lines, _ in panels for line in lines], stacked(panels, low, max(high, low + 1)))


def _line(frame: pl.DataFrame, column: str, name: str, colour: str, dash: str = "solid") -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(frame) <= 60 else "lines",
        "name": name,
        "x": frame["step"].to_numpy(),
        "y": frame[column].cast(pl.Float64).to_numpy().astype(np.float32),
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{name} %{{y:.3g}} at step %{{x:,}}<extra></extra>",
    }
