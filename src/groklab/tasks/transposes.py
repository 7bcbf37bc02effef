"""Which inputs of a commutative task can be answered from their transpose."""

from __future__ import annotations

import numpy as np

from groklab.tasks.base import Task


def in_transpose(task: Task, train_rows: np.ndarray) -> np.ndarray | None:
    """(N,) bool, whether (y, x) is trained on for each input (x, y); None unless the task is commutative, on pairs."""
    operands = task.algebra.operands
    if not task.algebra.commutative or operands is None or operands.shape[1] < 2:
        return None
    size = int(operands.max()) + 1
    rest = operands[:, 2:]
    swapped = np.concatenate([operands[:, 1::-1], rest], axis=1)
    powers = size ** np.arange(operands.shape[1], dtype=np.int64)
    return np.isin(swapped @ powers, operands[train_rows] @ powers)
