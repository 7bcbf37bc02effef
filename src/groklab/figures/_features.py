"""Feature matrices through the checkpoints: their entries, their eigenvalues, and the Fourier picture of a block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import floor, log10
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import lower_block, power_by_frequency
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._heatmaps import SCALE, heatmap, square_axes
from groklab.figures._panels import bars_by_step, by_step, domain, note, slider_frames
from groklab.figures._registry import Drawing, feature_figure
from groklab.figures._taken import spread
from groklab.figures._theme import (
    BAR,
    DIVERGING,
    FAINT,
    GREEN,
    MUTED,
    TEST,
    axis,
    axis_suffix,
    slider,
    styled,
    trace,
)
from groklab.measures import transformed
from groklab.store import thin_evenly
from groklab.tasks import log_order

#: The largest whole number in which an entry is written: two bytes, a page's worth of matrices being large.
LARGEST = 32_000
#: Entries of all matrices that a page holds, two bytes and a third each: many large matrices make a page heavy.
ENTRIES = 700_000
#: The most steps of a slider over a kernel machine's iterations.
ITERATIONS = 31
TICKS = {"size": 11, "color": MUTED}


@feature_figure(
    "feature_matrix",
    title="The feature matrix",
    place=20,
    about="Which pairs of input coordinates the model's outputs depend on: bands in the off-diagonal block mean that "
    "it looks at the sum or the difference of the operands.",
)
def matrix(run: RunContext) -> Drawing:
    """Draw the entries of the feature matrix."""
    f = run.features
    plot = feature_matrices(matrix_frame(shown_matrices(run)), reordered=f.reordered)
    return Drawing(run.whose + f.matrix_sentence(), plot, title=f"The feature matrix {f.matrix}")


@feature_figure(
    "eigenvalues",
    title="Spectrum of the feature matrix",
    place=30,
    about="The eigenvalues of the feature matrix in order: how many directions of the inputs the model uses.",
)
def eigenvalues(run: RunContext) -> Drawing:
    """Draw the eigenvalues of the feature matrix."""
    plot = feature_eigenvalues(eigenvalue_frame(shown_matrices(run)))
    return Drawing(run.whose + run.features.spectrum_sentence(), plot, title=f"Spectrum of {run.features.matrix}")


@feature_figure(
    "block_fourier",
    title="The off-diagonal block in Fourier components",
    place=40,
    applies_to=attrgetter("has_block"),
    about="The off-diagonal block of the feature matrix between waves: a circulant block is a diagonal.",
)
def block(run: RunContext) -> Drawing:
    """Draw the block's Fourier transform, where a circulant is a diagonal."""
    f = run.features
    plot = block_fourier(block_frame(shown_matrices(run), str(f.orientation)))
    return Drawing(run.whose + f.fourier_sentence(), plot)


@feature_figure(
    "block_power",
    title="Power of each frequency in the block",
    place=50,
    applies_to=attrgetter("has_block"),
    about="How the closest circulant of the off-diagonal block is divided among frequencies.",
)
def power(run: RunContext) -> Drawing:
    """Draw the power of each frequency in the block's closest circulant."""
    f = run.features
    plot = block_power(power_frame(shown_matrices(run), str(f.orientation)))
    return Drawing(run.whose + f.power_sentence(), plot)


