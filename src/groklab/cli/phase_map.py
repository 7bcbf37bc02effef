"""Watching a sweep: a bar, and below it the map of phases, a letter a cell."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.grokking.learning_phases import LETTERS, PHASES, Phase
from groklab.sweeps import SweepProgress
from groklab.text import duration

STYLES: dict[Phase, str] = {
    "comprehension": "green",
    "grokking": "yellow",
    "memorisation": "blue",
    "confusion": "magenta",
    "undefined": "red",
}
PENDING = Text("·", style="dim")
FAILED = Text("!", style="red")
#: Rows of the map, at most, so that it stays below the bar in one screen.
MOST_ROWS = 24
#: Plain lines come whenever this share more is done.
LINE_SHARE = 0.1
#: (row, column) -> for each member there its phase, whether that is final, and whether it failed
Cells = dict[tuple[int, int], list[tuple[str | None, bool, bool]]]


def words(value: Any) -> str:
    """A value of the grid for people: four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def map_of(keys: dict[str, list[Any]], rows: pl.DataFrame, width: int = 80) -> Group:
    """The map of a table: the grid's first key across, the second upwards, the majority over all others."""
    place = _places(keys)
    cells: Cells = {}
    values = [rows[key].to_list() for key in list(keys)[:2] if key in rows.columns]
    raw = [dict(zip(list(keys)[:2], point, strict=False)) for point in zip(*values, strict=True)] or [{}] * len(rows)
    columns = (rows["phase"], rows["status"])
    for point, phase, status in zip(raw, *columns, strict=True):
        cells.setdefault(place(point), []).append((phase, status in ("finished", "diverged"), status == "failed"))
    return _drawn(keys, cells, width)


def live_map(progress: SweepProgress, width: int) -> Group:
    """The map of a sweep that is being trained."""
    place = _places(progress.keys)
    cells: Cells = {}
    states = zip(progress.member_points, progress.phases, progress.ended, progress.failed, strict=True)
    for point, phase, ended, failed in states:
        cells.setdefault(place(progress.points[point]), []).append((phase, ended, failed))
    return _drawn(progress.keys, cells, width)


def _places(keys: dict[str, list[Any]]) -> Any:
    """The row, counted from below, and the column of a point."""
    names = list(keys)[:2]
    # a table's column holds values of one type: numbers as floats, anything mixed or nested as JSON
    rank = [{spelt: i for i, v in enumerate(keys[name]) for spelt in _spellings(v)} for name in names]

    def place(point: dict[str, Any]) -> tuple[int, int]:
        found = [rank[i].get(repr(point.get(name)), 0) for i, name in enumerate(names)]
        return (found[1] if len(found) == 2 else 0, found[0] if found else 0)

    return place


def _spellings(value: Any) -> set[str]:
    spelt = {repr(value), repr(json.dumps(value))}
    return spelt | {repr(float(value))} if type(value) is int else spelt


def _letter(members: Sequence[tuple[str | None, bool, bool]]) -> Text:
    """The phase of most of a cell's members: a capital letter once all of them have ended."""
    if all(failed for _, _, failed in members):
        return FAILED
    phases = Counter(phase for phase, _, failed in members if phase is not None and not failed)
    if not phases:
        return PENDING
    first = max((p for p in PHASES if phases[p]), key=lambda p: phases[p])
    final = all(ended for _, ended, _ in members)
    return Text(LETTERS[first] if final else LETTERS[first].lower(), style=STYLES[first] + (" bold" if final else ""))


