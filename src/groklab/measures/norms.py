"""Sizes of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.measures.registry import measure
from groklab.tasks.base import Task


@measure("weight_norms", online=True)
def weight_norms(weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None) -> dict[str, Any]:
    """Sum of squares of each weight by its name, and of all together as `total` (Nanda et al. 2023, section 5.2)."""
    squares = {k: float(np.sum(np.square(np.asarray(v, np.float64)))) for k, v in weights.items()}
    return {**squares, "total": sum(squares.values())}
