"""Cells of the published phase diagrams, trained again: the toy regression over two of its rates and decays.

Members start from the published code's own initial weights and training sets ("notebook" recipe; seed 58 is that of
the published diagrams). A published step counts from 0 after the update, so ours is one more.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.experiment import Experiment, preset
from groklab.grokking import LETTERS, LearningPhase, learning_phase
from groklab.papers._published import PublishedMap
from groklab.papers.liu2022.starts import Recipe, published_start
from groklab.reproduction import Trainer
from groklab.store import Collection, Run, atomic_write, digest
from groklab.theory import equations_of
from groklab.training import build_task

#: The seed of the published diagrams.
PUBLISHED_SEED = 58
#: Members of a diagram stop once both thresholds are reached.
RETIRING = {"budget.stop_when_grokked": True, "budget.retire": True, "checkpoints.rolling_seconds": 60.0}
#: The order that phases come in as decay grows, of a slow decoder.
ORDER = "CGMX"
NAMED = {"comprehension": "C", "grokking": "G", "memorisation": "M", "confusion": "X"}
#: From this rate on a decoder without decay never generalises.
FAST = 3.9e-4


@dataclass(frozen=True)
class Part:
    """Cells of a published map, by row and column, that are trained together for `budget` steps."""

    cells: tuple[tuple[int, int], ...]
    budget: int
    every: int = 20


def grid(rows: Sequence[int], columns: Sequence[int], budget: int, every: int = 20) -> Part:
    """Return all cells of some rows and columns."""
    return Part(tuple((i, j) for i in rows for j in columns), budget, every)


def started(trainer: Trainer, seed: int, recipe: Recipe = "notebook") -> dict[str, Any]:
    """Write the published initial weights of a seed beside the runs; return overrides for them and the training set."""
    weights, rows = published_start(seed, recipe=recipe)
    path = Collection(Path(trainer.home) if trainer.home is not None else None).folder / "starts"
    path.mkdir(parents=True, exist_ok=True)
    path = path / f"liu2022-{recipe}-{seed}.npz"
    content = io.BytesIO()
    np.savez(content, **weights)  # type: ignore[arg-type]
    atomic_write(path, content.getvalue())
    return {"start.file": str(path), "start.sha256": digest(weights), "split.rows": rows, "seed": seed}


def implied(seed: int) -> float:
    """Return the share of all pairs whose answer the published training set of a seed implies, itself included."""
    _, rows = published_start(seed, recipe="notebook")
    task = build_task(preset("liu2022/diagram"))
    chosen = np.zeros(task.n_inputs, np.bool_)
    chosen[rows] = True
    return equations_of(task).ideal_accuracy(chosen)


def train_part(trainer: Trainer, name: str, published: PublishedMap, part: Part, seed: int) -> Run:
    """Train one member per cell, in the order of the cells."""
    settings = {**started(trainer, seed), **RETIRING, "budget.steps": part.budget, "evaluation.every": part.every}
    return trainer.train([_cell(name, published, cell, settings) for cell in part.cells])


def _cell(name: str, published: PublishedMap, cell: tuple[int, int], settings: dict[str, Any]) -> Experiment:
    values = {axis.key: axis.values[i] for axis, i in zip((published.rows, published.columns), cell, strict=True)}
    return preset("liu2022/diagram", {**settings, **values, "name": f"liu2022-{name}"})


def phase_until(run: Run, member: int, budget: int) -> LearningPhase:
    """Return a member's phase at `budget`; the run may be longer."""
    curves = run.curves(member)
    kept = curves["step"] <= budget
    finite = ~np.isnan(curves["train_loss"])
    train, test = (np.where(finite, curves[f"{part}_accuracy"], np.nan)[kept] for part in ("train", "test"))
    return learning_phase(curves["step"][kept], train, test, budget=budget)


def diagram(trainer: Trainer, name: str, published: PublishedMap, parts: Sequence[Part], seed: int) -> pl.DataFrame:
    """Train cells of a published map, and return them by row and column.

    Columns: `row`, `column`, `rate` (of the decoder), `other` (decay, or rate of the representation), `letter`,
    `train_step`, `test_step` (None where not reached); and `published_letter`, `published_train`, `published_test`
    in our steps, of the published run cut off at the same budget.
    """
    rows = []
    for part in parts:
        run = train_part(trainer, name, published, part, seed)
        cut = published_until(published, part.budget)
        for member, (i, j) in enumerate(part.cells):
            phase = phase_until(run, member, part.budget)
            own: dict[str, Any] = {
                "row": i,
                "column": j,
                "rate": published.rows.values[i],
                "other": published.columns.values[j],
            }
            own |= {"letter": LETTERS[phase.phase], "train_step": phase.train_step, "test_step": phase.test_step}
            own |= {"published_letter": cut.letters()[i][j]}
            for what, steps in (("train", cut.train_steps), ("test", cut.test_steps)):
                own[f"published_{what}"] = None if np.isnan(steps[i, j]) else int(steps[i, j]) + 1
            rows.append(own)
    return pl.DataFrame(rows, infer_schema_length=None).sort("row", "column")


def published_until(published: PublishedMap, budget: int) -> PublishedMap:
    """Return the map with a smaller budget."""
    cut = [np.where(steps < budget, steps, np.nan) for steps in (published.train_steps, published.test_steps)]
    return replace(published, train_steps=cut[0], test_steps=cut[1], budget=min(budget, published.budget))


def lines(cells: pl.DataFrame) -> list[str]:
    """Return the map in letters, one word per decoder rate."""
    return ["".join(of["letter"]) for _, of in cells.group_by("row", maintain_order=True)]
