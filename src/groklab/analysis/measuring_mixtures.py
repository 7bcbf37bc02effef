"""What is measured of a mixture's operations, as plain JSON values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.grid import grids_of
from groklab.measures.training_stages import RULE, find_phases
from groklab.tasks.base import Task


def operation_numbers(
    task: Task, steps: Sequence[int], found: Mapping[str, np.ndarray], curves: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """`operations`, one object for each whose answer is a function of a ± b, and the names of the others, `left_out`.

    found: the measure `trajectory` of the mixture, arrays (n_steps, n_operations, …); curves: as recorded. Each object
    holds `operation`, `direction` and what `analyse` gives of a task alone: the last values, `phases`, `trajectory` and
    `by_frequency`. What an operation does not have is left out.
    """
    names, (grids, left_out) = task.algebra.operations, grids_of(task)
    told = []
    for i, (name, grid) in enumerate(grids.items()):
        own = {k: v[:, i] for k, v in found.items() if not np.isnan(v[:, i]).all()}
        accuracy = curves[f"test_accuracy_op{names.index(name)}"]
        ends = find_phases(np.array(steps), own["excluded_loss"], curves["step"], accuracy, curves["weight_norm"] ** 2)
        told.append(
            {
                "operation": name,
                "direction": grid.direction,
                **{k: plain(v[-1]) for k, v in own.items()},
                "phases": {**{f"{k}_ends": v for k, v in vars(ends).items()}, "rule": RULE},
                "trajectory": {"step": list(steps), **{k: plain(v) for k, v in own.items() if v.ndim == 1}},
                "by_frequency": {k: plain(v) for k, v in own.items() if v.ndim == 2},
            }
        )
    return {"operations": told, "left_out": left_out}


def sparsity_numbers(weights: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The single numbers of the measure `fourier_sparsity` as `fourier_sparsity`; nothing where it does not apply."""
    with contextlib.suppress(InputError):
        found = MEASURES["fourier_sparsity"](weights, task)
        return {"fourier_sparsity": {k: plain(v) for k, v in found.items() if np.ndim(v) == 0}}
    return {}


def plain(values: np.ndarray) -> Any:
    """Plain numbers, with None in the place of what is not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim == 0:
        return float(array) if np.isfinite(array) else None
    return [plain(v) for v in array]
