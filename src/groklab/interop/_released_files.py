"""What the files that Nanda et al. released record of a training, besides weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError

#: Their names of operations.
_OPERATIONS = {"add": "x + y", "subtract": "x - y", "x2xyy2": "x^2 + x*y + y^2"}
#: Steps of their warm-up, which a file shows only by holding a scheduler or by two equal losses at its start.
_WARMUP = 10.0


@dataclass(frozen=True)
class TrainingRecord:
    """What a file records of a training.

    Attributes:
        settings: of an experiment, by dotted name, such as task.p.
        steps: updates before the weights.
        train_losses: (n,) after 0, 1, … updates; None where the file has none.
        test_losses: after 0, every, 2·every, … updates; None where the file has none.
        every: updates between test losses.
        warnings: sentences on what contradicts itself or was left out.
    """

    settings: dict[str, Any]
    steps: int | None = None
    train_losses: np.ndarray | None = None
    test_losses: np.ndarray | None = None
    every: int = 1
    warnings: tuple[str, ...] = ()


def training_record(content: Mapping[str, Any]) -> TrainingRecord:
    """Read a released file's `config`, `optimizer`, `scheduler`, `epoch` and losses.

    The optimiser's own values take precedence over those of `config`, which are wrong in one released file; a warning
    names them. Raises InputError for an operation that no task here has.
    """
    notes: list[str] = []
    train, test = (_losses(content.get(f"{which}_losses"), which, notes) for which in ("train", "test"))
    every = 1
    if train is not None and test is not None:
        every = next((n for n in range(1, 1001) if -(-len(train) // n) == len(test)), 0)
        if every == 0:
            notes.append(f"{len(test):,} test losses beside {len(train):,} training losses fit no cadence: left out")
            test, every = None, 1
    epoch = content.get("epoch")
    steps = len(train) if train is not None else epoch + 1 if type(epoch) is int else None
    config = content.get("config")
    settings = _settings(config if isinstance(config, dict) else {})
    settings |= _optimiser(content.get("optimizer"), settings, notes)
    if content.get("scheduler") is not None or (train is not None and len(train) > 1 and train[0] == train[1]):
        settings["optimiser.warmup_steps"] = _WARMUP
    return TrainingRecord(settings, steps, train, test, every, tuple(notes))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {"p": "task.p", "frac_train": "split.frac_train", "lr": "optimiser.learning_rate", "seed": "seed"}
    names |= {"fn_name": "task.expression", "weight_decay": "optimiser.weight_decay"}
    settings = {ours: config[theirs] for theirs, ours in names.items() if config.get(theirs) is not None}
    if "seed" in settings:
        settings |= {"split.seed": settings["seed"], "split.method": "python_shuffle"}
    operation = settings.get("task.expression")
    if operation == "rand":
        raise InputError("config.fn_name", operation, "is a table drawn again at every look-up, which no task here has")
    if isinstance(operation, str):
        settings["task.expression"] = _OPERATIONS.get(operation, operation)
    return settings


def _optimiser(state: Any, config: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    if not isinstance(groups, list) or not groups or not isinstance(groups[0], dict):
        return {}
    group = groups[0]
    settings: dict[str, Any] = {}
    rate, betas = group.get("initial_lr", group.get("lr")), group.get("betas")
    for name, value in (
        ("learning_rate", rate),
        ("weight_decay", group.get("weight_decay")),
        ("eps", group.get("eps")),
    ):
        if value is not None:
            settings[f"optimiser.{name}"] = value
    if isinstance(betas, tuple | list) and len(betas) == 2:
        settings |= {"optimiser.b1": betas[0], "optimiser.b2": betas[1]}
    for name in ("optimiser.learning_rate", "optimiser.weight_decay"):
        if name in settings and name in config and settings[name] != config[name]:
            what = name.removeprefix("optimiser.").replace("_", " ")
            notes.append(
                f"its config gives the {what} as {config[name]}, the state of its optimiser as {settings[name]}: "
                f"{settings[name]} is taken"
            )
    return settings


def _losses(values: Any, which: str, notes: list[str]) -> np.ndarray | None:
    """Return (n,) float64 from a list of numbers or of tensors without dimensions, or from one tensor."""
    if values is None:
        return None
    try:
        if isinstance(values, list):
            values = [x.item() if isinstance(x, np.ndarray) else x for x in values]
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 1 or not array.size:
        notes.append(f"its {which} losses are not a list of numbers: left out")
        return None
    return array
