"""What a representation of sums or products is like, in words: its parallelograms, and how many dimensions it uses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.tasks.base import Task

LINEAR = 2


def representation(weights: Mapping[str, Any], task: Task, train: np.ndarray, model: Any) -> dict[str, Any] | None:
    """The numbers of the measures `parallelograms` and `embedding_components`, plain; None where they say nothing.

    Modulo p the equations leave a constant alone, so that parallelograms there say nothing of how well it generalises.
    """
    if task.algebra.p is not None:
        return None
    found: dict[str, Any] = {}
    with contextlib.suppress(InputError):
        taken = MEASURES["parallelograms"](weights, task, train, network=model)
        found |= {k: float(np.asarray(v)) for k, v in taken.items()}
    if not found:
        return None
    with contextlib.suppress(InputError):
        parts = MEASURES["embedding_components"](weights, task, train, network=model)
        found["effective_dimension"] = float(np.asarray(parts["effective_dimension"]))
    return found


def representation_lines(found: Mapping[str, Any]) -> list[str]:
    """What is known of it, a line each."""
    free = found.get("null_dimension")
    lines = [
        f"The training set has {found['n_parallelograms_train']:,.0f} of them, which imply the answers of "
        f"{found['ideal_accuracy']:.1%} of all inputs."
    ]
    if free is not None:
        meaning = "so that they force a line" if free == LINEAR else "and 2 would force a line"
        lines.append(f"Its equations leave {free:.0f} dimensions free, {meaning}.")
    lines.append(
        f"Parallelograms of the final embedding predict {found['predicted_accuracy']:.1%} of all inputs, "
        f"{found['predicted_test_accuracy']:.1%} of the test set."
    )
    if "effective_dimension" in found:
        lines.append(f"The embedding uses {found['effective_dimension']:.2f} dimensions, as its variances tell.")
    return lines
