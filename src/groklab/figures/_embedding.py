"""Structure of the embedding: its Fourier spectrum, and its circles in planes (Nanda et al. 2023, figure 3 and 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import carrying_frequencies, strong_frequencies
from groklab.errors import InputError
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import bars_by_step, domain, note, slider_frames
from groklab.figures._registry import Drawing, figure
from groklab.figures._taken import spread
from groklab.figures._theme import (
    BAR,
    CYCLE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    PAPER,
    SOFT,
    axis_suffix,
    bar_colours,
    key_colours,
    slider,
    styled,
    trace,
)
from groklab.measures import component_norms, fourier_basis, frequency_norms, frequency_shares, gini
from groklab.text import listed, percent

#: Points of a panel that have their residue in print; the others name it when pointed at.
LABELS = 12
#: The least distance of two of them, in units of the largest coordinate.
NEAR = 0.28
#: Where a label is, by eighths of a turn.
_AROUND = (
    "middle right",
    "top right",
    "top center",
    "top left",
    "middle left",
    "bottom left",
    "bottom center",
    "bottom right",
)


def has_embedding(run: RunContext) -> bool:
    """Return whether the run has a network, whose embedding can be looked at."""
    return run.experiment.network is not None


@figure(
    "spectrum",
    title="Fourier spectrum of the embedding",
    section="computes",
    place=30,
    applies_to=has_embedding,
    about="How much of the embedding is a wave of each frequency over the residues: even at first, and in a network "
    "that groks a modular sum mostly in a few frequencies at the end.",
)
def spectrum(run: RunContext) -> Drawing:
    """Draw the power of each frequency in the embedding, through the checkpoints."""
    embeddings = run.embeddings()
    frame = spectrum_frame(embeddings)
    steps = dict.fromkeys((min(embeddings), max(embeddings)))
    ginis = [gini(component_norms(embeddings[step])) for step in steps]
    keys = run.circuit.named if run.has_circuit else ()
    return Drawing(run.whose + _spectrum_sentence(frame, ginis), embedding_spectrum(frame, keys))


@figure(
    "circles",
    title="Circles in the embedding",
    section="computes",
    place=50,
    applies_to=has_embedding,
    about="The embedding of every residue in the plane of one frequency: where the network uses that frequency, the "
    "residues lie on a circle and go around it k at a time.",
)
def circles(run: RunContext) -> Drawing | None:
    """Draw the embedding in the planes of its strongest frequencies, or of a circuit's key ones."""
    try:
        embeddings = run.embeddings()
    except InputError:
        return None  # the spectrum says why
    p, d = embeddings[max(embeddings)].shape
    if p < 3:
        return Drawing("With a modulus below 3 there is no plane of a cosine and a sine to show.")
    keys = run.circuit.named if run.has_circuit else ()
    # the frequency p/2 has no plane
    frame = plane_frame(embeddings, frequencies=[k for k in keys if 2 * k < p])
    return Drawing(run.whose + _planes_sentence(frame, p, d), embedding_planes(frame, keys))


def _spectrum_sentence(spectrum: pl.DataFrame, ginis: Sequence[float]) -> str:
    """Return what stands out; ginis: Gini coefficients of the first and the last checkpoint, or of the only one."""
    end = int(spectrum["step"].max())  # type: ignore[arg-type]
    shares = last_shares(spectrum)
    if not np.isfinite(list(shares.values())).any():
        return f"At step {end:,} the embedding is the same for all residues: it has no power at any frequency."
    ginis = [value for value in ginis if np.isfinite(value)]
    change = "went from {:.2f} to {:.2f}" if len(ginis) > 1 else "is {:.2f}"
    concentration = f"the Gini coefficient of the components {change.format(*ginis)}"
    carrying = carrying_frequencies(shares)
    even = f"{1 / len(shares):.0%}"
    if not carrying:
        low, high = percent(min(shares.values()), 0), percent(max(shares.values()), 0)
        return (
            f"At step {end:,} no frequency stands out: the {len(shares)} of them carry {low} to {high} of the "
            f"embedding's power each, where equal shares would be {even}; {concentration}."
        )
    parts = listed([f"{k} ({shares[k]:.0%})" for k in carrying])
    strong = [k for k in strong_frequencies(shares) if k in carrying]
    doubled = ""
    if strong != carrying:
        verb = f"of these {listed(strong)} stand{'s' if len(strong) == 1 else ''} out"
        doubled = f"; {verb if strong else 'none of them stands out'} with twice an equal share of {even}"
    if 1 < len(carrying) == len(shares):
        every = f"all {len(carrying)} frequencies, {parts}, carry"
        return f"At step {end:,} {every} the embedding{doubled}; {concentration}."
    some = f"the frequenc{'y' if len(carrying) == 1 else 'ies'} {parts} carr{'ies' if len(carrying) == 1 else 'y'}"
    total = f"{sum(shares[k] for k in carrying):.0%}"
    return f"At step {end:,} {some} the embedding, {total} of its power{doubled}; {concentration}."


