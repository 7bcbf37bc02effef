"""The stages of training (Nanda et al. 2023, figure 7), and the cosines that form in the logits."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import STAGES_RULE
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import (
    LETTER,
    NARROW,
    Panel,
    first_and_last_step,
    in_panels,
    joined,
    joined_lines,
    metric_line,
    note,
    thinned,
    vertical,
)
from groklab.figures._registry import Drawing, circuit_figure
from groklab.figures._taken import spread
from groklab.figures._theme import (
    FAINT,
    GREEN,
    GREY,
    OLIVE,
    PINK,
    TEST,
    TRAIN,
    axis,
    axis_suffix,
    key_colours,
    legend,
    log_heights,
    styled,
    trace,
)

SHADES = {"memorisation": OLIVE, "circuit formation": PINK, "cleanup": GREEN}
#: Columns of the progress frame: name, colour and dash.
LOSSES = {"restricted_loss": ("restricted loss", GREEN, "solid"), "excluded_loss": ("excluded loss", PINK, "solid")}
GINI = {"gini_W_E": ("Gini of W_E", TEST, "solid"), "gini_W_L": ("Gini of W_L", OLIVE, "dash")}
SQUARES = {"sum_of_squares": ("sum of squared weights", GREY, "solid")}
Span = tuple[str, int, int]
DEFINITIONS = (
    STAGES_RULE,
    "Key frequencies are those of the final model, and are applied to all checkpoints. Restricted loss: of the logits "
    "with nothing but cos and sin of w_k s at the key frequencies, and their means over inputs. Excluded loss: of the "
    "logits without these. Both are cross-entropies in nats, in double precision.",
)


@circuit_figure(
    "stages",
    title="Stages of training",
    place=10,
    about="Measures that move while the test loss does not: the restricted loss falls as the circuit forms, and the "
    "excluded loss rises as the network stops relying on memory.",
    applies_to=lambda run: run.has_circuit and (len(run.checkpoints) > 1 or run.running),
    definitions=DEFINITIONS,
)
def stages(run: RunContext) -> Drawing:
    """Draw losses, progress measures and sizes over the stages of training."""
    c = run.circuit
    if len(c.steps) < 2:
        return Drawing("One checkpoint is too few to tell stages.")
    names = [n for n in (*LOSSES, *GINI, *SQUARES) if n in c.trajectory]
    progress = pl.DataFrame({"step": np.array(c.steps)} | {n: c.trajectory[n] for n in names})
    ends = [step for step in vars(c.stages).values() if step is not None]
    last = max(c.steps[-1], int(c.metrics["step"].max() or 0))  # type: ignore[arg-type]
    spans = [span for span in c.stages.spans(last) if span[2] > span[1]] if ends else []
    return Drawing(c.stages_sentence(), training_stages(c.metrics, progress, spans, loss=run.loss_name))


@circuit_figure(
    "coefficients",
    title="Cosines in the logits",
    place=20,
    about="The logits as a sum of cosines, one for each frequency: how large each one's coefficient is over training.",
    applies_to=attrgetter("has_coefficients"),
)
def cosines(run: RunContext) -> Drawing:
    """Draw the coefficients of the frequencies over training."""
    c = run.circuit
    alpha = c.trajectory["alpha"]
    n = alpha.shape[1]
    frequency = np.tile(np.arange(1, n + 1, dtype=np.int32), len(c.steps))
    frame = pl.DataFrame({"step": np.repeat(c.steps, n), "frequency": frequency, "alpha": alpha.ravel()})
    return Drawing(c.coefficients_sentence(), coefficients(frame, c.named))


def training_stages(
    metrics: pl.DataFrame, progress: pl.DataFrame, spans: Sequence[Span], *, loss: str = "loss"
) -> Figure:
    """Draw panels over the steps: losses, restricted and excluded loss, Gini coefficients, sum of squared weights.

    Args:
        metrics: columns step, train_loss, test_loss, at every evaluation.
        progress: columns step, restricted_loss (all pairs), excluded_loss (training set), sum_of_squares and, where
            the model has them, gini_W_E and gini_W_L, at every checkpoint.
            `gl.take(run, "progress")` is such a frame.
        spans: name, first and last step of each stage, shaded and named; 'stable' is not shaded.
        loss: what the losses of metrics are, with their unit.
    """
    kept, progress = thinned(metrics), progress.sort("step")
    drawn = [(loss, kept, {"train_loss": ("train", TRAIN, "solid"), "test_loss": ("test", TEST, "solid")})]
    drawn += [("cross-entropy", progress, LOSSES), ("Gini coefficient", progress, GINI)]
    drawn += [("sum of squares", progress, SQUARES)]
    panels: list[Panel] = []
    for title, frame, columns in drawn:
        is_loss = columns is not GINI and columns is not SQUARES
        lines = [
            metric_line(frame, c, name, colour, dash=dash, positive=is_loss, markers=0 if frame is kept else 150)
            for c, (name, colour, dash) in columns.items()
            if c in frame.columns
        ]
        values = [float(v) for line in lines for v in line["y"] if v == v]
        # losses span decades
        axis = log_heights(values, title) if is_loss else {"rangemode": "tozero", "nticks": 5}
        if lines:
            panels.append((title, lines, axis))
    low, high = first_and_last_step(metrics, progress)
    drawn_of = [c for columns in (LOSSES, GINI, SQUARES) for c in columns if c in progress.columns]
    data = joined(metrics.select("step", "train_loss", "test_loss"), progress.select("step", *drawn_of))
    return in_panels(panels, low, high, **_shades(spans, low, high, len(panels)), data=data)


def coefficients(frame: pl.DataFrame, keys: Sequence[int]) -> Figure:
    """Draw the coefficients α_k of cos(w_k(s − c)) in the logits over the steps, those of key frequencies coloured.

    Args:
        frame: columns step, frequency, alpha; or the measure `progress`, as `gl.take` returns it.
        keys: the key frequencies, which are grey too where they are more than there are colours.
    """
    frame = spread(frame, {"alpha": "alpha"}, ("frequency", 1))
    colours = key_colours(keys)
    low, high = first_and_last_step(frame)
    pad = 0.01 * (high - low)
    rest = frame.filter(~pl.col("frequency").is_in(list(colours)))
    traces: list[dict[str, Any]] = []
    if len(rest):
        name, colour = ("others", FAINT) if colours else ("every frequency", GREY)
        hover = "k = %{customdata}: %{y:.3g} at step %{x:,}"
        lines = joined_lines(rest, "alpha", "frequency")
        traces.append(trace("lines", **lines, hover=hover, colour=colour, name=name, line={"width": 1}))
    for k, colour in colours.items():
        rows = frame.filter(pl.col("frequency") == k).sort("step")
        traces.append(metric_line(rows, "alpha", f"k = {k}", colour, width=2.25, markers=0))
    layout = {
        "height": 380,
        "xaxis": axis("training step", tickformat=",", range=[low - pad, high + pad]),
        "yaxis": axis("α<sub>k</sub>", zerolinecolor=FAINT),
        "legend": legend(1.0, entrywidth=64 if colours else 0),
        "margin": {"t": 48},
        "showlegend": True,
    }
    return styled(traces, layout, data=frame)


def _shades(spans: Sequence[Span], low: int, high: int, panels: int) -> dict[str, Any]:
    """Return shapes and names of the stages; names that would meet the one before are a row higher."""
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    ends = [-1.0, -1.0, -1.0]
    for name, first, last in spans:
        for i in range(panels):
            place = {"xref": "x", "yref": f"y{axis_suffix(i)} domain", "y0": 0, "y1": 1, "x0": first, "x1": last}
            if name in SHADES:
                shade = {"fillcolor": SHADES[name], "opacity": 0.13, "line": {"width": 0}, "layer": "below"}
                shapes.append({"type": "rect", **place, **shade})
            if first > low:
                shapes.append(vertical(first, i, "dot") | {"xref": "x"})
        left = NARROW * (first - low) / (high - low)
        width = LETTER * len(name)
        anchor = "right" if left + width > NARROW else "left"
        begin = left - width if anchor == "right" else left
        row = next((r for r, end in enumerate(ends) if begin > end), len(ends) - 1)
        ends[row] = begin + width + LETTER
        x = first if anchor == "left" else last
        names.append(note(name, x, 1, xref="x", xanchor=anchor, yshift=22 + 16 * row))
    return {"shapes": shapes, "annotations": names}
