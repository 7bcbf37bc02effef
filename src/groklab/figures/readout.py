"""How the logits are read from the neurons: spectrum and rank of the neuron-logit map W_L (Nanda et al. 2023, 4.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import (
    INK,
    MUTED,
    SOFT,
    TEST,
    TRAIN,
    Figure,
    figure,
    legend,
    log_heights,
    slider,
)

WAVES = {"cos": TEST, "sin": TRAIN}


def neuron_logit_spectrum(frame: pl.DataFrame) -> Figure:
    """Bars of the norms of W_L's cosine and sine components by frequency, with a slider, at first at the last step.

    frame: columns step, frequency, wave ('cos' or 'sin'), norm.
    """
    steps = frame["step"].unique().sort().to_list()
    heights = {
        (s, wave): rows["norm"].to_numpy().astype(np.float32)
        for (s, wave), rows in frame.sort("frequency").group_by("step", "wave", maintain_order=True)
    }
    last = frame.filter(pl.col("step") == steps[-1]).sort("frequency")
    waves = [w for w in WAVES if (steps[-1], w) in heights]
    traces = [
        {
            "type": "bar",
            "name": f"{wave}(w<sub>k</sub> c)",
            "x": last.filter(pl.col("wave") == wave)["frequency"].to_numpy(),
            "y": heights[steps[-1], wave],
            "marker": {"color": WAVES[wave], "line": {"width": 0}},
            "hovertemplate": f"{wave} %{{x}}: %{{y:.3g}}<extra></extra>",
        }
        for wave in waves
    ]
    frames = [
        {
            "name": str(s),
            "data": [{"type": "bar", "y": heights[s, w]} for w in waves],
            "traces": list(range(len(waves))),
        }
        for s in steps
    ]
    top = float(np.nanmax(frame["norm"].to_numpy())) or 1.0
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "frequency k (turns per p residues)"}, "showgrid": False},
        # one scale for all checkpoints, or nothing would seem to grow
        "yaxis": {"title": {"text": "norm of the component of W<sub>L</sub>"}, "range": [0, 1.05 * top]},
        "bargap": 0.2,
        "barmode": "group",
        "margin": {"l": 64, "r": 16, "t": 40, "b": 52},
        "showlegend": True,
        "sliders": [slider(steps)],
    }
    return figure(traces, layout, frames)


def directions(singular: pl.DataFrame, written: pl.DataFrame, rank: int) -> Figure:
    """Singular values of W_L (log) above how well the neurons write cos(w_k s) and sin(w_k s) on its directions.

    singular: columns place (1..), value. written: columns frequency, wave ('cos' or 'sin'), fve (null: no such
    direction). rank: 2|K|, after which a line is drawn.
    """
    values = singular["value"].to_numpy()
    largest = float(values.max(initial=0.0))
    # what is rounding alone would push everything else to the top of a logarithmic axis
    seen = np.where(values > 1e-8 * largest, values, np.nan) if largest > 0 else np.full(len(values), np.nan)
    place = singular["place"].to_numpy()
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": place,
            "y": seen.astype(np.float32),
            "marker": {"size": 6, "color": [TEST if i <= rank else SOFT for i in place]},
            "showlegend": False,
            "hovertemplate": "singular value %{x}: %{y:.3g}<extra></extra>",
        }
    ]
    for wave, colour in WAVES.items():
        rows = written.filter(pl.col("wave") == wave).sort("frequency")
        traces.append(
            {
                "type": "bar",
                "name": f"{wave}(w<sub>k</sub> s)",
                "x": [str(k) for k in rows["frequency"]],
                "y": rows["fve"].to_numpy().astype(np.float32),
                "marker": {"color": colour},
                "xaxis": "x2",
                "yaxis": "y2",
                "hovertemplate": f"{wave}, k = %{{x}}: %{{y:.1%}} of the variance<extra></extra>",
            }
        )
    line = {"type": "line", "xref": "x", "yref": "y domain", "x0": rank + 0.5, "x1": rank + 0.5, "y0": 0, "y1": 1}
    inside = 0 < rank < len(values)
    layout = {
        "height": 560,
        "xaxis": {"title": {"text": "singular value of W<sub>L</sub>, in order"}, "anchor": "y"},
        "yaxis": {"domain": [0.6, 1], "anchor": "x"} | log_heights(seen.tolist(), "size"),
        "xaxis2": {
            "anchor": "y2",
            "type": "category",
            "title": {"text": "frequency k"},
            "showgrid": False,
            "tickangle": 0,
            "nticks": 16,
        },
        "yaxis2": {
            "domain": [0, 0.38],
            "anchor": "x2",
            "range": [0, 1.03],
            "tickformat": ".0%",
            "title": {"text": "variance explained"},
        },
        "legend": legend(0.385),
        "barmode": "group",
        "bargap": 0.3,
        "margin": {"l": 68, "r": 16, "t": 24, "b": 52},
        "shapes": [{**line, "line": {"color": MUTED, "width": 1.25, "dash": "dash"}}] if inside else [],
        "annotations": [_after(rank)] if inside else [],
        "showlegend": True,
    }
    return figure(traces, layout)


def _after(rank: int) -> dict[str, Any]:
    place = {"xref": "x", "yref": "y domain", "x": rank + 0.5, "y": 1, "xanchor": "left", "yanchor": "top"}
    return {
        **place,
        "text": f"after 2|K| = {rank}",
        "showarrow": False,
        "xshift": 4,
        "font": {"size": 12, "color": INK},
    }
