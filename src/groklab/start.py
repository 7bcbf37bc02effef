"""Weights that an experiment starts from instead of fresh ones."""

from __future__ import annotations

import dataclasses
import io
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import safetensors.numpy

from groklab import components
from groklab.collection import Collection
from groklab.ensemble import build_task
from groklab.errors import InputError
from groklab.experiment import Experiment
from groklab.interop.released_files import from_released_layout, is_released_layout
from groklab.run import Run
from groklab.storage import digest
from groklab.tasks.splits import make_split

#: A file name with this prefix lies in the package itself.
PACKAGED = "groklab:"


def load_start(experiment: Experiment, collection: Collection) -> tuple[Experiment, dict[str, np.ndarray] | None]:
    """The experiment with the start weights' content hash filled in, and the weights (None: start afresh).

    Raises InputError where the file or checkpoint is missing, unreadable, or not what the recorded hash says.
    """
    start = experiment.start
    if start is None:
        return experiment, None
    if start.run is not None:
        run = collection.find(start.run)
        if run.n_members > 1 and start.member is None:
            allowed = f"holds {run.n_members} models; start.member says which, from 0 to {run.n_members - 1}"
            raise InputError("start.run", run.name, allowed)
        weights = run.weights(start.step, member=start.member if run.n_members > 1 else None)
        _warn_of_leaks(experiment, run, start.member or 0)
    else:
        weights = read_weights(start.file or "")
    found = digest(weights)
    if start.sha256 is not None and start.sha256 != found:
        raise InputError("start.sha256", start.sha256, f"the weights found have {found}")
    return dataclasses.replace(experiment, start=dataclasses.replace(start, sha256=found)), weights


def _warn_of_leaks(experiment: Experiment, run: Run, member: int) -> None:
    """Warn where inputs that are tested here were trained on there: their accuracy starts from memory."""
    before = run.experiments[member]
    if components.as_json(before.task) != components.as_json(experiment.task):
        return
    task = build_task(experiment)
    tested = make_split(experiment.split, task, experiment.seed).test
    known = np.intersect1d(tested, make_split(before.split, task, before.seed).train)
    if len(known):
        warnings.warn(
            f"{len(known):,} of the {len(tested):,} test inputs were in the training set of {run.name}: its weights "
            "know them already (the same split.seed and split.frac_train keep the sets apart)",
            stacklevel=3,
        )


def read_weights(name: str) -> dict[str, np.ndarray]:
    """Weights by name from an .npz or .safetensors file, in our layout; nothing is ever unpickled."""
    path = Path(name).expanduser()
    if name.startswith(PACKAGED):
        path = Path(str(resources.files("groklab.papers") / "data" / name.removeprefix(PACKAGED)))
    if not path.is_file():
        raise InputError("start.file", name, "is not a file")
    try:
        if path.suffix == ".npz":
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                weights = {k: archive[k] for k in archive.files}
        elif path.suffix == ".safetensors":
            weights = safetensors.numpy.load(path.read_bytes())
        else:
            raise InputError("start.file", name, "needs to end in .npz or .safetensors")
    except InputError:
        raise
    except Exception as error:  # damaged archives raise many kinds
        raise InputError("start.file", name, f"cannot be read: {error}") from None
    return from_released_layout(weights) if is_released_layout(weights) else weights
