"""Figures of several runs beside each other: curves, spectra, circles, stages of training, ablations."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from groklab.analysis import ComparedModel, Comparison, carrying_frequencies
from groklab.errors import DamagedError, InputError
from groklab.figures._ablations import EVEN
from groklab.figures._curves import accuracy_overlay, loss_overlay
from groklab.figures._embedding import closed, plane_frame, points_of, residue_colours, spectrum_frame
from groklab.figures._figure import Figure
from groklab.figures._panels import domain, level, note, row_layout
from groklab.figures._registry import Drawing
from groklab.figures._stages import SHADES
from groklab.figures._theme import (
    GREEN,
    MUTED,
    PAPER,
    SERIES,
    SOFT,
    TEST,
    TRAIN,
    axis,
    axis_suffix,
    key_colours,
    legend,
    log_axis,
    styled,
    trace,
)
from groklab.measures import embedding_matrix
from groklab.text import listed, percent

#: Circles of one model, and models with circles of one figure.
CIRCLES, MODELS = 4, 6
#: Markers of runs, which tell them apart without colours.
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
#: Pixels of a panel of bars, and of a row of the time line.
PANEL, ROW = 150, 64


@dataclass(frozen=True)
class ComparisonFigure:
    """A figure of runs beside each other.

    Args:
        name: unique; the `id` of the plot on the page.
        title: its heading.
        about: one sentence on what the figure shows, of any runs.
        part: 'happened' or 'computes', the part of the page.
        draw: takes the comparison and returns a drawing, or None where there is nothing to show.
        rows: whether its height grows with its rows.
    """

    name: str
    title: str
    about: str
    part: str
    draw: Callable[[Comparison], Drawing | None]
    rows: bool = False


def comparison_drawings(comparison: Comparison, part: str | None = None) -> list[tuple[ComparisonFigure, Drawing]]:
    """Return the figures of a comparison that have something to show, with what they show.

    Args:
        part: 'happened', which needs no weights, or 'computes'; None for both.
    """
    drawings = []
    for figure in COMPARISON_FIGURES:
        if part is None or figure.part == part:
            drawing = figure.draw(comparison)
            if drawing is not None:
                drawings.append((figure, drawing))
    return drawings


# -- what happened ------------------------------------------------------------------------------------------------


def _metrics(comparison: Comparison, column: str) -> pl.DataFrame:
    """Return columns run, member, step and a metric of all runs that were evaluated after step 0."""
    parts = []
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        try:
            metrics = run.metrics
        except DamagedError:
            continue
        if metrics.filter(pl.col("step") > 0).height and column in metrics.columns:
            value = pl.col(column).cast(pl.Float64)
            parts.append(metrics.select(pl.lit(name).alias("run"), "member", "step", value))
    schema = {"run": pl.String, "member": pl.Int32, "step": pl.Int64, column: pl.Float64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _ends(frame: pl.DataFrame, column: str) -> dict[str, float]:
    """Return the mean over members of the last finite value of each run."""
    last = frame.filter(pl.col(column).is_finite()).sort("step").group_by("run", "member").last()
    return dict(last.group_by("run").agg(pl.col(column).mean()).iter_rows())


def accuracies(comparison: Comparison) -> Drawing:
    """Draw test accuracy over the steps, with one line per run."""
    frame = _metrics(comparison, "test_accuracy")
    if frame.is_empty():
        return Drawing("No run has been evaluated after step 0 yet.")
    means = _ends(frame, "test_accuracy")
    ends = [f"{percent(means[name])} ({name})" for name in sorted(means, key=lambda name: -means[name])]
    return Drawing(f"The final test accuracies are {listed(ends)}.", accuracy_overlay(frame))


def losses(comparison: Comparison) -> Drawing | None:
    """Draw test loss over the steps, with one line per run."""
    frame = _metrics(comparison, "test_loss").filter(pl.col("test_loss") > 0)
    if frame.is_empty():
        return None
    means = _ends(frame, "test_loss")
    ends = [f"{means[name]:.3g} ({name})" for name in sorted(means, key=lambda name: means[name])]
    return Drawing(f"The final test losses are {listed(ends)}.", loss_overlay(frame))


def stages(comparison: Comparison) -> Drawing | None:
    """Draw when each model memorised and generalised, over its stages of training."""
    rows: list[dict[str, Any]] = []
    for place, model in enumerate(comparison.models):
        headline = None if model.analysis is None else model.analysis.headline
        steps = {} if headline is None else {"memorised": headline.memorised, "generalised": headline.generalised}
        rows += [
            {"model": model.name, "place": place, "what": name, "first": step, "last": step}
            for name, step in steps.items()
            if step is not None
        ]
        circuit = model.circuit
        if circuit is not None and any(step is not None for step in vars(circuit.stages).values()):
            rows += [
                {"model": model.name, "place": place, "what": name, "first": first, "last": last}
                for name, first, last in circuit.stages.spans(circuit.steps[-1])
                if last > first
            ]
    if not rows:
        return None
    sentences = [f"{m.name}: {m.circuit.stages_sentence()}" for m in comparison.models if m.circuit is not None]
    sentence = " ".join(sentences) or "When each model memorised and generalised."
    return Drawing(sentence, time_lines(pl.DataFrame(rows), [m.name for m in comparison.models]))


def time_lines(frame: pl.DataFrame, names: Sequence[str]) -> Figure:
    """Draw one row per model: its stages as bars over the steps (log), with marks where it memorised and generalised.

    Args:
        frame: columns model, place (of the row), what (a stage, 'memorised' or 'generalised'), first, last (steps).
        names: of the models, by place.
    """
    last = max(int(frame["last"].max() or 0), 10)  # type: ignore[arg-type]
    traces: list[dict[str, Any]] = []
    events = {"memorised": ("diamond", TRAIN), "generalised": ("star", TEST)}
    for what in frame["what"].unique(maintain_order=True):
        rows = frame.filter(pl.col("what") == what)
        if what in events:
            continue
        first, end = (np.maximum(rows[k].to_numpy(), 1).astype(float) for k in ("first", "last"))
        look: dict[str, Any] = {"orientation": "h", "base": first, "width": 0.5, "opacity": 0.5}
        look |= {"customdata": rows.select("first", "last").to_numpy()}
        hover = f"{what}: step %{{customdata[0]:,}} to %{{customdata[1]:,}}"
        colour = SHADES.get(what, SOFT)
        traces.append(trace("bar", end - first, rows["place"].to_list(), hover, colour, what, **look))
    for what, (symbol, colour) in events.items():
        rows = frame.filter(pl.col("what") == what)
        if len(rows):
            marker = {"symbol": symbol, "size": 13, "line": {"width": 1, "color": PAPER}}
            x, y = np.maximum(rows["first"].to_numpy(), 1), rows["place"].to_list()
            traces.append(trace("markers", x, y, f"{what} at step %{{x:,}}", colour, what, marker=marker))
    n = len(names)
    place = {"yref": "y", "xanchor": "left", "yshift": 18, "borderpad": 0}
    layout = {
        "height": 110 + ROW * n,
        "barmode": "overlay",
        "xaxis": log_axis(1, last, "training step (log scale)"),
        "yaxis": {"range": [n - 0.5, -0.85], "showticklabels": False, "zeroline": False, "showgrid": False},
        "annotations": [note(html.escape(name), 0, i, **place) for i, name in enumerate(names)],
        "legend": legend(1.0),
        "margin": {"l": 16, "t": 40},
        "showlegend": True,
    }
    return styled(traces, layout, data=frame)


# -- what they compute --------------------------------------------------------------------------------------------

Embeddings: TypeAlias = dict[str, np.ndarray]


def _embeddings(models: Sequence[ComparedModel]) -> Embeddings:
    """Return the final embedding (p, d) of each model that has one for the residues, by its name."""
    by_name = {}
    for model in models:
        circuit = model.circuit
        if circuit is not None:
            try:
                by_name[model.name] = embedding_matrix(circuit.weights, circuit.task)
            except InputError:
                continue
    return by_name


def spectra(comparison: Comparison) -> Drawing | None:
    """Draw the Fourier spectrum of each model's embedding, one above the other."""
    parts = []
    for name, matrix in _embeddings(comparison.models).items():
        parts.append(spectrum_frame({0: matrix}).drop("step").insert_column(0, pl.lit(name).alias("model")))
    if not parts:
        return None
    frame = pl.concat(parts)
    keys = {model.name: model.key_frequencies for model in comparison.models}
    sentence = comparison.frequencies_sentence() or _carrying(frame)
    return Drawing(sentence, spectrum_panels(frame, keys))


