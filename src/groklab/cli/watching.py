"""Watching a reproduction: a live table of claims in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.cli.live import beginning, phase, speed, time_left
from groklab.reproduction import Moment
from groklab.text import duration
from groklab.training.progress import Portion, Progress

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
    """One line when a claim begins, one for each finding, and now and then one on the training under way."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.printed = time.monotonic()

    def __call__(self, moment: Moment) -> None:
        """Print what has just begun or been found, or how training stands if nothing was said for a while."""
        if moment.training is not None:
            if time.monotonic() - self.printed > PLAIN_SECONDS:
                self.printed = time.monotonic()
                self.console.print(f"  {training_text(moment.training)}", markup=False, soft_wrap=True)
            return
        self.printed = time.monotonic()
        if moment.finding is not None:
            mark = "holds" if moment.finding["holds"] else "fails"
            line = f"{moment.claim.id} seed {moment.finding['seed']}: {mark}: {moment.finding['said']}"
        else:
            line = (
                f"{moment.claim.id} {seeds_text(moment.seeds)}: at work; {moment.done} of "
                f"{moment.done + moment.left} findings made, about {duration(moment.seconds_left)} left"
            )
        self.console.print(line, markup=False, soft_wrap=True)


class LiveClaims:
    """A table of claims with their findings so far, and what is being trained below it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.holding: dict[str, list[bool]] = {}
        self.said: dict[str, str] = {}
        self.began, self.drawn, self.estimate = time.monotonic(), 0.0, (0.0, 0.0)

    def __enter__(self) -> LiveClaims:
        self.live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.__exit__(None, None, None)

    def __call__(self, moment: Moment) -> None:
        """Take in what is new and redraw, at most ten times a second."""
        now = time.monotonic()
        if moment.training is None:
            self.estimate = (moment.seconds_left, now)
            found = self.holding.setdefault(moment.claim.id, [])
            if moment.finding is not None:
                found.append(bool(moment.finding["holds"]))
                self.said[moment.claim.id] = f"seed {moment.finding['seed']}: {moment.finding['said']}"
        elif now - self.drawn < 0.1:
            return
        self.drawn = now
        self.live.update(self.picture(moment), refresh=True)

    def picture(self, moment: Moment) -> Group:
        """The whole view as a renderable."""
        table = Table(box=None, pad_edge=False)
        table.add_column("claim", style="bold", no_wrap=True)
        table.add_column("holds", no_wrap=True)
        table.add_column("last")
        # what fits the window; the table at the end has all
        for name, found in list(self.holding.items())[-max(4, self.console.height - 8) :]:
            at_work = name == moment.claim.id and bool(moment.seeds)
            count = f"{sum(found)} of {len(found)}" if found else "–"
            last = f"{seeds_text(moment.seeds)} at work" if at_work else self.said.get(name, "")
            table.add_row(name, count, Text(last, style="cyan" if at_work else "", overflow="ellipsis", no_wrap=True))
        total = moment.done + moment.left
        left = max(0.0, self.estimate[0] - (time.monotonic() - self.estimate[1]))
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=max(total, 1), completed=moment.done, width=24),
            f"{moment.done} of {total} findings, {duration(time.monotonic() - self.began)} so far, "
            f"about {duration(left)} left",
        )
        return Group(table, Text(""), grid, self._training(moment.training))

    def _training(self, progress: Progress | Portion | None) -> Text:
        said = "" if progress is None else training_text(progress)
        return Text(said, style="dim", overflow="ellipsis", no_wrap=True)
