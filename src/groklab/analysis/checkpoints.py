"""A run's checkpoints, read and measured one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import DamagedError, InputError
from groklab.measures.feature_matrices import feature_matrix
from groklab.measures.progress import models_at_once, trajectory
from groklab.store.run import Run
from groklab.tasks.base import Task

#: Checkpoints that are measured in one call, between two reports of progress.
AT_ONCE = 8
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class NotApplicable:
    """The analysis of a model that groklab has none for; reason: a sentence."""

    reason: str

    @classmethod
    def because(cls, reason: str) -> NotApplicable:
        """Return that of a model of which no measure holds."""
        return cls(f"Nothing that groklab looks for: {reason}.")

    def verdict(self) -> str:
        """Return the reason."""
        return self.reason


def follow_features(
    steps: Sequence[int],
    weights: Callable[[int], dict[str, np.ndarray]],
    task: Task,
    train: np.ndarray,
    model: Any,
    told: Callable[[int], None] = lambda done: None,
) -> dict[int, np.ndarray]:
    """The feature matrices (2p, 2p) by step; checkpoints that are damaged or not finite are passed over.

    Raises InputError as `feature_matrix` does.
    """
    found = {}
    for done, step in enumerate(steps, 1):
        with contextlib.suppress(DamagedError):
            one = weights(step)
            if _is_finite(one):
                found[step] = feature_matrix(one, task, train, model)
        told(done)
    return found


def follow(
    steps: Sequence[int],
    weights: Callable[[int], dict[str, np.ndarray]],
    task: Task,
    train: np.ndarray,
    network: Any,
    keys: Sequence[int],
    told: Callable[[int], None] = lambda done: None,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """`trajectory` along checkpoints, read once each and some at a time: the steps measured, and values (n_steps, …).

    Checkpoints that are damaged or not finite are passed over.
    """
    measured: list[int] = []
    parts = []
    # small models are measured side by side, and to fill up the last turn is quicker than to compile it
    fills = models_at_once(task) >= AT_ONCE
    for i in range(0, len(steps), AT_ONCE):
        loaded = []
        for step in steps[i : i + AT_ONCE]:
            with contextlib.suppress(DamagedError):
                one = weights(step)
                if _is_finite(one):
                    loaded.append(one)
                    measured.append(step)
        if loaded:
            filled = loaded + [loaded[-1]] * (AT_ONCE - len(loaded)) if fills else loaded
            stack = {k: np.stack([w[k] for w in filled]) for k in loaded[0]}
            found = trajectory(stack, task, train, network, keys)
            parts.append({k: v[: len(loaded)] for k, v in found.items()})
        told(min(i + AT_ONCE, len(steps)))
    return measured, {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def last_complete_step(run: Run, member: int = 0) -> int:
    """The last step whose weights can be read and are finite."""
    for step in reversed(run.checkpoints):
        with contextlib.suppress(DamagedError):
            if _is_finite(run.weights(step, member)):
                return step
    raise InputError(f"{run.name} has no checkpoint of finite weights to measure")


def _is_finite(weights: dict[str, np.ndarray]) -> bool:
    return all(bool(np.isfinite(w).all()) for w in weights.values())
