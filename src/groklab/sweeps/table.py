"""One row a member: what its run has given. Derived from the packs, and written anew at any time."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.grokking.learning_phases import learning_phase
from groklab.store import claims, storage
from groklab.store.run import Run
from groklab.store.thinning import thin
from groklab.sweeps.folder import Folder

#: Points of a member's thinned curves, about.
CURVE_POINTS = 200
LAST = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "weight_norm")
CURVES = LAST[:4]
STEPS = ("memorised_step", "grokked_step", "train_step", "test_step")
#: Columns of the table besides the grid's keys, which stand after `seed`.
SCHEMA: dict[str, Any] = {
    "member": pl.Int32,
    "point": pl.Int32,
    "seed": pl.Int64,
    "identity": pl.String,
    "pack": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "steps": pl.Int64,
    "seconds": pl.Float64,
    **dict.fromkeys(STEPS, pl.Int64),
    "phase": pl.String,
    "censored": pl.Boolean,
    "said": pl.String,
    **dict.fromkeys(LAST, pl.Float32),
}
CURVE_SCHEMA: dict[str, Any] = {"member": pl.Int32, "step": pl.Int64, **dict.fromkeys(CURVES, pl.Float32)}
Row = dict[str, Any]


def empty_rows(sweep: Folder) -> list[Row]:
    """The rows of a sweep of which nothing is known yet."""
    rows = []
    for number, member in enumerate(sweep.members):
        row: Row = dict.fromkeys(SCHEMA)
        row |= {"member": number, "status": "pending", **{k: member[k] for k in ("point", "seed", "identity")}}
        rows.append(row | {"pack": sweep.packs[member["pack"]].path.name})
    return rows


def rows_of_pack(sweep: Folder, number: int) -> tuple[list[Row], pl.DataFrame]:
    """What a pack's members have reached, a row each (without their keys), and their thinned curves.

    Raises InputError where the pack has no run, DamagedError where its run is not whole.
    """
    pack = sweep.packs[number]
    run = Run(pack.path)
    status = run.status
    ended = status["status"] in ("finished", "diverged")
    curves = run.metrics.partition_by("member", as_dict=True)
    budgets = [e.budget.steps for e in run.experiments]
    rows, thinned = [], []
    for place, member in enumerate(pack.members):
        known = status["members"][place] if place < len(status["members"]) else {}
        own = curves.get((place,), run.metrics.clear()).sort("step")
        row = _row(known, own, budgets[place])
        row["seconds"] = status["seconds"] / len(pack.members)
        if ended:
            row["status"] = "diverged" if known.get("diverged") else "finished"
            row["reason"] = _reason(known, row, status)
        else:
            row["status"] = "running" if claims.holder(pack.path) is not None else "interrupted"
        rows.append(row | {"member": member})
        kept = own.filter(pl.col("step").is_in(thin(own["step"].to_numpy(), CURVE_POINTS)))
        # of float64 runs too: a curve to look at
        thinned.append(kept.select(pl.lit(member).alias("member"), "step", *CURVES).cast(pl.Schema(CURVE_SCHEMA)))
    return rows, pl.concat(thinned)


def _row(known: dict[str, Any], own: pl.DataFrame, budget: int) -> Row:
    steps = own["step"].to_numpy()
    if not len(steps):
        return {"steps": 0}  # it has begun, and saved nothing yet
    # a loss that is no number ends a member, whatever its accuracy is counted as
    whole = np.isfinite(own["train_loss"].to_numpy())
    accuracies = (np.where(whole, own[f"{s}_accuracy"].to_numpy(), np.nan) for s in ("train", "test"))
    phase = learning_phase(steps, *accuracies, budget=budget)
    row: Row = {"steps": known.get("steps", int(steps[-1]))}
    row |= {name: known.get(name) for name in ("memorised_step", "grokked_step")}
    row |= {name: getattr(phase, name) for name in ("train_step", "test_step", "phase", "censored", "said")}
    last = own.tail(1).to_dicts()[0]
    found = {name: last.get(name) for name in LAST}
    return row | {name: None if value is None or not math.isfinite(value) else value for name, value in found.items()}


def _reason(known: dict[str, Any], row: Row, status: dict[str, Any]) -> str | None:
    if known.get("diverged"):
        return "diverged"
    if row["steps"] < status["step"]:
        return "grokked"
    reason = status["reason"]
    # of a pack whose last member diverged, the others had ended before
    return "grokked" if reason == "diverged" else reason


def table_of(sweep: Folder, rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as a frame, with a column for each key of the grid."""
    frame = pl.DataFrame([{k: row.get(k) for k in SCHEMA} for row in rows], schema=SCHEMA)
    keys = [
        pl.Series(key, _column([sweep.points[row["point"]][key] for row in rows]), strict=False)
        for key in sweep.keys
        if key not in SCHEMA
    ]
    place = frame.columns.index("seed") + 1
    return frame.select(*frame.columns[:place], *keys, *frame.columns[place:])


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: numbers, texts or booleans as they are, anything mixed or nested as JSON."""
    for kinds in ((bool,), (int,), (int, float), (str,)):
        if all(v is None or type(v) in kinds for v in values):
            return [float(v) if v is not None and kinds == (int, float) else v for v in values]
    return [None if v is None else json.dumps(v) for v in values]


def write(path: Path, frame: pl.DataFrame) -> None:
    """Write a table atomically, with its own checksum among its metadata."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False, metadata={"checksum": storage.SEAL.decode()})
    storage.atomic_write(path, storage.seal(buffer.getvalue()))


def read(path: Path) -> pl.DataFrame | None:
    """A table that `write` wrote, or None where it is missing or not whole: it is rebuilt then."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    # looked at before it is parsed: readers of Parquet end the whole process on some altered files
    return pl.read_parquet(io.BytesIO(content)) if storage.is_sealed(content) else None
