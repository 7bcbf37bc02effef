"""Weights that an experiment starts from instead of fresh ones."""

from __future__ import annotations

import dataclasses
import io
from importlib import resources
from pathlib import Path

import numpy as np
import safetensors.numpy

from groklab.collection import Collection
from groklab.errors import InputError
from groklab.experiment import Experiment
from groklab.interop.released_files import from_released_layout, is_released_layout
from groklab.storage import digest

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
        weights = run.weights(start.step, member=start.member if run.n_members > 1 else None)
    else:
        weights = read_weights(start.file or "")
    found = digest(weights)
    if start.sha256 is not None and start.sha256 != found:
        raise InputError("start.sha256", start.sha256, f"the weights found have {found}")
    return dataclasses.replace(experiment, start=dataclasses.replace(start, sha256=found)), weights


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
