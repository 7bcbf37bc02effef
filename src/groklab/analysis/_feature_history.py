"""How a model's feature matrices and its losses move over its checkpoints, as numbers (Mallinar et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.measures import (
    alignment,
    blocks,
    circulant_power,
    deviations,
    effective_rank,
    fit_identity_and_ones,
    logarithmic,
    top_share,
)

#: The test loss has moved from where it began by this share; test accuracy has risen by this over what it began
#: with.
MOVED, RISEN = 0.01, 0.05


@dataclass(frozen=True)
class TurningPoints:
    """Where test loss and accuracy first move.

    Args:
        loss_moves_step: the first step whose test loss differs by 1% from the beginning, None where there is none.
        accuracy_rises_step: the first whose test accuracy is 5 points above the beginning, None where there is none.
        accuracy_over: the bar that accuracy passes, rounded up to a percent.
    """

    loss_moves_step: int | None
    accuracy_rises_step: int | None
    accuracy_over: float


def turning_points(metrics: pl.DataFrame) -> TurningPoints:
    """Return where test loss and accuracy first move; metrics: columns step, test_loss, test_accuracy."""
    rows = metrics.sort("step")
    if rows.is_empty():
        return TurningPoints(None, None, RISEN)
    step = rows["step"].to_numpy()
    loss, accuracy = (rows[k].cast(pl.Float64).fill_null(np.nan).to_numpy() for k in ("test_loss", "test_accuracy"))
    moved = np.flatnonzero(np.abs(loss / loss[0] - 1) > MOVED) if loss[0] else np.array([], int)
    begins = accuracy[0] if np.isfinite(accuracy[0]) else 0.0
    bar = float(np.ceil(100 * (begins + RISEN) - 1e-9) / 100)
    risen = np.flatnonzero(accuracy > bar)
    return TurningPoints(
        int(step[moved[0]]) if len(moved) else None,
        int(step[risen[0]]) if len(risen) and risen[0] > 0 else None,
        bar,
    )


def recorded(metrics: pl.DataFrame, steps: Sequence[int]) -> dict[str, list[Any]]:
    """Return the evaluations at some steps by name, None where there is none, with `step` among them."""
    names = [k for k in metrics.columns if k not in ("step", "member")]
    at = pl.DataFrame({"step": steps}).join(metrics, on="step", how="left", maintain_order="left")
    return {"step": list(steps), **{k: at[k].cast(pl.Float64).to_list() for k in names}}


def history_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Return one row per step of feature matrices (2p, 2p), null where there is no number.

    Columns: step; toeplitz, hankel, toeplitz_log, hankel_log: circulant deviation of the bottom-left block; full,
    off_block: alignment with the last matrix; c1, c2, ratio, residual of the top-left block as c1 I + c2 11';
    off_diagonal_share of the squares; effective_rank and top_share of the eigenvalues.
    """
    final = matrices[max(matrices)]
    rows: list[dict[str, Any]] = []
    for _, matrix in sorted(matrices.items()):
        first, upper, lower, _ = blocks(matrix)
        c1, c2, residual = fit_identity_and_ones(first)
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        energy = float(np.sum(matrix**2))
        rows.append(
            {
                **deviations(lower),
                "full": alignment(matrix, final),
                "off_block": alignment(lower, blocks(final)[2]),
                "c1": c1,
                "c2": c2,
                "ratio": c2 * len(first) / c1 if c1 else np.nan,
                "residual": residual,
                "off_diagonal_share": float(np.sum(upper**2) + np.sum(lower**2)) / energy if energy else np.nan,
                "effective_rank": effective_rank(values),
                "top_share": top_share(values),
            }
        )
    frame = pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.Float64)).fill_nan(None)
    return frame.insert_column(0, pl.Series("step", sorted(matrices), pl.Int64))


def lower_block(matrix: np.ndarray, orientation: str) -> np.ndarray:
    """Return the bottom-left block, without 0 and in log order where the orientation is of that order."""
    block = blocks(matrix)[2]
    return logarithmic(block) if orientation.endswith("_log") else np.asarray(block)


def power_by_frequency(matrix: np.ndarray, orientation: str) -> np.ndarray:
    """Return the power (q//2 + 1,) of the circulant of this orientation closest to the bottom-left block."""
    wrapping: Any = orientation.removesuffix("_log")
    return np.asarray(circulant_power(lower_block(matrix, orientation), wrapping))
