"""What a model answers on training rows whose labels are wrong (`split.label_noise`), and on the others.

Doshi et al. 2023 (arXiv 2310.13061): a network can memorise wrong labels and generalise at once, and weight decay can
make it forget them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.measures._feature_matrices import is_kernel_machine
from groklab.measures._predictions import is_right, outputs, train_and_test
from groklab.measures._registry import Rows, Weights, measure
from groklab.tasks import Task


@measure("label_noise", online=True)
def label_noise(
    weights: Weights, task: Task, train_rows: Rows = None, train_targets: Rows = None, network: Any = None
) -> dict[str, float]:
    """Answers on training rows with a wrong label, with a right one, and on the test set.

    corrupted_as_trained: share of rows with a wrong label that are answered with that label; corrupted_as_true: with
    the right answer. clean: share of the other training rows that are answered right; test: of the test set. corrupted:
    number of rows with a wrong label. A tie counts as wrong; a share of no rows is NaN.

    Raises InputError without train_rows and train_targets, and for kernel machines, which keep no labels of their own.
    """
    if is_kernel_machine(weights, network):
        raise InputError("label_noise applies to networks, and these weights are of a kernel machine")
    train, test = train_and_test(task, train_rows)
    if train_targets is None or len(train_targets) != len(train):
        raise InputError("label_noise needs train_targets, the labels trained on: one for each of train_rows")
    values, true, trained = outputs(weights, task, train, network), task.targets, np.asarray(train_targets)
    wrong = trained != true[train]
    return {
        "corrupted_as_trained": _share(is_right(values[train], trained)[wrong]),
        "corrupted_as_true": _share(is_right(values[train], true[train])[wrong]),
        "clean": _share(is_right(values[train], true[train])[~wrong]),
        "test": _share(is_right(values[test], true[test])),
        "corrupted": float(wrong.sum()),
    }


def _share(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")