def _carrying(frame: pl.DataFrame) -> str:
    texts = []
    for (name,), rows in frame.group_by("model", maintain_order=True):
        carrying = carrying_frequencies(dict(rows.select("frequency", "share").iter_rows()))
        texts.append(f"{name}: {f'{listed(carrying)} carry it' if carrying else 'no frequency stands out'}")
    return f"Frequencies of the embedding. {'; '.join(texts)}."


def spectrum_panels(frame: pl.DataFrame, keys: Mapping[str, Sequence[int]]) -> Figure:
    """Draw bars by frequency, one panel per model, with one colour per key frequency in all of them.

    Where they are more than there are colours, key frequencies that several models have are of one colour, others of
    another.

    Args:
        frame: columns model, frequency, share of the power.
        keys: the key frequencies by model.
    """
    names = frame["model"].unique(maintain_order=True).to_list()
    n, top = len(names), float(frame["share"].max() or 1.0)  # type: ignore[arg-type]
    count = Counter(k for own in keys.values() for k in own)
    colours = key_colours(sorted(count)) or {k: GREEN if n > 1 else TEST for k, n in count.items()}
    widest = int(frame["frequency"].max() or 1)  # type: ignore[arg-type]
    layout: dict[str, Any] = {"height": 70 + PANEL * n, "bargap": 0.25, "annotations": [], "margin": {"t": 28}}
    traces = []
    for i, name in enumerate(names):
        rows, suffix = frame.filter(pl.col("model") == name).sort("frequency"), axis_suffix(i)
        up, end = domain(n - 1 - i, n, min(0.3, 34 / (PANEL * n) + 0.06)), i == n - 1
        colour = [colours[k] if k in keys.get(name, ()) else SOFT for k in rows["frequency"]]
        x, y = rows["frequency"].to_list(), rows["share"].to_numpy()
        traces.append(trace("bar", x, y, f"{html.escape(name)}, k = %{{x}}: %{{y:.1%}}", colour, panel=i))
        layout[f"xaxis{suffix}"] = {
            **axis("frequency k (turns per p residues)" if end else "", showgrid=False, showticklabels=end),
            "anchor": f"y{suffix}",
            "range": [0.4, widest + 0.6],
        }
        layout[f"yaxis{suffix}"] = axis("share of power", tickformat=".1~%", range=[0, 1.08 * top], domain=up, nticks=4)
        layout[f"yaxis{suffix}"]["anchor"] = f"x{suffix}"
        layout["annotations"].append(note(f"<b>{html.escape(name)}</b>", 0, up[1], xanchor="left"))
    return styled(traces, layout, data=frame)