def _drawn(keys: dict[str, list[Any]], cells: Cells, width: int) -> Group:
    names = list(keys)
    across = [words(v) for v in keys[names[0]]] if names else [""]
    up = [words(v) for v in keys[names[1]]] if len(names) > 1 else [""]
    margin = max(map(len, up)) + 1
    shown = _spread(len(up), MOST_ROWS)
    wide = max(map(len, across))
    # every column has its label where there is room for that, and a letter's width where there is not
    all_labelled = margin + (wide + 1) * len(across) <= width
    wide = wide if all_labelled else 1
    columns = _spread(len(across), max(1, (width - margin) // (wide + 1)))
    lines: list[Text] = []
    if len(names) > 1:
        lines.append(Text(f"{names[0]} across, {names[1]} upwards", style="dim"))
    elif names:
        lines.append(Text(f"{names[0]} across", style="dim"))
    for row in reversed(shown):
        line = Text(up[row].rjust(margin - 1) + " ", style="dim")
        for column in columns:
            line.append(" " * ((wide - 1) // 2))
            line.append_text(_letter(cells.get((row, column), [(None, False, False)])))
            line.append(" " * (wide // 2 + 1))
        lines.append(line)
    if names:
        if all_labelled:
            labels = " ".join(_centred(label, wide) for label in across).rstrip()
        else:
            low, high = across[columns[0]], across[columns[-1]]
            gap = max(2 * len(columns) - 1 - len(low) - len(high), 1)
            labels = low + " " * gap + high if len(columns) > 1 else low
        lines.append(Text(" " * margin + labels, style="dim"))
    if len(shown) < len(up) or len(columns) < len(across):
        lines.append(Text(f"{len(shown)} of {len(up)} rows and {len(columns)} of {len(across)} columns", style="dim"))
    legend = Text()
    for phase, letter in LETTERS.items():
        legend.append(letter, style=STYLES[phase]).append(f" {phase}  ", style="dim")
    return Group(*lines, legend)


def _centred(text: str, width: int) -> str:
    left = (width - len(text)) // 2
    return " " * left + text + " " * (width - len(text) - left)


def _spread(n: int, most: int) -> list[int]:
    """At most `most` of n places, evenly, the first and the last among them."""
    if n <= most:
        return list(range(n))
    return [round(i * (n - 1) / max(most - 1, 1)) for i in range(most)]


def _numbers(progress: SweepProgress) -> str:
    """Members that have ended, the share of steps, time left and what has failed, in words."""
    ended, n = sum(progress.ended), len(progress.ended)
    left = progress.seconds_left
    said = f"{ended:,} of {n:,} members, {progress.share:.0%}"
    said += f", {duration(left)} left" if left is not None and progress.share < 1 else ""
    failed = sum(progress.failed)
    said += f", {failed:,} failed" if failed else ""
    return said + (", waiting for workers" if not progress.workers and progress.share < 1 else "")


def _counts(progress: SweepProgress) -> str:
    ended = Counter(p for p, done in zip(progress.phases, progress.ended, strict=True) if done and p)
    return "  ".join(f"{LETTERS[p]} {ended[p]:,}" for p in PHASES if ended[p])


class PlainSweep:
    """A line whenever a tenth more is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.next = -1.0

    def __call__(self, progress: SweepProgress) -> None:
        """Print what has changed."""
        if self.next < 0:
            self.console.print(f"{progress.name}: {progress.description}", soft_wrap=True, markup=False)
            self.next = progress.share + LINE_SHARE
        elif progress.share >= min(self.next, 1.0) and self.next <= 1.0 + LINE_SHARE:
            self.console.print(f"{_numbers(progress)}  {_counts(progress)}", soft_wrap=True)
            self.next = progress.share + LINE_SHARE if progress.share < 1 else 2.0


class LiveSweep:
    """The bar and the map, redrawn as training goes on."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self.drawn = 0.0

    def __enter__(self) -> LiveSweep:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    def __call__(self, progress: SweepProgress) -> None:
        """Redraw, at most four times a second."""
        now = time.monotonic()
        if now - self.drawn < 0.25 and progress.share < 1:
            return
        self.drawn = now
        self.live.update(self.picture(progress), refresh=True)

    def picture(self, progress: SweepProgress) -> Group:
        """The whole view as a renderable."""
        said = _numbers(progress)
        bar = Table.grid(padding=(0, 1))
        room = max(10, min(40, self.console.width - len(said) - 2))
        bar.add_row(ProgressBar(total=1.0, completed=progress.share, width=room), said)
        title = Text.assemble((progress.name, "bold"), "  ", (progress.description, "dim"))
        return Group(title, bar, live_map(progress, self.console.width))
