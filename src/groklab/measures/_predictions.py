"""What a learner predicts on the inputs of a task, and how wrong that is: by set, by transpose, by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Bool, Float64, Shaped, jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._feature_matrices import has_two_operands, is_kernel_machine, settings_and_rows
from groklab.measures._registry import Rows, Weights, measure
from groklab.objectives import exact_cross_entropy
from groklab.tasks import Task, in_transpose

#: Inputs of one forward pass of `position_losses`.
ROWS = 1024


def outputs(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> Float64[np.ndarray, "n_inputs n_answers"]:
    """Return the predictions of a kernel machine or the logits of a network on all N inputs; other classes are dropped.

    Args:
        train_rows: what a kernel machine is fitted on; a network needs none.

    Raises:
        InputError: for a kernel machine without its settings or rows, and for a task of more than one answer per input.
    """
    if task.targets.ndim != 1:
        raise InputError(f"this measure applies to one answer per input, and {task.name} has more")
    if is_kernel_machine(weights, network):
        settings, rows = settings_and_rows(network, train_rows)
        return np.asarray(settings.outputs(weights, task, rows), np.float64)[:, : task.n_answers]
    return np.asarray(activity(weights, task, network)["logits"], np.float64)


def is_right(values: Float64[np.ndarray, "n classes"], targets: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return whether the target's value is the largest, (n,); a tie counts as wrong."""
    hit = np.arange(values.shape[1]) == np.asarray(targets)[:, None]
    own = np.max(np.where(hit, values, -np.inf), axis=1)
    other = np.max(np.where(hit, -np.inf, values), axis=1)
    return np.asarray(own > other)


def train_and_test(task: Task, train_rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the training rows, and all others. Raises InputError where none are given."""
    if train_rows is None:
        raise InputError("train and test errors need train_rows, the inputs trained on, which are not known")
    return np.asarray(train_rows), np.setdiff1d(np.arange(task.n_inputs), train_rows)


@measure("errors", online=True)
def errors(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, float]:
    """Errors of any learner's predictions against one-hot answers, on training and test set.

    train_mse, test_mse: mean of squares over inputs and answers. train_accuracy, test_accuracy: share of inputs whose
    answer has the largest value; a tie counts as wrong. train_correct_loss, test_correct_loss: mean over inputs of
    (f_y(x) − 1)² for the right class y alone (Mallinar et al. 2024, section 3). NaN for an empty set. Raises InputError
    without training rows, and as `outputs` does.
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


def transpose_is_trained(task: Task, train_rows: np.ndarray) -> Bool[np.ndarray, " n_inputs"]:
    """Return whether the training rows hold an input's transpose, (N,): its two operands exchanged, all else the same.

    Columns of `operands` beyond the two operands, such as one that says which operation is meant, stay. An input (a, a)
    is its own transpose.

    Raises:
        InputError: where the order of operands matters, and where the task holds each pair in one order only.
    """
    if not task.algebra.transposable:
        raise InputError(f"transposes say nothing of {task.name}: order of operands matters")
    if not has_two_operands(task):
        raise InputError(f"this measure applies to pairs of operands, and not to {task.name}")
    trained = in_transpose(task, train_rows)
    assert trained is not None
    operands = task.operands
    differ = operands[:, 0] != operands[:, 1]
    if differ.any() and not np.any(in_transpose(task, np.arange(task.n_inputs)), where=differ):
        raise InputError(f"this measure applies to ordered pairs, and {task.name} holds each in one order only")
    return trained


@measure("stratified_accuracy", online=True)
def stratified_accuracy(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, float]:
    """Test accuracy with and without pairs whose transpose was trained on, which symmetry alone answers.

    `test_accuracy` of all test pairs, `transposed_accuracy` of those (a, b) whose (b, a) is in the training set,
    `transpose_free_accuracy` of the others; `n_transposed`, `n_transpose_free`: how many there are. For symmetric
    and antisymmetric operations on ordered pairs, and any learner; NaN without such pairs. Raises InputError
    as `transpose_is_trained` and `outputs` do.
    """
    train, test = train_and_test(task, train_rows)
    trained = transpose_is_trained(task, train)[test]
    right = is_right(outputs(weights, task, train, network)[test], task.targets[test])
    return {
        "test_accuracy": mean(right),
        "transpose_free_accuracy": mean(right[~trained]),
        "transposed_accuracy": mean(right[trained]),
        "n_transpose_free": int(np.sum(~trained)),
        "n_transposed": int(np.sum(trained)),
    }


@measure("position_losses", online=True)
def position_losses(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> dict[str, np.ndarray]:
    """Cross-entropy and accuracy of the test set at each answer's position, and for each answer (Nanda et al. 2023).

    `position` (n_reads,): that of the predicted token. `loss`, `accuracy` (n_reads,): means over the test inputs whose
    answer counts there, NaN where there are none. `answer_loss` (n_classes,): the same for each answer, at any
    position; of skip trigrams that is one number per trigram. Raises InputError for a task with one answer per input.
    """
    if task.reads is None or task.mask is None:
        raise InputError(f"position_losses needs a task with answers at several positions, not {task.name}")
    network = network_or_recognised(weights, network)
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
    mask = task.mask[rows]
    by_answer = [(mask & (task.targets[rows] == c)).ravel() for c in range(task.n_classes)]
    return {
        "position": np.arange(task.reads[0] + 1, task.reads[1] + 1),
        "loss": _masked_mean(loss, mask),
        "accuracy": _masked_mean(hit, mask),
        "answer_loss": np.array([_masked_mean(loss.ravel(), one) for one in by_answer]),
    }


def mean(values: Shaped[np.ndarray, " n"]) -> float:
    """Return the mean of some numbers; NaN of none."""
    return float(np.mean(values)) if len(values) else float("nan")


def _masked_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis where the mask holds; NaN where it holds nowhere."""
    count = mask.sum(axis=0)
    total = np.where(mask, values, 0).sum(axis=0, dtype=np.float64)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
