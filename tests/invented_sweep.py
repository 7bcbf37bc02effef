"""Sweeps made up for the tests of phase diagrams: curves that cross the threshold where they are told to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.grokking.learning_phases import learning_phase

Times = tuple[int | None, int | None]
LR, WD = "optimiser.learning_rate", "optimiser.weight_decay"


class InventedSweep:
    """A sweep in memory; `times` of a point and a seed: steps of training and test, None for a member that waits.

    Values of several types, and lists, stand in the table as JSON, as in the table of any sweep.
    """

    def __init__(
        self,
        path: Path,
        keys: Mapping[str, Sequence[Any]],
        times: Callable[[dict[str, Any], int], Times | None],
        seeds: int = 1,
        budget: int = 100_000,
    ) -> None:
        self.path, self.name, self.keys = path, path.name, {k: list(v) for k, v in keys.items()}
        steps = np.unique(np.geomspace(1, budget, 120).astype(int))
        numbers = {k for k, values in keys.items() if all(type(v) in (int, float) for v in values)}
        mixed = {k for k, values in keys.items() if not all(isinstance(v, str) for v in values)} - numbers
        rows: list[dict[str, Any]] = []
        curves: list[pl.DataFrame] = []
        points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*keys.values())]
        for point, seed in itertools.product(points, range(seeds)):
            told = times(point, seed)
            values = {k: json.dumps(v) if k in mixed else v for k, v in point.items()}
            row = {"member": len(rows), "seed": seed, **values, "status": "pending", "phase": None}
            row |= {"train_step": None, "test_step": None, "phase_reason": None}
            if told is not None:
                every = np.unique([*steps, *(t for t in told if t is not None)])
                train, test = (self.rising(every, at) for at in told)
                found = learning_phase(every, train, test)
                row |= {"status": "finished", "phase": found.phase, "phase_reason": found.reason}
                row |= {"train_step": found.train_step, "test_step": found.test_step}
                accuracies = {"train_accuracy": train, "test_accuracy": test}
                curves.append(pl.DataFrame({"member": [len(rows)] * len(every), "step": every, **accuracies}))
            rows.append(row)
        schema = {"phase": pl.String, "phase_reason": pl.String, "train_step": pl.Int64, "test_step": pl.Int64}
        self.table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
        self._curves = pl.concat(curves) if curves else pl.DataFrame(schema={"member": pl.Int64, "step": pl.Int64})

    @staticmethod
    def rising(steps: np.ndarray, at: int | None) -> np.ndarray:
        """From 0.1 through exactly 0.9 at that step to 1, or to 0.5."""
        if at is None:
            return 0.1 + 0.4 * (steps / steps[-1])
        return np.where(steps < at, 0.1 + 0.7 * steps / at, 1 - 0.1 * at / np.maximum(steps, 1))

    def curves(self, member: int | None = None) -> pl.DataFrame:
        return self._curves if member is None else self._curves.filter(pl.col("member") == member)
