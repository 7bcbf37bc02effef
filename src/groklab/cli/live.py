"""Watching a run: a live picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from groklab.cli.plot import braille
from groklab.text import duration
from groklab.training.records import Progress

TRAIN, TEST = "dark_orange", "deep_sky_blue1"
#: Plain lines come at this many log-spaced steps a decade.
LINES_PER_DECADE = 4


def phase(progress: Progress) -> str:
    """What the run is in, in words: fitting, memorised, grokking, grokked."""
    n = len(progress.grokked)
    grokked = sum(g is not None for g in progress.grokked)
    memorised = sum(m is not None for m in progress.memorised)
    if n > 1:
        return f"{memorised} of {n} memorised, {grokked} of {n} grokked"
    if grokked:
        return f"grokked at step {progress.grokked[0]:,}"
    if not memorised:
        return "fitting the training set"
    test = progress.metrics["test_accuracy"]
    if len(test) and float(test[-1, 0]) > 0.5:
        return "grokking: test accuracy is rising"
    return f"memorised at step {progress.memorised[0]:,}, not yet generalising"


def speed(progress: Progress) -> str:
    """Steps per second, once it is known."""
    return f"{progress.steps_per_second:,.0f} steps/s" if progress.steps_per_second else "– steps/s"


def time_left(progress: Progress) -> str:
    """Time to the end of the budget at the present speed."""
    if not progress.steps_per_second:
        return "–"
    return duration((progress.budget - progress.step) / progress.steps_per_second)


def carried(values: np.ndarray) -> np.ndarray:
    """(n, members) with the last number of members that have stopped in the place of what they no longer have."""
    if np.isnan(values[-1]).all():
        return values  # nothing has stopped: it has diverged
    known = np.where(np.isnan(values), 0, np.arange(1, len(values) + 1)[:, None])
    place = np.maximum(np.maximum.accumulate(known, axis=0) - 1, 0)
    found: np.ndarray = np.take_along_axis(values, place, axis=0)
    return found


def last_known(values: np.ndarray) -> np.ndarray:
    """(members,) each member's last number of (n, members)."""
    found: np.ndarray = carried(values)[-1]
    return found


def beginning(progress: Progress) -> str:
    """What happens before the first step: programs are compiled for learners that descend a gradient."""
    return "compiling the training program …" if "grad_norm" in progress.metrics else "solving the first step …"


class PlainView:
    """One line a log-spaced step."""

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
            highlight=False,
            soft_wrap=True,
        )


class LiveView:
    """Curves of loss and accuracy over log steps, redrawn as training goes on."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self.console = console
        self.drawn = 0.0

    def __enter__(self) -> LiveView:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    def __call__(self, progress: Progress) -> None:
        """Redraw, at most ten times a second."""
        now = time.monotonic()
        if now - self.drawn < 0.1 and progress.step < progress.budget:
            return
        self.drawn = now
        self.live.update(self.picture(progress), refresh=True)

    def picture(self, progress: Progress) -> Group:
        """The whole view as a renderable."""
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
        numbers = Text.assemble(
            ("train ", TRAIN),
            f"{last['train_loss']:.2e} {last['train_accuracy']:.1%}   ",
            ("test ", TEST),
            f"{last['test_loss']:.2e} {last['test_accuracy']:.1%}   ",
            f"{speed(progress)}   {time_left(progress)} left",
        )
        return Group(title, table, numbers)
