"""Views of work in progress: pictures that are redrawn in a terminal, plain lines elsewhere."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.text import duration
from groklab.training import Progress
from groklab.training.wording import beginning, carried, last_known, phase, speed, time_left, training_text

if TYPE_CHECKING:
    from groklab.leaderboard import Step
    from groklab.reproduction import ClaimProgress

TRAIN, TEST = "dark_orange", "deep_sky_blue1"
#: Plain lines are printed at so many log-spaced steps per decade.
LINES_PER_DECADE = 4
#: Seconds between lines on a training in progress.
PLAIN_SECONDS = 30.0
#: Of verdicts.
COLOURS = {
    "reproduced": "green",
    "holds": "green",
    "partly": "yellow",
    "not reproduced": "red",
    "fails": "red",
    "not run": "dim",
}
#: The narrowest window with two panels beside each other, and the space between them.
NARROW, GAP = 60, 2
#: Lines of a panel around its curves, and the least lines of curves.
FRAME, LEAST_ROWS = 3, 3
STEPS = "steps on a log scale"
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


# -- a run ---------------------------------------------------------------------------------------------------------


class PlainView:
    """One line per log-spaced step."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.next = 0.0
        self.began = False

    def __call__(self, progress: Progress) -> None:
        """Print a line if a log point has been passed."""
        if progress.compiling:
            where = f"from step {progress.step:,} of {progress.budget:,}"
            self.console.print(f"{progress.run}: {where}, {beginning(progress)}")
            return
        # a chunk ends on an evaluation that the next one makes: name the step that the numbers belong to
        step = int(progress.steps[-1]) if len(progress.steps) else 0
        if step < self.next and step < progress.budget:
            return
        self.next = max(self.next, 1.0)
        while self.next <= step:
            self.next *= 10 ** (1 / LINES_PER_DECADE)
        last = {k: float(np.median(last_known(v))) for k, v in progress.metrics.items() if len(v)}
        self.console.print(
            f"step {step:>7,}  loss {last['train_loss']:.2e} / {last['test_loss']:.2e}  "
            f"accuracy {last['train_accuracy']:6.1%} / {last['test_accuracy']:6.1%}  "
            f"{speed(progress)}, {time_left(progress)} left  {phase(progress)}",
            soft_wrap=True,
        )


class LivePicture(abc.ABC):
    """A picture of work in progress that is redrawn in a terminal."""

    #: The least time between two pictures.
    seconds = 0.1
    #: Whether the last picture goes away at the end.
    transient = False

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=self.transient)
        self.drawn = 0.0

    def __enter__(self) -> Self:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    @abc.abstractmethod
    def picture(self, progress: Any) -> Group:
        """Return the view as a renderable."""

    def redraw(self, progress: Any, *, at_once: bool) -> None:
        """Redraw, unless the last picture is too new and this one need not be drawn at once."""
        now = time.monotonic()
        if at_once or now - self.drawn >= self.seconds:
            self.drawn = now
            self.live.update(self.picture(progress), refresh=True)


class LiveView(LivePicture):
    """Curves of loss and accuracy over log steps, redrawn during training."""

    def __call__(self, progress: Progress) -> None:
        """Redraw, at most ten times a second."""
        self.redraw(progress, at_once=progress.step >= progress.budget)

    def picture(self, progress: Progress) -> Group:
        """Return the view as a renderable: as many lines as the window has, less one, and none wider than it."""
        title = Text.assemble(
            (progress.run, "bold"), f"  step {progress.step:,} of {progress.budget:,}  ", (phase(progress), "italic")
        )
        if not len(progress.steps):
            return Group(one_line(title), Text(beginning(progress) if progress.compiling else ""))
        middle = {k: np.median(carried(v), axis=1) for k, v in progress.metrics.items()}
        last = {k: float(v[-1]) for k, v in middle.items()}
        values = Text.assemble(
            ("train ", TRAIN),
            f"{last['train_loss']:.2e} {last['train_accuracy']:.1%}   ",
            ("test ", TEST),
            f"{last['test_loss']:.2e} {last['test_accuracy']:.1%}   ",
        )
        pace = Text(f"{speed(progress)}   {time_left(progress)} left")
        below = [values + pace] if values.cell_len + pace.cell_len <= self.console.width else [values, pace]
        # with the title, and a line for the cursor
        room = self.console.height - len(below) - 2
        lines = [title, *_panels(progress, middle, self.console.width, room), *below]
        return Group(*map(one_line, lines))


