"""Training told in phases: losses, progress measures and sizes over one axis of steps (Nanda et al. 2023, figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.panels import Panel, stacked
from groklab.figures.theme import (
    FAINT,
    GREEN,
    GREY,
    INK,
    MUTED,
    OLIVE,
    PINK,
    TEST,
    TRAIN,
    Figure,
    figure,
    key_colours,
    legend,
    log_heights,
)
from groklab.store.thinning import thin_evenly

#: Pixels of the narrowest plot in which the names of phases may not run into each other, and of a letter.
NARROW, LETTER = 260, 7
SHADES = {"memorisation": OLIVE, "circuit formation": PINK, "cleanup": GREEN}
#: What the progress frame's columns are called.
PROGRESS = {
    "restricted_loss": ("restricted loss", GREEN, "solid"),
    "excluded_loss": ("excluded loss", PINK, "solid"),
}
GINI = {"gini_W_E": ("Gini of W_E", TEST, "solid"), "gini_W_L": ("Gini of W_L", OLIVE, "dash")}
Span = tuple[str, int, int]


def training_phases(
    metrics: pl.DataFrame, progress: pl.DataFrame, spans: Sequence[Span], *, loss: str = "loss", points: int = 1200
) -> Figure:
    """Four panels over the steps: losses, restricted and excluded loss, Gini coefficients, sum of squared weights.

    metrics: columns step, train_loss, test_loss, at every evaluation; loss: what these are, with their unit. progress:
    columns step, restricted_loss (all pairs), excluded_loss (training set), sum_of_squares and, where the model has
    them, gini_W_E and gini_W_L, at every checkpoint. spans: (name, first step, last step) of each phase, shaded and
    named; 'stable' stays unshaded.
    """
    kept = metrics.filter(pl.col("step").is_in(thin_evenly(metrics["step"].unique().sort().to_numpy(), points)))
    kept = kept.sort("step")
    progress = progress.sort("step")
    ginis = {c: how for c, how in GINI.items() if c in progress.columns}
    drawn: list[tuple[str, list[dict[str, Any]]]] = [
        (loss, [_line(kept, "train_loss", "train", TRAIN), _line(kept, "test_loss", "test", TEST)]),
        ("cross-entropy", [_line(progress, c, *how, markers=True) for c, how in PROGRESS.items()]),
        (
            "Gini coefficient",
            [_line(progress, c, *how, markers=True) for c, how in ginis.items()],
        ),
        ("sum of squares", [_line(progress, "sum_of_squares", "sum of squared weights", GREY, markers=True)]),
    ]
    panels: list[Panel] = []
    for title, lines in drawn:
        seen = [float(v) for line in lines for v in line["y"] if v == v]
        # losses first, over decades
        axis = log_heights(seen, title) if len(panels) < 2 else {"rangemode": "tozero", "nticks": 5}
        if lines:
            panels.append((title, lines, axis))
    low = min(int(metrics["step"].min() or 0), int(progress["step"].min() or 0))  # type: ignore[arg-type]
    high = max(int(metrics["step"].max() or 1), int(progress["step"].max() or 1), low + 1)  # type: ignore[arg-type]
    layout = stacked(panels, low, high)
    layout |= _shades(spans, low, high, len(panels))
    return figure([line for _, lines, _ in panels for line in lines], layout)


def coefficients(frame: pl.DataFrame, keys: Sequence[int]) -> Figure:
    """The coefficients α_k of cos(w_k(s − c)) in the logits over the steps, the key frequencies' coloured and named.

    frame: columns step, frequency, alpha. Key frequencies are grey too where they are more than there are colours.
    """
    colours = key_colours(keys)
    low, high = int(frame["step"].min() or 0), int(frame["step"].max() or 1)  # type: ignore[arg-type]
    pad = 0.01 * (high - low)
    rest = frame.filter(~pl.col("frequency").is_in(list(colours)))
    traces: list[dict[str, Any]] = []
    if len(rest):
        xs: list[Any] = []
        ys: list[Any] = []
        ks: list[Any] = []
        for (k,), rows in rest.sort("step").group_by("frequency", maintain_order=True):
            # a gap between two lines of one trace
            xs += [rows["step"].to_numpy().astype(np.float64), [np.nan]]
            ys += [rows["alpha"].to_numpy().astype(np.float32), np.array([np.nan], np.float32)]
            ks += [np.full(len(rows) + 1, k, np.int32)]
        trace = {"x": np.concatenate(xs), "y": np.concatenate(ys), "customdata": np.concatenate(ks)}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "others" if colours else "every frequency",
                **trace,
                "line": {"color": FAINT if colours else GREY, "width": 1},
                "hovertemplate": "k = %{customdata}: %{y:.3g} at step %{x:,}<extra></extra>",
            }
        )
    for k, colour in colours.items():
        rows = frame.filter(pl.col("frequency") == k).sort("step")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"k = {k}",
                "x": rows["step"].to_numpy(),
                "y": rows["alpha"].to_numpy().astype(np.float32),
                "line": {"color": colour, "width": 2.25},
                "hovertemplate": f"k = {k}: %{{y:.3g}} at step %{{x:,}}<extra></extra>",
            }
        )
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "training step"}, "tickformat": ",", "range": [low - pad, high + pad]},
        "yaxis": {"title": {"text": "α<sub>k</sub>"}, "zerolinecolor": FAINT},
        "legend": legend(1.0, entrywidth=64 if colours else 0),
        "margin": {"l": 64, "r": 16, "t": 48, "b": 52},
        "showlegend": True,
    }
    return figure(traces, layout)


def _line(
    frame: pl.DataFrame, column: str, name: str, colour: str, dash: str = "solid", *, markers: bool = False
) -> dict[str, Any]:
    y = frame[column].cast(pl.Float64).to_numpy()
    if column.endswith("loss"):
        # zero and below have no place on a logarithmic axis
        y = np.where(y > 0, y, np.nan)
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers and len(frame) <= 150 else "lines",
        "name": name,
        "x": frame["step"].to_numpy(),
        "y": y.astype(np.float32),
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{name} %{{y:.3g}} at step %{{x:,}}<extra></extra>",
    }


def _shades(spans: Sequence[Span], low: int, high: int, panels: int) -> dict[str, Any]:
    """Shapes and names of the phases; names that would meet the one before stand a row higher."""
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    ends = [-1.0, -1.0, -1.0]
    for name, first, last in spans:
        for i in range(panels):
            suffix = "" if i == 0 else str(i + 1)
            place = {"xref": "x", "yref": f"y{suffix} domain", "y0": 0, "y1": 1, "x0": first, "x1": last}
            if name in SHADES:
                shade = {"fillcolor": SHADES[name], "opacity": 0.13, "line": {"width": 0}, "layer": "below"}
                shapes.append({"type": "rect", **place, **shade})
            if first > low:
                dash = {"color": MUTED, "width": 1, "dash": "dot"}
                shapes.append({"type": "line", **place, "x1": first, "line": dash})
        place_in = NARROW * (first - low) / (high - low)
        wide = LETTER * len(name)
        anchor = "right" if place_in + wide > NARROW else "left"
        begin = place_in - wide if anchor == "right" else place_in
        row = next((r for r, end in enumerate(ends) if begin > end), len(ends) - 1)
        ends[row] = begin + wide + LETTER
        names.append(
            {
                "xref": "x",
                "yref": "paper",
                "x": first if anchor == "left" else last,
                "y": 1,
                "yshift": 22 + 16 * row,
                "yanchor": "bottom",
                "xanchor": anchor,
                "text": name,
                "showarrow": False,
                "font": {"size": 12, "color": INK},
            }
        )
    return {"shapes": shapes, "annotations": names}
