"""Measures over a run's checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.ensemble import make_ensemble
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.run import Run


def take(run: Run, name: str, member: int = 0) -> pl.DataFrame:
    """One measure over all kept checkpoints of a run's member: a frame with `step` and one column an array.

    Raises InputError for an unknown measure or one that does not apply to the task.
    """
    if not isinstance(run, Run):
        raise InputError("take needs a run; a measure of weights is gl.MEASURES[name](weights, task)")
    if name not in MEASURES:
        raise InputError("measure", name, f"is unknown; there are {', '.join(sorted(MEASURES))}")
    ensemble = make_ensemble([run.experiments[member]])
    rows: list[dict[str, Any]] = []
    for step in run.checkpoints:
        found = MEASURES[name](run.weights(step, member), ensemble.tasks[0], ensemble.splits[0].train)
        rows.append({"step": step, **{k: np.asarray(v).tolist() for k, v in found.items()}})
    return pl.DataFrame(rows)
