"""The progress of a sweep in words and letters: the same in a terminal and in a notebook."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from groklab.grokking import LETTERS, PHASES, Phase
from groklab.sweeps._cells import Cell
from groklab.text import duration

if TYPE_CHECKING:
    from groklab.sweeps._scheduler import SweepProgress


def progress_text(progress: SweepProgress) -> str:
    """Return the members that have ended, the share of steps, the time left and failures, in words."""
    ended, n = len(progress.ended), len(progress.members)
    left = progress.seconds_left
    text = f"{ended:,} of {n:,} members, {progress.share:.0%}"
    text += f", {duration(left)} left" if left is not None and progress.share < 1 else ""
    failed = sum(m.outcome == "failed" for m in progress.ended)
    text += f", {failed:,} failed" if failed else ""
    return text + (", waiting for workers" if not progress.workers and progress.share < 1 else "")


def counts_text(progress: SweepProgress) -> str:
    """Return how many members have ended in each phase, by its letter."""
    ended = Counter(m.phase for m in progress.ended)
    return "  ".join(f"{LETTERS[p]} {ended[p]:,}" for p in PHASES if ended[p])


def letter_of(cell: Cell) -> tuple[str, Phase | None]:
    """Return a cell's letter and phase so far, capital once all its members have ended; '!' where all failed."""
    if all(m.outcome == "failed" for m in cell.members):
        return "!", None
    phases = Counter(m.phase for m in cell.members if m.phase is not None and m.outcome != "failed")
    if not phases:
        return "·", None
    first = max((p for p in PHASES if phases[p]), key=lambda p: phases[p])
    return LETTERS[first] if all(m.ended for m in cell.members) else LETTERS[first].lower(), first
