"""Watching a reproduction: a live table of claims in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.cli.live import beginning, phase, speed, time_left
from groklab.reproduction import ClaimProgress
from groklab.text import duration
from groklab.training.records import Portion, Progress

COLOURS = {"reproduced": "green", "partly": "yellow", "not reproduced": "red", "not run": "dim"}


def verdict_text(verdict: str) -> Text:
    """A verdict in its colour."""
    return Text(verdict, style=COLOURS[verdict])


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Seeds being worked on, in words."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"seeds {seeds[0]}–{seeds[-1]}" if seeds else ""


#: Seconds between lines on a training under way, where lines are printed one below the other.
PLAIN_SECONDS = 30.0


def training_text(progress: Progress | Portion) -> str:
    """How a run or a sweep stands, on one line."""
    if isinstance(progress, Portion):
        left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
        ended = f"{progress.ended:,} of {progress.members:,} models have ended"
        return f"{progress.name}: {ended}, {progress.share:.2%} of their steps are made{left}"
    if progress.compiling:
        return f"{progress.run}: {beginning(progress)}"
    return (
        f"{progress.run}: step {progress.step:,} of {progress.budget:,}, {speed(progress)}, "
        f"{time_left(progress)} left, {phase(progress)}"
    )


class PlainClaims:
    """One line when a claim begins, one for each outcome, and now and then one on the training under way."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.printed = time.monotonic()

    def __call__(self, progress: ClaimProgress) -> None:
        """Print what has just begun or ended, or the training under way if nothing was printed for a while."""
        if progress.training is not None:
            if time.monotonic() - self.printed > PLAIN_SECONDS:
                self.printed = time.monotonic()
                self.console.print(f"  {training_text(progress.training)}", markup=False, soft_wrap=True)
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
        self.console.print(line, markup=False, soft_wrap=True)


class LiveClaims:
    """A table of claims with their outcomes so far, and the training under way below it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.holding: dict[str, list[bool]] = {}
        self.sentences: dict[str, str] = {}
        self.began, self.drawn, self.estimate = time.monotonic(), 0.0, (0.0, 0.0)

    def __enter__(self) -> LiveClaims:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    def __call__(self, progress: ClaimProgress) -> None:
        """Take in what is new and redraw, at most ten times a second."""
        now = time.monotonic()
        if progress.training is None:
            self.estimate = (progress.seconds_left, now)
            holding = self.holding.setdefault(progress.claim.id, [])
            if progress.record is not None:
                holding.append(progress.record.holds)
                self.sentences[progress.claim.id] = f"seed {progress.record.seed}: {progress.record.sentence}"
        elif now - self.drawn < 0.1:
            return
        self.drawn = now
        self.live.update(self.picture(progress), refresh=True)

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
        return Group(table, Text(""), grid, self._training(progress.training))

    def _training(self, progress: Progress | Portion | None) -> Text:
        said = "" if progress is None else training_text(progress)
        return Text(said, style="dim", overflow="ellipsis", no_wrap=True)
