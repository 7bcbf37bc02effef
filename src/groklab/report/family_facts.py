"""What the page of a family says of its sweep as a whole."""

from __future__ import annotations

import datetime
from typing import Any

import groklab
from groklab.errors import DamagedError, InputError
from groklab.report.family_study import Family, settings
from groklab.report.family_words import experiment_said
from groklab.store.run import Run
from groklab.sweeps import Sweep
from groklab.text import duration


def tiles(sweep: Sweep) -> list[tuple[str, str, str]]:
    """The few numbers one looks for first: label, value, remark."""
    counts = dict(sweep.table["status"].value_counts().iter_rows())
    ended = counts.get("finished", 0) + counts.get("diverged", 0)
    grokked = len(sweep.table) - sweep.table["grokked_step"].null_count()
    told = [
        ("Grokked", f"{grokked:,}", f"of {sweep.n_members:,} members"),
        ("Finished", f"{ended:,}", f"{counts['diverged']:,} of them diverged" if counts.get("diverged") else ""),
    ]
    open_ = {name: counts.get(name, 0) for name in ("running", "interrupted", "pending", "failed")}
    told += [(name.capitalize(), f"{n:,}", "") for name, n in open_.items() if n]
    retire = sweep.experiment(0).budget.retire
    return [
        *told,
        ("Budget", f"{sweep.experiment(0).budget.steps:,}", "steps, or until grokked" if retire else "steps"),
    ]


def opening(family: Family, sweep: Sweep) -> str:
    """What was swept."""
    swept = " × ".join(f"{len(values)} of {key}" for key, values in settings(sweep).items())
    seeds = sorted({len(c.members) for t in family.tables for c in t.cells})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    s = "" if seeds == [1] else "s"
    told = f"{swept}, {each} seed{s} each: {sweep.n_members:,} members, of the experiment {experiment_said(sweep)}."
    return told if sweep.status == "finished" else f"{told} The sweep is {sweep.status}, so this may change."


def provenance(sweep: Sweep) -> list[tuple[str, str]]:
    """Where the runs come from: label and value."""
    versions: dict[str, Any] = {}
    for pack in sweep.folder.packs:
        try:
            versions = Run(pack.path).environment
            break
        except (DamagedError, InputError, OSError):
            continue
    names = [f"{k} {versions[k]}" for k in ("jax", "jaxlib", "optax", "numpy", "python") if k in versions]
    written = [p.stat().st_mtime for p in (sweep.path / "table.parquet", sweep.path / "sweep.json") if p.is_file()]
    return [
        ("sweep", str(sweep.path)),
        ("trained with groklab", str(versions.get("groklab", "unknown"))),
        ("other versions", ", ".join(names) or "unknown"),
        ("device", str(versions.get("device", "unknown"))),
        ("page made by groklab", groklab.__version__),
        ("last written", datetime.datetime.fromtimestamp(written[0], datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("time training", duration(float(sweep.table["seconds"].sum()))),
        ("packing", sweep.packing),
    ]