def circles(comparison: Comparison) -> Drawing | None:
    """Draw the circles of each model's embedding, one row per model."""
    parts = []
    by_name = {model.name: model for model in comparison.models}
    for name, matrix in list(_embeddings(comparison.models).items())[:MODELS]:
        keys = [k for k in by_name[name].key_frequencies if 2 * k < len(matrix)]
        try:
            planes = plane_frame({0: matrix}, CIRCLES, keys).drop("step")
        except InputError:
            continue
        parts.append(planes.insert_column(0, pl.lit(name).alias("model")))
    if not parts:
        return None
    frame = pl.concat(parts)
    each = []
    for (name,), rows in frame.group_by("model", maintain_order=True):
        each.append(f"{name} k = {listed(rows['frequency'].unique(maintain_order=True).to_list())}")
    return Drawing(f"Planes of the strongest key frequencies of each embedding: {'; '.join(each)}.", circle_grid(frame))


def circle_grid(frame: pl.DataFrame) -> Figure:
    """Draw points coloured by residue and joined along the circle, one row per model and one panel per frequency.

    Args:
        frame: columns model, frequency, share, residue, place, x, y, as `plane_frame` returns them.
    """
    names = frame["model"].unique(maintain_order=True).to_list()
    rows = len(names)
    moduli = set(frame.group_by("model").agg(pl.col("residue").n_unique())["residue"])
    layout: dict[str, Any] = {
        "width": 900,
        "height": 120 + 250 * rows,
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 12, "r": 12, "t": 48, "b": 72},
        "coloraxis": residue_colours(max(moduli) if len(moduli) == 1 else None),
    }
    traces: list[dict[str, Any]] = []
    for row, name in enumerate(names):
        of_model = frame.filter(pl.col("model") == name)
        up = domain(rows - 1 - row, rows, 60 / (60 + 250 * rows))
        title = note(f"<b>{html.escape(name)}</b>", 0, up[1], xanchor="left", yshift=18)
        layout["annotations"].append(title)
        for column, k in enumerate(of_model["frequency"].unique(maintain_order=True).to_list()):
            points = of_model.filter(pl.col("frequency") == k).sort("place")
            panel = len(traces)
            suffix, across = axis_suffix(panel), domain(column, CIRCLES, 0.03)
            circle = closed(points)
            # on a phone the circles are too small for names of residues
            drawn = {**points_of(circle, panel), "mode": "lines+markers"}
            if len(moduli) > 1:
                drawn["marker"] |= {"color": circle["residue"] / len(points)}
            traces.append(drawn)
            reach = 1.2 * max(float(np.nanmax(np.abs(circle["xy"]))), 1e-30)
            blank: dict[str, Any] = {"showgrid": False, "showline": False, "showticklabels": False, "automargin": False}
            blank |= {"range": [-reach, reach], "constrain": "domain"}
            layout[f"xaxis{suffix}"] = {**blank, "domain": across, "anchor": f"y{suffix}"}
            layout[f"yaxis{suffix}"] = {**blank, "domain": up, "anchor": f"x{suffix}", "scaleanchor": f"x{suffix}"}
            layout["annotations"].append(note(f"k = {k}", sum(across) / 2, up[1], font={"size": 12, "color": MUTED}))
    return styled(traces, layout, data=frame)


