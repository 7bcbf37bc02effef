"""Neurons by the frequency that explains them (Nanda et al. 2023, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._heatmaps import input_frame, input_maps
from groklab.figures._panels import note, vertical
from groklab.figures._registry import Drawing, circuit_figure
from groklab.figures._taken import final, spread
from groklab.figures._theme import FAINT, INK, SOFT, TEST, axis, key_colours, legend, styled, swatch, trace
from groklab.measures import WELL_EXPLAINED, Neurons, activity
from groklab.text import percent

#: Width of a bar of the histogram: 0.85 is an edge.
WIDTH = 0.05
#: Neurons that are shown as examples.
EXAMPLES = 5


@circuit_figure(
    "neurons",
    title="Neurons by frequency",
    place=60,
    about="How much of each neuron's activation one frequency explains, and how many neurons each frequency has.",
)
def neurons(run: RunContext) -> Drawing:
    """Draw how much of each neuron one frequency explains, and how many neurons each frequency has."""
    c = run.circuit
    part = c.part("neurons", Neurons)
    frame = pl.DataFrame({"frequency": part.frequency, "fve": part.fve})
    return Drawing(c.neurons_sentence(), neuron_clusters(frame, c.named))


@circuit_figure(
    "neuron_examples",
    title="Examples of neurons",
    place=70,
    about="The activation of single neurons over all pairs of inputs: stripes and checks are waves of one frequency.",
    applies_to=lambda run: run.has_part("neurons"),
)
def examples(run: RunContext) -> Drawing | None:
    """Draw the activations of neurons over the inputs: for each key frequency the one that it explains best."""
    c = run.circuit
    part = c.part("neurons", Neurons)
    frequency, fve = part.frequency, part.fve
    of_keys = [np.flatnonzero(frequency == k) for k in c.named]
    chosen = [int(own[np.argmax(fve[own])]) for own in of_keys if len(own)][:EXAMPLES]
    by_key = bool(chosen)
    if not chosen:
        order = np.argsort(-fve, kind="stable")[: EXAMPLES - 1]
        chosen = [int(i) for i in order if frequency[i] > 0]
    if not chosen:
        return None
    values = activity(c.weights, c.task, c.network, ("neurons",))["neurons"][c.grid.rows]
    maps = {f"neuron {i}<br>k = {frequency[i]} · {percent(float(fve[i]), 0)}": values[:, :, i] for i in chosen}
    colours = key_colours(c.named)
    plot = input_maps(input_frame(maps), colours=[colours.get(int(frequency[i]), INK) for i in chosen])
    return Drawing(_examples_sentence(len(chosen), by_key), plot)


def _examples_sentence(n: int, by_key: bool) -> str:
    if n == 1:
        return "The activation of the neuron that one frequency explains best."
    if by_key:
        return "For each frequency named, the activation of the neuron that it explains best, each on its own scale."
    return f"The activations of the {n} neurons that one frequency explains best, each on its own scale."


def neuron_clusters(frame: pl.DataFrame, keys: Sequence[int]) -> Figure:
    """Draw how much of each neuron one frequency explains, above how many neurons each frequency has.

    In the lower panel the neurons explained to 85% or more are below the others.

    Args:
        frame: columns frequency (0: dead, left out) and fve, one row per neuron; or the measure `neurons`, as `gl.take`
            returns it, of which the last step is drawn.
        keys: frequencies that are coloured.
    """
    frame = final(spread(frame, {"frequency": "frequency", "fve": "fve"}, ("neuron", 0)))
    alive = frame.filter(pl.col("frequency") > 0)
    edges = np.linspace(0, 1, round(1 / WIDTH) + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    # an edge in binary may be a rounding above 0.85
    counts = np.histogram(alive["fve"].to_numpy() + 1e-12, edges)[0] if len(alive) else np.zeros(len(middle), int)
    frequencies = alive["frequency"].unique().sort().to_list()
    colours = key_colours(keys)
    well, rest = (
        [len(alive.filter((pl.col("frequency") == k) & above)) for k in frequencies]
        for above in (pl.col("fve") >= WELL_EXPLAINED, pl.col("fve") < WELL_EXPLAINED)
    )
    share = f"{WELL_EXPLAINED:.0%}"
    # where key frequencies have colours of their own, only the grey needs a name
    named = [(f"explained to less than {share}", FAINT)]
    if not colours:
        named.insert(0, (f"explained to {share} or more", TEST))
    well_or_not = [TEST if m > WELL_EXPLAINED else SOFT for m in middle]
    ends = [f"{a:.0%} to {a + WIDTH:.0%}" for a in edges[:-1]]
    look: dict[str, Any] = {"width": 0.92 * WIDTH, "customdata": ends}
    traces = [trace("bar", middle, counts, "%{y} neurons: %{customdata} explained", well_or_not, **look)]
    stacked: list[tuple[str, list[int], Any]] = [
        (f"explained to {share}", well, [colours.get(k, TEST) for k in frequencies]),
        ("less", rest, FAINT),
    ]
    for name, values, colour in stacked:
        hover = f"k = %{{x}}: %{{y}} neurons, {name}"
        traces.append(trace("bar", [str(k) for k in frequencies], np.array(values, np.int32), hover, colour, panel=1))
    traces += [swatch(name, colour) for name, colour in named]
    layout = {
        "height": 560,
        "xaxis": axis("variance in its best frequency", tickformat=".0%", range=[0, 1], anchor="y", showgrid=False),
        "yaxis": axis("neurons", domain=[0.64, 1], anchor="x"),
        "xaxis2": axis("frequency k", anchor="y2", type="category", showgrid=False, tickangle=0, nticks=20),
        "yaxis2": axis("neurons", domain=[0, 0.34], anchor="x2"),
        "barmode": "stack",
        "bargap": 0.25,
        "shapes": [vertical(WELL_EXPLAINED)],
        "annotations": [note(share, WELL_EXPLAINED, 1, xref="x", yref="y domain")],
        # two rows on a phone, below the upper axis' title
        "legend": legend(0.345),
        "margin": {"t": 24},
        "showlegend": True,
    }
    return styled(traces, layout, data=frame)
