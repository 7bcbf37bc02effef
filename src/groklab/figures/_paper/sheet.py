"""The size of a figure on paper, as it follows from its size on a screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Size of a text on a screen, in Plotly's pixels, which has the size that is asked for on paper.
TEXT = 13
#: Pixels of a screen from which figures are as high as there; narrower ones are lower, by this share at least.
WIDE, LOWEST = 700, 0.72
#: Pixels of a panel that are not made lower.
PANEL = 78


@dataclass(frozen=True)
class Sheet:
    """The size of a figure on paper, in inches: its width and height, and the margins around all panels."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


def first_sheet(layout: Mapping[str, Any], width: float, height: float | None, font: float) -> Sheet:
    """Return the size of a figure before anything is drawn."""
    unit = font / TEXT / 72
    margin = {"l": 64, "r": 16, "t": 16, "b": 52, **(layout.get("margin") or {})}
    left, right, top, bottom = (float(margin[side]) * unit for side in "lrtb")
    # what a slider needed
    bottom = min(bottom, 60 * unit)
    panels = _height(layout, margin, (width - left - right) / unit, width / unit) * unit
    return Sheet(width, height or panels + top + bottom, left, right, top, bottom)


def _height(layout: Mapping[str, Any], margin: Mapping[str, Any], across: float, width: float) -> float:
    """Return the height of all panels in pixels, for their width and that of the figure."""
    own, high = layout.get("width"), float(layout.get("height") or 450)
    room = high - float(margin["t"]) - float(margin["b"])
    if own:
        return across * room / (float(own) - float(margin["l"]) - float(margin["r"]))
    axes = [v for k, v in layout.items() if k.startswith("yaxis")]
    lowest = room * min(
        (float(end) - float(start) for start, end in (a.get("domain", (0, 1)) for a in axes)), default=1
    )
    notes = [n for n in layout.get("annotations") or () if n.get("yref") == "y" and n.get("xref") == "paper"]
    # rows with names of their own need their height
    return room if len(notes) > 1 else room * min(max(width / WIDE, LOWEST, PANEL / lowest), 1)
