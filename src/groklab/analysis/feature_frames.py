"""Tidy frames of feature matrices through training: how circulant, how close to the final one, of what spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from groklab.measures.circulance import best, deviations, fit_identity_and_ones, logarithmic
from groklab.measures.feature_alignment import alignment
from groklab.measures.feature_matrices import blocks
from groklab.measures.feature_spectra import circulant_power, effective_rank, top_share, transformed

#: The test loss has moved from where it began by this share; test accuracy has risen by this over what it began
#: with.
MOVED, RISEN = 0.01, 0.05


def history_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """One row a step of feature matrices (2p, 2p), of what is said of them; null where there is no number.

    step; toeplitz, hankel, toeplitz_log, hankel_log: circulant deviation of the bottom-left block; whole, off_block:
    alignment with the last matrix; c1, c2, ratio, residual of the top-left block as c1 I + c2 11';
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
                "whole": alignment(matrix, final),
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


def orientation_of(history: pl.DataFrame) -> str | None:
    """The orientation of the smallest deviation at the last step of a `history_frame`; None where there is none."""
    return best(history.row(-1, named=True))


def turning_points(metrics: pl.DataFrame) -> dict[str, Any]:
    """Where the test loss first moves by 1%, and where test accuracy is first 5 points above its beginning.

    metrics: columns step, test_loss, test_accuracy. `loss_moves_step` and `accuracy_rises_step` are None where that
    never happens; `accuracy_over` is the bar that accuracy passes, a whole percentage.
    """
    rows = metrics.sort("step")
    found: dict[str, Any] = {"loss_moves_step": None, "accuracy_rises_step": None, "accuracy_over": RISEN}
    if rows.is_empty():
        return found
    step = rows["step"].to_numpy()
    loss, accuracy = (rows[k].cast(pl.Float64).fill_null(np.nan).to_numpy() for k in ("test_loss", "test_accuracy"))
    moved = np.flatnonzero(np.abs(loss / loss[0] - 1) > MOVED) if loss[0] else np.array([], int)
    begins = accuracy[0] if np.isfinite(accuracy[0]) else 0.0
    found["accuracy_over"] = bar = float(np.ceil(100 * (begins + RISEN) - 1e-9) / 100)
    risen = np.flatnonzero(accuracy > bar)
    if len(moved):
        found["loss_moves_step"] = int(step[moved[0]])
    if len(risen) and risen[0] > 0:
        found["accuracy_rises_step"] = int(step[risen[0]])
    return found


def matrix_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Columns step, row, column, value: every entry of every matrix."""
    parts = []
    for step, matrix in sorted(matrices.items()):
        row, column = np.indices(matrix.shape, np.int32)
        columns = {"row": row.ravel(), "column": column.ravel(), "value": matrix.ravel()}
        parts.append(pl.DataFrame(columns).insert_column(0, _step(step)))
    return pl.concat(parts)


def eigenvalue_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Columns step, place (1.., descending), value: the eigenvalues of each matrix, symmetrised."""
    parts = []
    for step, matrix in sorted(matrices.items()):
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1].copy()
        columns = {"place": np.arange(1, len(values) + 1, dtype=np.int32), "value": values}
        parts.append(pl.DataFrame(columns).insert_column(0, _step(step)))
    return pl.concat(parts)


def block_frame(matrices: Mapping[int, np.ndarray], orientation: str) -> pl.DataFrame:
    """`matrix_frame` of |F B F^H|, B the bottom-left block, without 0 and in log order if the orientation says so."""
    return matrix_frame({step: transformed(_ordered(matrix, orientation)) for step, matrix in matrices.items()})


def power_frame(matrices: Mapping[int, np.ndarray], orientation: str) -> pl.DataFrame:
    """Columns step, frequency (0..q//2), power: of the circulant of this orientation closest to each lower block."""
    wrapping: Any = orientation.removesuffix("_log")
    parts = []
    for step, matrix in sorted(matrices.items()):
        power = circulant_power(_ordered(matrix, orientation), wrapping)
        columns = {"frequency": np.arange(len(power), dtype=np.int32), "power": power}
        parts.append(pl.DataFrame(columns).insert_column(0, _step(step)))
    return pl.concat(parts)


def _ordered(matrix: np.ndarray, orientation: str) -> np.ndarray:
    block = blocks(matrix)[2]
    return logarithmic(block) if orientation.endswith("_log") else np.asarray(block)


def _step(step: int) -> pl.Expr:
    return pl.lit(step, pl.Int64).alias("step")
