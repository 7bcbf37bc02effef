"""What files such as those that Nanda et al. released record of a training, besides weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.interop._configs import WARMUP


@dataclass(frozen=True)
class TrainingRecord:
    """What a file records of a training.

    Attributes:
        settings: of an experiment, by dotted name, such as task.p.
        steps: updates before the weights.
        train_losses: (n,) after 0, 1, … updates; None where the file has none.
        test_losses: after 0, every, 2·every, … updates; None where the file has none.
        every: updates between test losses.
        train_rows, test_rows: rows of the task that were trained on and tested, where the file lists them.
        warnings: sentences on what contradicts itself or was left out.
    """

    settings: dict[str, Any]
    steps: int | None = None
    train_losses: np.ndarray | None = None
    test_losses: np.ndarray | None = None
    every: int = 1
    train_rows: np.ndarray | None = None
    test_rows: np.ndarray | None = None
    warnings: tuple[str, ...] = ()

    @property
    def last_losses(self) -> tuple[float, float] | None:
        """The last training and test loss; None where the file has not both."""
        if self.train_losses is None or self.test_losses is None:
            return None
        return float(self.train_losses[-1]), float(self.test_losses[-1])


def training_record(content: Mapping[str, Any], settings: Mapping[str, Any]) -> TrainingRecord:
    """Read a file's optimiser, scheduler, number of steps, losses and split.

    The optimiser's own values take precedence over those of its configuration, which are wrong in one released file; a
    warning names them.

    Args:
        content: of the file.
        settings: what its configuration says.
    """
    notes: list[str] = []
    train, test = (_losses(content.get(f"{which}_losses"), which, notes) for which in ("train", "test"))
    every = 1
    if train is not None and test is not None:
        every = next((n for n in range(1, 1001) if -(-len(train) // n) == len(test)), 0)
        if every == 0:
            notes.append(f"{len(test):,} test losses beside {len(train):,} training losses fit no cadence: left out")
            test, every = None, 1
    settings = {**settings, **_optimiser(content, settings, notes)}
    if content.get("scheduler") is not None or (train is not None and len(train) > 1 and train[0] == train[1]):
        settings["optimiser.warmup_steps"] = WARMUP
    if isinstance(content.get("checkpoints"), list):
        notes.append(f"earlier checkpoints in the file are left out: {len(content['checkpoints']):,}")
    planned = settings.pop("budget.steps", None)
    steps = len(train) if train is not None else _steps(content, notes)
    return TrainingRecord(
        settings=settings,
        steps=planned if steps is None else steps,
        train_losses=train,
        test_losses=test,
        every=every,
        train_rows=_rows(content, "train_indices"),
        test_rows=_rows(content, "test_indices"),
        warnings=tuple(notes),
    )


def _steps(content: Mapping[str, Any], notes: list[str]) -> int | None:
    steps, epoch = content.get("global_step"), content.get("epoch")
    if type(steps) is int:
        return steps
    if type(epoch) is not int:
        return None
    notes.append(f"the file records its epoch, {epoch}, and not its updates: one update per epoch is assumed")
    return epoch + 1


def _rows(content: Mapping[str, Any], name: str) -> np.ndarray | None:
    if content.get(name) is None:
        return None
    array = np.asarray(content[name])
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size or array.min() < 0:
        raise InputError(f"{name} of the file are not numbers of rows")
    return array


def _optimiser(content: Mapping[str, Any], config: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    states = [content.get(name) for name in ("optimizer", "optimizer_state_dict", "optimizer_states")]
    state = next((s for s in states if isinstance(s, dict | list) and s), None)
    state = state[0] if isinstance(state, list) else state
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
