"""The claims of a paper while they are tested, in a notebook and on lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groklab import notebook
from groklab.text import duration
from groklab.training.wording import training_text

if TYPE_CHECKING:
    from groklab.reproduction._runner import ClaimProgress


class Watching:
    """The outcomes so far, by claim."""

    def __init__(self) -> None:
        self._holding: dict[str, list[bool]] = {}
        self._last: dict[str, str] = {}

    def take(self, progress: ClaimProgress) -> None:
        """Add what is new."""
        if progress.training is None:
            holding = self._holding.setdefault(progress.name, [])
            if progress.record is not None:
                holding.append(progress.record.supports)
                self._last[progress.name] = f"seed {progress.record.seed}: {progress.record.sentence}"

    def sentence(self, progress: ClaimProgress) -> str:
        """Return how far the claims are on one line."""
        if progress.training is not None:
            return f"{progress.name}: {training_text(progress.training)}"
        left = f", about {duration(progress.seconds_left)} left" if progress.left else ""
        if progress.note:
            return f"{progress.name}: {progress.note}"
        return f"{progress.name}: {progress.done} of {progress.done + progress.left} outcomes measured{left}"

    def picture(self, progress: ClaimProgress, note: str) -> str:
        """Return a table of claims, the bar and the training under way as HTML."""
        total = progress.done + progress.left
        rows = [
            (name, f"{sum(holding)} of {len(holding)}" if holding else "–", self._last.get(name, "at work"))
            for name, holding in self._holding.items()
        ]
        left = f", about {duration(progress.seconds_left)} left" if progress.left else ""
        training = "" if progress.training is None else training_text(progress.training)
        return notebook.block(
            notebook.table(("claim", "holds", "last"), rows),
            notebook.bar(progress.done / max(total, 1), f"{progress.done} of {total} outcomes{left}"),
            notebook.line(note or training, faint=True) if note or training else "",
        )
