"""Pages of shared runs, each written once per session, whatever the number of worker processes; for reading only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.figures import RunContext, figures_of
from groklab.figures._registry import SECTIONS
from groklab.report import write_report
from groklab.report._html import Picture, pictures_of

#: A long formula makes a legend wide.
LONG_NAMES = {**MIXTURE, "task.expressions": ["add", "subtract", "x2_xy_y2_x"]}

#: The runs on each page.
PAGES: dict[str, Callable[[Corpus], list[gl.Run]]] = {
    "single": lambda corpus: [corpus["mlp"]],
    "ensemble": lambda corpus: [corpus["ensemble"]],
    "comparison": lambda corpus: [corpus["mlp"], corpus["ensemble"]],
    "transformer": lambda corpus: [corpus["transformer"]],
    "mixture": lambda corpus: [corpus.train(gl.read({}, LONG_NAMES))],
    "machine": lambda corpus: [corpus["rfm-multiply"]],
}


def pictures_by_key(run: RunContext) -> dict[str, Picture]:
    """The figures of a run's page, in their order."""
    figures = [figure for section in SECTIONS for figure in figures_of(section)]
    return {p.key: p for figure in figures for p in pictures_of(figure, figure.drawings(run))}


class Pages:
    """The files of these pages by name."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __getitem__(self, name: str) -> Path:
        return self.corpus.file(f"{name}.html", lambda path: write_report(PAGES[name](self.corpus), path))
