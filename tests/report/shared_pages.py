"""Pages of shared runs, each written once per session, whatever the number of worker processes; for reading only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.report import write_report

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


class Pages:
    """The files of these pages by name."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __getitem__(self, name: str) -> Path:
        return self.corpus.file(f"{name}.html", lambda path: write_report(PAGES[name](self.corpus), path))
