"""Heat maps over the inputs (a, b), and of Fourier components over a and b (Nanda et al. 2023, section 4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import CircuitAnalysis
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import domain, note
from groklab.figures._registry import Drawing, circuit_figure, figure
from groklab.figures._taken import final
from groklab.figures._theme import BAR, INK, SEQUENTIAL, axis, axis_suffix, key_colours, styled, trace
from groklab.measures import MEASURES, Spectrum2D, component_names
from groklab.text import percent

#: Rows and columns up to which components are named on the axes.
NAMED = 26
#: Rows and columns up to which all of them are named on the axes.
FEW = 14
#: Rows of components are left out if they hold no more than this share of the largest component shown.
SMALL = 0.1
#: Panels of `input_maps`.
PANELS = 6
SCALE = [list(stop) for stop in SEQUENTIAL]
TITLE = "The {} over a and b, in Fourier components"


def has_components(run: RunContext) -> bool:
    """Return whether the logits of the run's network have components: its task has a modulus."""
    return run.experiment.network is not None and run.task is not None and bool(run.task.algebra.p)


@figure(
    "logits_2d",
    title=TITLE.format("logits"),
    section="computes",
    place=80,
    applies_to=has_components,
    about="The logits over both inputs as products of waves of a and of b: an algorithm of cosines and sines has "
    "blocks at its key frequencies on the diagonal, and little elsewhere.",
)
def logits_2d(run: RunContext) -> Drawing | Iterator[Drawing]:
    """Draw the logits of the final model in Fourier components, of each operation of a mixture."""
    if run.has_circuit:
        return _circuit_components(run.circuit, "logits")
    return _operation_components(run) if run.checkpoints else iter(())


@circuit_figure(
    "neurons_2d",
    title=TITLE.format("neurons"),
    place=90,
    about="The neurons over both inputs as products of waves of a and of b: single waves in the first row and column, "
    "products of two at the same frequency on the diagonal.",
)
def neurons_2d(run: RunContext) -> Drawing:
    """Draw the neurons of the final model in Fourier components."""
    return _circuit_components(run.circuit, "neurons")


def _circuit_components(c: CircuitAnalysis, what: str) -> Drawing:
    """Return the components of a model whose key frequencies are known."""
    name = f"{what}_2d"
    norm = c.part(name, Spectrum2D).norm
    return Drawing(c.components_sentence(name), components_2d(component_frame(norm), c.named))


def _operation_components(run: RunContext) -> Iterator[Drawing]:
    """Yield the components of each operation's logits."""
    assert run.task is not None
    p, step = run.task.modulus, max(run.checkpoints)
    norm = np.asarray(MEASURES["logits_2d"](run.final_weights, run.task, network=run.experiment.model)["norm"])
    for operation, values in zip(run.operations or [""], norm if run.operations else norm[None], strict=True):
        power = np.sort((values**2).ravel())
        share = float(power[-20:].sum()) / max(float(power.sum()), 1e-300)
        of = f" of {operation}" if operation else ""
        sentence = f"At step {step:,} the 20 largest of {p**2:,} components{of} hold {percent(share)} of the power."
        yield Drawing(sentence, components_2d(component_frame(values)), title=TITLE.format("logits") + of)


def component_frame(norm: np.ndarray) -> pl.DataFrame:
    """Return columns of_a, of_b (names of components) and norm from an array (p, p)."""
    p = len(norm)
    names = component_names(p)
    return pl.DataFrame(
        {"of_a": np.repeat(names, p).tolist(), "of_b": np.tile(names, p).tolist(), "norm": norm.ravel()}
    )


