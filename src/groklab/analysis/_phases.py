"""The learning phases of all members of a run, whose metrics are read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from groklab.experiment import Experiment
from groklab.grokking import LearningPhase, phase_of


def phases_of(recorded: Sequence[Experiment], metrics: pl.DataFrame) -> list[LearningPhase]:
    """Return each member's phase; metrics: one row per evaluation and member."""
    known = _Curves(recorded, metrics)
    return [phase_of(known, member) for member in range(len(recorded))]


@dataclass(frozen=True)
class _Curves:
    """The metrics of a run that have been read, as `phase_of` takes them."""

    recorded: Sequence[Experiment]
    metrics: pl.DataFrame

    def curves(self, member: int = 0) -> dict[str, np.ndarray]:
        own = self.metrics.filter(pl.col("member") == member).sort("step")
        return {name: own[name].to_numpy() for name in own.columns}
