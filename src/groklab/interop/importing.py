"""From a file of weights that others wrote, or that `export` wrote, to a run of the collection."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab import grokking
from groklab.experiment.schema import Experiment
from groklab.interop.describing import describe
from groklab.interop.evaluating import evaluate, records
from groklab.interop.splitting import with_split
from groklab.interop.weight_files import read_source
from groklab.store import locks
from groklab.store.collection import Collection
from groklab.store.run import Run
from groklab.training.ensemble import build_task

__all__ = ["import_file"]


def import_file(
    path: str | Path,
    *,
    p: int | None = None,
    operation: str | None = None,
    frac_train: float | None = None,
    split_seed: int | None = None,
    weight_decay: float | None = None,
    n_heads: int | None = None,
    home: str | Path | None = None,
) -> Run:
    """Make a run of a file of weights: .pth, .safetensors or .npz, or the folder of an export.

    p, operation, frac_train, split_seed (of Python's shuffle), weight_decay and n_heads say what the file does not,
    and go before what it does. Losses that the file records become the run's metrics; the final ones, and the
    accuracies, are computed in float64. What was assumed is warned of, and kept in the run's environment.json under
    `imported`. The same file with the same options is the same run. Nothing in a file is ever run.
    Raises InputError where the file is none of these, where something is not known, or where the parts contradict
    each other.
    """
    source = read_source(Path(path).expanduser(), n_heads)
    given = {
        "task.p": p,
        "task.expression": operation,
        "split.frac_train": frac_train,
        "split.seed": split_seed,
        "optimiser.weight_decay": weight_decay,
    }
    options = {k: v for k, v in given.items() if v is not None}
    said = list(source.told.warnings)
    experiment, weights = describe(source, options, said)
    task = build_task(experiment)
    seen = evaluate(experiment, task, weights)
    experiment = with_split(experiment, source, options, task, seen.losses, said)

    sha256 = hashlib.sha256(f"{source.sha256} {experiment.identity}".encode()).hexdigest()
    collection = Collection(Path(home) if home is not None else None)
    folder = collection.folder / f"{experiment.name}-{sha256[:8]}"
    if not _is_whole(folder):
        frame, member = records(experiment, source, task, seen, weights, said)
        imported = {"file": source.path.name, "sha256": source.sha256, "options": options, "warnings": said}
        with locks.locked(folder):
            _write(folder, experiment, imported, frame, member, weights)
    run = Run(folder)
    for sentence in run.imported["warnings"]:
        warnings.warn(sentence, stacklevel=2)
    return run


def _is_whole(folder: Path) -> bool:
    """Whether an import into this folder has ended."""
    try:
        run = Run(folder)
        return run.status["reason"] == "imported" and bool(run.imported) and bool(run.weights())
    except ValueError:
        return False


def _write(
    folder: Path,
    experiment: Experiment,
    imported: dict[str, Any],
    frame: pl.DataFrame,
    member: dict[str, Any],
    weights: dict[str, np.ndarray],
) -> None:
    import groklab

    environment = {"groklab": groklab.__version__, "definition_of_grokking": grokking.DEFINITION, "imported": imported}
    run = Run.create(folder, [experiment], environment)
    final = int(frame["step"][-1])
    run.write_checkpoint(final, {k: v[None] for k, v in weights.items()})
    run.write_metrics(frame)
    # last: until then the import counts as not done
    run.write_status(status="finished", reason="imported", step=final, seconds=0.0, members=[member])
