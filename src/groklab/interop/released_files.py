"""The files that Nanda et al. released: their weight layout turned into ours, and what else they tell of a training."""

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
class Told:
    """What a file tells besides weights.

    settings: an experiment's by dotted name, such as task.p. steps: updates before the weights. train_losses: (n,)
    after 0, 1, … updates; test_losses: after 0, every, 2·every, …; None where the file has none.
    """

    settings: dict[str, Any]
    steps: int | None = None
    train_losses: np.ndarray | None = None
    test_losses: np.ndarray | None = None
    every: int = 1
    warnings: tuple[str, ...] = ()


def told_by(content: Mapping[str, Any]) -> Told:
    """What a released file's `config`, `optimizer`, `scheduler`, `epoch` and losses say of its training.

    The optimiser's own numbers go before those of `config`, which are wrong in one released file; that is told in
    `warnings`. Raises InputError for an operation that no task here has.
    """
    said: list[str] = []
    train, test = (_losses(content.get(f"{which}_losses"), which, said) for which in ("train", "test"))
    every = 1
    if train is not None and test is not None:
        every = next((n for n in range(1, 1001) if -(-len(train) // n) == len(test)), 0)
        if every == 0:
            said.append(f"{len(test):,} test losses beside {len(train):,} training losses fit no cadence: left out")
            test, every = None, 1
    epoch = content.get("epoch")
    steps = len(train) if train is not None else epoch + 1 if type(epoch) is int else None
    config = content.get("config")
    settings = _settings(config if isinstance(config, dict) else {})
    settings |= _optimiser(content.get("optimizer"), settings, said)
    if content.get("scheduler") is not None or (train is not None and len(train) > 1 and train[0] == train[1]):
        settings["optimiser.warmup_steps"] = _WARMUP
    return Told(settings, steps, train, test, every, tuple(said))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {"p": "task.p", "frac_train": "split.frac_train", "lr": "optimiser.learning_rate", "seed": "seed"}
    names |= {"fn_name": "task.expression", "weight_decay": "optimiser.weight_decay"}
    found = {ours: config[theirs] for theirs, ours in names.items() if config.get(theirs) is not None}
    if "seed" in found:
        found |= {"split.seed": found["seed"], "split.method": "python_shuffle"}
    operation = found.get("task.expression")
    if operation == "rand":
        raise InputError("config.fn_name", operation, "is a table drawn anew at every look-up, which no task here has")
    if isinstance(operation, str):
        found["task.expression"] = _OPERATIONS.get(operation, operation)
    return found


def _optimiser(state: Any, config: Mapping[str, Any], said: list[str]) -> dict[str, Any]:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    if not isinstance(groups, list) or not groups or not isinstance(groups[0], dict):
        return {}
    group = groups[0]
    found: dict[str, Any] = {}
    rate, betas = group.get("initial_lr", group.get("lr")), group.get("betas")
    for name, value in (
        ("learning_rate", rate),
        ("weight_decay", group.get("weight_decay")),
        ("eps", group.get("eps")),
    ):
        if value is not None:
            found[f"optimiser.{name}"] = value
    if isinstance(betas, tuple | list) and len(betas) == 2:
        found |= {"optimiser.b1": betas[0], "optimiser.b2": betas[1]}
    for name in ("optimiser.learning_rate", "optimiser.weight_decay"):
        if name in found and name in config and found[name] != config[name]:
            what = name.removeprefix("optimiser.").replace("_", " ")
            said.append(
                f"its config gives the {what} as {config[name]}, the state of its optimiser as {found[name]}: "
                f"{found[name]} is taken"
            )
    return found


def _losses(found: Any, which: str, said: list[str]) -> np.ndarray | None:
    """(n,) float64 from a list of numbers or of tensors without dimensions, or from one tensor."""
    if found is None:
        return None
    try:
        if isinstance(found, list):
            found = [x.item() if isinstance(x, np.ndarray) else x for x in found]
        array = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 1 or not array.size:
        said.append(f"its {which} losses are no list of numbers: left out")
        return None
    return array
