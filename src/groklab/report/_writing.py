"""Writing the page of one run, or of several beside each other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from groklab.errors import InputError
from groklab.report._comparison import comparison_page
from groklab.report._html import render_page
from groklab.report._run_page import run_page
from groklab.store import Run, storage


def write_report(runs: Sequence[Run], out: str | Path | None = None) -> Path:
    """Write the page of one run, or of several beside each other, and return its path.

    The page needs no network and no other file.

    Args:
        runs: one run, or those to compare.
        out: the file, or a folder for it; by default `report.html` in the run's folder, or, for several runs,
            `compare-….html` beside their folders.

    Raises:
        InputError: for no runs.
        DamagedError: for a run that cannot be read at all.
    """
    if not runs:
        raise InputError("a report needs at least one run")
    several = len(runs) > 1
    key = hashlib.sha256("\n".join(run.name for run in runs).encode()).hexdigest()[:8]
    name = f"compare-{key}.html" if several else "report.html"
    path = (runs[0].path.parent if several else runs[0].path) / name
    if out is not None:
        path = Path(out).expanduser()
        path = path / name if path.is_dir() else path
    page = comparison_page(runs) if several else run_page(runs[0])
    storage.atomic_write(path, render_page(page).encode())
    return path
