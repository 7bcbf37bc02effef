"""What each answer alone looks at: one feature matrix a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.measures import feature_matrices
from groklab.measures.alignment import alignment
from groklab.measures.feature_spectra import top_share
from groklab.measures.registry import measure
from groklab.tasks.base import Task


@measure("class_agops")
def class_agops(
    weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None, network: Any = None
) -> dict[str, Any]:
    """The AGOP of each class alone: `trace`, `alignment` with their sum, and `top_share` of the largest eigenvalue.

    Each (n_classes,), over the two operands' one-hots: the gradients are of one output f_l, so that the AGOPs sum to
    that of all (Mallinar et al. 2024, equation 3, and section 5 for one kernel machine a class). top_share: of the
    sizes of all eigenvalues. NaN for a class whose AGOP is zero. Raises InputError as
    `feature_matrices.class_agops` does.
    """
    agops = feature_matrices.class_agops(weights, task, train_rows, network)
    total = agops.sum(axis=0)
    return {
        "trace": np.trace(agops, axis1=1, axis2=2),
        "alignment": np.array([alignment(own, total) for own in agops]),
        "top_share": np.array([top_share(values) for values in np.linalg.eigvalsh(agops)]),
    }
