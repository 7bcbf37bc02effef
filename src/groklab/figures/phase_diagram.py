"""A phase diagram in raw cells: comprehension, grokking, memorisation, confusion (Liu et al. 2022, figure 6)."""

from __future__ import annotations

from typing import Any

from groklab.figures.phase_cells import Cell, PhaseDiagram, labels
from groklab.figures.theme import INK, MUTED, PAPER, Figure, figure
from groklab.grokking.learning_phases import LETTERS, PHASES

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


def phase_diagram(diagram: PhaseDiagram) -> Figure:
    """One square a cell in its majority's colour and letter; cells whose seeds tie show both letters on a pale ground.

    Cells that wait for their members, and places without members, are blank. Hovering tells how many seeds agree and
    the median steps.
    """
    n_x, n_y = len(diagram.x_values), len(diagram.y_values)
    x_labels, y_labels = labels(diagram.x_values), labels(diagram.y_values)
    z: list[list[int | None]] = [[None] * n_x for _ in range(n_y)]
    text, hover = [[""] * n_x for _ in range(n_y)], [[""] * n_x for _ in range(n_y)]
    notes: list[dict[str, Any]] = []
    for cell in diagram.cells:
        leading = cell.leading
        if not leading:
            continue
        single = leading[0] if len(leading) == 1 else None
        z[cell.row][cell.column] = PHASES.index(single) if single is not None else len(PHASES)
        text[cell.row][cell.column] = "/".join(LETTERS[p] for p in leading)  # type: ignore[index]
        hover[cell.row][cell.column] = "<br>".join(described(cell))
        if max(n_x, n_y) <= MOST_LETTERS:
            colour = ON[single] if single is not None else "#2A2E37"
            place = {"x": cell.column, "y": cell.row, "xref": "x", "yref": "y", "showarrow": False}
            notes.append(
                {**place, "text": text[cell.row][cell.column], "font": {"size": 11, "color": colour}, "opacity": 0.9}
            )
    shades = [*(COLOURS[p] for p in PHASES), TIED]
    n = len(shades)
    scale = [[edge / n, c] for i, c in enumerate(shades) for edge in (i, i + 1)]
    traces = [
        {
            "type": "heatmap",
            "x": list(range(n_x)),
            "y": list(range(n_y)),
            "z": z,
            "text": hover,
            "hovertemplate": "%{text}<extra></extra>",
            "hoverongaps": False,
            "colorscale": scale,
            "zmin": -0.5,
            "zmax": n - 0.5,
            "xgap": 1,
            "ygap": 1,
            "showscale": False,
        }
    ]
    # one mark outside the picture for each phase that occurs, so that the legend names them
    for phase in [p for p in PHASES if any(p in c.leading for c in diagram.cells)]:
        mark = {"symbol": "square", "size": 12, "color": COLOURS[phase], "line": {"color": MUTED, "width": 1}}
        named = {"name": f"{LETTERS[phase]} {phase}", "hoverinfo": "skip"}
        traces.append({"type": "scatter", "mode": "markers", "x": [None], "y": [None], "marker": mark, **named})
    squares = {"scaleanchor": "x", "constrain": "domain"} if diagram.y_key is not None else {}
    layout = {
        "height": 160 + max(220, min(720, round(720 * n_y / n_x))),
        "xaxis": _axis(diagram.x_key, x_labels, constrain="domain"),
        "yaxis": _axis(diagram.y_key or "", y_labels if diagram.y_key is not None else [""], **squares),
        "annotations": notes,
        "hoverlabel": {"bgcolor": PAPER, "font": {"color": INK}, "align": "left"},
    }
    return figure(traces, layout)


def described(cell: Cell) -> list[str]:
    """A cell in a few short lines: its majority and how many seeds agree, then its times."""
    counts, n = cell.counts, len(cell.phases) - cell.pending
    if not counts:
        return ["no member is trained yet"]
    lines = [", ".join(f"{p} {k} of {n}" for p, k in sorted(counts.items(), key=lambda item: -item[1]))]
    if len(cell.leading) > 1:
        lines[0] = f"no majority: {lines[0]}"
    for name, time in (("training", cell.train_step), ("test", cell.test_step), ("gap", cell.gap)):
        if time.n:
            told = "not reached" if time.median is None else f"{time.median:,.0f}"
            cut = f" ({time.censored} of {time.n} censored)" if time.censored and time.n > 1 else ""
            lines.append(f"{name}: {told}{cut}")
    if cell.pending:
        lines.append(f"{cell.pending} of {len(cell.phases)} still to be trained")
    return lines


def _axis(title: str, names: list[str], **settings: Any) -> dict[str, Any]:
    every = max(1, -(-len(names) // 24))
    ticks = list(range(0, len(names), every))
    return {
        "title": {"text": title},
        "tickvals": ticks,
        "ticktext": [names[i] for i in ticks],
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
        "zeroline": False,
        **settings,
    }
