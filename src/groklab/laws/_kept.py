"""Fits that are kept in the folder of their sweep, for its page."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from groklab.errors import InputError
from groklab.figures import Figure
from groklab.laws._curve import axis_of, curves_of
from groklab.laws._fit import Fit
from groklab.laws._law import TIMES
from groklab.store import Stored, storage
from groklab.sweeps import Sweep
from groklab.text import jsonable

FOLDER = "fits"


class Kept(Stored):
    """What is kept of a fit: all that its page shows.

    Attributes:
        rows: parameter, value, interval and the source's value, as texts.
        points, curves: columns of what the figure draws; null where a time is infinite.
        time, axis: titles; the axis with the name of its column.
        command: that made the fit.
    """

    law: str
    formula: str
    source: str
    sentences: list[str]
    rows: list[list[str]]
    points: dict[str, list[float | bool | None]]
    curves: dict[str, list[float | str | None]]
    time: str
    axis: list[str]
    command: str

    def figure(self) -> Figure:
        """Draw the fit, as `Fit.figure` does."""
        from groklab.figures import law_fit

        column, title = self.axis
        points, curves = (pl.DataFrame(columns, strict=False) for columns in (self.points, self.curves))
        return law_fit(points, curves, self.formula, self.time, (column, title))


def keep(fit: Fit, sweep: Sweep, command: str) -> Path:
    """Keep a fit in the folder of its sweep, in place of one of the same law, and return the path."""
    path = sweep.path / FOLDER / f"{fit.law.name}.json"
    path.parent.mkdir(exist_ok=True)
    content = {
        "law": fit.law.name,
        "formula": fit.law.formula,
        "source": fit.law.source,
        "sentences": fit.sentences,
        "rows": [list(e.texts) for e in fit.estimates],
        "points": fit.data_frame.to_dict(as_series=False),
        "curves": curves_of(fit).to_dict(as_series=False),
        "time": TIMES[fit.law.time],
        "axis": list(axis_of(fit)),
        "command": command,
    }
    storage.write_json(path, jsonable(content))
    return path


def kept(sweep: Sweep) -> list[Kept]:
    """Return the fits that are kept of a sweep; damaged ones are left out."""
    result = []
    for path in sorted((sweep.path / FOLDER).glob("*.json")):
        try:
            result.append(storage.read_json(path, Kept))
        except (InputError, OSError):
            continue
    return result
