"""A phase diagram in raw cells: comprehension, grokking, memorisation, confusion (Liu et al. 2022, figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._theme import INK, MUTED, PAPER, axis, styled, trace
from groklab.grokking import LETTERS, PHASES
from groklab.text import labels

#: The paper's colours, apart in lightness too, so that no kind of colour vision confuses them. The same on dark pages.
COLOURS = {
    "comprehension": "#35A571",
    "grokking": "#F3CB3C",
    "memorisation": "#6B64CC",
    "confusion": "#14161B",
    "undefined": "#C4C9D2",
}
#: The colour of a letter on each of them.
ON = {
    "comprehension": "#04140C",
    "grokking": "#201800",
    "memorisation": "#FFFFFE",
    "confusion": "#B4BAC6",
    "undefined": "#2A2E37",
}
TIED = "#E9E4D4"
#: Cells across from which letters no longer fit.
MOST_LETTERS = 40


def phase_diagram(frame: pl.DataFrame, x: str, y: str | None = None) -> Figure:
    """Draw one square per cell in its majority's colour and letter, with both letters where phases tie.

    Places without cells, and cells without a phase yet, are blank.

    Args:
        frame: one row per cell, as `Study.frame` returns it: columns x and y, `phases` (those with the most seeds) and
            `summary`, shown where the pointer is.
        x: the setting to the right, with its values in the order of the rows; y likewise upwards.
    """
    x_values = frame[x].unique(maintain_order=True).to_list()
    y_values = [None] if y is None else frame[y].unique(maintain_order=True).to_list()
    n_x, n_y = len(x_values), len(y_values)
    z: list[list[int | None]] = [[None] * n_x for _ in range(n_y)]
    hover = [[""] * n_x for _ in range(n_y)]
    notes: list[dict[str, Any]] = []
    for cell in frame.iter_rows(named=True):
        if not cell["phases"]:
            continue
        column, row = x_values.index(cell[x]), 0 if y is None else y_values.index(cell[y])
        single = cell["phases"][0] if len(cell["phases"]) == 1 else None
        z[row][column] = PHASES.index(single) if single is not None else len(PHASES)
        hover[row][column] = cell["summary"].replace("; ", "<br>")
        if max(n_x, n_y) <= MOST_LETTERS:
            font = {"size": 11, "color": ON[single or "undefined"]}
            text = "/".join(LETTERS[p] for p in cell["phases"])
            place = {"x": column, "y": row, "xref": "x", "yref": "y", "showarrow": False}
            notes.append({**place, "text": text, "font": font, "opacity": 0.9})
    shades = [*(COLOURS[p] for p in PHASES), TIED]
    n = len(shades)
    cells: dict[str, Any] = {"z": z, "zmin": -0.5, "zmax": n - 0.5, "xgap": 1, "ygap": 1, "showscale": False}
    cells |= {"text": hover, "hoverongaps": False}
    scale = [[edge / n, c] for i, c in enumerate(shades) for edge in (i, i + 1)]
    traces = [trace("heatmap", list(range(n_x)), list(range(n_y)), "%{text}", colorscale=scale, **cells)]
    # one mark outside the picture for each phase that occurs, so that the legend names them
    for phase in [p for p in PHASES if any(p in phases for phases in frame["phases"])]:
        mark = {"symbol": "square", "size": 12, "color": COLOURS[phase], "line": {"color": MUTED, "width": 1}}
        named = {"name": f"{LETTERS[phase]} {phase}", "hoverinfo": "skip"}
        traces.append({"type": "scatter", "mode": "markers", "x": [None], "y": [None], "marker": mark, **named})
    layout = {
        **cell_axes(x, x_values, y, y_values),
        "annotations": notes,
        "hoverlabel": {"bgcolor": PAPER, "font": {"color": INK}, "align": "left"},
    }
    phases = pl.col("phases").list.join("/")
    return styled(traces, layout, data=frame.select(x, *([] if y is None else [y]), phases, "summary"))


def cell_axes(x: str, x_values: Sequence[Any], y: str | None, y_values: Sequence[Any]) -> dict[str, Any]:
    """Return the layout of a map of cells: its height, and axes with the values of its settings."""
    n_x, n_y = len(x_values), len(y_values)
    squares = {"scaleanchor": "x", "constrain": "domain"} if y is not None else {}
    return {
        "height": 160 + max(220, min(720, round(720 * n_y / n_x))),
        "xaxis": _axis(x, labels(x_values), constrain="domain"),
        "yaxis": _axis(y or "", labels(y_values) if y is not None else [""], **squares),
    }


def _axis(title: str, names: list[str], **settings: Any) -> dict[str, Any]:
    every = max(1, -(-len(names) // 24))
    ticks = list(range(0, len(names), every))
    texts, span = [names[i] for i in ticks], [-0.5, len(names) - 0.5]
    return axis(title, tickvals=ticks, ticktext=texts, range=span, showgrid=False, zeroline=False, **settings)
