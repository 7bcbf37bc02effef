"""The Fourier spectrum of the embedding through training (Nanda et al. 2023, figure 3)."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab.figures.frames import strong_frequencies
from groklab.figures.theme import GREEN, SOFT, Figure, figure, slider


def embedding_spectrum(frame: pl.DataFrame) -> Figure:
    """Bars by frequency with a slider through checkpoints, at first the last; frequencies that stand out coloured.

    frame: columns step, frequency, and share of the power or norm (the share is shown where there are both).
    """
    shares = "share" in frame.columns
    column, title = ("share", "share of the embedding's power") if shares else ("norm", "norm of the frequency")
    steps = frame["step"].unique().sort().to_list()
    by_step = {s: rows for (s,), rows in frame.sort("step", "frequency").group_by("step", maintain_order=True)}
    heights = {s: by_step[s][column].to_numpy().astype(np.float32) for s in steps}
    last = by_step[steps[-1]]
    strong = set(strong_frequencies(frame)) if shares else set()
    bars = {
        "type": "bar",
        "x": last["frequency"].to_numpy(),
        "y": heights[steps[-1]],
        "marker": {"color": [GREEN if k in strong else SOFT for k in last["frequency"]], "line": {"width": 0}},
        "hovertemplate": "frequency %{x}: %{y" + (":.1%" if shares else ":.3g") + "}<extra></extra>",
    }
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "frequency k (turns per p residues)"}, "showgrid": False},
        "yaxis": {
            "title": {"text": title},
            "tickformat": ".1~%" if shares else "",
            # one scale for all checkpoints, or nothing would seem to grow
            "range": [0, 1.05 * float(np.nanmax(frame[column].to_numpy()))],
        },
        "bargap": 0.25,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 52},
        "showlegend": False,
        "sliders": [slider(steps)],
    }
    return figure(
        [bars], layout, [{"name": str(s), "data": [{"type": "bar", "y": heights[s]}], "traces": [0]} for s in steps]
    )
