"""Fourier frequency sparsity and coefficient ratio through training (Furuta et al. 2024, figures 8 and A.14)."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import ACCURACY, Panel, first_and_last_step, in_panels, joined, metric_line, thinned
from groklab.figures._registry import Drawing, figure
from groklab.figures._theme import GREEN, PINK, TEST, TRAIN
from groklab.measures import MEASURES
from groklab.text import listed

MEASURE = "fourier_sparsity"
#: The matrices measured, as they are written, and their colours.
MATRICES = {"W_E": ("W<sub>E</sub>", GREEN), "W_L": ("W<sub>L</sub>", PINK)}
#: The panels: what their columns begin with, and their titles.
PANELS = {"ffs": "frequency sparsity", "fcr": "cosine-sine ratio", "sigma_ratio": "ratio, shift-invariant"}
DEFINITION = (
    "FFS, Fourier frequency sparsity: the share of cosine and sine components above half of the largest, 1 where all "
    "frequencies are used alike. FCR, Fourier coefficient ratio: the mean over frequencies of the smaller of cosine "
    "and sine over the larger, 1 where they are balanced. Both of W_E, the numbers' embeddings, and of W_L, the map "
    "from neurons to logits (Furuta et al. 2024)."
)


def has_sparsity(run: RunContext) -> bool:
    """Return whether FFS and FCR were measured during training, or no circuit says more of the frequencies."""
    if run.experiment.network is None or run.task is None or not run.task.algebra.p:
        return False
    return MEASURE in run.experiment.measures.names or not run.has_circuit


@figure(
    "sparsity",
    title="Sparsity and balance of the frequencies",
    place=50,
    applies_to=has_sparsity,
    about="How few frequencies the embedding and the map to the logits use, and whether cosine and sine are balanced "
    "in each, over training.",
    definitions=(DEFINITION,),
    rows=True,
)
def sparsity(run: RunContext) -> Drawing | None:
    """Draw FFS and FCR by step: as measured during training, else at the checkpoints."""
    frame = _measured_online(run)
    frame = _measured_at_checkpoints(run) if frame is None else frame
    if len(frame) < 2:
        return None
    last = frame.row(-1, named=True)
    values = [
        f"{kind.upper()} of {matrix} {last[f'{kind}_{matrix}']:.2f}"
        for kind in ("ffs", "fcr")
        for matrix in MATRICES
        if last.get(f"{kind}_{matrix}") is not None
    ]
    sentence = f"At step {last['step']:,}: {listed(values)}. Both are 1 or nearly so before training."
    return Drawing(sentence, fourier_progress(frame, run.member_metrics))


def _measured_online(run: RunContext) -> pl.DataFrame | None:
    """Return the measure as it was taken during training, of the first member; None where it was not."""
    measured = run.measured
    if measured is None:
        return None
    names = {c: c.split(".")[1] for c in measured.columns if c.startswith(f"{MEASURE}.")}
    scalars = [c for c in names if measured[c].dtype in (pl.Float64, pl.Float32)]
    if not scalars:
        return None
    return measured.select("step", *(pl.col(c).alias(names[c]) for c in scalars)).drop_nulls()


def _measured_at_checkpoints(run: RunContext) -> pl.DataFrame:
    rows = []
    for step in run.slider_steps:
        values = MEASURES[MEASURE](run.checkpoints[step], run.task, network=run.experiment.model)  # type: ignore[arg-type]
        rows.append({"step": step} | {k: float(v) for k, v in values.items() if np.ndim(v) == 0})
    return pl.DataFrame(rows)


def fourier_progress(frame: pl.DataFrame, metrics: pl.DataFrame | None = None) -> Figure:
    """Draw FFS, FCR and the shift-invariant ratio of W_E and W_L over the steps, below accuracy where it is given.

    Args:
        frame: columns step and some of ffs_W_E, fcr_W_E, sigma_ratio_W_E and the same of W_L, as the measure
            `fourier_sparsity` returns them; a panel without columns is left out.
        metrics: columns step, train_accuracy, test_accuracy.
    """
    frame = frame.sort("step").select("step", *(c for c in frame.columns if c.startswith(tuple(PANELS))))
    panels: list[Panel] = []
    if metrics is not None:
        kept = thinned(metrics)
        lines = [
            metric_line(kept, "train_accuracy", "train", TRAIN, dash="dash"),
            metric_line(kept, "test_accuracy", "test", TEST),
        ]
        panels.append(("accuracy", lines, ACCURACY))
    for prefix, title in PANELS.items():
        lines = [
            metric_line(frame, f"{prefix}_{name}", label, colour)
            for name, (label, colour) in MATRICES.items()
            if f"{prefix}_{name}" in frame.columns
        ]
        if lines:
            panels.append((title, lines, {"range": ACCURACY["range"]}))
    panels = panels or [(PANELS["ffs"], [], {"range": ACCURACY["range"]})]
    others = [] if metrics is None else [metrics.select("step", "train_accuracy", "test_accuracy")]
    return in_panels(panels, *first_and_last_step(frame, *others), data=joined(frame, *others))
