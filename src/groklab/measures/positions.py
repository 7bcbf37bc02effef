"""Losses answer by answer, for tasks with answers at several positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import jnp
from groklab.measures.registry import measure
from groklab.networks.hooks import recognise
from groklab.objectives import exact_cross_entropy
from groklab.tasks.base import Task

#: Inputs of one forward pass.
ROWS = 1024


@measure("position_losses", online=True)
def position_losses(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """Cross-entropy and accuracy of the test set at each answer's position, and for each answer (Nanda et al. 2023).

    `position` (n_reads,): where the predicted token stands. `loss`, `accuracy` (n_reads,): means over the test inputs
    whose answer counts there, NaN where there are none. `answer_loss` (n_classes,): likewise for each answer,
    wherever it is asked for; of skip trigrams that is one number a trigram.
    Raises InputError for a task with one answer an input.
    """
    if task.reads is None or task.mask is None:
        raise InputError(f"position_losses needs a task with answers at several positions, not {task.name}")
    network = network if network is not None else recognise(weights)
    rows = np.setdiff1d(np.arange(task.n_inputs), [] if train_rows is None else train_rows)
    arrays = {name: jnp.asarray(value) for name, value in weights.items()}
    losses, right = [], []
    for i in range(0, len(rows), ROWS):
        part = rows[i : i + ROWS]
        logits = network.reference_forward(arrays, jnp.asarray(task.inputs[part]), task.shape, reads=task.reads)
        flat, targets = logits.reshape(-1, task.n_classes), jnp.asarray(task.targets[part])
        losses.append(np.asarray(exact_cross_entropy(flat, targets.reshape(-1))).reshape(targets.shape))
        right.append(np.asarray(logits.argmax(axis=-1) == targets))
    loss, hit = np.concatenate(losses), np.concatenate(right)
    mask, targets = task.mask[rows], task.targets[rows]
    return {
        "position": np.arange(task.reads[0] + 1, task.reads[1] + 1),
        "loss": _mean(loss, mask),
        "accuracy": _mean(hit, mask),
        "answer_loss": np.array([_mean(loss.ravel(), (mask & (targets == c)).ravel()) for c in range(task.n_classes)]),
    }


def _mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the first axis where the mask holds; NaN where it holds nowhere."""
    count = mask.sum(axis=0)
    total = np.where(mask, values, 0).sum(axis=0, dtype=np.float64)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