def _planes_sentence(frame: pl.DataFrame, p: int, d: int) -> str:
    turning = turning_share(frame)
    first, end = int(turning["step"].min()), int(turning["step"].max())  # type: ignore[arg-type]
    ranges = {}
    for step in (first, end):
        shares = turning.filter(pl.col("step") == step)["turning"].to_list()
        ranges[step] = " to ".join(dict.fromkeys(percent(s, 0) for s in (min(shares), max(shares))))
    before = f"; at step {first:,} it was {ranges[first]}" if first < end else ""
    ks = frame["frequency"].unique(maintain_order=True).to_list()
    return (
        f"In the plane{'s' if len(ks) > 1 else ''} of k = {listed(ks)}, {ranges[end]} of the points' spread at "
        f"step {end:,} is a pure turn by k residues at a time (a perfect circle has 100%; random weights of this "
        f"shape, in planes chosen so, about {chance_turning(p, d):.0%}){before}."
    )


def spectrum_frame(embeddings: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Return columns step, frequency (1..p//2), norm and share of the power, from embeddings (p, d) by step."""
    parts = []
    for step, matrix in sorted(embeddings.items()):
        norm, share = frequency_norms(matrix), frequency_shares(matrix)
        frequency = np.arange(1, len(norm) + 1, dtype=np.int32)
        parts.append(pl.DataFrame({"frequency": frequency, "norm": norm, "share": share}).insert_column(0, _step(step)))
    return pl.concat(parts)


def last_shares(spectrum: pl.DataFrame) -> dict[int, float]:
    """Return each frequency's share of the power at the last step of a `spectrum_frame`."""
    last = spectrum.filter(pl.col("step") == pl.col("step").max())
    return dict(last.select("frequency", "share").iter_rows())


def plane_frame(
    embeddings: Mapping[int, np.ndarray], panels: int = 4, frequencies: Sequence[int] | None = None
) -> pl.DataFrame:
    """Return the embedding's points in the planes of the strongest frequencies of the last step, at every step.

    The plane of frequency k is spanned by the embedding's cosine and sine components at k at the last step, so that
    one sees points move into a fixed plane.

    Args:
        embeddings: arrays (p, d) by step.
        panels: the most frequencies.
        frequencies: choose among these, such as the key frequencies of a model; None or empty chooses among all.

    Returns:
        Columns step, frequency, share (at the last step), residue, place (along the circle: the multiples of 1/k
        mod p), x, y; strongest frequency first.

    Raises:
        InputError: where p < 3, which leaves no frequency with a sine.
    """
    last = np.asarray(embeddings[max(embeddings)], np.float64)
    p = len(last)
    share = frequency_norms(last) ** 2
    share /= max(float(share.sum()), 1e-300)
    # the frequency p/2 of an even p has no sine, so no plane
    order = [int(i) + 1 for i in np.argsort(-share[: (p - 1) // 2], kind="stable")]
    order = [k for k in order if not frequencies or k in frequencies][:panels]
    if not order:
        raise InputError(f"a plane needs a cosine and a sine, so a modulus of at least 3, not {p}")
    basis = fourier_basis(p)
    residue = np.arange(p, dtype=np.int32)
    parts = []
    for k in order:
        axes = _plane(basis[2 * k - 1 : 2 * k + 1] @ last)
        place = np.argsort(np.argsort(k * np.arange(p) % p, kind="stable")).astype(np.int32)
        for step, matrix in sorted(embeddings.items()):
            centred = np.asarray(matrix, np.float64) - np.mean(matrix, axis=0, dtype=np.float64)
            x, y = (centred @ axes.T).T
            columns = {"residue": residue, "place": place, "x": x, "y": y}
            head = [_step(step), pl.lit(k, pl.Int32).alias("frequency"), pl.lit(float(share[k - 1])).alias("share")]
            parts.append(pl.DataFrame(columns).select(*head, *columns))
    return pl.concat(parts)


def turning_share(planes: pl.DataFrame) -> pl.DataFrame:
    """Return columns frequency, step, turning: how much of the points' spread in a plane turns with its frequency.

    A circle of k turns in p residues has 1; points at random 2 / (p - 1).

    Args:
        planes: as `plane_frame` returns it.
    """
    rows = []
    for (k, step), points in planes.sort("residue").group_by("frequency", "step", maintain_order=True):
        xy = points.select("x", "y").to_numpy()
        basis = fourier_basis(len(xy))[2 * int(str(k)) - 1 : 2 * int(str(k)) + 1]
        rows.append((k, step, float(np.sum((basis @ xy) ** 2) / max(np.sum(xy**2), 1e-300))))
    return pl.DataFrame(rows, schema={"frequency": pl.Int32, "step": pl.Int64, "turning": pl.Float64}, orient="row")


def chance_turning(p: int, d: int) -> float:
    """Return about what `turning_share` is for random weights (p, d) in the planes of their own components.

    Directions in many dimensions are nearly at right angles, so a plane chosen by its frequency shows mostly that
    frequency, whatever the weights: a circle alone proves little where d is much larger than p.
    """
    return d / (d + max(p - 3, 0))


def embedding_spectrum(frame: pl.DataFrame, keys: Sequence[int] = ()) -> Figure:
    """Draw bars by frequency with a slider, at first at the last checkpoint.

    Args:
        frame: columns step, frequency, and share of the power or norm (the share is shown where there are both); or the
            measure `embedding_spectrum`, as `gl.take` returns it.
        keys: key frequencies, each in its colour; without any, frequencies that stand out are coloured.
    """
    frame = spread(frame, {"norm": "norm", "share": "share"}, ("frequency", 1))
    shares = "share" in frame.columns
    column, title = ("share", "share of the embedding's power") if shares else ("norm", "norm of the frequency")
    frequencies = frame["frequency"].unique().sort().to_list()
    strong = strong_frequencies(last_shares(frame)) if shares and not keys else []
    colour = bar_colours(frequencies, keys) if keys else [GREEN if k in strong else SOFT for k in frequencies]
    bars = ("", {"color": colour}, "frequency %{x}: %{y" + (":.1%}" if shares else ":.3g}"))
    titles = ("frequency k (turns per p residues)", title)
    return bars_by_step(frame, column, {"": bars}, titles, keys=keys, tickformat=".1~%" if shares else "")


def embedding_planes(frame: pl.DataFrame, keys: Sequence[int] = ()) -> Figure:
    """Draw points coloured by residue and joined along the circle, with one panel per frequency and a slider.

    Args:
        frame: as `plane_frame` returns it; the first four frequencies are shown.
        keys: key frequencies, whose lines and titles have their colours.
    """
    colours = key_colours(keys)
    frequencies = frame["frequency"].unique(maintain_order=True).to_list()[:4]
    n, rows = len(frequencies), -(-len(frequencies) // 2)
    steps = frame["step"].unique().sort().to_list()
    grouped = frame.sort("place").group_by("frequency", "step", maintain_order=True)
    circles = {(k, s): closed(rows) for (k, s), rows in grouped}
    layout: dict[str, Any] = {
        "width": 760,
        "height": 480 if n == 2 else 820,
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 12, "r": 12, "t": 32, "b": 72},
        "sliders": [slider(steps)],
        "coloraxis": residue_colours(frame["residue"].n_unique()),
    }
    traces = []
    for i, k in enumerate(frequencies):
        suffix = axis_suffix(i)
        traces.append(points_of(circles[k, steps[-1]], i, colours.get(k, FAINT)))
        reach = 1.18 * max(float(np.nanmax(np.abs(circles[k, s]["xy"]))) for s in steps)
        across, up = domain(i % 2, min(n, 2), 0.04), domain(rows - 1 - i // 2, rows, 0.08)
        blank = {
            "showgrid": False,
            "showline": False,
            "showticklabels": False,
            "zeroline": True,
            "range": [-reach, reach],
            "automargin": False,
            "constrain": "domain",
        }
        layout[f"xaxis{suffix}"] = {**blank, "domain": across, "anchor": f"y{suffix}"}
        layout[f"yaxis{suffix}"] = {**blank, "domain": up, "anchor": f"x{suffix}", "scaleanchor": f"x{suffix}"}
        share = frame.filter(pl.col("frequency") == k)["share"][0]
        title = {"font": {"size": 12, "color": colours.get(k, INK)}}
        layout["annotations"].append(note(f"<b>k = {k}</b> · {share:.0%}", sum(across) / 2, up[1], **title))
    changes = {s: [{"type": "scatter", **_xy(circles[k, s])} for k in frequencies] for s in steps}
    return styled(traces, layout, slider_frames(changes), frame.filter(pl.col("frequency").is_in(frequencies)))


def closed(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return points in the order of the circle, the first again at the end: xy (p + 1, 2), residue (p + 1,)."""
    around = [*range(len(rows)), 0]
    xy = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1).astype(np.float32)[around]
    return {"xy": xy, "residue": rows["residue"].to_numpy()[around]}


def _xy(circle: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"x": np.ascontiguousarray(circle["xy"][:, 0]), "y": np.ascontiguousarray(circle["xy"][:, 1])}


def residue_colours(p: int | None) -> dict[str, Any]:
    """Return the scale of colours of residues, with its bar below the panels.

    Args:
        p: None where panels have several moduli; the points are then coloured by their residue as a share of p.
    """
    ticks = sorted({round(i * p / 4) for i in range(5)}) if p else [i / 4 for i in range(5)]
    texts = [str(t) if t < p else f"{p} = 0" for t in ticks] if p else ["0", "p/4", "p/2", "3p/4", "p = 0"]
    title = {"text": "residue", "side": "top", "font": {"size": 12}}
    bar = {**BAR, "ypad": 8, "len": 0.5, "tickvals": ticks, "tickfont": {"size": 11}, "title": title}
    # the scale comes back to its first colour at p, as residues do
    scale = {"cmin": 0, "cmax": p or 1, "colorscale": [list(stop) for stop in CYCLE]}
    return {**scale, "colorbar": {**bar, "ticktext": texts}}


def _labelled(circle: dict[str, np.ndarray]) -> list[str]:
    """Return the residues that are in print, and nothing for points too near to those before."""
    xy, residue = circle["xy"], circle["residue"]
    p = len(residue) - 1
    near = NEAR * float(np.nanmax(np.abs(xy), initial=0.0))
    kept: list[int] = []
    for i in range(0, p, -(-p // LABELS)):
        if all(np.hypot(*(xy[i] - xy[j])) >= near for j in kept):
            kept.append(i)
    return [str(n) if i in kept else "" for i, n in enumerate(residue)]


def points_of(circle: dict[str, np.ndarray], panel: int, colour: str = FAINT) -> dict[str, Any]:
    """Return the points of a circle that `closed` returns, some of them named.

    They are coloured by residue, for a figure whose coloraxis is that of `residue_colours`.
    """
    residue = circle["residue"]
    p = len(residue) - 1
    shown = _labelled(circle)
    angle = np.arctan2(circle["xy"][:, 1], circle["xy"][:, 0])
    outward = [_AROUND[round(float(a) / (np.pi / 4)) % 8] if np.isfinite(a) else _AROUND[0] for a in angle]
    turn = {"color": residue, "coloraxis": "coloraxis"}
    look: dict[str, Any] = {
        "text": shown,
        "textposition": outward,
        "textfont": {"size": 10, "color": MUTED},
        "customdata": residue,
        "line": {"width": 1},
        "marker": {**turn, "size": 7 if p <= 64 else 5.5, "line": {"width": 0.5, "color": PAPER}},
        "cliponaxis": False,
    }
    x, y = _xy(circle).values()
    return trace("lines+markers+text", x, y, "residue %{customdata}", colour, panel=panel, **look)


def _step(step: int) -> pl.Expr:
    return pl.lit(step, pl.Int64).alias("step")


def _plane(components: np.ndarray) -> np.ndarray:
    """Orthonormal axes (2, d) of the plane of the rows (2, d), the first along the first row; rank 1 pads with 0."""
    first, second = components
    first = first / max(float(np.linalg.norm(first)), 1e-300)
    second = second - (second @ first) * first
    length = float(np.linalg.norm(second))
    return np.array([first, second / length if length > 1e-12 else np.zeros_like(second)])
