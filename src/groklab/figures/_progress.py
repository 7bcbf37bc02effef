"""Hidden progress: accuracy and loss over what the features do meanwhile (Mallinar et al. 2024, figures 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import ACCURACY, Panel, first_and_last_step, in_panels, joined, marks, metric_line, thinned
from groklab.figures._registry import Drawing, feature_figure
from groklab.figures._theme import FAINT, GREEN, OLIVE, PINK, TEST, TRAIN, log_heights
from groklab.measures import NAMES

DEFINITIONS = (
    "Feature matrix: M of a kernel machine; of a network the square root of its AGOP, the mean of J'J over training "
    "inputs with J its outputs' gradient in the one-hot pair (a, b). Its blocks are p × p, the bottom-left one "
    "that of b by a.",
    "Circulant deviation: the share of a block's squares that its means over wrapped diagonals (Toeplitz) or "
    "anti-diagonals (Hankel) leave; in log order without 0, residues in the order of powers of the smallest generator. "
    "Alignment: the cosine of two matrices as vectors, here with the final one.",
)


@feature_figure(
    "hidden_progress",
    title="Hidden progress",
    place=10,
    about="What the features do while accuracy and loss hardly move: how far they are from their final form, and from "
    "the circulant pattern that solves the task.",
    applies_to=lambda run: run.has_features and (min(len(run.checkpoints), len(run.member_metrics)) > 1 or run.running),
    definitions=DEFINITIONS,
)
def progress(run: RunContext) -> Drawing:
    """Draw how far the features are while loss and accuracy hardly move."""
    f = run.features
    if len(f.history) < 2 or len(f.metrics) < 2:
        return Drawing("One checkpoint or evaluation is too few to tell progress.")
    marked = {
        "test loss moves by 1%": f.turning.loss_moves_step,
        f"test accuracy over {f.turning.accuracy_over:.0%}": f.turning.accuracy_rises_step,
    }
    plot = hidden_progress(
        f.metrics, f.history, f.orientation, marked, loss=run.loss_name, logarithmic=not f.kernel_machine
    )
    return Drawing(run.whose + f.progress_sentence(), plot)


def hidden_progress(
    metrics: pl.DataFrame,
    history: pl.DataFrame,
    orientation: str | None,
    marked: Mapping[str, int | None],
    *,
    loss: str = "loss",
    logarithmic: bool = False,
) -> Figure:
    """Draw accuracy, loss, circulant deviation and alignment with the final feature matrix over the steps.

    Args:
        metrics: columns step, train_loss, test_loss, train_accuracy, test_accuracy.
        history: columns step, full, off_block and the deviations (`FeatureAnalysis.history`).
        orientation: the deviation that is drawn in colour; the others are faint.
        marked: steps by their names, each a line across all panels.
        loss: what the loss is, with its unit.
        logarithmic: draw the loss on a logarithmic axis.
    """
    kept, history = thinned(metrics), history.sort("step")
    splits = (("train", TRAIN, "dash"), ("test", TEST, "solid"))
    losses = [metric_line(kept, f"{name}_loss", name, colour, dash=dash) for name, colour, dash in splits]
    loss_axis = {"rangemode": "tozero", "nticks": 5}
    if logarithmic:
        loss_axis = log_heights([float(v) for line in losses for v in line["y"]], loss)
    lowest = min(0.0, float(history["off_block"].min() or 0))  # type: ignore[arg-type]
    panels: list[Panel] = [
        (
            "accuracy",
            [metric_line(kept, f"{name}_accuracy", name, colour, dash=dash) for name, colour, dash in splits],
            ACCURACY,
        ),
        (loss, losses, loss_axis),
        ("deviation", _deviations(history, orientation), {"range": ACCURACY["range"]}),
        (
            "alignment",
            [
                metric_line(history, "full", "full matrix", OLIVE, dash="dash"),
                metric_line(history, "off_block", "off-diagonal block", PINK),
            ],
            {"range": [lowest - 0.04, ACCURACY["range"][1]]},
        ),
    ]
    low, high = first_and_last_step(metrics, history)
    named = {f"{name}:": step for name, step in marked.items()}
    columns = [f"{split}_{what}" for what in ("accuracy", "loss") for split in ("train", "test")]
    data = joined(metrics.select("step", *columns), history)
    return in_panels(panels, low, high, **marks(named, low, high, len(panels), linear=True, above=22), data=data)


def _deviations(history: pl.DataFrame, orientation: str | None) -> list[dict[str, object]]:
    others = [k for k in NAMES if k != orientation and history[k].null_count() < len(history)]
    lines = [
        # one name for all, which a phone has room for; the line itself says which
        metric_line(history, k, NAMES[k], FAINT, width=1.25, markers=0, legendrank=1001)
        | {"name": "others", "legendgroup": "others", "showlegend": place == 0}
        for place, k in enumerate(others)
    ]
    if orientation is not None:
        lines.append(metric_line(history, orientation, NAMES[orientation], GREEN))
    return lines
