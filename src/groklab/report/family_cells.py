"""The cells of a family of runs: what became of each member, and what its seeds say together."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

#: What became of a member, in the order in which a page names them.
OUTCOMES = ("grokked", "censored", "diverged", "undecided", "failed", "pending")
#: What a cell is: `some` of its seeds grokked, or `none`, where they have all ended.
VERDICTS = ("grokked", "some", "none", "diverged", "undecided", "failed", "pending")


@dataclass(frozen=True)
class Member:
    """One run of a family.

    outcome: 'grokked'; 'censored', its budget ended before; 'diverged'; 'undecided', it may still go on; 'failed', it
    could not be trained; 'pending'. steps: how far it is. memorised, grokked: steps, None where not reached.
    train_accuracy, test_accuracy: the last; best: the highest test accuracy. All None where nothing is recorded.
    """

    number: int
    seed: int
    outcome: str
    steps: int | None
    memorised: int | None
    grokked: int | None
    train_accuracy: float | None
    test_accuracy: float | None
    best: float | None
    reason: str | None

    @property
    def has_page(self) -> bool:
        """Whether there is anything for a page of its own: it has begun, and could be trained."""
        return self.steps is not None and self.outcome != "failed"


@dataclass(frozen=True)
class Cell:
    """The members, one a seed, at one value of each key; row and column count from 0 in the order of the grid."""

    row: int
    column: int
    members: tuple[Member, ...]

    def count(self, outcome: str) -> int:
        """How many members have that outcome."""
        return sum(m.outcome == outcome for m in self.members)

    @property
    def verdict(self) -> str:
        """One of VERDICTS: all seeds, some, or what holds where none has grokked."""
        n = len(self.members)
        if self.count("grokked"):
            return "grokked" if self.count("grokked") == n else "some"
        for kind in ("diverged", "failed", "pending"):
            if self.count(kind) == n:
                return kind
        return "undecided" if self.count("undecided") or self.count("pending") else "none"

    @property
    def median_step(self) -> float | None:
        """The median grokking step, a seed that did not grok counted last; None where that one did not, or is open."""
        ended = [m for m in self.members if m.outcome in ("grokked", "censored", "diverged")]
        if not ended or self.count("undecided") or self.count("pending"):
            return None
        middle = statistics.median([math.inf if m.grokked is None else float(m.grokked) for m in ended])
        return middle if math.isfinite(middle) else None

    @property
    def best(self) -> float | None:
        """The highest test accuracy of each seed that did not grok, in the mean over these seeds."""
        found = [m.best for m in self.members if m.outcome != "grokked" and m.best is not None]
        return statistics.fmean(found) if found else None

    @property
    def decided(self) -> bool | None:
        """Whether most seeds grokked; None where that is open still, where as many did as did not, and of failures."""
        n = len(self.members)
        yes, no = self.count("grokked"), self.count("censored") + self.count("diverged")
        return yes > no if 2 * max(yes, no) > n else None


@dataclass(frozen=True)
class Table:
    """The cells in the order of rows, then columns, with the grid's other keys held `at` one value each."""

    at: dict[str, Any]
    cells: tuple[Cell, ...]
