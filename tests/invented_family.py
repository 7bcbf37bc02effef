"""Sweeps on disk for the tests of the pages of families: one trained, the others with results made up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import groklab as gl
from corpus import Corpus
from groklab.sweeps import Sweep, make_plan
from groklab.sweeps import folder as table
from groklab.sweeps.folder import Folder
from groklab.sweeps.packing import pack

EXPRESSION, FRACTION = "task.expression", "split.frac_train"
BUDGET = 2000


def trained(corpus: Corpus, home: Path) -> Sweep:
    """A copy of a real sweep: at 80% of the inputs it groks within its steps, at 65% it does not."""
    keys = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}
    plan = make_plan("micro-fast", keys, seeds=2, overrides={"budget.steps": 300, "evaluation.every": 2})

    def train(path: Path) -> None:
        folder = Folder.create(path, plan, pack(plan.experiments))
        for number in range(len(folder.packs)):
            gl.train(folder.experiments_of(number), home=folder.path / "packs")

    shared = corpus.file(plan.name, train)
    return Sweep(Path(shutil.copytree(shared, home / "sweeps" / plan.name)))


@dataclass(frozen=True)
class Outcome:
    """What a member came to: `best` is the test accuracy that its curve rises to."""

    status: str = "finished"
    grokked: int | None = None
    best: float = 0.2


def written(
    home: Path,
    name: str,
    keys: Mapping[str, Sequence[Any]],
    outcome: Callable[[dict[str, Any], int], Outcome],
    seeds: int = 1,
) -> Sweep:
    """A sweep of micro-fast whose table and curves say what `outcome` tells of each point and seed."""
    plan = make_plan("micro-fast", keys, seeds=seeds, name=name, overrides={"budget.steps": BUDGET})
    folder = Folder.create(home / "sweeps" / plan.name, plan, pack(plan.experiments))
    steps = np.unique(np.r_[0, np.geomspace(1, BUDGET, 150).astype(int)])
    rows, curves = table.empty_rows(folder), []
    for row in rows:
        told = outcome(folder.points[row["point"]], row["seed"])
        row |= {"status": told.status, "reason": "there was not enough memory" if told.status == "failed" else None}
        if told.status in ("pending", "failed"):
            continue
        test = np.full(len(steps), told.best) * (steps / BUDGET)
        if told.grokked is not None:
            test = np.where(steps >= told.grokked, 1.0, 0.01)
        train = np.minimum(1.0, 0.05 + steps / 100)
        row |= {"steps": BUDGET, "seconds": 1.0, "memorised_step": 95, "grokked_step": told.grokked}
        row |= {
            "train_accuracy": 1.0,
            "test_accuracy": float(test[-1]),
            "best_test_accuracy": float(test.max()),
            "phase": "grokking",
        }
        known = {"step": steps, "train_accuracy": train, "test_accuracy": test, "train_loss": test, "test_loss": test}
        curves.append(pl.DataFrame({"member": np.full(len(steps), row["member"]), **known}))
    table.write(folder.path / "table.parquet", table.table_of(folder, rows))
    whole = pl.concat(curves) if curves else pl.DataFrame(schema=table.CURVE_SCHEMA)
    table.write(folder.path / "curves.parquet", whole.select(list(table.CURVE_SCHEMA)).cast(table.CURVE_SCHEMA))
    return Sweep(folder.path)
