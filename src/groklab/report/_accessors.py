"""The pages of one run and of one sweep, as `run.report()` and `sweep.report()` write them."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

from groklab.report._comparison import write_report
from groklab.report._sweep_page import write_sweep
from groklab.store import Run
from groklab.sweeps import Sweep


def report_of(subject: Run | Sweep, out: str | Path | None = None, *, open: bool = False, **options: Any) -> Path:
    """Write the page of a run or of a sweep, and return its path.

    Args:
        out: the file, or a folder for it; by default `report.html` in the run's or sweep's folder.
        open: open the page in the browser.
        options: of a sweep's page, those of `write_sweep`.
    """
    path = write_sweep(subject, out, **options) if isinstance(subject, Sweep) else write_report([subject], out)
    if open:
        webbrowser.open(path.absolute().as_uri())
    return path
