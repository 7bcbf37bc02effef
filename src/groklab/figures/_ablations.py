"""What the loss becomes when parts of a model are taken out (Nanda et al. 2023, section 4.4)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import label_of
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import level, note, row_layout
from groklab.figures._registry import Drawing, circuit_figure
from groklab.figures._taken import final, spread
from groklab.figures._theme import (
    INK,
    SOFT,
    TEST,
    TRAIN,
    axis,
    bar_colours,
    key_swatches,
    legend,
    log_heights,
    styled,
    swatch,
    trace,
)
from groklab.measures import Ablations, NamedTable
from groklab.text import loss_of, percent

FROM_OWN = "bars start at the complete model"
OWN, EVEN = "complete model", "uniform guessing"


@circuit_figure(
    "ablations",
    title="What happens without its parts",
    place=130,
    about="The loss after parts of the network are removed or replaced by their formula: what the algorithm does not "
    "need costs nothing, and what it is made of costs everything.",
    rows=True,
)
def ablations(run: RunContext) -> Drawing:
    """Draw the loss after each intervention."""
    c = run.circuit
    part = c.part("ablations", Ablations)
    names, loss = part.names, part.loss
    own = float(loss[names.index("base")])
    # single key frequencies only where they are few
    shown = [i for i, name in enumerate(names) if c.few or not name.rpartition("_")[2].isdigit()]
    labels = [label_of(names[i], c.sum) for i in shown]
    frame = pl.DataFrame({"label": labels, "loss": loss[shown]})
    rows = []
    for i, label in zip(shown, labels, strict=True):
        losses = [loss_of(float(column[i])) for column in (loss, part.train_loss, part.test_loss)]
        rows.append((label, *losses, percent(float(part.accuracy[i]))))
    table = NamedTable("Interventions", ("intervention", "loss, all pairs", "train", "test", "accuracy"), rows)
    return Drawing(c.ablations_sentence(), ablation_losses(frame, own, c.uniform), tables=(table,))


@circuit_figure(
    "frequencies",
    title="What happens without each frequency",
    place=140,
    about="The loss after one frequency is removed from the logits: only the key frequencies should matter.",
    applies_to=lambda run: run.has_part("ablations"),
)
def frequencies(run: RunContext) -> Drawing:
    """Draw the loss without each frequency."""
    c = run.circuit
    part = c.part("ablations", Ablations)
    loss, own = part.loss_without_frequency, float(part.loss[part.names.index("base")])
    frame = pl.DataFrame({"frequency": np.arange(1, len(loss) + 1), "loss": loss})
    return Drawing(c.frequencies_sentence(), frequency_losses(frame, c.named, own, c.uniform))


def ablation_losses(frame: pl.DataFrame, own: float, uniform: float) -> Figure:
    """Draw the loss on all pairs (log) after each intervention, in the order of the frame.

    Args:
        frame: columns label, loss; or the measure `ablations`, as `gl.take` returns it, at its last step.
        own, uniform: the loss of the model itself, where bars start, and of guessing evenly, drawn as lines. Bars no
            worse than the first, and those worse than the second, have colours of their own.
    """
    frame = final(spread(frame, {"label": "names", "loss": "loss"}, ("place", 0)))
    loss, n = frame["loss"].to_numpy(), len(frame)
    colour = [TRAIN if v >= uniform else SOFT if v > 1.1 * own else TEST for v in loss]
    labels = [html.escape(label) for label in frame["label"]]
    length, base = _from_own(loss, own)
    # a bar of the model's own loss has no length, so a mark shows where each ends
    hover = "%{customdata[0]}: %{customdata[1]:.3g}"
    named = [list(pair) for pair in zip(labels, loss.tolist(), strict=True)]
    look: dict[str, Any] = {"orientation": "h", "width": 0.42, "customdata": named, "base": base}
    bars = trace("bar", length, list(range(n)), hover, colour, **look)
    marker = {"symbol": "line-ns-open", "size": 9, "line": {"width": 2, "color": colour}}
    shown = np.where(loss > 0, loss, np.nan)
    ends = trace("markers", shown, list(range(n)), hover, colour, customdata=named, marker=marker)
    layout = row_layout(frame["label"].to_list(), [*loss, own, uniform], f"loss on all pairs (nats)<br>{FROM_OWN}", 38)
    layout["margin"]["b"] = 64
    judged = {"no worse": TEST, "worse": SOFT, "no better than guessing": TRAIN}
    swatches = [swatch(name, of) for name, of in judged.items() if of in colour]
    return styled([bars, ends, *_levels(own, uniform, [-1, n], along="y"), *swatches], layout, data=frame)


def frequency_losses(frame: pl.DataFrame, keys: Sequence[int], own: float, uniform: float) -> Figure:
    """Draw the loss (log) without each frequency in the logits, those of key frequencies coloured.

    Args:
        frame: columns frequency, loss; or the measure `ablations` or `excluded_by_frequency`, as `gl.take` returns it,
            of which the last step is drawn.
        own, uniform: the loss of the model itself, where the bars start, and of guessing evenly, drawn as lines.
    """
    if "loss_without_frequency" in frame.columns:
        frame = final(spread(frame, {"loss": "loss_without_frequency"}, ("frequency", 1)))
    frame = final(spread(frame, {"frequency": "frequencies", "loss": "loss"}, ("place", 0)))
    loss, frequency = frame["loss"].to_numpy(), frame["frequency"].to_list()
    positive = [v for v in [*loss, own, uniform] if v > 0 and np.isfinite(v)]
    floor, top = min(positive, default=1e-3) / 3, 2 * max(positive, default=1.0)
    layout = {
        "height": 380,
        "xaxis": axis(f"frequency taken out of the logits<br>{FROM_OWN}", showgrid=False),
        "yaxis": log_heights(positive, "loss on all pairs (nats)") | {"range": [np.log10(floor), np.log10(top)]},
        "bargap": 0.2,
        "margin": {"l": 68, "t": 40, "b": 68},
        "legend": legend(1.0, entrywidth=64),
        "showlegend": bool(keys),
    }
    colour = bar_colours(frequency, keys)
    length, base = _from_own(loss, own)
    hover = "without k = %{x}: %{customdata:.3g}"
    bars = trace("bar", frequency, length, hover, colour, base=base, customdata=loss)
    ends = [min(frequency, default=1) - 0.5, max(frequency, default=1) + 0.5]
    levels = [line | {"showlegend": False} for line in _levels(own, uniform, ends, along="x")]
    # named at the lines, as a phone has little room for a legend
    named = [(EVEN, uniform, "bottom"), (OWN, own, "top")]
    place = {"xref": "x", "yref": "y", "xanchor": "left"}
    layout["annotations"] = [
        note(name, ends[0], np.log10(value), **place, yanchor=anchor)
        for name, value, anchor in named
        if value > 0 and np.isfinite(value)
    ]
    return styled([bars, *levels, *key_swatches(keys)], layout, data=frame)


def _from_own(loss: np.ndarray, own: float) -> tuple[np.ndarray, float]:
    """Return the lengths of bars on a logarithmic axis that start at the model's own loss, and where they start."""
    positive = loss[np.isfinite(loss) & (loss > 0)]
    base = own if own > 0 and np.isfinite(own) else float(positive.min(initial=1.0))
    return np.where(loss > 0, loss - base, np.nan), base


def _levels(own: float, uniform: float, ends: Sequence[float], along: str) -> list[dict[str, object]]:
    """Return lines at the model's own loss and at that of uniform guessing, if they are positive."""
    lines = [level(own, OWN, ends, along=along, colour=INK), level(uniform, EVEN, ends, along=along)]
    return [line for line, value in zip(lines, (own, uniform), strict=True) if value > 0 and np.isfinite(value)]
