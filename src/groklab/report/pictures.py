"""The figures of a page: each a Plotly description, a heading, and one sentence of what it says about this run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from groklab import figures
from groklab.analysis.facts import Facts, Weights, embeddings
from groklab.figures import frames
from groklab.figures.theme import Figure
from groklab.measures.fourier import component_norms, gini
from groklab.report import story
from groklab.text import listed, percent

#: Frequencies that a sentence names; where more carry the embedding, none does.
MANY = 10
SLASH = re.compile(r"(?<!\\)\\u002f")


@dataclass(frozen=True)
class Picture:
    """One figure of a page, or, where `spec` is empty, the sentence that says why it is not there.

    key: names it on the page and in the style sheet. spec: the figure as JSON, without Plotly's own slider, which no
    keyboard reaches. steps: the checkpoints of its slider. style: its size, where the style sheet cannot know it.
    """

    key: str
    title: str
    sentence: str
    spec: str = ""
    steps: tuple[int, ...] = ()
    style: str = ""


def picture(key: str, title: str, sentence: str, drawn: Figure, *, tall: bool = False) -> Picture:
    """A figure made ready for a page: its size is the page's to decide, its slider becomes an input.

    A figure with a width of its own keeps its proportions, and a tall one its height.
    """
    steps = tuple(int(f.name) for f in drawn.frames)
    width, height = drawn.layout.width, drawn.layout.height
    style = f"height: {height:.0f}px" if tall else ""
    if width:
        style = f"height: auto; max-width: {width:.0f}px; aspect-ratio: {width / height:.3f}; margin: 0 auto"
    drawn.layout.sliders = drawn.layout.width = drawn.layout.height = None
    # inside a script element, `<` could end it; Plotly writes six letters for each `/` too, of which arrays are full
    spec = SLASH.sub("/", drawn.to_json().replace("<", "\\u003c"))
    return Picture(key, title, sentence, spec, steps, style)


def curve_pictures(facts: Facts) -> list[Picture]:
    """Loss, accuracy and norms over the steps."""
    metrics = facts.metrics
    if metrics.filter(pl.col("step") > 0)["step"].n_unique() < 2:
        return [
            Picture("curves", "Loss and accuracy", "There are no curves yet: fewer than two evaluations after step 0.")
        ]
    marks = facts.typical("memorised"), facts.typical("grokked")
    # few steps, and a training loss of zero
    curves = figures.training_curves(metrics, *marks, loss=loss_name(facts), linear=facts.kernel_machine)
    told = [picture("curves", "Loss and accuracy", story.curves_sentence(facts), curves)]
    if {"trace", "condition"} <= set(metrics.columns):
        sizes = figures.machine_sizes(metrics, *marks)
        return [*told, picture("norms", "Size and conditioning", story.sizes_sentence(facts), sizes)]
    if "grad_norm" not in metrics.columns:
        return told
    return [
        *told,
        picture("norms", "Norms of weights and gradient", story.norms_sentence(facts), figures.norms(metrics, *marks)),
    ]


def loss_name(facts: Facts) -> str:
    """What the loss is, with its unit, as an axis is labelled."""
    if facts.kernel_machine:
        return "mean squared error"
    summed = f",<br>sum of {facts.summed} operations" if facts.summed else ""
    return unit(facts) + summed


def unit(facts: Facts) -> str:
    """What the loss of one operation is, with its unit."""
    units = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}
    return units.get(str(getattr(facts.experiment.objective, "kind", "")), "loss")


def survival_pictures(facts: Facts) -> list[Picture]:
    """For an ensemble, the share of its members that have grokked."""
    found = facts.estimate("grokked")
    if not facts.several or found is None or facts.step < 1:
        return []
    events = {event: facts.reached(event) for event in ("memorised", "grokked")}
    frame = frames.event_frame(events, [facts.step] * len(facts.members))
    drawn = figures.reached_share(frame, found.low, found.high if found.n_grokked > 1 else found.low)
    return [picture("survival", "When the members grokked", story.survival_sentence(facts), drawn)]


def embedding_pictures(
    facts: Facts, kept: Mapping[int, Weights], why: str, keys: Sequence[int] = ()
) -> tuple[list[Picture], list[Picture]]:
    """The embedding's spectrum, and its circles, through the first member's checkpoints.

    why: the reason where none is kept. keys: frequencies whose planes are shown; if none, the strongest ones'.
    """
    found, why = embeddings(facts, kept) if kept else ({}, why)
    if not found:
        left_out = f"Its Fourier spectrum and circles are left out: {why}"
        return [Picture("spectrum", "Structure of the embedding", left_out)], []
    spectrum = frames.spectrum_frame(found)
    whose = f"Member 0 (seed {facts.experiment.seed}): " if facts.several else ""
    gap = [gini(component_norms(found[step])) for step in dict.fromkeys((min(found), max(found)))]
    sentence = _spectrum_sentence(spectrum, gap)
    drawn = figures.embedding_spectrum(spectrum)
    told = [picture("spectrum", "Fourier spectrum of the embedding", whose + sentence, drawn)]
    title = "Circles in the embedding"
    shape = found[max(found)].shape[0], found[max(found)].shape[1]
    if shape[0] < 3:
        none = "With a modulus below 3 there is no plane of a cosine and a sine to show."
        return told, [Picture("planes", title, none)]
    # the frequency p/2 has no plane
    planes = frames.plane_frame(found, frequencies=[k for k in keys if 2 * k < shape[0]])
    return told, [picture("planes", title, whose + _planes_sentence(planes, shape), figures.embedding_planes(planes))]


def _spectrum_sentence(spectrum: pl.DataFrame, ginis: Sequence[float]) -> str:
    """ginis: of the first and the last checkpoint, or of the only one."""
    end = int(spectrum["step"].max())  # type: ignore[arg-type]
    last = spectrum.filter(pl.col("step") == end).sort("share", descending=True)
    shares = dict(last.select("frequency", "share").iter_rows())
    told = "went from {:.2f} to {:.2f}" if len(ginis) > 1 else "is {:.2f}"
    concentration = f"the Gini coefficient of the components {told.format(*ginis)}"
    carrying = [k for k, share in shares.items() if share >= frames.STRONG]
    even = f"{1 / len(shares):.0%}"
    if not 0 < len(carrying) <= MANY:
        low, high = percent(min(shares.values()), 0), percent(max(shares.values()), 0)
        return (
            f"At step {end:,} no frequency stands out: the {len(shares)} of them carry {low} to {high} of the "
            f"embedding's power each, where even shares would be {even}; {concentration}."
        )
    parts = listed([f"{k} ({shares[k]:.0%})" for k in carrying])
    some = f"the frequenc{'y' if len(carrying) == 1 else 'ies'} {parts} carr{'ies' if len(carrying) == 1 else 'y'}"
    whole = f"all {len(carrying)} frequencies, {parts}, carry"
    strong = [k for k in carrying if k in frames.strong_frequencies(spectrum)]
    doubled = "" if strong == carrying else f"; {_doubled(strong)} twice an even share of {even}"
    if 1 < len(carrying) == len(shares):
        return f"At step {end:,} {whole} the embedding{doubled}; {concentration}."
    total = f"{sum(shares[k] for k in carrying):.0%}"
    return f"At step {end:,} {some} the embedding, {total} of its power{doubled}; {concentration}."


def _doubled(strong: Sequence[int]) -> str:
    if not strong:
        return "none of them stands out with"
    return f"of these {listed(strong)} stand{'s' if len(strong) == 1 else ''} out with"


def _planes_sentence(planes: pl.DataFrame, shape: tuple[int, int]) -> str:
    turning = frames.turning_share(planes)
    first, end = int(turning["step"].min()), int(turning["step"].max())  # type: ignore[arg-type]
    before = f"; at step {first:,} it was {{}}" if first < end else ""
    by_step = {s: turning.filter(pl.col("step") == s)["turning"].to_list() for s in (first, end)}
    ks = planes["frequency"].unique(maintain_order=True).to_list()
    chance = frames.chance_turning(*shape)
    return (
        f"In the plane{'s' if len(ks) > 1 else ''} of k = {listed(ks)}, {_span(by_step[end])} of the points' spread at "
        f"step {end:,} is a pure turn by k residues at a time (a perfect circle has 100%; random weights of this "
        f"shape, in planes chosen so, about {chance:.0%}){before.format(_span(by_step[first]))}."
    )


def _span(shares: list[float]) -> str:
    ends = list(dict.fromkeys(percent(s, 0) for s in (min(shares), max(shares))))
    return " to ".join(ends)