def input_frame(maps: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return columns panel, a, b, value from arrays (p, p) by title."""
    parts = []
    for title, values in maps.items():
        a, b = np.indices(values.shape)
        columns = {"a": a.ravel(), "b": b.ravel(), "value": values.ravel()}
        parts.append(pl.DataFrame(columns).insert_column(0, pl.lit(title).alias("panel")))
    return pl.concat(parts)


def heatmap(
    z: np.ndarray, hover: str, panel: int = 0, *, x: Any = None, y: Any = None, **settings: Any
) -> dict[str, Any]:
    """Return a heat map of a panel, whose rows and columns are numbered unless x and y name them."""
    return trace("heatmap", x, y, hover, panel=panel, z=z, **settings)


def square_axes(suffix: str, size: int, x: Sequence[float] = (0, 1), **settings: Any) -> dict[str, Any]:
    """Return the axes of a heat map of size × size squares with row 0 at the top; x: its left and right end."""
    plain: dict[str, Any] = {
        "showgrid": False,
        "zeroline": False,
        "constrain": "domain",
        "ticks": "outside",
        **settings,
    }
    across = {"domain": list(x), "anchor": f"y{suffix}", "range": [-0.5, size - 0.5]}
    down = {"anchor": f"x{suffix}", "range": [size - 0.5, -0.5], "scaleanchor": f"x{suffix}"}
    return {f"xaxis{suffix}": plain | across, f"yaxis{suffix}": plain | down}


def input_maps(
    frame: pl.DataFrame, *, shared: bool = False, percent: bool = False, colours: Sequence[str] = ()
) -> Figure:
    """Draw small heat maps over the inputs beside each other, at most six.

    Args:
        frame: columns panel (its title, of one or two short lines), a, b, value, each pair (a, b) of a panel once.
        shared: one scale from 0 to 1 with a colour bar; else each panel has its own.
        percent: values are shares.
        colours: of the titles.
    """
    titles = frame["panel"].unique(maintain_order=True).to_list()[:PANELS]
    n = len(titles)
    across = 1 if n == 1 else 2 if n in (2, 4) else 3
    down = -(-n // across)
    layout: dict[str, Any] = {
        "width": 60 + 320 * across,
        "height": (110 if shared else 60) + 340 * down,
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 44, "r": 12, "t": 44, "b": 96 if shared else 44},
    }
    traces = []
    for i, title in enumerate(titles):
        grid = frame.filter(pl.col("panel") == title).sort("a", "b")
        p = int(len(grid) ** 0.5)
        suffix = axis_suffix(i)
        row, column = divmod(i, across)
        x, y = domain(column, across, 0.08), domain(down - 1 - row, down, 0.2)
        scale: dict[str, Any] = {"coloraxis": "coloraxis"} if shared else {"colorscale": SCALE, "showscale": False}
        z, form = grid["value"].to_numpy().astype(np.float32).reshape(p, p), ":.1%" if percent else ":.3g"
        traces.append(heatmap(z, "a = %{y}, b = %{x}: %{z" + form + "}", i, **scale))
        name = {"standoff": 2, "font": {"size": 12}}
        lowest = i + across >= n
        layout |= square_axes(suffix, p, x, nticks=5)
        # the panels of a column have the same ticks, and their room is the next one's title's
        layout[f"xaxis{suffix}"] |= {"showticklabels": lowest, "title": {"text": "b" if lowest else "", **name}}
        layout[f"yaxis{suffix}"] |= {"domain": y, "title": {"text": "a" if column == 0 else "", **name}}
        font = {"size": 12, "color": colours[i] if colours else INK}
        layout["annotations"].append(note(title, sum(x) / 2, y[1], font=font))
    if shared:
        bar = {**BAR, "ypad": 44, "tickformat": ".0%" if percent else ""}
        layout["coloraxis"] = {"colorscale": SCALE, "cmin": 0, "cmax": 1, "colorbar": bar}
    return styled(traces, layout, data=frame.filter(pl.col("panel").is_in(titles)))


def components_2d(frame: pl.DataFrame, keys: Sequence[int] = ()) -> Figure:
    """Draw a heat map of the norms of Fourier components over a (down) and b (across).

    Rows and columns with no component above a tenth of the largest are left out, where at most 26 remain. The scale
    ends at the largest component besides the constant one, so that a large mean hides nothing.

    Args:
        frame: columns of_a, of_b (their names, in the order of the basis), norm; or the measure `logits_2d` or
            `neurons_2d`, as `gl.take` returns it, of which the last step is drawn.
        keys: key frequencies, whose products of waves have a frame in their colours.
    """
    if frame.schema.get("norm") == pl.List(pl.List(pl.Float64)):
        frame = component_frame(np.asarray(final(frame)["norm"].to_list()[0]))
    names = frame["of_a"].unique(maintain_order=True).to_list()
    norm = frame["norm"].to_numpy().reshape(len(names), len(names))
    rest = norm.copy()
    rest[0, 0] = 0
    largest = float(rest.max(initial=0.0))
    of_either = np.maximum(rest.max(axis=0, initial=0.0), rest.max(axis=1, initial=0.0))
    kept = np.flatnonzero(of_either > SMALL * largest) if largest > 0 else np.arange(len(names))
    if not 2 <= len(kept) <= NAMED:
        kept = np.arange(len(names))
    shown = [names[i] for i in kept]
    named = len(kept) <= NAMED
    left_out = f" (the others are below {SMALL:.0%})" if len(kept) < len(names) else ""
    ticks = {"dtick": 1, "tickfont": {"size": 11}} if named else {"nticks": 12, "tickfont": {"size": 10}}
    if FEW < len(shown) <= NAMED:
        # what a phone has room for: the key frequencies, whose sines come after their cosines
        named_of = [n for n in shown if (n in {f"cos {k}" for k in keys} if keys else n[:3] == "cos") or n == "const"]
        ticks = {"tickvals": named_of, "tickfont": {"size": 11}}
    names_of = {"type": "category", "showgrid": False, "constrain": "domain", **ticks}
    bar: dict[str, Any] = {**BAR, "y": 1, "yanchor": "bottom", "nticks": 5}
    gap = 1 if named else 0
    scale: dict[str, Any] = {"zmin": 0, "zmax": largest or 1.0, "colorscale": SCALE, "xgap": gap, "ygap": gap}
    bar["title"] = {"text": "norm", "side": "right", "font": {"size": 12}}
    z, hover = norm[np.ix_(kept, kept)].astype(np.float32), "%{y} of a · %{x} of b: %{z:.3g}"
    cells = heatmap(z, hover, x=shown, y=shown, colorbar=bar, **scale)
    layout = {
        "width": 700,
        "height": 740,
        "xaxis": axis("of b" + left_out, tickangle=-90, **names_of),
        "yaxis": axis("of a", autorange="reversed", scaleanchor="x", **names_of),
        "margin": {"r": 8, "t": 56, "b": 64},
        "showlegend": False,
        "shapes": _blocks(shown, keys),
    }
    of_both = pl.col("of_a").is_in(shown) & pl.col("of_b").is_in(shown)
    return styled([cells], layout, data=frame.filter(of_both))


def _blocks(names: Sequence[str], keys: Sequence[int]) -> list[dict[str, Any]]:
    """Return frames around the products of waves of each key frequency."""
    shapes = []
    for k, colour in key_colours(keys).items():
        places = [i for i, name in enumerate(names) if name.endswith(f" {k}")]
        if places:
            ends = {"x0": places[0] - 0.5, "x1": places[-1] + 0.5, "y0": places[0] - 0.5, "y1": places[-1] + 0.5}
            shapes.append({"type": "rect", **ends, "line": {"color": colour, "width": 2}})
    return shapes
