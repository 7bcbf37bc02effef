"""Panels over the same steps, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from groklab.figures.theme import legend

#: A title, its lines, and settings of the vertical axis.
Panel: TypeAlias = tuple[str, list[dict[str, Any]], dict[str, Any]]
#: Share of the height between two panels, and the pixels that it holds at least: a row of a legend, and air.
GAP, ROW = 0.06, 36
#: Pixels of one panel with its gap, and of what stands above the first and below the last.
HEIGHT, TOP, BOTTOM = 210, 76, 52


def stacked(panels: Sequence[Panel], low: int, high: int) -> dict[str, Any]:
    """The layout of panels over the steps low to high, each with a legend of its own; lines are told their axes."""
    n = len(panels)
    gap = max(GAP, ROW / (HEIGHT * n - TOP - BOTTOM))
    height = (1 - gap * (n - 1)) / n
    margin = {"l": 68, "r": 16, "t": TOP, "b": BOTTOM}
    layout: dict[str, Any] = {"height": HEIGHT * n, "margin": margin, "showlegend": True}
    pad = 0.015 * (high - low)
    for i, (title, lines, axis) in enumerate(panels):
        suffix = "" if i == 0 else str(i + 1)
        top = 1 - i * (height + gap)
        last = i == n - 1
        layout[f"xaxis{suffix}"] = {
            "range": [low - pad, high + pad],
            "tickformat": ",",
            "anchor": f"y{suffix}",
            "showticklabels": last,
            "title": {"text": "step" if last else ""},
            **({} if i == 0 else {"matches": "x"}),
        }
        layout[f"yaxis{suffix}"] = {
            **axis,
            "domain": [max(top - height, 0), top],
            "anchor": f"x{suffix}",
            "title": {"text": title, "font": {"size": 12}},
        }
        layout[f"legend{suffix}"] = legend(top)
        for line in lines:
            line |= {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "legend": f"legend{suffix}"}
    return layout
