"""Whether a learner of a commutative operation knows more than that a + b = b + a."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Bool
from groklab.measures.feature_matrices import has_two_operands
from groklab.measures.prediction_errors import is_right, mean, outputs, train_and_test
from groklab.measures.registry import measure
from groklab.tasks.base import Task
from groklab.tasks.transposes import in_transpose


def transpose_is_trained(task: Task, train_rows: np.ndarray) -> Bool[np.ndarray, " n_inputs"]:
    """(N,) whether the training rows hold an input's transpose: its two operands exchanged, all else as it is.

    Columns of `operands` beyond the two operands, such as one that says which operation is meant, stay.
    An input (a, a) is its own transpose. Raises InputError where the order of operands matters, and where the task
    holds each pair in one order only.
    """
    if not task.algebra.commutative:
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
def stratified_accuracy(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """Test accuracy apart for pairs whose transpose was trained on, so that commutativity alone answers them.

    `test_accuracy` of all test pairs, `transposed_accuracy` of those (a, b) whose (b, a) is in the training set,
    `transpose_free_accuracy` of the others; `n_transposed`, `n_transpose_free`: how many there are. For commutative
    operations on ordered pairs, and any learner; NaN where there is no such pair. Raises InputError as
    `transpose_is_trained` and `outputs` do.
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
