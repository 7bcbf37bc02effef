"""How close feature matrices are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures.feature_matrices import blocks, feature_matrix
from groklab.measures.registry import measure
from groklab.tasks.base import Task


def alignment(a: Float64[np.ndarray, "*shape"], b: Float64[np.ndarray, "*shape"]) -> float:
    """The cosine <a, b> / (|a| |b|) of two arrays of one shape as vectors, in [−1, 1]; NaN where one is zero."""
    sizes = np.max(np.abs(a), initial=0.0), np.max(np.abs(b), initial=0.0)
    if 0 in sizes:
        return float("nan")
    # scaled, so that no square is lost below or above the range of floats
    first, second = (a / sizes[0]).ravel(), (b / sizes[1]).ravel()
    return float(np.clip(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)), -1, 1))


@measure("agop_alignment")
def agop_alignment(
    weights: Mapping[str, Any],
    task: Task,
    train_rows: np.ndarray | None = None,
    network: Any = None,
    final: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How close the feature matrix is to that of the final model: 1 is equal but for scale.

    rho(M_t, M_final) (Mallinar et al. 2024, section 3): `whole` of all entries, which starts high because the diagonal
    dominates; `off_block` of the bottom-left p × p block alone, the more telling one, NaN where it is zero as in a
    kernel machine's M at step 0. Needs no order of residues, but the final model's weights, `final`: so it is known
    only afterwards. Raises InputError without them, and as `feature_matrix` does.
    """
    if final is None:
        raise InputError("the alignment is with the final model: agop_alignment needs its weights, `final`")
    now, then = (feature_matrix(w, task, train_rows, network) for w in (weights, final))
    return {"whole": alignment(now, then), "off_block": alignment(blocks(now)[2], blocks(then)[2])}
