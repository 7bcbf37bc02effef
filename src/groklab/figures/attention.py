"""What the heads attend to from the last position (Nanda et al. 2023, appendix C.1)."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import GREEN, INK, SERIES, Figure, figure, legend

#: Heads that have a panel of their own.
HEADS = 6


def attention_heads(pattern: pl.DataFrame, score: pl.DataFrame) -> Figure:
    """Mean attention of each head to each position, above its scores for the first operand, a panel a head.

    pattern: columns head, position (its name), weight. score: columns head, residue, score, label (how the head's panel
    is named); the first six heads have one.
    """
    traces: list[dict[str, Any]] = []
    for i, ((position,), rows) in enumerate(pattern.group_by("position", maintain_order=True)):
        name = html.escape(str(position))
        traces.append(
            {
                "type": "bar",
                "name": f"to {name}",
                "x": [f"head {h}" for h in rows["head"]],
                "y": rows["weight"].to_numpy().astype(np.float32),
                "marker": {"color": SERIES[i % len(SERIES)]},
                "hovertemplate": f"%{{x}} to {name}: %{{y:.2%}}<extra></extra>",
            }
        )
    found = score.sort("residue").group_by("head", maintain_order=True)
    lines = [rows for _, rows in sorted(((int(str(h)), rows) for (h,), rows in found), key=lambda item: item[0])][
        :HEADS
    ]
    height = 250 + 110 * len(lines)
    layout: dict[str, Any] = {
        "height": height,
        "xaxis": {"type": "category", "showgrid": False, "anchor": "y"},
        "yaxis": {
            "title": {"text": "mean attention"},
            "tickformat": ".0%",
            "range": [0, 1.02],
            "domain": [1 - 150 / (height - 92), 1],
            "anchor": "x",
        },
        "legend": legend(1.0),
        "barmode": "group",
        "bargap": 0.3,
        "margin": {"l": 64, "r": 16, "t": 44, "b": 48},
        "showlegend": True,
        "annotations": [],
    }
    for i, rows in enumerate(lines):
        suffix, last = str(i + 2), i == len(lines) - 1
        bottom = (len(lines) - 1 - i) * 110 / (height - 92)
        domain = [bottom, bottom + 78 / (height - 92)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": rows["residue"].to_numpy(),
                "y": rows["score"].to_numpy().astype(np.float32),
                "line": {"color": GREEN, "width": 1.75},
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "showlegend": False,
                "hovertemplate": "a = %{x}: %{y:.3g}<extra></extra>",
            }
        )
        layout[f"xaxis{suffix}"] = {
            "title": {"text": "a" if last else ""},
            "anchor": f"y{suffix}",
            "showticklabels": last,
            **({"matches": "x2"} if i else {}),
        }
        layout[f"yaxis{suffix}"] = {
            "title": {"text": "score", "font": {"size": 12}},
            "domain": domain,
            "anchor": f"x{suffix}",
            "nticks": 4,
        }
        spot = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": domain[1], "yanchor": "bottom"}
        told = {"text": html.escape(str(rows["label"][0])), "showarrow": False, "font": {"size": 12, "color": INK}}
        layout["annotations"].append({**spot, **told})
    return figure(traces, layout)
