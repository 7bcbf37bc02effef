"""Sweeps on disk for the tests of cells and pages: one trained, the others with invented results."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import groklab as gl
from corpus import Corpus
from groklab.grokking import learning_phase
from groklab.store import storage
from groklab.sweeps import Sweep, make_plan, pack
from groklab.sweeps import _folder as folder

EXPRESSION, FRACTION = "task.expression", "split.frac_train"
LR, WD = "optimiser.learning_rate", "optimiser.weight_decay"
BUDGET = 2000


def trained(corpus: Corpus, home: Path) -> Sweep:
    """A copy of a real sweep: at 80% of the inputs it groks within its steps, at 65% it does not."""
    keys = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}
    plan = make_plan("micro-fast", keys, seeds=2, overrides={"budget.steps": 300, "evaluation.every": 2})

    def train(path: Path) -> None:
        files = Sweep.create(path, plan, pack(plan.experiments))
        for number in range(len(files.packs)):
            gl.train(files.experiments_of(number), home=files.path / "packs", view=None)

    shared = corpus.file(plan.name, train)
    return Sweep(Path(shutil.copytree(shared, home / "sweeps" / plan.name)))


@dataclass(frozen=True)
class Outcome:
    """A member's invented result.

    `best` is the test accuracy that its curve rises to, and at `grokked` it jumps to 1. With `times` its curves cross
    90% at these two steps, None for never.
    """

    status: str = "finished"
    grokked: int | None = None
    best: float = 0.2
    times: tuple[int | None, int | None] | None = None


def rising(steps: np.ndarray, at: int | None) -> np.ndarray:
    """From 0.1 through exactly 0.9 at that step to 1, or to 0.5."""
    if at is None:
        return 0.1 + 0.4 * (steps / steps[-1])
    return np.where(steps < at, 0.1 + 0.7 * steps / at, 1 - 0.1 * at / np.maximum(steps, 1))


def curves_of(outcome: Outcome, budget: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps = np.unique(np.r_[0, np.geomspace(1, budget, 150).astype(int)])
    if outcome.times is not None:
        steps = np.unique([*steps, *(t for t in outcome.times if t is not None)])
        train, test = (rising(steps, at) for at in outcome.times)
        return steps, train, test
    test = np.full(len(steps), outcome.best) * (steps / budget)
    if outcome.grokked is not None:
        test = np.where(steps >= outcome.grokked, 1.0, 0.01)
    return steps, np.minimum(1.0, 0.05 + steps / 100), test


def written(
    home: Path,
    name: str,
    keys: Mapping[str, Sequence[Any]],
    outcome: Callable[[dict[str, Any], int], Outcome],
    seeds: int = 1,
    budget: int = BUDGET,
) -> Sweep:
    """A sweep of micro-fast whose table and curves hold what `outcome` returns for each point and seed."""
    plan = make_plan("micro-fast", keys, seeds=seeds, name=name, overrides={"budget.steps": budget})
    files = Sweep.create(home / "sweeps" / plan.name, plan, pack(plan.experiments))
    rows, curves = folder.empty_rows(files), []
    for number, row in enumerate(rows):
        result = outcome(files.points[row.point], row.seed)
        failed = result.status == "failed"
        rows[number] = replace(row, status=result.status, reason="there was not enough memory" if failed else None)
        if result.status in ("pending", "failed"):
            continue
        steps, train, test = curves_of(result, budget)
        # as the table of any sweep keeps them
        train, test = train.astype(np.float32), test.astype(np.float32)
        phase = learning_phase(steps, train, test, budget=budget)
        rows[number] = replace(
            rows[number],
            **{"steps": int(steps[-1]), "seconds": 1.0, "memorised_step": 95, "grokked_step": result.grokked},
            **{"train_accuracy": float(train[-1]), "test_accuracy": float(test[-1])},
            **{"best_test_accuracy": float(test.max()), "phase": phase.phase, "censored": phase.censored},
            **{"train_step": phase.train_step, "test_step": phase.test_step, "phase_reason": phase.reason},
        )
        known = {"step": steps, "train_accuracy": train, "test_accuracy": test, "train_loss": test, "test_loss": test}
        curves.append(pl.DataFrame({"member": np.full(len(steps), row.member), **known}))
    storage.write_table(files.path / "table.parquet", folder.table_of(files, rows))
    blank = pl.DataFrame(schema=folder.CURVE_SCHEMA)
    columns = list(folder.CURVE_SCHEMA)
    kept = [blank, *(frame.select(columns).cast(pl.Schema(folder.CURVE_SCHEMA)) for frame in curves)]
    storage.write_table(files.path / "curves.parquet", pl.concat(kept))
    return files