def one_line(text: Text) -> Text:
    """Return a text that is cut where the window ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _panels(progress: Progress, middle: Mapping[str, np.ndarray], width: int, room: int) -> list[Text]:
    """Return the curves of loss and accuracy, with accuracy alone in a small window.

    They are beside each other unless the window is narrow or much taller than wide.
    """
    x = np.log10(np.maximum(progress.steps, 1))
    decades = max(math.log10(max(progress.step, 10)), 1.0)
    loss = [(x, np.log10(np.maximum(middle[f"{s}_loss"], 1e-12)), c) for s, c in (("train", TRAIN), ("test", TEST))]
    accuracy = [(x, middle[f"{s}_accuracy"], c) for s, c in (("train", TRAIN), ("test", TEST))]
    low = math.floor(min(float(np.nanmin(y)) for _, y, _ in loss))
    high = max(math.ceil(max(float(np.nanmax(y)) for _, y, _ in loss)), low + 1)
    beside = width >= NARROW and room <= width // 2
    columns = (width - GAP) // 2 if beside else width
    both = beside or room >= 2 * (FRAME + LEAST_ROWS)
    rows = max(LEAST_ROWS, (room // 2 if both and not beside else room) - FRAME)
    powers = {float(n): f"1e{n:+d}" for n in range(low, high + 1)}
    shares = {0.0: "0%", 0.25: "25%", 0.5: "50%", 0.75: "75%", 1.0: "100%"}
    drawn = [
        panel(name, curves, columns, rows, decades, ticks)
        for name, curves, ticks in (("loss", loss, powers), ("accuracy", accuracy, shares))
    ]
    if not beside:
        return [*(drawn[0] if both else []), *drawn[1]]
    left, right = drawn
    return [
        Text.assemble(one, " " * (columns + GAP - one.cell_len), other) for one, other in zip(left, right, strict=True)
    ]


def panel(
    name: str,
    curves: Sequence[tuple[np.ndarray, np.ndarray, str]],
    width: int,
    rows: int,
    decades: float,
    ticks: Mapping[float, str],
) -> list[Text]:
    """Return curves over log steps with their axes, as rows + 3 lines of at most `width` characters.

    Args:
        name: of the vertical axis.
        curves: log10 of the steps, values, colour.
        decades: log10 of the last step.
        ticks: labels of the vertical axis by their values, the lowest and the highest at its ends.
    """
    low, high = min(ticks), max(ticks)
    margin = max(map(len, ticks.values())) + 1
    columns = max(width - margin - 1, 1)
    marks = _kept_ticks(ticks, rows)
    lines = [Text(f"{name}, over {STEPS}"[:width], style="dim")]
    drawing = braille(curves, columns, rows, (0.0, decades), (low, high)).split("\n", allow_blank=True)
    for row, drawn in enumerate(drawing):
        label = marks.get(row, "")
        lines.append(Text.assemble((f"{label:>{margin - 1}} {'┤' if label else '│'}", "dim"), drawn))
    axis, labels = ["─"] * columns, [" "] * (columns + margin)
    free = 0
    for power in range(math.floor(decades) + 1):
        place, text = round(power / decades * (columns - 1)), step_label(power)
        start = min(max(place + margin - len(text) // 2, 0), columns + margin - len(text))
        axis[place] = "┬"
        if start >= free:
            labels[start : start + len(text)] = text
            free = start + len(text) + 1
    lines.append(Text(" " * margin + "└" + "".join(axis), style="dim"))
    lines.append(Text(" " + "".join(labels), style="dim"))
    return lines


def _kept_ticks(ticks: Mapping[float, str], rows: int) -> dict[int, str]:
    """Return by row the labels of an axis: each from the lowest on, or each second, … with a free row between them."""
    values = sorted(ticks)
    per_tick = (rows - 1) / (len(values) - 1)
    stride = max(1, math.ceil(2 / per_tick)) if per_tick else len(values)
    return {round(rows - 1 - i * per_tick): ticks[values[i]] for i in range(0, len(values), stride)}


def step_label(power: int) -> str:
    """Return ten to a power as 1, 10, 100, 1k, … 1M."""
    return f"{10 ** (power % 3)}{'kMG'[power // 3 - 1] if power >= 3 else ''}"


def braille(
    curves: Sequence[tuple[np.ndarray, np.ndarray, str]],
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Text:
    """Draw curves (x, y, colour) with braille dots as a block of `height` lines of `width` characters."""
    cells = np.zeros((height, width), int)
    colours: dict[tuple[int, int], str] = {}
    for x, y, colour in curves:
        inside = np.isfinite(x) & np.isfinite(y)
        if not inside.any():
            continue
        px = (x[inside] - x_range[0]) / max(x_range[1] - x_range[0], 1e-9) * (2 * width - 1)
        py = (y_range[1] - y[inside]) / max(y_range[1] - y_range[0], 1e-9) * (4 * height - 1)
        # one point per column of dots, joined by lines, so that few and many points look alike
        columns = np.arange(int(np.ceil(px[0])), int(px[-1]) + 1) if len(px) > 1 else np.array([int(px[0])])
        rows = np.clip(np.interp(columns, px, py).round().astype(int), 0, 4 * height - 1)
        for i, (column, row) in enumerate(zip(columns, rows, strict=True)):
            top = rows[i - 1] if i else row
            low, high = min(top, row), max(top, row)
            for dot in range(low + (1 if high > low and top < row else 0), high + (0 if top > row else 1)):
                cell = (dot // 4, min(int(column) // 2, width - 1))
                cells[cell] |= _DOTS[dot % 4, int(column) % 2]
                colours[cell] = colour
    text = Text()
    for r in range(height):
        for c in range(width):
            text.append(chr(0x2800 + cells[r, c]), style=colours.get((r, c), ""))
        text.append("\n" if r < height - 1 else "")
    return text


# -- a reproduction ------------------------------------------------------------------------------------------------


def verdict_text(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(verdict, style=COLOURS[verdict])


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Return the seeds being trained, in words."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"seeds {seeds[0]}–{seeds[-1]}" if seeds else ""


class PlainClaims:
    """One line when a claim begins, one for each outcome, and one on the training under way now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.printed = time.monotonic()

    def __call__(self, progress: ClaimProgress) -> None:
        """Print what has just begun or ended, or the training under way if nothing was printed for a while."""
        if progress.training is not None:
            if time.monotonic() - self.printed > PLAIN_SECONDS:
                self.printed = time.monotonic()
                self.console.print(f"  {training_text(progress.training)}", soft_wrap=True)
            return
        self.printed = time.monotonic()
        if progress.note:
            self.console.print(f"{progress.name} {progress.note}", soft_wrap=True)
        if progress.record is not None:
            mark = "holds" if progress.record.supports else "fails"
            line = f"{progress.name} seed {progress.record.seed}: {mark}: {progress.record.sentence}"
        else:
            line = (
                f"{progress.name} {seeds_text(progress.seeds)}: at work; {progress.done} of "
                f"{progress.done + progress.left} outcomes measured, about {duration(progress.seconds_left)} left"
            )
        self.console.print(line, soft_wrap=True)


