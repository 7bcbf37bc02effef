"""One folder per paper, with its `presets` and its `claims`; a new folder needs no listing anywhere."""

from __future__ import annotations

import importlib.util
import pkgutil


def load(part: str) -> None:
    """Import one part of every paper: 'presets', which define experiments, or 'claims', which test sentences."""
    for paper in pkgutil.iter_modules(__path__, f"{__name__}."):
        if paper.ispkg and importlib.util.find_spec(f"{paper.name}.{part}"):
            importlib.import_module(f"{paper.name}.{part}")
