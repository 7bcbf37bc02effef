"""What the heads attend to from the last position (Nanda et al. 2023, appendix C.1)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._heatmaps import PANELS, input_frame, input_maps
from groklab.figures._panels import in_parts, note
from groklab.figures._registry import Drawing, circuit_figure
from groklab.figures._taken import final, spread
from groklab.figures._theme import (
    FAINT,
    GREEN,
    GREY,
    INK,
    MUTED,
    SOFT,
    axis,
    axis_suffix,
    key_colours,
    legend,
    styled,
    trace,
)
from groklab.measures import Attention, operand_positions, pattern_on_grid
from groklab.text import percent

#: Heads that have a panel of their own.
HEADS = PANELS
#: Colours of positions.
SHADES = (MUTED, FAINT, INK, SOFT)


@circuit_figure(
    "attention",
    title="Attention from the last position",
    place=100,
    applies_to=lambda run: run.has_circuit and any(".attn." in name for name in run.final_weights),
    about="Where each head looks from the last position on average, and its score for the first operand by that "
    "operand's value, which is a wave where the head computes with one frequency.",
    rows=True,
)
def attention(run: RunContext) -> Drawing:
    """Draw the mean attention of each head, and its scores for the first operand."""
    c = run.circuit
    part = c.part("attention", Attention)
    first, second = operand_positions(c.task)
    mean, score = part.mean_pattern, part.score
    n_heads, n_ctx = mean.shape
    positions = [f"position {i}" for i in range(n_ctx)]
    # the token p is '=' in every layout
    positions[-1] = "=" if c.task.shape.constants[-1] == c.p else "the last position"
    positions[first], positions[second] = "a", "b"
    pattern = pl.DataFrame(
        {"head": np.repeat(np.arange(n_heads), n_ctx), "position": positions * n_heads, "weight": mean.ravel()}
    )
    best = part.score_frequency
    labels = [f"head {h}" + (f" · mostly k = {k}" if k else "") for h, k in enumerate(best)]
    scores = pl.DataFrame(
        {
            "head": np.repeat(np.arange(n_heads), c.p),
            "residue": np.tile(np.arange(c.p), n_heads),
            "score": score.ravel(),
            "label": np.repeat(labels, c.p).tolist(),
        }
    )
    colours = key_colours(c.named)
    return Drawing(c.attention_sentence(), attention_heads(pattern, scores, [colours.get(int(k), GREY) for k in best]))


@circuit_figure(
    "attention_maps",
    title="Attention to a, head by head",
    place=110,
    about="The share of each head's attention that the first operand gets, over all pairs of inputs.",
    applies_to=lambda run: run.has_part("attention"),
)
def heads(run: RunContext) -> Drawing:
    """Draw each head's attention to the first operand over the inputs."""
    c = run.circuit
    part = c.part("attention", Attention)
    frequency, fve = part.pattern_frequency, part.pattern_fve
    pattern = pattern_on_grid(c.weights, c.task, c.network)[..., operand_positions(c.task)[0]]
    n = pattern.shape[-1]
    maps, colours = {}, key_colours(c.named)
    for h in range(min(n, HEADS)):
        explained = f"<br>k = {frequency[h]} · {percent(float(fve[h]), 0)}" if frequency[h] else ""
        maps[f"head {h}{explained}"] = pattern[:, :, h]
    sentence = c.heads_sentence() + (f" The first {HEADS} are shown." if n > HEADS else "")
    of_heads = [colours.get(int(k), INK) for k in frequency]
    return Drawing(sentence, input_maps(input_frame(maps), shared=True, percent=True, colours=of_heads))


def attention_heads(pattern: pl.DataFrame, score: pl.DataFrame, colours: Sequence[str] = ()) -> Figure:
    """Draw the mean attention of each head to each position, above its scores for the first operand in panels.

    Either frame can be the measure `attention`, as `gl.take` returns it; its last step is drawn.

    Args:
        pattern: columns head, position (its name), weight.
        score: columns head, residue, score, label (the title of the head's panel); the first six heads have one.
        colours: of each head's scores, such as those of their frequencies.
    """
    pattern = final(spread(pattern, {"weight": "mean_pattern"}, ("head", 0), ("position", 0)))
    score = final(spread(score, {"score": "score"}, ("head", 0), ("residue", 0)))
    if "label" not in score.columns:
        score = score.with_columns(pl.format("head {}", "head").alias("label"))
    traces: list[dict[str, Any]] = []
    for i, ((position,), rows) in enumerate(pattern.group_by("position", maintain_order=True)):
        name = html.escape(str(position))
        heads, weight = [f"head {h}" for h in rows["head"]], rows["weight"].to_numpy().astype(np.float32)
        # in ink, as colours are those of frequencies
        colour = SHADES[i % len(SHADES)]
        traces.append(trace("bar", heads, weight, f"%{{x}} to {name}: %{{y:.2%}}", colour, f"to {name}"))
    shown = [rows for _, rows in score.sort("head", "residue").group_by("head", maintain_order=True)][:HEADS]
    height = 250 + 110 * len(shown)
    plot = height - 92
    layout: dict[str, Any] = {
        "height": height,
        "xaxis": {"type": "category", "showgrid": False, "anchor": "y"},
        "yaxis": axis("mean attention", tickformat=".0%", range=[0, 1.02], domain=[1 - 150 / plot, 1], anchor="x"),
        "legend": legend(1.0),
        "barmode": "group",
        "bargap": 0.3,
        "margin": {"t": 44, "b": 48},
        "showlegend": True,
        "annotations": [],
    }
    for i, rows in enumerate(shown):
        suffix, last = axis_suffix(i + 1), i == len(shown) - 1
        bottom = (len(shown) - 1 - i) * 110 / plot
        domain = [bottom, bottom + 78 / plot]
        residue, values = rows["residue"].to_numpy(), rows["score"].to_numpy().astype(np.float32)
        colour = colours[i] if i < len(colours) else GREEN
        line = trace("lines", residue, values, "a = %{x}: %{y:.3g}", colour, panel=i + 1, line={"width": 1.75})
        traces.append(line)
        shared = {"matches": "x2"} if i else {}
        layout[f"xaxis{suffix}"] = axis("a" if last else "", anchor=f"y{suffix}", showticklabels=last, **shared)
        title = {"text": "score", "font": {"size": 12}}
        layout[f"yaxis{suffix}"] = {"title": title, "domain": domain, "anchor": f"x{suffix}", "nticks": 4}
        named = {"xanchor": "left", "font": {"size": 12, "color": colour if colours else INK}}
        layout["annotations"].append(note(html.escape(str(rows["label"][0])), 0, domain[1], **named))
    data = in_parts(attention=pattern, score=score.filter(pl.col("head").is_in([rows["head"][0] for rows in shown])))
    return styled(traces, layout, data=data)