def ablations(comparison: Comparison) -> Drawing | None:
    """Draw the loss of each model after each intervention."""
    known = [m for m in comparison.models if m.interventions()]
    rows = [
        {"model": model.name, "intervention": label, "loss": loss}
        for model in known
        for label, loss in model.interventions().items()
    ]
    if not rows:
        return None
    sentences = [f"{m.name}: {m.circuit.ablations_sentence()}" for m in known if m.circuit is not None]
    uniform = {m.circuit.uniform for m in known if m.circuit is not None}
    plot = ablation_rows(pl.DataFrame(rows), uniform.pop() if len(uniform) == 1 else None)
    return Drawing(" ".join(sentences), plot)


def ablation_rows(frame: pl.DataFrame, uniform: float | None = None) -> Figure:
    """Draw one row per intervention with a mark for each model's loss (log).

    Args:
        frame: columns model, intervention, loss.
        uniform: the loss of guessing evenly, drawn as a line.
    """
    labels = frame["intervention"].unique(maintain_order=True).to_list()
    place = {label: i for i, label in enumerate(labels)}
    traces: list[dict[str, Any]] = []
    for i, ((name,), rows) in enumerate(frame.group_by("model", maintain_order=True)):
        loss = rows["loss"].to_numpy()
        marker = {"size": 10, "symbol": SYMBOLS[i % len(SYMBOLS)], "line": {"width": 1, "color": PAPER}}
        x, y = np.where(loss > 0, loss, np.nan), [place[label] for label in rows["intervention"]]
        texts = [html.escape(label) for label in rows["intervention"]]
        hover, colour = f"{html.escape(str(name))}<br>%{{customdata}}: %{{x:.3g}}", SERIES[i % len(SERIES)]
        settings: dict[str, Any] = {"marker": marker, "customdata": texts}
        traces.append(trace("markers", x, y, hover, colour, html.escape(str(name)), **settings))
    values = [*frame["loss"].to_list(), *([] if uniform is None else [uniform])]
    layout = row_layout(labels, values, "loss on all pairs (nats)", 38)
    if uniform is not None and uniform > 0:
        traces.append(level(uniform, EVEN, [-1, len(labels)], along="y"))
    return styled(traces, layout, data=frame)


#: In the order of the page.
COMPARISON_FIGURES = (
    ComparisonFigure(
        "overlay",
        "Test accuracy",
        "Test accuracy of every run over the steps, one thin line per member of an ensemble.",
        "happened",
        accuracies,
    ),
    ComparisonFigure(
        "losses",
        "Test loss",
        "Test loss of every run over the steps, both on logarithmic axes, one thin line per member of an ensemble.",
        "happened",
        losses,
    ),
    ComparisonFigure(
        "stages",
        "Stages of training",
        "When each model memorised and generalised, over the stages of Nanda et al. (2023) where it has a circuit.",
        "computes",
        stages,
        rows=True,
    ),
    ComparisonFigure(
        "spectra",
        "Spectra of the embeddings",
        "The share of each embedding's power by Fourier frequency; a key frequency has the same colour in all panels.",
        "computes",
        spectra,
        rows=True,
    ),
    ComparisonFigure(
        "circles",
        "Circles of the embeddings",
        "Residues in the planes of each model's strongest key frequencies: on a circle, k turns around it.",
        "computes",
        circles,
    ),
    ComparisonFigure(
        "ablations",
        "What happens without parts",
        "The loss of each model after the same interventions: far to the right, the part is needed.",
        "computes",
        ablations,
        rows=True,
    ),
)
