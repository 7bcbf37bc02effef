"""An analysis while its checkpoints are measured, in a notebook and on lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from groklab import notebook
from groklab.analysis._checkpoints import Progress, no_progress
from groklab.notebook import Watch

#: Seconds of an analysis of which nothing is shown.
PATIENCE = 1.0


@dataclass(frozen=True)
class Measuring:
    """How many of a run's checkpoints are measured."""

    run: str
    done: int
    total: int

    @property
    def sentence(self) -> str:
        """The same in words."""
        return f"{self.run}: {self.done} of {self.total} checkpoints measured"


@contextmanager
def watching_analysis(run: str, view: Watch[Measuring]) -> Iterator[Progress]:
    """Yield what is called as progress(done, total) while the checkpoints of a run are measured."""
    with notebook.watching(view, _picture, lambda progress: progress.sentence, patience=PATIENCE) as watch:
        yield no_progress if watch is None else lambda done, total: watch(Measuring(run, done, total))


def _picture(progress: Measuring, note: str) -> str:
    return notebook.block(notebook.bar(progress.done / max(progress.total, 1), note or progress.sentence))
