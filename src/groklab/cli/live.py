"""Views of work in progress: pictures that are redrawn in a terminal, plain lines elsewhere."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Sequence
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
    from groklab.reproduction import ClaimProgress

TRAIN, TEST = "dark_orange", "deep_sky_blue1"
#: Plain lines are printed at so many log-spaced steps per decade.
LINES_PER_DECADE = 4
#: Seconds between lines on a training in progress.
PLAIN_SECONDS = 30.0
#: Of verdicts.
COLOURS = {"reproduced": "green", "partly": "yellow", "not reproduced": "red", "not run": "dim"}
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
        """Return the view as a renderable."""
        width = max(20, (self.console.width - 20) // 2)
        height = 10
        title = Text.assemble(
            (progress.run, "bold"), f"  step {progress.step:,} of {progress.budget:,}  ", (phase(progress), "italic")
        )
        if not len(progress.steps):
            return Group(title, Text(beginning(progress) if progress.compiling else ""))
        x = np.log10(np.maximum(progress.steps, 1))
        x_range = (0.0, max(math.log10(max(progress.step, 10)), 1.0))
        middle = {k: np.median(carried(v), axis=1) for k, v in progress.metrics.items()}
        loss = [(x, np.log10(np.maximum(middle[f"{s}_loss"], 1e-12)), c) for s, c in (("train", TRAIN), ("test", TEST))]
        accuracy = [(x, middle[f"{s}_accuracy"], c) for s, c in (("train", TRAIN), ("test", TEST))]
        low = math.floor(min(float(np.nanmin(y)) for _, y, _ in loss))
        high = math.ceil(max(float(np.nanmax(y)) for _, y, _ in loss))
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column()
        marks = "\n".join([f"1e{high:+d}", *[""] * (height - 2), f"1e{low:+d}"])
        percents = "\n".join(["100%", *[""] * (height - 2), "  0%"])
        table.add_row(
            Text(marks, style="dim"),
            braille(loss, width, height, x_range, (low, high)),
            Text(percents, style="dim"),
            braille(accuracy, width, height, x_range, (0.0, 1.0)),
        )
        axis = f"steps 1 to {max(progress.step, 10):,}, log scale"
        table.add_row("", Text(f"loss, {axis}", style="dim"), "", Text(f"accuracy, {axis}", style="dim"))
        last = {k: float(v[-1]) for k, v in middle.items()}
        values = Text.assemble(
            ("train ", TRAIN),
            f"{last['train_loss']:.2e} {last['train_accuracy']:.1%}   ",
            ("test ", TEST),
            f"{last['test_loss']:.2e} {last['test_accuracy']:.1%}   ",
            f"{speed(progress)}   {time_left(progress)} left",
        )
        return Group(title, table, values)


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
        if progress.record is not None:
            mark = "holds" if progress.record.holds else "fails"
            line = f"{progress.claim.id} seed {progress.record.seed}: {mark}: {progress.record.sentence}"
        else:
            line = (
                f"{progress.claim.id} {seeds_text(progress.seeds)}: at work; {progress.done} of "
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
            holding = self.holding.setdefault(progress.claim.id, [])
            if progress.record is not None:
                holding.append(progress.record.holds)
                self.sentences[progress.claim.id] = f"seed {progress.record.seed}: {progress.record.sentence}"
        self.redraw(progress, at_once=progress.training is None)

    def picture(self, progress: ClaimProgress) -> Group:
        """Return the view as a renderable."""
        table = Table(box=None, pad_edge=False)
        table.add_column("claim", style="bold", no_wrap=True)
        table.add_column("holds", no_wrap=True)
        table.add_column("last")
        # what fits the window; the table at the end has all
        for name, holding in list(self.holding.items())[-max(4, self.console.height - 8) :]:
            at_work = name == progress.claim.id and bool(progress.seeds)
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
        training = "" if progress.training is None else training_text(progress.training)
        below = Text(training, style="dim", overflow="ellipsis", no_wrap=True)
        return Group(table, Text(""), grid, below)
