"""What any learner predicts on all inputs of a task, and how wrong that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Bool, Float64, Shaped
from groklab.measures.activity import activity
from groklab.measures.feature_matrices import is_kernel_machine, settings_and_rows
from groklab.measures.registry import measure
from groklab.tasks.base import Task


def outputs(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> Float64[np.ndarray, "n_inputs n_answers"]:
    """(N, n_answers) predictions of a kernel machine or logits of a network on all N inputs; other classes dropped.

    train_rows: what a kernel machine is fitted on; a network needs none. Raises InputError for a kernel machine
    without its settings or rows, and for a task of more than one answer an input.
    """
    if task.targets.ndim != 1:
        raise InputError(f"this measure applies to one answer an input, and {task.name} has more")
    if is_kernel_machine(weights, network):
        settings, rows = settings_and_rows(network, train_rows)
        return np.asarray(settings.outputs(weights, task, rows), np.float64)[:, : task.n_answers]
    return np.asarray(activity(weights, task, network)["logits"], np.float64)


def is_right(values: Float64[np.ndarray, "n classes"], targets: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """(n,) whether the target's value (n, classes) is the largest; a tie counts as wrong."""
    hit = np.arange(values.shape[1]) == np.asarray(targets)[:, None]
    own = np.max(np.where(hit, values, -np.inf), axis=1)
    other = np.max(np.where(hit, -np.inf, values), axis=1)
    return np.asarray(own > other)


def train_and_test(task: Task, train_rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The training rows, and all others; raises InputError where none are given."""
    if train_rows is None:
        raise InputError("train and test errors need train_rows")
    return np.asarray(train_rows), np.setdiff1d(np.arange(task.n_inputs), train_rows)


@measure("errors", online=True)
def errors(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """Errors of any learner's predictions against one-hot answers, on training and test set.

    train_mse, test_mse: mean of squares over inputs and answers. train_accuracy, test_accuracy: share of inputs whose
    answer has the largest value; a tie counts as wrong. train_correct_loss, test_correct_loss: mean over
    inputs of (f_y(x) − 1)² for the right class y alone (Mallinar et al. 2024, section 3). NaN for an empty set.
    Raises InputError without training rows, and as `outputs` does.
    """
    sets = dict(zip(("train", "test"), train_and_test(task, train_rows), strict=True))
    values = outputs(weights, task, train_rows, network)
    own = values[np.arange(task.n_inputs), task.targets]
    wanted = np.arange(values.shape[1]) == task.targets[:, None]
    per_input = {
        "mse": np.mean((values - wanted) ** 2, axis=1),
        "accuracy": is_right(values, task.targets),
        "correct_loss": (own - 1) ** 2,
    }
    return {f"{s}_{k}": mean(v[rows]) for k, v in per_input.items() for s, rows in sets.items()}


def mean(values: Shaped[np.ndarray, " n"]) -> float:
    """The mean of some numbers; NaN of none."""
    return float(np.mean(values)) if len(values) else float("nan")
