"""Local learning coefficients over training, the chains that they come from, and how they hang on the sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures._figure import Figure
from groklab.figures._heatmaps import heatmap
from groklab.figures._panels import ACCURACY, Panel, first_and_last_step, in_panels, joined, metric_line, thinned
from groklab.figures._theme import BAR, SEQUENTIAL, SERIES, SOFT, TEST, TRAIN, axis, log_heights, styled


def learning_coefficients(frame: pl.DataFrame, metrics: pl.DataFrame | None = None) -> Figure:
    """Draw the coefficient with its chains over the steps, below accuracy and loss where they are given.

    Checkpoints without an estimate leave a gap.

    Args:
        frame: as `LearningCoefficients.frame` returns it.
        metrics: columns step, train_loss, test_loss, train_accuracy, test_accuracy.
    """
    frame, panels = frame.sort("step"), list[Panel]()
    if metrics is not None:
        kept = thinned(metrics)
        sets = (("train", TRAIN, "dash"), ("test", TEST, "solid"))
        panels.append(("accuracy", [metric_line(kept, f"{n}_accuracy", n, c, dash=d) for n, c, d in sets], ACCURACY))
        losses = [metric_line(kept, f"{n}_loss", n, c, dash=d, positive=True) for n, c, d in sets]
        heights = [float(v) for line in losses for v in line["y"]]
        panels.append(("loss", losses, log_heights(heights, "loss")))
    known = pl.col("learning_coefficient").is_finite()
    shown = frame.with_columns(
        pl.when(known).then(pl.col(c)).alias(c) for c in ("learning_coefficient", "chain_min", "chain_max")
    )
    lines = [
        metric_line(shown, "chain_min", "chains", SOFT, width=1, markers=0),
        metric_line(shown, "chain_max", "", SOFT, width=1, markers=0, fill="tonexty", showlegend=False),
        metric_line(shown, "learning_coefficient", "learning coefficient", TEST),
    ]
    panels.append(("λ̂", lines, {"rangemode": "tozero"}))
    columns = ["step", "train_loss", "test_loss", "train_accuracy", "test_accuracy"]
    others = [] if metrics is None else [metrics.select(columns)]
    return in_panels(panels, *first_and_last_step(frame, *others), data=joined(frame, *others))


def chain_traces(frame: pl.DataFrame) -> Figure:
    """Draw the running estimate, the losses and the distance from the start of each chain.

    An estimate that still moves at the end is of chains that are too short; so are chains that do not meet.

    Args:
        frame: as `LearningCoefficients.traces` returns it.
    """
    rows = frame.rename({"draw": "at"}) if "at" not in frame.columns else frame
    chains = rows["chain"].unique().sort().to_list()
    panels: list[Panel] = []
    for column, title in (("estimate", "λ̂ so far"), ("loss", "loss"), ("distance", "|w − w*|")):
        lines: list[dict[str, Any]] = []
        for place, chain in enumerate(chains):
            own = rows.filter(pl.col("chain") == chain).select(pl.col("at").alias("step"), column)
            colour = SERIES[place % len(SERIES)]
            name = f"chain {chain}" if column == "estimate" else ""
            line = metric_line(own, column, name, colour, width=1.25, showlegend=bool(name))
            lines.append(line | {"hovertemplate": f"chain {chain}: %{{y:.4g}} at draw %{{x}}<extra></extra>"})
        panels.append((title, lines, {}))
    figure = in_panels(panels, 0, max(int(rows["at"].max() or 0), 1), data=frame)  # type: ignore[arg-type]
    last = figure.layout[f"xaxis{len(panels)}"]
    last.title.text = "draw"
    return figure


def learning_coefficient_grid(frame: pl.DataFrame) -> Figure:
    """Draw the coefficient over step sizes and temperatures; squares without an estimate are empty.

    Args:
        frame: as `groklab.learning_coefficient_grid` returns it.
    """
    epsilons, nbetas = (frame[name].unique().sort().to_list() for name in ("epsilon", "nbeta"))
    z = np.full((len(nbetas), len(epsilons)), np.nan)
    for row in frame.iter_rows(named=True):
        value = row["learning_coefficient"]
        z[nbetas.index(row["nbeta"]), epsilons.index(row["epsilon"])] = np.nan if value is None else value
    hover = "λ̂ = %{z:.3g} at ε = %{x}, nβ = %{y}"
    colours: dict[str, Any] = {
        "colorscale": [list(stop) for stop in SEQUENTIAL],
        "colorbar": BAR | {"title": {"text": "λ̂"}, "y": -0.28},
        "texttemplate": "%{z:.3g}",
    }
    names = ([f"{x:g}" for x in epsilons], [f"{x:g}" for x in nbetas])
    layout = {
        "height": 420,
        "margin": {"b": 120},
        "xaxis": axis("step size ε", type="category", showgrid=False),
        "yaxis": axis("inverse temperature nβ", type="category", showgrid=False),
    }
    return styled([heatmap(z, hover, x=names[0], y=names[1], **colours)], layout, data=frame)
