"""Heat maps over the inputs (a, b), side by side, and of Fourier components over a and b (Nanda et al. 2023, 4.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import INK, SEQUENTIAL, Figure, figure

#: Rows and columns up to which components are named on the axes.
NAMED = 26
#: Rows of components shown alone if no other holds more than this share of the largest component shown.
SMALL = 0.1
SCALE = [list(stop) for stop in SEQUENTIAL]


def input_maps(frame: pl.DataFrame, *, shared: bool = False, percent: bool = False) -> Figure:
    """Small heat maps over the inputs, one a panel, up to six.

    frame: columns panel (its title, of one or two short lines), a, b, value, every pair (a, b) of each panel once.
    shared: one scale from 0 to 1 with a colour bar; else each panel has its own. percent: values are shares.
    """
    titles = frame["panel"].unique(maintain_order=True).to_list()[:6]
    n = len(titles)
    across = 1 if n == 1 else 2 if n in (2, 4) else 3
    down = -(-n // across)
    layout: dict[str, Any] = {
        "width": 60 + 320 * across,
        "height": (110 if shared else 60) + 340 * down,
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 44, "r": 12, "t": 44, "b": 96 if shared else 44},
    }
    traces = []
    for i, title in enumerate(titles):
        grid = frame.filter(pl.col("panel") == title).sort("a", "b")
        p = int(len(grid) ** 0.5)
        suffix = "" if i == 0 else str(i + 1)
        row, column = divmod(i, across)
        x, y = _domain(column, across, 0.08), _domain(down - 1 - row, down, 0.2)
        scale: dict[str, Any] = {"coloraxis": "coloraxis"} if shared else {"colorscale": SCALE, "showscale": False}
        traces.append(
            {
                "type": "heatmap",
                "z": grid["value"].to_numpy().astype(np.float32).reshape(p, p),
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                **scale,
                "hovertemplate": "a = %{y}, b = %{x}: %{z" + (":.1%" if percent else ":.3g") + "}<extra></extra>",
            }
        )
        plain = {"showgrid": False, "zeroline": False, "constrain": "domain", "nticks": 5, "ticks": "outside"}
        name = {"standoff": 2, "font": {"size": 12}}
        layout[f"xaxis{suffix}"] = {
            **plain,
            "domain": x,
            "anchor": f"y{suffix}",
            "range": [-0.5, p - 0.5],
            # the panels of a column have the same ticks, and their room is the next one's title's
            "showticklabels": i + across >= n,
            "title": {"text": "b" if i + across >= n else "", **name},
        }
        layout[f"yaxis{suffix}"] = {
            **plain,
            "domain": y,
            "anchor": f"x{suffix}",
            "range": [p - 0.5, -0.5],
            "title": {"text": "a" if column == 0 else "", **name},
            "scaleanchor": f"x{suffix}",
        }
        layout["annotations"].append(_title(title, x, y))
    if shared:
        # below the panels, where it takes none of a phone's width
        bar = {"orientation": "h", "y": 0, "yanchor": "top", "ypad": 44, "thickness": 10, "len": 0.7}
        bar |= {"outlinewidth": 0, "tickformat": ".0%" if percent else ""}
        layout["coloraxis"] = {"colorscale": SCALE, "cmin": 0, "cmax": 1, "colorbar": bar}
    return figure(traces, layout)


def components_2d(frame: pl.DataFrame) -> Figure:
    """Heat map of the norms of Fourier components over a (down) and b (across).

    frame: columns of_a, of_b (their names, in the order of the basis), norm. Rows and columns with no component above
    a tenth of the largest are left out, where at most 26 remain. The scale ends at the largest component besides the
    constant one, so that a large mean hides nothing.
    """
    names = frame["of_a"].unique(maintain_order=True).to_list()
    norm = frame["norm"].to_numpy().reshape(len(names), len(names))
    rest = norm.copy()
    rest[0, 0] = 0
    largest = float(rest.max(initial=0.0))
    of_either = np.maximum(rest.max(axis=0, initial=0.0), rest.max(axis=1, initial=0.0))
    kept = np.flatnonzero(of_either > SMALL * largest) if largest > 0 else np.arange(len(names))
    if not 2 <= len(kept) <= NAMED:
        kept = np.arange(len(names))
    shown = [names[i] for i in kept]
    named = len(kept) <= NAMED
    left_out = f" (the others are below {SMALL:.0%})" if len(kept) < len(names) else ""
    axis = {
        "type": "category",
        "showgrid": False,
        "constrain": "domain",
        "tickfont": {"size": 11 if named else 10},
        **({"dtick": 1} if named else {"nticks": 12}),
    }
    bar = {"orientation": "h", "y": 1, "yanchor": "bottom", "thickness": 10, "len": 0.7, "outlinewidth": 0}
    bar |= {"nticks": 5, "tickangle": 0}
    cells = {
        "type": "heatmap",
        "z": norm[np.ix_(kept, kept)].astype(np.float32),
        "x": shown,
        "y": shown,
        "zmin": 0,
        "zmax": largest or 1.0,
        "colorscale": SCALE,
        "xgap": 1 if named else 0,
        "ygap": 1 if named else 0,
        "colorbar": {**bar, "title": {"text": "norm", "side": "right", "font": {"size": 12}}},
        "hovertemplate": "%{y} of a · %{x} of b: %{z:.3g}<extra></extra>",
    }
    layout = {
        "width": 700,
        "height": 740,
        "xaxis": {**axis, "title": {"text": "of b" + left_out}, "tickangle": -90},
        "yaxis": {**axis, "title": {"text": "of a"}, "autorange": "reversed", "scaleanchor": "x"},
        "margin": {"l": 64, "r": 8, "t": 56, "b": 64},
        "showlegend": False,
    }
    return figure([cells], layout)


def _domain(place: int, places: int, gap: float) -> list[float]:
    width = (1 - gap * (places - 1)) / places
    return [place * (width + gap), place * (width + gap) + width]


def _title(text: str, x: list[float], y: list[float]) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": sum(x) / 2, "y": y[1], "xanchor": "center", "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"size": 12.5, "color": INK}}
