"""The inputs that an imported model was trained on: told, or found from its losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.interop.weight_files import Source
from groklab.tasks.base import Task
from groklab.tasks.splits import find_split, make_split

#: Recorded losses are of one step before the weights, and may be of another precision.
_ALIKE = 4.0


def with_split(
    experiment: Experiment,
    source: Source,
    options: dict[str, Any],
    task: Task,
    losses: np.ndarray,
    said: list[str],
) -> Experiment:
    """The experiment with the split that the file or the options tell, or else the one that its losses show.

    losses: (n_inputs,) of the weights. Adds to `said` what was found, and where recorded losses disagree.
    Raises InputError where the split is not told and cannot be found.
    """
    told = {**source.told.settings, **options}
    train, test = source.told.train_losses, source.told.test_losses
    recorded = (float(train[-1]), float(test[-1])) if train is not None and test is not None else None
    if source.description or {"split.frac_train", "split.seed"} <= told.keys():
        if recorded is not None:
            _compare(experiment, task, losses, recorded, said)
        return experiment
    found = find_split(task, losses, *recorded) if recorded is not None else None
    if found is None:
        why = "does not say which inputs its model was trained on"
        if recorded is not None:
            why += ", and no published split alone agrees with its losses"
        raise InputError(f"{source.path} {why}; give --frac-train and --split-seed")
    split, how = found
    for name, value in (("split.frac_train", split.frac_train), ("split.seed", split.seed)):
        if name in told and told[name] != value:
            raise InputError(name, told[name], f"disagrees with the recorded losses, which belong to {value}")
    said.append(f"the split was found, not told: {split.method}, seed {split.seed}, {split.frac_train}: {how}")
    return replace(experiment, split=split)


def _compare(
    experiment: Experiment, task: Task, losses: np.ndarray, recorded: tuple[float, float], said: list[str]
) -> None:
    rows = make_split(experiment.split, task, experiment.seed)
    for which, part, value in zip(("train", "test"), (rows.train, rows.test), recorded, strict=True):
        found = float(losses[part].mean())
        if not found / _ALIKE <= value <= found * _ALIKE:
            said.append(
                f"the weights have a {which} loss of {found:.4g} on this split, and the file records {value:.4g}: "
                "the task or the split may be another"
            )