def shown_matrices(run: RunContext) -> dict[int, np.ndarray]:
    """Return the feature matrices by step that a slider goes through."""
    f = run.features
    most = max(2, ENTRIES // ((2 if f.reordered else 1) * f.final.size))
    steps = list(f.matrices)
    shown = thin_evenly(steps, min(ITERATIONS, most)) if f.kernel_machine else run.thinned(run.thinned(steps), most)
    return {step: f.matrices[step] for step in shown}


def feature_matrices(frame: pl.DataFrame, *, reordered: bool = False) -> Figure:
    """Draw a feature matrix (2p, 2p) with a slider, at first at the last step, in colours centred at zero.

    The colours end at the largest entry off the main diagonal, of all steps, so that a large diagonal hides nothing;
    entries are rounded to about four figures.

    Args:
        frame: columns step, row, column, value (`matrix_frame`).
        reordered: draw beside it the same matrix with each operand's residues in the order 0, g, g², … = 1 of powers of
            the smallest generator.

    Raises:
        InputError: for `reordered` where p is not prime.
    """
    values, steps = _stacked(frame)
    d = values.shape[1]
    p = d // 2
    orders = [("natural order", np.arange(p))]
    if reordered:
        orders.append(("in log order", np.concatenate([[0], log_order(p)])))
    integers, unit, exponent = _rounded(values)
    off = np.abs(values[:, ~np.eye(d, dtype=bool)])
    end = float(off.max(initial=0.0)) or float(np.abs(values).max(initial=0.0)) or 1.0
    ticks = {"tickvals": [t / unit for t in (-end, 0, end)], "ticktext": [f"−{end:.2g}", "0", f"{end:.2g}"]}
    layout: dict[str, Any] = {
        "width": 560 if len(orders) == 1 else 1000,
        "height": 636 if len(orders) == 1 else 580,
        "annotations": [],
        "shapes": [],
        "showlegend": False,
        "margin": {"l": 44, "r": 12, "t": 34, "b": 80},
        "sliders": [slider(steps)],
        "coloraxis": {
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -end / unit,
            "cmax": end / unit,
            "colorbar": {**BAR, "ypad": 44, **ticks},
        },
    }
    traces, places = [], []
    for i, (title, order) in enumerate(orders):
        suffix = axis_suffix(i)
        place = np.concatenate([order, p + order])
        places.append(np.ix_(place, place))
        x = domain(i, len(orders), 0.12)
        hover = f"row %{{y}}, column %{{x}}: %{{z}} × 10<sup>−{exponent}</sup>"
        traces.append(heatmap(integers[-1][places[-1]], hover, i, coloraxis="coloraxis"))
        layout |= square_axes(suffix, d, x, **_ticks(p, powers=i == 1))
        layout["shapes"] += _cross(suffix, p)
        layout["annotations"].append(note(title, sum(x) / 2, 1, yshift=4))
    changes = {
        s: [{"type": "heatmap", "z": entries[place]} for place in places]
        for s, entries in zip(steps, integers, strict=True)
    }
    return styled(traces, layout, slider_frames(changes), frame.with_columns(pl.col("value").round_sig_figs(5)))


def block_fourier(frame: pl.DataFrame) -> Figure:
    """Draw the magnitudes |F B F^H| of a block's Fourier transform with a slider, at first at the last step.

    Args:
        frame: columns step, row, column, value (`block_frame`): frequencies 0..q−1; or the measure `feature_fourier`,
            as `gl.take` returns it.
    """
    frame = spread(frame, {"value": "magnitude"}, ("row", 0), ("column", 0))
    values, steps = _stacked(frame)
    q = values.shape[1]
    integers, unit, exponent = _rounded(values)
    end = float(values.max(initial=0.0)) or 1.0
    bar = {**BAR, "ypad": 48, "tickvals": [0, end / unit], "ticktext": ["0", f"{end:.2g}"]}
    hover = f"frequencies %{{y}}, %{{x}}: %{{z}} × 10<sup>−{exponent}</sup>"
    cells = heatmap(integers[-1], hover, colorscale=SCALE, zmin=0, zmax=end / unit, colorbar=bar)
    layout: dict[str, Any] = {
        "width": 560,
        "height": 630,
        "margin": {"l": 56, "r": 12, "t": 16, "b": 92},
        "showlegend": False,
        "sliders": [slider(steps)],
        **square_axes("", q, nticks=7, tickfont=TICKS),
    }
    layout["xaxis"]["title"] = {"text": "frequency of the columns", "standoff": 4}
    layout["yaxis"]["title"] = {"text": "frequency of the rows", "standoff": 4}
    changes = {s: [{"type": "heatmap", "z": entries}] for s, entries in zip(steps, integers, strict=True)}
    return styled([cells], layout, slider_frames(changes), frame.with_columns(pl.col("value").round_sig_figs(5)))


def block_power(frame: pl.DataFrame) -> Figure:
    """Draw the power of each frequency in a block's closest circulant with a slider, at first at the last step.

    Args:
        frame: columns step, frequency, power (`power_frame`).
    """
    bars = {"": ("", {"color": GREEN}, "frequency %{x}: %{y:.3g}")}
    return bars_by_step(frame, "power", bars, ("frequency k", "power in the circulant"))


def feature_eigenvalues(frame: pl.DataFrame) -> Figure:
    """Draw the eigenvalues of a feature matrix in order with a slider, at first at the last step.

    Args:
        frame: columns step, place (1.., descending), value (`eigenvalue_frame`); or the measure `feature_spectrum`, as
            `gl.take` returns it.
    """
    frame = spread(frame, {"value": "eigenvalues"}, ("place", 1))
    values = by_step(frame, "place", "value")
    place, last = values[max(values)]
    points = trace("markers", place, last, "eigenvalue %{x}: %{y:.3g}", TEST, marker={"size": 5})
    low, top = (float(end or 0.0) for end in (frame["value"].min(), frame["value"].max()))  # type: ignore[arg-type]
    top = top or 1.0
    layout = {
        "height": 380,
        "xaxis": axis("eigenvalue, in descending order", showgrid=False, range=[0, len(last) + 1]),
        "yaxis": axis("size", range=[min(low, 0) - 0.03 * top, 1.05 * top]),
        "showlegend": False,
        "sliders": [slider(list(values))],
    }
    changes = {s: [{"type": "scatter", "y": y}] for s, (_, y) in values.items()}
    return styled([points], layout, slider_frames(changes), frame)


def _stacked(frame: pl.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Return values (n_steps, d, d), and the steps."""
    ordered = frame.sort("step", "row", "column")
    steps = ordered["step"].unique().sort().to_list()
    d = round((len(ordered) / len(steps)) ** 0.5)
    return ordered["value"].to_numpy().reshape(len(steps), d, d), steps


def _rounded(values: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Return values as integers in units of 10^-power, the unit, and the power."""
    largest = float(np.abs(values).max(initial=0.0))
    power = floor(log10(LARGEST / largest)) if largest > 0 else 4
    unit = 10.0**-power
    return np.round(values / unit).astype(np.int16), unit, power


def _ticks(p: int, *, powers: bool) -> dict[str, Any]:
    """Return ticks of both operands' residues, two each so that a phone has room."""
    middle = p // 2 if p < 20 else p // 2 // 5 * 5
    text = f"g<sup>{middle}</sup>" if powers else str(middle)
    return {
        "tickvals": [0, middle, p, p + middle],
        "ticktext": ["a: 0", text, "b: 0", text],
        "tickangle": 0,
        "tickfont": TICKS,
    }


def _cross(suffix: str, p: int) -> list[dict[str, Any]]:
    """Return lines between the four blocks."""
    line = {"type": "line", "line": {"color": FAINT, "width": 1}}
    x, y, at = f"x{suffix}", f"y{suffix}", p - 0.5
    return [
        {**line, "xref": x, "yref": f"{y} domain", "x0": at, "x1": at, "y0": 0, "y1": 1},
        {**line, "xref": f"{x} domain", "yref": y, "x0": 0, "x1": 1, "y0": at, "y1": at},
    ]


def matrix_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Return every entry of every matrix, in the columns step, row, column and value."""

    def entries(matrix: np.ndarray) -> dict[str, np.ndarray]:
        row, column = np.indices(matrix.shape, np.int32)
        return {"row": row.ravel(), "column": column.ravel(), "value": matrix.ravel()}

    return _by_step(matrices, entries)


def eigenvalue_frame(matrices: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Return the eigenvalues of each matrix, symmetrised, in the columns step, place (1.., descending) and value."""

    def ordered(matrix: np.ndarray) -> dict[str, np.ndarray]:
        values = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1].copy()
        return {"place": np.arange(1, len(values) + 1, dtype=np.int32), "value": values}

    return _by_step(matrices, ordered)


def block_frame(matrices: Mapping[int, np.ndarray], orientation: str) -> pl.DataFrame:
    """Return `matrix_frame` of |F B F^H|, B the bottom-left block, without 0 and in log order where that is meant."""
    return matrix_frame({step: transformed(lower_block(matrix, orientation)) for step, matrix in matrices.items()})


def power_frame(matrices: Mapping[int, np.ndarray], orientation: str) -> pl.DataFrame:
    """Return the power of the circulant of this orientation closest to each lower block, by frequency.

    Columns: step, frequency (0..q//2), power.
    """

    def by_frequency(matrix: np.ndarray) -> dict[str, np.ndarray]:
        power = power_by_frequency(matrix, orientation)
        return {"frequency": np.arange(len(power), dtype=np.int32), "power": power}

    return _by_step(matrices, by_frequency)


def _by_step(
    matrices: Mapping[int, np.ndarray], columns: Callable[[np.ndarray], Mapping[str, np.ndarray]]
) -> pl.DataFrame:
    """Return the columns of each matrix, one below the other, behind its step."""
    frames = {step: pl.DataFrame(columns(matrix)) for step, matrix in sorted(matrices.items())}
    return pl.concat(frame.insert_column(0, pl.lit(s, pl.Int64).alias("step")) for s, frame in frames.items())
