"""Learning curves small enough for a cell of a table: SVG without axes, over the logarithm of steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from groklab.store.thinning import thin

#: The drawing's own units; a page stretches it to any size.
WIDTH, HEIGHT = 240, 100
#: What a single evaluation is drawn with.
DASH = 6


def across(steps: np.ndarray, last: int) -> np.ndarray:
    """Places of steps from 0 to WIDTH: log(1 + step), so that step 0 has one too."""
    return np.asarray(WIDTH * np.log1p(steps) / np.log1p(max(last, 1)))


def spark_line(curves: Sequence[pl.DataFrame], last: int, points: int) -> str:
    """Test accuracy of each frame, and fainter its training accuracy, from 0 to 1 upwards, in one drawing.

    curves: columns step, train_accuracy and test_accuracy in the order of steps. last: the step at the right edge.
    points: kept of each curve, about. Lines begin at the first step after 0.
    """
    paths = []
    for name, kind in (("train_accuracy", "train"), ("test_accuracy", "test")):
        lines = "".join(_line(frame, name, last, points) for frame in curves)
        paths += [f'<path class="{kind}" d="{lines}"/>'] if lines else []
    inside = "".join(paths)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg class="spark" {box} aria-hidden="true">{inside}</svg>'


def _line(frame: pl.DataFrame, name: str, last: int, points: int) -> str:
    # in NumPy: a page has thousands of them, and a frame's own filter takes a millisecond
    steps, values = frame["step"].to_numpy(), frame[name].to_numpy()
    # a line from step 0 would rise over steps at which nothing was measured
    whole = np.isfinite(values) & (steps > 0)
    steps, values = steps[whole], values[whole]
    if not len(steps):
        return ""
    kept = np.searchsorted(steps, thin(steps, points))
    x = np.rint(across(steps[kept], last)).astype(int)
    y = np.rint(HEIGHT * (1 - np.clip(values[kept], 0, 1))).astype(int)
    # within a level stretch the ends say it all
    level = np.zeros(len(y), bool)
    level[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])
    x, y = x[~level], y[~level]
    moves = [f"{dx} {dy}" for dx, dy in zip(np.diff(x), np.diff(y), strict=True) if dx or dy]
    if not moves:
        # one evaluation: a dash that ends there
        return f"M{max(x[0] - DASH, 0)} {y[0]}h{min(x[0], DASH)}"
    return f"M{x[0]} {y[0]}l{' '.join(moves)}".replace(" -", "-")
