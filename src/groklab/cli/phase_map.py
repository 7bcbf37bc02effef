"""The map of a sweep's phases in a terminal, one letter per cell, and the view of a sweep that trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.cli.live import LivePicture, one_line
from groklab.grokking import GAP, LETTERS, OWNER, THRESHOLD, Phase
from groklab.store import thin_evenly
from groklab.sweeps import (
    Axes,
    Cell,
    Member,
    Sweep,
    SweepProgress,
    counts_text,
    letter_of,
    members_of,
    pooled_cells,
    progress_text,
)
from groklab.text import labels

STYLES: dict[Phase, str] = {
    "comprehension": "green",
    "grokking": "yellow",
    "memorisation": "blue",
    "confusion": "magenta",
    "undefined": "red",
}
PENDING = Text("·", style="dim")
FAILED = Text("!", style="red")
#: Rows of the map, at most, so that it and the bar fit one screen.
MOST_ROWS = 24
#: Share of steps between two plain lines.
LINE_SHARE = 0.1


def map_of(sweep: Sweep, width: int = 80, most_rows: int = MOST_ROWS) -> Group:
    """Return the map of a sweep."""
    points = [m.point for m in sweep.members]
    return pooled_map(
        sweep.keys, sweep.points, list(zip(points, members_of(sweep.table), strict=True)), width, most_rows
    )


def pooled_map(
    keys: Mapping[str, Sequence[Any]],
    points: Sequence[Mapping[str, Any]],
    members: Sequence[tuple[int, Member]],
    width: int,
    most_rows: int = MOST_ROWS,
) -> Group:
    """Return the map of members, given with their points, with the majority over all settings but two."""
    return draw_map(*pooled_cells(keys, points, members), width, most_rows=most_rows)


def draw_map(
    axes: Axes,
    cells: Iterable[Cell],
    width: int,
    threshold: float = THRESHOLD,
    gap: float = GAP,
    most_rows: int = MOST_ROWS,
) -> Group:
    """Return a map with one letter per cell: the phase so far of most members, capital once all have ended.

    Args:
        threshold, gap: of the rule of the phases.
        most_rows: of cells that are drawn.
    """
    letters = {(c.row, c.column): _letter(c) for c in cells}
    across = labels(axes.x_values) if axes.x else [""]
    rows = labels(axes.y_values) if axes.y is not None else [""]
    margin = max(map(len, rows)) + 1
    visible = thin_evenly(range(len(rows)), most_rows)
    wide = max(map(len, across))
    # every column has its label where there is room for that, and a letter's width where there is not
    all_labelled = margin + (wide + 1) * len(across) <= width
    wide = wide if all_labelled else 1
    columns = thin_evenly(range(len(across)), max(1, (width - margin) // (wide + 1)))
    lines: list[Text] = []
    if axes.x:
        direction = "" if axes.y is None else f", {axes.y} {'upwards' if axes.upwards else 'downwards'}"
        lines.append(Text(f"{axes.x} across{direction}", style="dim"))
    for row in reversed(visible) if axes.upwards else visible:
        line = Text(rows[row].rjust(margin - 1) + " ", style="dim")
        for column in columns:
            line.append(" " * ((wide - 1) // 2))
            line.append_text(letters.get((row, column), PENDING))
            line.append(" " * (wide // 2 + 1))
        lines.append(line)
    if axes.x:
        if all_labelled:
            names = " ".join(_centred(name, wide) for name in across).rstrip()
        else:
            low, high = across[columns[0]], across[columns[-1]]
            between = max(2 * len(columns) - 1 - len(low) - len(high), 1)
            names = low + " " * between + high if len(columns) > 1 else low
        lines.append(Text(" " * margin + names, style="dim"))
    if len(visible) < len(rows) or len(columns) < len(across):
        lines.append(
            Text(f"{len(visible)} of {len(rows)} rows and {len(columns)} of {len(across)} columns", style="dim")
        )
    legend = Text()
    for phase, letter in LETTERS.items():
        legend.append(letter, style=STYLES[phase]).append(f" {phase}  ", style="dim")
    rule = Text(f"phases of {OWNER}: accuracies of {100 * threshold:g}%, a gap of {gap:,g} steps", style="dim")
    return Group(*map(one_line, [*lines, legend, rule]))


def _letter(cell: Cell) -> Text:
    letter, phase = letter_of(cell)
    if phase is None:
        return FAILED if letter == "!" else PENDING
    return Text(letter, style=STYLES[phase] + (" bold" if letter.isupper() else ""))


def _centred(text: str, width: int) -> str:
    left = (width - len(text)) // 2
    return " " * left + text + " " * (width - len(text) - left)


class PlainSweep:
    """Prints a line whenever another tenth is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.next = -1.0

    def __call__(self, progress: SweepProgress) -> None:
        """Print what has changed."""
        if self.next < 0:
            self.console.print(f"{progress.name}: {progress.description}", soft_wrap=True)
            self.next = progress.share + LINE_SHARE
        elif progress.share >= min(self.next, 1.0) and self.next <= 1.0 + LINE_SHARE:
            self.console.print(f"{progress_text(progress)}  {counts_text(progress)}", soft_wrap=True)
            self.next = progress.share + LINE_SHARE if progress.share < 1 else 2.0


class LiveSweep(LivePicture):
    """The bar and the map, redrawn while the sweep trains."""

    seconds = 0.25

    def __call__(self, progress: SweepProgress) -> None:
        """Redraw, at most four times a second."""
        self.redraw(progress, at_once=progress.share >= 1)

    def picture(self, progress: SweepProgress) -> Group:
        """Return the view as a renderable."""
        state = progress_text(progress)
        bar = Table.grid(padding=(0, 1))
        room = max(10, min(40, self.console.width - len(state) - 2))
        bar.add_row(ProgressBar(total=1.0, completed=progress.share, width=room), one_line(Text(state)))
        title = one_line(Text.assemble((progress.name, "bold"), "  ", (progress.description, "dim")))
        # beside the title, the bar, the axes, the legend and a line for the cursor
        rows = max(2, self.console.height - 8)
        drawn = pooled_map(progress.keys, progress.points, progress.members, self.console.width, rows)
        return Group(title, bar, drawn)
