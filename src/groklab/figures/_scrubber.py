"""Several figures of a run over one slider through its checkpoints, as one Plotly figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from groklab.errors import InputError
from groklab.figures._figure import Figure
from groklab.figures._panels import note, slider_frames
from groklab.figures._plots import plots
from groklab.figures._theme import MUTED, slider, styled
from groklab.store import Run

#: Shown unless others are asked for.
DEFAULT = ("curves", "spectrum", "circles")
#: Pixels of a figure without a height, of a title above a figure, and of the slider below all.
HEIGHT, TITLE, SLIDER = 400, 46, 100
_AXIS = re.compile(r"[xy]axis\d*")


def scrub(run: Run, *names: str, member: int | None = None) -> Figure:
    """Return several figures of a run above one slider, which moves all of them through the checkpoints.

    Figures over the steps, such as `curves`, have a line at the step. The figure needs nothing but itself: it moves in
    a saved notebook, and in the HTML that is made of one.

    Args:
        names: of figures, as `run.plot()` lists them; without any, those of curves, spectrum and circles that the run
            has.
        member: of an ensemble.

    Raises:
        InputError: a figure that the run does not have, or that neither has checkpoints nor is over the steps.
    """
    offered = plots(run)
    chosen = names or tuple(name for name in DEFAULT if name in offered(member).names)
    drawn = {name: offered[name].drawing(member=member) for name in chosen}
    parts = [
        (d.title or offered[name].figure.title, _Part(name, d.plot)) for name, d in drawn.items() if d.plot is not None
    ]
    steps = sorted({step for _, part in parts for step in part.steps})
    if not steps:
        raise InputError("figures", ", ".join(chosen), "need one with checkpoints among them, such as spectrum")
    return _stacked(parts, steps)


class _Part:
    """One of the figures: its settings, and what changes from step to step."""

    def __init__(self, name: str, plot: Any) -> None:
        # part by part, as the settings of a whole figure come with their arrays encoded
        self.layout: dict[str, Any] = plot.layout.to_plotly_json()
        self.traces: list[dict[str, Any]] = [trace.to_plotly_json() for trace in plot.data]
        self.changes = {
            int(frame.name): {n: change.to_plotly_json() for n, change in zip(frame.traces, frame.data, strict=True)}
            for frame in plot.frames
        }
        self.frame = (plot if isinstance(plot, Figure) else Figure(plot)).data_frame.select(
            pl.lit(name).alias("figure"), pl.all()
        )
        self.steps = sorted(self.changes)
        axes = [key for key in self.layout if key.startswith("xaxis")]
        titles = [((self.layout[key].get("title") or {}).get("text") or "") for key in axes]
        self.over_steps = [key for key in axes if not self.steps and any("step" in title for title in titles)]
        if not self.steps and not self.over_steps:
            raise InputError("figure", name, "neither has checkpoints nor is over the steps, so that nothing moves")
        margin = self.layout["margin"]
        self.top, self.bottom = margin.get("t", 16), margin.get("b", 52)
        slider = SLIDER if "sliders" in self.layout else 0
        self.height = max((self.layout.get("height") or HEIGHT) - self.top - self.bottom - slider, 250)

    def at(self, step: int) -> dict[int, dict[str, Any]]:
        """Return what changes at the last of its checkpoints up to a step."""
        before = [s for s in self.steps if s <= step] or self.steps[:1]
        return self.changes[before[-1]] if before else {}


def _stacked(parts: Sequence[tuple[str, _Part]], steps: Sequence[int]) -> Figure:
    """Return figures below each other; each keeps its panels, legend and notes."""
    above = [TITLE + part.top for _, part in parts]
    total = sum(part.height for _, part in parts) + sum(above[1:]) + sum(part.bottom for _, part in parts[:-1])
    layout: dict[str, Any] = {"annotations": [], "shapes": [], "showlegend": True}
    traces: list[dict[str, Any]] = []
    changes: dict[int, dict[int, dict[str, Any]]] = {step: {} for step in steps}
    cursors: list[tuple[str, float, float, float]] = []
    top = 0
    for i, (title, part) in enumerate(parts):
        top += above[i] if i else 0
        band = _Band(1 - (top + part.height) / total, 1 - top / total, first=20 * i)
        layout["annotations"].append(
            note(f"<b>{title}</b>", 0, band.high, xanchor="left", yshift=part.top, font={"size": 14})
        )
        for key, value in part.layout.items():
            if _AXIS.fullmatch(key):
                layout[band.key(key)] = band.axis(key, value)
            elif key.startswith("legend"):
                layout[band.key(key)] = band.placed(value)
            elif key in ("annotations", "shapes"):
                layout[key] += [band.placed(item) for item in value]
            elif key.startswith("coloraxis"):
                layout[band.key(key)] = value
            elif key in ("bargap", "barmode"):
                layout[key] = value
        shown = part.layout.get("showlegend") is not False
        for step in steps:
            changes[step] |= {len(traces) + n: change for n, change in part.at(step).items()}
        traces += [band.trace(trace, shown) for trace in part.traces]
        for key in part.over_steps:
            axis = part.layout[key]
            low = 10 ** axis["range"][0] if axis.get("type") == "log" else float("-inf")
            ends = (part.layout.get(f"y{key[1:]}") or {}).get("domain") or (0, 1)
            cursors.append((band.reference(f"x{key[5:]}"), low, band.up(ends[0]), band.up(ends[1])))
        top += part.height + part.bottom
    layout |= {
        "height": round(total + above[0] + parts[-1][1].bottom + SLIDER),
        "margin": {"l": 68, "r": 24, "t": above[0], "b": parts[-1][1].bottom + SLIDER},
        "sliders": [{**slider(steps), "pad": {"t": 30 + parts[-1][1].bottom}}],
    }
    widths = [width for _, part in parts if (width := part.layout.get("width"))]
    if widths:
        layout["width"] = max(widths)
    fixed = layout["shapes"]
    layout["shapes"] = [*fixed, *_lines(cursors, steps[-1])]
    frames = slider_frames({step: list(change.values()) for step, change in changes.items()})
    for frame, step in zip(frames, steps, strict=True):
        frame["traces"] = list(changes[step])
        if cursors:
            frame["layout"] = {"shapes": [*fixed, *_lines(cursors, step)]}
    return styled(traces, layout, frames, pl.concat([part.frame for _, part in parts], how="diagonal_relaxed"))


def _lines(cursors: Sequence[tuple[str, float, float, float]], step: int) -> list[dict[str, Any]]:
    """Return the line at a step across each panel over the steps; step 0 is at the edge of a logarithmic axis."""
    return [
        {
            **{"type": "line", "xref": axis, "yref": "paper", "x0": max(step, low), "x1": max(step, low)},
            **{"y0": bottom, "y1": top, "line": {"color": MUTED, "width": 2}},
        }
        for axis, low, bottom, top in cursors
    ]


class _Band:
    """Where a figure is in the stack: its share of the height, and the first number of its axes."""

    def __init__(self, low: float, high: float, first: int) -> None:
        self.low, self.high, self.first = low, high, first

    def up(self, share: float) -> float:
        """Return a height of the figure as one of the stack."""
        return self.low + share * (self.high - self.low)

    def key(self, name: str) -> str:
        """Return the name of a part of the layout, as `xaxis2`, in the stack."""
        stem = name.rstrip("0123456789")
        number = int(name[len(stem) :] or 1) + self.first
        return stem if number == 1 else f"{stem}{number}"

    def reference(self, name: str) -> str:
        """Return what refers to an axis, as `x2` or `x2 domain`, in the stack."""
        axis, _, domain = name.partition(" ")
        return self.key(axis) + (f" {domain}" if domain else "")

    def axis(self, key: str, axis: Mapping[str, Any]) -> dict[str, Any]:
        """Return an axis in the stack."""
        named = {k: self.reference(axis[k]) for k in ("anchor", "overlaying", "matches", "scaleanchor") if axis.get(k)}
        domain = axis.get("domain") or (0, 1)
        ends = [self.up(end) for end in domain] if key.startswith("y") else list(domain)
        # of a single panel the axes need no anchor, and in the stack they do
        named.setdefault("anchor", self.reference(("x" if key.startswith("y") else "y") + key[5:]))
        return {**axis, **named, "domain": ends}

    def placed(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a note, a shape or a legend in the stack."""
        moved = dict(item)
        for name in ("xref", "yref"):
            if moved.get(name, "paper") != "paper":
                moved[name] = self.reference(moved[name])
        if moved.get("yref", "paper") == "paper":
            moved |= {name: self.up(moved[name]) for name in ("y", "y0", "y1") if name in moved}
        return moved

    def trace(self, trace: Mapping[str, Any], shown: bool) -> dict[str, Any]:
        """Return a trace in the stack; shown: whether its figure has a legend."""
        moved = {**trace} | {f"{a}axis": self.reference(trace.get(f"{a}axis", a)) for a in "xy"}
        if not shown:
            moved["showlegend"] = False
        moved["legend"] = self.key(trace.get("legend", "legend"))
        for owner in (moved, moved.get("marker") or {}):
            if owner.get("coloraxis"):
                owner["coloraxis"] = self.key(owner["coloraxis"])
            if owner.get("colorbar"):
                owner["colorbar"] = self.placed(owner["colorbar"]) | self._length(owner["colorbar"])
        return moved

    def _length(self, colorbar: Mapping[str, Any]) -> dict[str, Any]:
        if colorbar.get("lenmode", "fraction") != "fraction":
            return {}
        return {"len": colorbar.get("len", 1) * (self.high - self.low), "y": self.up(colorbar.get("y", 0.5))}
