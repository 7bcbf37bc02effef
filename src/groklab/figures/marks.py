"""Vertical lines at steps worth naming, across all panels of a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

from groklab.figures.theme import INK, MUTED


def marks(
    steps: Mapping[str, int | None], low: float, high: float, panels: Sequence[str] = ("y",), *, linear: bool = False
) -> dict[str, Any]:
    """Layout settings (`shapes`, `annotations`) that mark steps by their names on the logarithmic axis low..high.

    panels: the y axes of the panels that the lines cross. Names stand in rows of their own above the first, so that
    near steps stay readable; steps off the axis and None are left out. linear: the axis is not logarithmic.
    """
    shapes, annotations = [], []
    shown = {name: s for name, s in steps.items() if s is not None and low <= s <= high}
    for row, (name, step) in enumerate(sorted(shown.items(), key=lambda item: -item[1])):
        along = (step - low) / max(high - low, 1e-9) if linear else log10(step / low) / max(log10(high / low), 1e-9)
        for panel in panels:
            ends = {"type": "line", "xref": "x", "yref": f"{panel} domain", "x0": step, "x1": step, "y0": 0, "y1": 1}
            shapes.append({**ends, "line": {"color": MUTED, "width": 1.25, "dash": "dash"}})
        annotations.append(
            {
                "xref": "x",
                "yref": "paper",
                # unlike a shape's, an annotation's place on a logarithmic axis is its logarithm
                "x": step if linear else log10(step),
                "y": 1,
                "yshift": 2 + 17 * row,
                "yanchor": "bottom",
                "xanchor": "left" if along < 0.25 else "right" if along > 0.75 else "center",
                "text": f"{name} {step:,}",
                "showarrow": False,
                "font": {"size": 12, "color": INK},
            }
        )
    return {"shapes": shapes, "annotations": annotations}
