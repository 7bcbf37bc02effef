"""How the logits are read from the neurons: spectrum and rank of the neuron-logit map W_L (Nanda et al. 2023, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import bars_by_step, in_parts, note, vertical
from groklab.figures._registry import Drawing, circuit_figure
from groklab.figures._taken import final, spread
from groklab.figures._theme import MUTED, SOFT, TEST, axis, bar_colours, legend, log_heights, styled, trace
from groklab.measures import Directions, component_names, component_norms, residue_map, rows_of

#: Patterns of the bars of cosines and sines, as colours are those of frequencies.
WAVES: dict[str, dict[str, Any]] = {"cos": {}, "sin": {"pattern": {"shape": "/", "size": 5, "solidity": 0.35}}}


@circuit_figure(
    "readout",
    title="Fourier spectrum of the neuron-logit map",
    place=40,
    about="How much of the map from neurons to logits is a cosine or a sine of each frequency over the answers: the "
    "network reads its answer from those of the key frequencies.",
)
def readout(run: RunContext) -> Drawing:
    """Draw the spectrum of W_L through the checkpoints."""
    c = run.circuit
    waves, frequencies = zip(*(name.split() for name in component_names(c.p)[1:]), strict=True)
    norms = {s: component_norms(residue_map(run.checkpoints[s], c.task))[1:] for s in run.slider_steps}
    columns = {"frequency": np.array(frequencies, np.int32), "wave": waves}
    frame = pl.concat([pl.DataFrame({"step": [s] * len(waves), **columns, "norm": norm}) for s, norm in norms.items()])
    return Drawing(c.readout_sentence(), neuron_logit_spectrum(frame, c.named))


@circuit_figure(
    "directions",
    title="Directions that the logits are read from",
    place=120,
    about="The rank of the map from neurons to logits, two for each key frequency where nothing else is read, and how "
    "well the neurons write the cosine and the sine of the answer along its directions.",
)
def readout_directions(run: RunContext) -> Drawing:
    """Draw the rank of W_L, and what the neurons write on its directions."""
    c = run.circuit
    part = c.part("directions", Directions)
    values = part.singular_values
    singular = pl.DataFrame({"place": np.arange(1, len(values) + 1), "value": values})
    keys = part.frequencies
    written = pl.concat(
        pl.DataFrame({"frequency": keys, "wave": [wave] * len(keys), "fve": fve})
        for wave, fve in zip(WAVES, (part.cos_fve, part.sin_fve), strict=True)
    )
    rank = len(rows_of(c.key_frequencies, c.p))
    return Drawing(c.directions_sentence(), directions(singular, written, rank, c.named))


def neuron_logit_spectrum(frame: pl.DataFrame, keys: Sequence[int] = ()) -> Figure:
    """Draw the norms of W_L's cosine and sine components by frequency, with a slider, at first at the last step.

    Args:
        frame: columns step, frequency, wave ('cos' or 'sin'), norm.
        keys: key frequencies, each in its colour.
    """
    bars = {}
    for wave, pattern in WAVES.items():
        frequencies = frame.filter(pl.col("wave") == wave)["frequency"].unique().sort()
        colour = bar_colours(frequencies, keys) if keys else [TEST] * len(frequencies)
        bars[wave] = (f"{wave}(w<sub>k</sub> c)", {"color": colour, **pattern}, f"{wave} %{{x}}: %{{y:.3g}}")
    titles = ("frequency k (turns per p residues)", "norm of the component of W<sub>L</sub>")
    return bars_by_step(frame, "norm", bars, titles, by="wave", keys=keys)


def directions(singular: pl.DataFrame, written: pl.DataFrame, rank: int, keys: Sequence[int] = ()) -> Figure:
    """Draw singular values of W_L (log) above how well the neurons write cos(w_k s) and sin(w_k s) on its directions.

    Either frame can be the measure `directions`, as `gl.take` returns it; its last step is drawn.

    Args:
        singular: columns place (1..), value.
        written: columns frequency, wave ('cos' or 'sin'), fve (null: no such direction).
        rank: 2|K|, after which a line is drawn.
        keys: key frequencies, each in its colour.
    """
    singular = final(spread(singular, {"value": "singular_values"}, ("place", 1)))
    waves = {wave: spread(written, {"frequency": "frequencies", "fve": f"{wave}_fve"}, ("place", 1)) for wave in WAVES}
    if waves["cos"] is not written:
        of_each = [of.with_columns(pl.lit(wave).alias("wave")) for wave, of in waves.items()]
        written = final(pl.concat(of_each)).select("frequency", "wave", "fve")
    values = singular["value"].to_numpy()
    largest = float(values.max(initial=0.0))
    # what is rounding alone would push everything else to the top of a logarithmic axis
    shown = np.where(values > 1e-8 * largest, values, np.nan) if largest > 0 else np.full(len(values), np.nan)
    place = singular["place"].to_numpy()
    colour = [TEST if i <= rank else SOFT for i in place]
    hover = "singular value %{x}: %{y:.3g}"
    traces = [trace("markers", place, shown.astype(np.float32), hover, colour, marker={"size": 6})]
    for wave, pattern in WAVES.items():
        rows = written.filter(pl.col("wave") == wave).sort("frequency")
        x, y = [str(k) for k in rows["frequency"]], rows["fve"].to_numpy().astype(np.float32)
        hover = f"{wave}, k = %{{x}}: %{{y:.1%}} of the variance"
        look = {"color": bar_colours(rows["frequency"], keys or rows["frequency"].to_list()), **pattern}
        traces.append(trace("bar", x, y, hover, panel=1, marker=look))
        named = {"marker": {"color": MUTED, **pattern}}
        traces.append(trace("bar", [None], [None], "", name=f"{wave}(w<sub>k</sub> s)", panel=1, **named))
    inside = 0 < rank < len(values)
    after = {"xref": "x", "yref": "y domain", "xanchor": "left", "yanchor": "top", "xshift": 4}
    layout = {
        "height": 560,
        "xaxis": axis("singular value of W<sub>L</sub>, in order", anchor="y"),
        "yaxis": {"domain": [0.6, 1], "anchor": "x"} | log_heights(shown.tolist(), "size"),
        "xaxis2": axis("frequency k", anchor="y2", type="category", showgrid=False, tickangle=0, nticks=16),
        "yaxis2": axis("variance explained", domain=[0, 0.38], anchor="x2", range=[0, 1.03], tickformat=".0%"),
        "legend": legend(0.385),
        "barmode": "group",
        "bargap": 0.3,
        "margin": {"l": 68, "t": 24},
        "shapes": [vertical(rank + 0.5)] if inside else [],
        "annotations": [note(f"after 2|K| = {rank}", rank + 0.5, 1, **after)] if inside else [],
        "showlegend": True,
    }
    return styled(traces, layout, data=in_parts(singular=singular, written=written))
