"""The lines of a fitted law: what it predicts along the axis of its figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from groklab.laws._fitting import Solution, predicted

if TYPE_CHECKING:
    from groklab.laws._fit import Fit

#: Points of a line, and lines of a second variable; with more, the figure shows predicted against measured times.
POINTS, MOST_LINES = 60, 8


def axis_of(fit: Fit) -> tuple[str, str]:
    """Return the column that is drawn to the right, and its title: the first variable, or the predicted time."""
    if not _by_variable(fit):
        return "predicted", "predicted by the law"
    name = _axis_variable(fit)
    key, unit = fit.times.units[name]
    return name, key if unit == 1 else f"{key} / {unit:g}"


def second_of(fit: Fit) -> str | None:
    """Return the variable that has one line per value, where the law has two."""
    others = [v for v in fit.times.units if v != _axis_variable(fit)]
    return others[0] if others else None


def curves_of(fit: Fit) -> pl.DataFrame:
    """Return columns x, line, predicted, low and high: the law and the 95% band of its median time over seeds.

    Where members are shown by their predicted time, the line is the diagonal, without a band.
    """
    frame = fit.times.frame
    if not _by_variable(fit):
        ends = [float(v) for values in (frame["time"], fit.data_frame["predicted"]) for v in values if np.isfinite(v)]
        x = np.array([min(ends), max(ends)])
        return pl.DataFrame({"x": x, "line": ["as predicted"] * 2, "predicted": x, "low": x, "high": x})
    name, second = _axis_variable(fit), second_of(fit)
    values = frame[name].to_numpy()
    low, high = float(values.min()), float(values.max())
    x = np.geomspace(low, high, POINTS) if low > 0 else np.linspace(low, high, POINTS)
    parts = []
    for value in [None] if second is None else sorted(frame[second].unique()):
        columns = {name: x} | ({} if second is None else {second: np.full(POINTS, value)})
        line = fit.law.name if value is None else f"{fit.times.units[second or ''][0].rpartition('.')[2]} {value:g}"
        center = predicted(fit.law, columns, fit.solution)
        band = np.array([predicted(fit.law, columns, _solution(fit, row)) for row in fit.drawn[:200]])
        bottom, top = np.quantile(band, (0.025, 0.975), axis=0, method="nearest") if len(band) else (center, center)
        finite = np.isfinite(center)
        part = {"x": x, "line": [line] * POINTS, "predicted": center, "low": bottom, "high": top}
        parts.append(pl.DataFrame(part).filter(pl.Series(finite)))
    return pl.concat(parts)


def _axis_variable(fit: Fit) -> str:
    """The variable with the most values, the first of those that tie."""
    frame = fit.times.frame
    return max(fit.times.units, key=lambda name: frame[name].n_unique())


def _by_variable(fit: Fit) -> bool:
    frame, second = fit.times.frame, second_of(fit)
    measured = any(v.measured for v in fit.law.variables)
    few = second is None or frame[second].n_unique() <= MOST_LINES
    return not measured and len(fit.times.units) <= 2 and few


def _solution(fit: Fit, row: np.ndarray) -> Solution:
    n = 1 + len(fit.law.exponents)
    threshold = float(row[n]) if fit.law.threshold is not None else np.nan
    return Solution(np.array([np.log(row[0]), *row[1:n]]), threshold, float(row[-1]), 0.0)
