"""A sweep while it trains, in a notebook and on lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from groklab import notebook
from groklab.errors import InputError
from groklab.grokking import LETTERS, PHASES
from groklab.notebook import Watch
from groklab.store import thin_evenly
from groklab.sweeps._cells import Axes, Cell, Member, arrange, choose_axes
from groklab.sweeps._wording import counts_text, letter_of, progress_text
from groklab.text import labels

if TYPE_CHECKING:
    from groklab.sweeps._scheduler import SweepProgress, SweepView

#: Columns and rows of the map, at most, and the pixels of a cell.
MOST, CELL = (48, 24), (6.0, 26.0)


def watching_sweep(view: Watch[SweepProgress]) -> AbstractContextManager[SweepView | None]:
    """Return the context in which a sweep is watched; it gives the view to call."""
    return notebook.watching(view, picture, sentence)


def sentence(progress: SweepProgress) -> str:
    """Return how far a sweep is on one line."""
    return f"{progress.name}: {progress_text(progress)}  {counts_text(progress)}".rstrip()


def picture(progress: SweepProgress, note: str) -> str:
    """Return the bar and the map of a sweep as HTML."""
    return notebook.block(
        notebook.title(progress.name),
        notebook.line(progress.description, faint=True),
        notebook.bar(progress.share, note or progress_text(progress)),
        map_of(*pooled_cells(progress.keys, progress.points, progress.members)),
    )


def pooled_cells(
    keys: Mapping[str, Sequence[Any]], points: Sequence[Mapping[str, Any]], members: Sequence[tuple[int, Member]]
) -> tuple[Axes, Sequence[Cell]]:
    """Return the cells of members, given with their points, over all settings but two."""
    try:
        axes = choose_axes(keys)
    except InputError:  # nothing varies but seeds
        return Axes("", (None,), None, (None,)), [Cell(0, 0, tuple(member for _, member in members))]
    return axes, arrange(keys, axes, points, members)[0].cells


def map_of(axes: Axes, cells: Sequence[Cell]) -> str:
    """Return the phases of cells as SVG: pale until all members of a cell have ended."""
    from groklab.figures import COLOURS, TIED  # Plotly is not needed before something is drawn

    rows, columns = len(axes.y_values), len(axes.x_values)
    kept_rows, kept_columns = thin_evenly(range(rows), MOST[1]), thin_evenly(range(columns), MOST[0])
    size = min(CELL[1], max(CELL[0], 560 / len(kept_columns)))
    left, width, height = 90, 90 + size * len(kept_columns) + 40, size * len(kept_rows)
    row_at = {row: i for i, row in enumerate(reversed(kept_rows) if axes.upwards else kept_rows)}
    column_at = {column: i for i, column in enumerate(kept_columns)}
    paths: dict[tuple[str, bool], list[str]] = {}
    for cell in cells:
        if cell.row in row_at and cell.column in column_at:
            letter, phase = letter_of(cell)
            place = f"M{left + size * column_at[cell.column]:.1f} {size * row_at[cell.row]:.1f}"
            square = f"{place}h{size - 1:.1f}v{size - 1:.1f}h{1 - size:.1f}z"
            paths.setdefault((COLOURS[phase] if phase else TIED, phase is None or letter.isupper()), []).append(square)
    parts = [
        f"<path d='{''.join(squares)}' fill='{colour}' opacity='{0.9 if ended else 0.45}'/>"
        for (colour, ended), squares in paths.items()
    ]
    across, up = labels(axes.x_values) if axes.x else [""], labels(axes.y_values) if axes.y is not None else [""]
    parts += [
        f"<text x='{left - 6}' y='{size * (i + 0.5) + 4:.1f}' text-anchor='end'>{notebook.escaped(up[row])}</text>"
        for row, i in row_at.items()
        if size >= 12 or i % 3 == 0
    ]
    # a letter of the labels is some 7 pixels wide
    every = max(1, -(-int(7 * max(map(len, across)) + 8) // int(size)))
    parts += [
        f"<text x='{left + size * (i + 0.5):.1f}' y='{height + 14:.1f}' text-anchor='middle'>"
        f"{notebook.escaped(across[column])}</text>"
        for column, i in column_at.items()
        if i % every == 0
    ]
    if axes.x:
        names = f"{axes.x} across" + (
            "" if axes.y is None else f", {axes.y} {'upwards' if axes.upwards else 'downwards'}"
        )
        parts.append(f"<text x='{left}' y='{height + 30:.1f}'>{notebook.escaped(names)}</text>")
    seen = {phase for cell in cells if (phase := letter_of(cell)[1]) is not None}
    key = "".join(
        f"<span class=key><span style='background:{COLOURS[p]}'></span>{LETTERS[p]} {p}</span> "
        for p in PHASES
        if p in seen
    )
    box = f"viewBox='0 0 {max(width, 400):.0f} {height + 36:.0f}' style='max-width:{max(width, 400):.0f}px'"
    return f"<svg role='img' aria-label='Phases of the cells' {box}>{''.join(parts)}</svg><div>{key}</div>"
