"""Marks on every axis of steps where something was changed in the middle of training."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from math import log10
from typing import Any

from groklab.figures._figure import Figure
from groklab.figures._panels import note
from groklab.figures._theme import GREY, INK, PAPER
from groklab.store import Mark

#: How the titles of axes of steps begin.
STEPS = ("step", "training step")
#: Lines that are drawn at most, and those that have numbers.
LINES, NUMBERED = 40, 12


def with_marks(plot: Figure, marks: Sequence[Mark]) -> Figure:
    """Return a figure with a dotted line at each mark on its axes of steps, numbered as in the list of changes.

    Where the pointer is over a number, the figure shows what was done. Other figures stay as they are.
    """
    settings = plot.layout.to_plotly_json()
    axes = dict(_step_axes(settings))
    if not axes or not marks:
        return plot
    shapes, notes = list(settings.get("shapes", ())), list(settings.get("annotations", ()))
    first = next(iter(axes))
    steps = sorted({mark.step for mark in marks})[:LINES]
    for name, axis in axes.items():
        for number, step in enumerate(steps, start=1):
            x = _place(step, axis)
            if x is None:
                continue
            ends = {"xref": name.replace("axis", ""), "yref": f"{axis.get('anchor') or 'y'} domain"}
            at = {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, **ends}
            shapes.append({**at, "line": {"color": GREY, "width": 1, "dash": "dot"}})
            if name == first and len(steps) <= NUMBERED:
                texts = [f"step {step:,}: {mark.text}" for mark in marks if mark.step == step]
                look = {"font": {"size": 10, "color": INK}, "bgcolor": PAPER, "yanchor": "top"}
                where = log10(x) if axis.get("type") == "log" else x
                hover = "<br>".join(map(html.escape, texts))
                notes.append(note(str(number), where, 1, **ends, **look, hovertext=hover))
    return plot.update_layout(shapes=shapes, annotations=notes)  # type: ignore[no-any-return]


def _step_axes(settings: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the axes of steps, by name: by their titles, or as they match one that has such a title."""
    axes = {k: axis for k, axis in settings.items() if k.startswith("xaxis") and axis.get("type") != "category"}
    titled = {name for name, axis in axes.items() if str((axis.get("title") or {}).get("text", "")).startswith(STEPS)}
    short = {name.replace("axis", ""): name for name in axes}
    matched = {name: short.get(axis.get("matches", "")) for name, axis in axes.items()}
    groups = {matched[name] for name in titled} | titled
    for name, axis in axes.items():
        if name in groups or matched[name] in groups:
            yield name, axis


def _place(step: int, axis: dict[str, Any]) -> float | None:
    """Return where a step is on an axis; on a logarithmic one, step 0 is at its left end. None beyond the ends."""
    ends = axis.get("range")
    if axis.get("type") != "log":
        return float(step) if ends is None or ends[0] <= step <= ends[1] else None
    if ends is None:
        return float(step) or None
    low, high = 10 ** float(ends[0]), 10 ** float(ends[1])
    return max(float(step), low) if step <= high else None
