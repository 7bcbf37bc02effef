"""How periodic each neuron's weights become: inverse participation ratios over training (Doshi et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import ACCURACY, Panel, first_and_last_step, in_panels, joined, metric_line, thinned
from groklab.figures._registry import Drawing, figure
from groklab.figures._taken import spread
from groklab.figures._theme import FAINT, GREEN, OLIVE, PINK, SOFT, TEST, TRAIN, axis, styled, trace
from groklab.measures import MEASURES

#: Bars of the histogram.
BARS = 25
DEFINITION = (
    "IPR, inverse participation ratio: Σ(|F_k| / ‖F‖)⁴ over the Fourier modes k = 0 to p//2 of a neuron's weights, "
    "cosine and sine together; 1 for a wave of one frequency, 1/(p//2 + 1) for all alike, about 4/p for noise. A "
    "neuron's is the mean over its weights from each operand and to the answers (Doshi et al. 2023)."
)


def has_participation(run: RunContext) -> bool:
    """Return whether the run has neurons that numbers mod p lead to."""
    if run.experiment.network is None or run.task is None or (run.task.algebra.p or 0) < 3 or not run.checkpoints:
        return False
    names = run.final_weights.keys()
    read = {"embed.0.W", "hidden.0.W", "blocks.0.mlp.W_in"} & names
    return bool(read) and "unembed.W_U" in names and "targets.Y" not in names


@figure(
    "participation",
    title="Periodicity of the neurons' weights",
    section="computes",
    place=65,
    applies_to=has_participation,
    about="How near each neuron's weights are to waves of one frequency, over training, and how the neurons differ in "
    "it.",
    definitions=(DEFINITION,),
)
def participation(run: RunContext) -> Iterator[Drawing]:
    """Draw inverse participation ratios at the checkpoints, and the neurons' at the first and the last."""
    rows = []
    for step in run.slider_steps:
        values = MEASURES["inverse_participation"](run.checkpoints[step], run.task)  # type: ignore[arg-type]
        rows.append({"step": step} | {k: v if np.ndim(v) == 0 else np.asarray(v).tolist() for k, v in values.items()})
    frame = pl.DataFrame(rows)
    neurons = neuron_frame(frame)
    last, mean = frame.row(-1, named=True), "mean" if "mean" in frame.columns else "mean_in"
    sentence = f"At step {last['step']:,} the neurons' inverse participation ratio is {last[mean]:.2f} on average"
    sentence += f", at step {frame['step'][0]:,} {frame[mean][0]:.2f}." if len(frame) > 1 else "."
    yield Drawing(run.whose + sentence, participation_lines(frame, run.member_metrics))
    yield Drawing("How many neurons have which.", participation_histogram(neurons), "Periodicity, neuron by neuron")


def neuron_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Return step, neuron and ipr of what `gl.take(run, "inverse_participation")` returns; of the first layer's."""
    if {"neuron", "ipr"} <= set(frame.columns):
        return frame
    if "ipr" not in frame.columns:
        frame = frame.with_columns(pl.col("ipr_in").list.eval(pl.element().explode()).alias("ipr"))
    return spread(frame, {"ipr": "ipr"}, ("neuron", 0)).select("step", "neuron", "ipr")


def participation_lines(frame: pl.DataFrame, metrics: pl.DataFrame | None = None) -> Figure:
    """Draw means and deciles of the neurons' inverse participation ratios over the steps, below accuracy.

    Args:
        frame: the measure `inverse_participation`, as `gl.take` returns it.
        metrics: columns step, train_accuracy, test_accuracy.
    """
    frame = frame.sort("step")
    each = (
        neuron_frame(frame)
        .filter(pl.col("ipr").is_finite())
        .group_by("step")
        .agg(pl.col("ipr").quantile(0.1).alias("lowest_tenth"), pl.col("ipr").quantile(0.9).alias("highest_tenth"))
    )
    means = {"mean": ("neurons", TEST), "mean_in": ("from the operands", GREEN), "mean_out": ("to the answers", PINK)}
    shown = [name for name in means if name in frame.columns]
    frame = joined(frame.select("step", *shown), each)
    panels: list[Panel] = []
    if metrics is not None:
        kept = thinned(metrics)
        lines = [
            metric_line(kept, "train_accuracy", "train", TRAIN, dash="dash"),
            metric_line(kept, "test_accuracy", "test", TEST),
        ]
        panels.append(("accuracy", lines, ACCURACY))
    lines = [metric_line(frame, name, means[name][0], means[name][1]) for name in shown]
    lines += [
        metric_line(frame, "lowest_tenth", "a tenth below", SOFT, width=1.25, dash="dot", markers=0),
        metric_line(frame, "highest_tenth", "a tenth above", OLIVE, width=1.25, dash="dot", markers=0),
    ]
    panels.append(("IPR", lines, {"range": ACCURACY["range"]}))
    others = [] if metrics is None else [metrics.select("step", "train_accuracy", "test_accuracy")]
    return in_panels(panels, *first_and_last_step(frame, *others), data=joined(frame, *others))


def participation_histogram(frame: pl.DataFrame) -> Figure:
    """Draw how many neurons have which inverse participation ratio, at the last step and at the first.

    Args:
        frame: columns step, neuron and ipr; or the measure `inverse_participation`, as `gl.take` returns it.
    """
    frame = neuron_frame(frame).filter(pl.col("ipr").is_finite())
    edges = np.linspace(0, 1, BARS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    steps = frame["step"].unique().sort().to_list()
    traces = []
    for step, colour in zip(dict.fromkeys([*steps[:1], *steps[-1:]]), (FAINT, TEST)[-len(steps) :], strict=False):
        values = frame.filter(pl.col("step") == step)["ipr"].to_numpy()
        # an IPR of one may be a rounding above
        counts = np.histogram(np.clip(values, 0, 1), edges)[0].astype(np.int32)
        hover = f"%{{y}} neurons at %{{x:.2f}}, step {step:,}"
        traces.append(trace("bar", middle, counts, hover, colour, f"step {step:,}", width=0.92 / BARS, opacity=0.8))
    layout = {
        "height": 340,
        "barmode": "overlay",
        "margin": {"t": 40},
        "showlegend": True,
        "xaxis": axis("inverse participation ratio", range=[0, 1], showgrid=False),
        "yaxis": axis("neurons"),
    }
    kept = frame.filter(pl.col("step").is_in([*steps[:1], *steps[-1:]]))
    return styled(traces, layout, data=kept)
