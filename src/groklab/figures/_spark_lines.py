"""Learning curves small enough for a cell of a table: SVG paths without axes, over the logarithm of steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from groklab.store import thin

#: The drawing's own units; a page stretches it to any size.
WIDTH, HEIGHT = 240, 100
#: Length of the dash that stands for a single evaluation.
DASH = 6


def across(steps: np.ndarray, last: int) -> np.ndarray:
    """Return places of steps from 0 to WIDTH: log(1 + step), so that step 0 has one too."""
    return np.asarray(WIDTH * np.log1p(steps) / np.log1p(max(last, 1)))


def spark_lines(
    curves: Sequence[pl.DataFrame], last: int, points: int, keep: Sequence[Sequence[int | None]] = ()
) -> tuple[str, str]:
    """Return SVG paths of training and of test accuracy, from 0 to 1 upwards, each of all curves together.

    Args:
        curves: columns step, train_accuracy and test_accuracy in the order of steps.
        last: the step at the right edge; lines begin at the first step after 0.
        points: about how many are kept of each curve.
        keep: for each curve, steps that are kept in any case.
    """
    kept = keep or [()] * len(curves)
    train, test = (
        "".join(_line(frame, name, last, points, steps) for frame, steps in zip(curves, kept, strict=True))
        for name in ("train_accuracy", "test_accuracy")
    )
    return train, test


def _line(frame: pl.DataFrame, name: str, last: int, points: int, keep: Sequence[int | None]) -> str:
    # in NumPy: a page has thousands of them, and a frame's own filter takes a millisecond
    steps, values = frame["step"].to_numpy(), frame[name].to_numpy()
    # a line from step 0 would rise over steps at which nothing was measured
    finite = np.isfinite(values) & (steps > 0)
    steps, values = steps[finite], values[finite]
    if not len(steps):
        return ""
    kept = np.searchsorted(steps, thin(steps, points, keep))
    x = np.rint(across(steps[kept], last)).astype(int)
    y = np.rint(HEIGHT * (1 - np.clip(values[kept], 0, 1))).astype(int)
    # within a level stretch the ends are enough
    level = np.zeros(len(y), bool)
    level[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])
    x, y = x[~level], y[~level]
    moves = [f"{dx} {dy}" for dx, dy in zip(np.diff(x), np.diff(y), strict=True) if dx or dy]
    if not moves:
        # one evaluation: a dash that ends there
        return f"M{max(x[0] - DASH, 0)} {y[0]}h{min(x[0], DASH)}"
    return f"M{x[0]} {y[0]}l{' '.join(moves)}".replace(" -", "-")
