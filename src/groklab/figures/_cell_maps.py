"""Maps of a sweep's cells in shades: when they grok, and how well they generalise."""

from __future__ import annotations

from math import log10
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._heatmaps import SCALE, heatmap
from groklab.figures._phase_diagram import cell_axes
from groklab.figures._theme import BAR, styled
from groklab.text import percent as in_percent

#: Share of the scale below the smallest step.
PALEST = 0.2


def cell_map(
    frame: pl.DataFrame, x: str, y: str | None, value: str, title: str, *, logarithmic: bool = False
) -> Figure:
    """Draw one square per cell in the shade of its value; cells without one are blank.

    Args:
        frame: one row per cell, as `Study.frame` returns it.
        x: the setting to the right, with its values in the order of the rows; y: likewise upwards.
        value: the column that is drawn; shares (0 to 1) unless it is logarithmic.
        title: what the values are, below the shades.
        logarithmic: shades by the logarithm, for steps.
    """
    x_values = frame[x].unique(maintain_order=True).to_list()
    y_values = [None] if y is None else frame[y].unique(maintain_order=True).to_list()
    z = np.full((len(y_values), len(x_values)), np.nan)
    texts = np.full(z.shape, "", object)
    for cell in frame.iter_rows(named=True):
        if cell[value] is None or (logarithmic and cell[value] <= 0):
            continue
        place = 0 if y is None else y_values.index(cell[y]), x_values.index(cell[x])
        z[place] = log10(cell[value]) if logarithmic else cell[value]
        texts[place] = f"{cell[value]:,.0f}" if logarithmic else in_percent(cell[value])
    bar: dict[str, Any] = {**BAR, "y": 1, "yanchor": "bottom", "title": {"text": title, "font": {"size": 12}}}
    if logarithmic:
        known = z[np.isfinite(z)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        ends = list(dict.fromkeys([low, (low + high) / 2, high]))
        # the earliest is not as pale as a cell without a value
        low -= PALEST * ((high - low) or 1.0)
        bar |= {"tickvals": ends, "ticktext": [f"{10**e:,.0f}" for e in ends]}
    else:
        low, high = 0.0, 1.0
        bar |= {"tickformat": ".0%"}
    look: dict[str, Any] = {"zmin": low, "zmax": high if high > low else low + 1, "colorscale": SCALE, "colorbar": bar}
    look |= {"text": texts, "hoverongaps": False, "xgap": 1, "ygap": 1}
    cells = heatmap(z, "%{text}", x=list(range(len(x_values))), y=list(range(len(y_values))), **look)
    layout = cell_axes(x, x_values, y, y_values)
    return styled([cells], {**layout, "margin": {"t": 84}, "showlegend": False}, data=frame)
