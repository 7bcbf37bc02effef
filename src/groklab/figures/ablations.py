"""What the loss becomes when parts of a model are taken out (Nanda et al. 2023, section 4.4)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import INK, MUTED, PAPER, SOFT, TEST, TRAIN, Figure, figure, key_colours, legend, log_heights


def ablation_losses(frame: pl.DataFrame, own: float, uniform: float) -> Figure:
    """A horizontal bar an intervention, in the order of the frame: the loss on all pairs (log).

    frame: columns label, loss. own: the loss of the model as it is, uniform: of guessing evenly; both are lines, and
    bars beyond the second, worse than guessing, have another colour, as have those no worse than the first.
    """
    loss = frame["loss"].to_numpy()
    positive = [float(v) for v in [*loss, own, uniform] if v > 0 and np.isfinite(v)]
    floor, top = min(positive, default=1e-3) / 4, 2 * max(positive, default=1.0)
    n = len(frame)
    colour = [TRAIN if v >= uniform else SOFT if v > 1.1 * own else TEST for v in loss]
    place = list(range(n))
    bars = {
        "type": "bar",
        "showlegend": False,
        "orientation": "h",
        "y": place,
        "x": np.where(loss > 0, loss, np.nan).astype(np.float64),
        "width": 0.42,
        "marker": {"color": colour},
        "customdata": [html.escape(label) for label in frame["label"]],
        "hovertemplate": "%{customdata}: %{x:.3g}<extra></extra>",
    }
    # a name above its bar leaves the whole width to both, on a phone too
    names = [
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "y",
            "y": i,
            "yanchor": "bottom",
            "yshift": 7,
            "text": html.escape(label),
            "showarrow": False,
            "font": {"size": 12, "color": INK},
            "bgcolor": PAPER,
            "borderpad": 0,
        }
        for i, label in enumerate(frame["label"])
    ]
    layout = {
        "height": 90 + 38 * n,
        "xaxis": log_heights(positive, "loss on all pairs (nats)") | {"range": [np.log10(floor), np.log10(top)]},
        "yaxis": {"range": [n - 0.4, -0.95], "showticklabels": False, "showgrid": False, "zeroline": False},
        "annotations": names,
        "legend": legend(1.0),
        "margin": {"l": 16, "r": 16, "t": 32, "b": 52},
        "showlegend": True,
    }
    lines = [_level(i, value, [-1, n], along="y") for i, value in enumerate((own, uniform))]
    return figure([bars, *(line for line in lines if line)], layout)


def frequency_losses(frame: pl.DataFrame, keys: Sequence[int], own: float, uniform: float) -> Figure:
    """One bar a frequency: the loss (log) once it is taken out of the logits, key frequencies coloured.

    frame: columns frequency, loss. own: the loss of the model as it is; uniform: of guessing evenly.
    """
    colours = key_colours(keys)
    loss = frame["loss"].to_numpy()
    seen = [v for v in [*loss, own, uniform] if v > 0 and np.isfinite(v)]
    floor = min(seen, default=1e-3) / 3
    heights = np.where(loss > 0, loss, np.nan)
    top = 2 * max(seen, default=1.0)
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "frequency taken out of the logits"}, "showgrid": False},
        "yaxis": log_heights(seen, "loss on all pairs (nats)") | {"range": [np.log10(floor), np.log10(top)]},
        "bargap": 0.2,
        "margin": {"l": 68, "r": 16, "t": 40, "b": 52},
        "showlegend": True,
    }
    several = set(keys) if not colours else set()
    bars = {
        "type": "bar",
        "showlegend": False,
        "x": frame["frequency"].to_numpy(),
        "y": heights.astype(np.float32),
        "marker": {"color": [colours.get(k, TEST if k in several else SOFT) for k in frame["frequency"]]},
        "hovertemplate": "without k = %{x}: %{y:.3g}<extra></extra>",
    }
    ends = [float(min(frame["frequency"])) - 0.5, float(max(frame["frequency"])) + 0.5] if len(frame) else [0.5, 1.5]
    lines = [_level(i, value, ends, along="x") for i, value in enumerate((own, uniform))]
    return figure([bars, *(line for line in lines if line)], layout)


def _level(which: int, value: float, ends: Sequence[float], *, along: str) -> dict[str, Any]:
    """A line at the model's own loss (0) or at that of even guesses (1), named in the legend; none if not positive."""
    if not (value > 0 and np.isfinite(value)):
        return {}
    across = "x" if along == "y" else "y"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": ("its own loss", "even guesses")[which],
        along: list(ends),
        across: [value, value],
        "line": {"color": (INK, MUTED)[which], "width": 1.5, "dash": ("dash", "dot")[which]},
        "hovertemplate": f"{value:.3g}<extra></extra>",
    }
