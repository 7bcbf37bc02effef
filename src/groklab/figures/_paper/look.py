"""The print look: from a figure's settings to those of the same figure on white paper, distinct in grey too.

Lines that differ in colour get dashes, bars hatches and marks shapes, by their colour, so that one colour is one dash
throughout a figure; colour scales that pass through zero get darker one way and lighter the other. The result is
Plotly's own settings still, which Matplotlib and kaleido draw alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groklab.figures import _theme as theme
from groklab.figures._paper.axes import panel_of

#: Dashes of lines in the order in which they are given, and of the theme's colours.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DASH_OF = dict(zip(theme.SERIES, DASHES, strict=False)) | {theme.INK: "solid", theme.MUTED: "dot"}
#: Hatches of bars; colours that are light need none.
HATCHES = ("", "/", ".", "\\", "x", "-")
HATCH_OF = dict(zip(theme.SERIES, HATCHES, strict=False)) | dict.fromkeys((theme.SOFT, theme.FAINT), "")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
SYMBOL_OF = dict(zip(theme.SERIES, SYMBOLS, strict=False))
#: Through zero: ever lighter, so that in grey the sign is legible too.
DIVERGING = ((0.0, "#08244F"), (0.25, "#2F5F94"), (0.5, "#9A9A98"), (0.75, "#E0AE72"), (1.0, "#FFE9C8"))


def printed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a figure (`data`, `layout`) for paper; the given ones stay as they are."""
    layout = _on_white({k: v for k, v in spec["layout"].items() if k not in ("sliders", "updatemenus")})
    layout["paper_bgcolor"] = theme.PAPER
    traces = [_on_white(trace) for trace in spec["data"]]
    _dashed(traces)
    _hatched(traces)
    _shaped(traces)
    return {"data": traces, "layout": layout}


def _on_white(node: Any) -> Any:
    """Return settings with scales through zero in the print colours."""
    if isinstance(node, Mapping):
        return {k: _scale(v) if k == "colorscale" else _on_white(v) for k, v in node.items()}
    if isinstance(node, list | tuple) and node and isinstance(node[0], Mapping):
        return [_on_white(v) for v in node]
    return node


def _scale(scale: Any) -> Any:
    """Return a colour scale, or the print one where it passes through zero."""
    is_diverging = not isinstance(scale, str) and tuple(map(tuple, scale)) == theme.DIVERGING
    return [list(stop) for stop in DIVERGING] if is_diverging else scale


def _of_panels(traces: Sequence[dict[str, Any]], kind: str) -> list[list[dict[str, Any]]]:
    """Return the traces of each panel that are lines, points or bars."""
    panels: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for trace in traces:
        modes = str(trace.get("mode", "lines")) if trace.get("type", "scatter") == "scatter" else ""
        kinds = {"lines": "lines" in modes, "points": modes == "markers", "bar": trace.get("type") == "bar"}
        if kinds[kind] and _has_points(trace):
            panels[panel_of(trace)].append(trace)
    return list(panels.values())


def _has_points(trace: Mapping[str, Any]) -> bool:
    x = trace.get("x")
    return x is None or any(v is not None for v in (x if isinstance(x, list | tuple) else [len(x)]))


def _dashed(traces: Sequence[dict[str, Any]]) -> None:
    for lines in _of_panels(traces, "lines"):
        # what is faint recedes by itself
        lines = [line for line in lines if line.get("line", {}).get("color") not in (theme.FAINT, theme.SOFT)]
        colours = {str(line.get("line", {}).get("color")) for line in lines}
        # a scale's colours, or one colour alone
        if not 1 < len(colours) <= len(DASHES):
            continue
        taken: dict[str, str] = {}  # by dash
        for line in lines:
            own = dict(line.get("line", {}))
            colour, dash = str(own.get("color")), own.get("dash", "solid")
            dash = DASH_OF.get(colour, "solid") if dash == "solid" else dash
            if taken.get(dash, colour) != colour:
                dash = next((d for d in DASHES if taken.get(d, colour) == colour), dash)
            taken[dash] = colour
            line["line"] = own | {"dash": dash}


def _hatched(traces: Sequence[dict[str, Any]]) -> None:
    for bars in _of_panels(traces, "bar"):
        colours = {c for bar in bars for c in _colours(bar)}
        if not 1 < len(colours - {theme.SOFT, theme.FAINT}) <= len(HATCHES):
            continue
        for bar in bars:
            marker = dict(bar.get("marker", {}))
            if "pattern" in marker:
                continue
            many = not isinstance(marker.get("color"), str)
            shapes = [HATCH_OF.get(c, "") for c in _colours(bar)]
            shape: Any = shapes if many else shapes[0]
            bar["marker"] = marker | {"pattern": {"shape": shape, "fgcolor": theme.PAPER, "size": 5, "solidity": 0.35}}


def _shaped(traces: Sequence[dict[str, Any]]) -> None:
    for points in _of_panels(traces, "points"):
        by_colour = [p for p in points if isinstance(p.get("marker", {}).get("color"), str)]
        if len({p["marker"]["color"] for p in by_colour}) < 2:
            continue
        for point in by_colour:
            marker = point["marker"]
            symbol = marker.get("symbol", "circle")
            if symbol == "circle":
                point["marker"] = marker | {"symbol": SYMBOL_OF.get(marker["color"], symbol)}


def _colours(trace: Mapping[str, Any]) -> list[str]:
    colour = trace.get("marker", {}).get("color")
    if isinstance(colour, str):
        return [colour]
    return [] if colour is None else [str(c) for c in np.asarray(colour, object).tolist()]