class LiveClaims(LivePicture):
    """A table of claims with their outcomes so far, and the training under way below it."""

    transient = True

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.holding: dict[str, list[bool]] = {}
        self.sentences: dict[str, str] = {}
        self.began, self.estimate = time.monotonic(), (0.0, 0.0)

    def __call__(self, progress: ClaimProgress) -> None:
        """Add what is new and redraw, at most ten times a second."""
        if progress.training is None:
            self.estimate = (progress.seconds_left, time.monotonic())
            holding = self.holding.setdefault(progress.name, [])
            if progress.record is not None:
                holding.append(progress.record.supports)
                self.sentences[progress.name] = f"seed {progress.record.seed}: {progress.record.sentence}"
        self.redraw(progress, at_once=progress.training is None)

    def picture(self, progress: ClaimProgress) -> Group:
        """Return the view as a renderable."""
        table = Table(box=None, pad_edge=False)
        table.add_column("claim", style="bold", no_wrap=True)
        table.add_column("holds", no_wrap=True)
        table.add_column("last")
        # what fits the window; the table at the end has all
        for name, holding in list(self.holding.items())[-max(4, self.console.height - 8) :]:
            at_work = name == progress.name and bool(progress.seeds)
            count = f"{sum(holding)} of {len(holding)}" if holding else "–"
            last = f"{seeds_text(progress.seeds)} at work" if at_work else self.sentences.get(name, "")
            table.add_row(name, count, Text(last, style="cyan" if at_work else "", overflow="ellipsis", no_wrap=True))
        total = progress.done + progress.left
        left = max(0.0, self.estimate[0] - (time.monotonic() - self.estimate[1]))
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=max(total, 1), completed=progress.done, width=24),
            f"{progress.done} of {total} outcomes, {duration(time.monotonic() - self.began)} so far, "
            f"about {duration(left)} left",
        )
        training = progress.note if progress.training is None else training_text(progress.training)
        below = Text(training, style="dim", overflow="ellipsis", no_wrap=True)
        return Group(table, Text(""), grid, below)


# -- a leaderboard -------------------------------------------------------------------------------------------------


class PlainSteps:
    """One line when models begin to train, one when they are measured, and one on their training now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.printed = time.monotonic()

    def __call__(self, step: Step) -> None:
        """Print what has just begun or ended, or the training under way if nothing was printed for a while."""
        if step.training is None or time.monotonic() - self.printed > PLAIN_SECONDS:
            self.printed = time.monotonic()
            self.console.print(step.text, soft_wrap=True)


class LiveSteps(LivePicture):
    """A bar of what is measured, and the training under way below it."""

    transient = True

    def __call__(self, step: Step) -> None:
        """Redraw, at most ten times a second."""
        self.redraw(step, at_once=step.training is None)

    def picture(self, progress: Step) -> Group:
        """Return the view as a renderable."""
        total = progress.done + progress.left
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=progress.done, width=24)
        grid.add_row(bar, f"{progress.done} parts measured, {progress.left} known to be left")
        return Group(grid, Text(progress.text, style="dim", overflow="ellipsis", no_wrap=True))
