"""The folders of papers: their names, their parts and their data."""

from __future__ import annotations

import importlib.util
import pkgutil
from importlib import resources
from importlib.resources.abc import Traversable

from groklab import papers


def names() -> list[str]:
    """Return the names of all papers."""
    return [paper.name for paper in pkgutil.iter_modules(papers.__path__) if paper.ispkg]


def load(part: str) -> None:
    """Import one part of every paper: 'presets', which define experiments, or 'claims', which test sentences."""
    for name in names():
        module = f"{papers.__name__}.{name}.{part}"
        if importlib.util.find_spec(module):
            importlib.import_module(module)


def data(paper: str, file: str) -> Traversable | None:
    """Return a file of a paper's data folder, or None for an unknown paper or file."""
    if paper not in names():
        return None
    path = resources.files(f"{papers.__name__}.{paper}") / "data" / file
    return path if path.is_file() else None
