"""Neurons by the frequency that explains them (Nanda et al. 2023, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import FAINT, INK, MUTED, SOFT, TEST, Figure, figure, key_colours, legend
from groklab.measures.neurons import WELL_EXPLAINED

#: Width of a bar of the histogram: 0.85 is an edge.
WIDTH = 0.05


def neuron_clusters(frame: pl.DataFrame, keys: Sequence[int]) -> Figure:
    """How much of each neuron one frequency explains, above how many neurons each frequency has.

    frame: columns frequency (0: dead, left out), fve, one row a neuron. In the lower panel the neurons explained to
    85% or more stand below the others. keys: frequencies that are coloured.
    """
    alive = frame.filter(pl.col("frequency") > 0)
    edges = np.linspace(0, 1, round(1 / WIDTH) + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    # an edge in binary may lie a rounding above 0.85
    counts = np.histogram(alive["fve"].to_numpy() + 1e-12, edges)[0] if len(alive) else np.zeros(len(middle), int)
    found = alive["frequency"].unique().sort().to_list()
    colours = key_colours(keys)
    well, rest = (
        [len(alive.filter((pl.col("frequency") == k) & above)) for k in found]
        for above in (pl.col("fve") >= WELL_EXPLAINED, pl.col("fve") < WELL_EXPLAINED)
    )
    share = f"{WELL_EXPLAINED:.0%}"
    # where key frequencies have colours of their own, only the grey needs a name
    named = [(f"explained to less than {share}", FAINT)]
    if not colours:
        named.insert(0, (f"explained to {share} or more", TEST))
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": middle,
            "y": counts,
            "width": 0.92 * WIDTH,
            "marker": {"color": [TEST if m > WELL_EXPLAINED else SOFT for m in middle]},
            "customdata": [f"{a:.0%} to {a + WIDTH:.0%}" for a in edges[:-1]],
            "hovertemplate": "%{y} neurons: %{customdata} explained<extra></extra>",
            "showlegend": False,
        },
        *(
            {
                "type": "bar",
                "name": name,
                "x": [str(k) for k in found],
                "y": np.array(values, np.int32),
                "marker": {"color": colour},
                "hovertemplate": f"k = %{{x}}: %{{y}} neurons, {name}<extra></extra>",
                "xaxis": "x2",
                "yaxis": "y2",
                "showlegend": False,
            }
            for name, values, colour in (
                (f"explained to {share}", well, [colours.get(k, TEST) for k in found]),
                ("less", rest, FAINT),
            )
        ),
        *(_swatch(name, colour) for name, colour in named),
    ]
    line = {"type": "line", "xref": "x", "yref": "y domain", "y0": 0, "y1": 1}
    layout = {
        "height": 560,
        "xaxis": {
            "title": {"text": "variance in its best frequency"},
            "tickformat": ".0%",
            "range": [0, 1],
            "anchor": "y",
            "showgrid": False,
        },
        "yaxis": {"title": {"text": "neurons"}, "domain": [0.64, 1], "anchor": "x"},
        "xaxis2": {
            "title": {"text": "frequency k"},
            "anchor": "y2",
            "type": "category",
            "showgrid": False,
            "tickangle": 0,
            "nticks": 20,
        },
        "yaxis2": {"title": {"text": "neurons"}, "domain": [0, 0.34], "anchor": "x2"},
        "barmode": "stack",
        "bargap": 0.25,
        "shapes": [
            {
                **line,
                "x0": WELL_EXPLAINED,
                "x1": WELL_EXPLAINED,
                "line": {"color": MUTED, "width": 1.25, "dash": "dash"},
            }
        ],
        "annotations": [
            {
                "xref": "x",
                "yref": "y domain",
                "x": WELL_EXPLAINED,
                "y": 1,
                "xanchor": "center",
                "yanchor": "bottom",
                "text": share,
                "showarrow": False,
                "font": {"size": 12, "color": INK},
            }
        ],
        # two rows on a phone, below the upper axis' title
        "legend": legend(0.345),
        "margin": {"l": 64, "r": 16, "t": 24, "b": 52},
        "showlegend": True,
    }
    return figure(traces, layout)


def _swatch(name: str, colour: str) -> dict[str, Any]:
    marker = {"color": colour, "symbol": "square", "size": 10}
    return {"type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None], "marker": marker}
