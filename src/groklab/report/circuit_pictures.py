"""The figures of how a run groks and what its model computes, and the table of interventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from groklab import figures
from groklab.analysis.circuits import CircuitAnalysis, label_of
from groklab.analysis.facts import Facts, Weights, for_slider
from groklab.errors import InputError
from groklab.measures.activity import activity
from groklab.measures.attention import operand_positions, pattern_on_grid
from groklab.measures.fourier import component_names, component_norms, rows_of
from groklab.measures.frequencies import residue_map
from groklab.report.page import Table
from groklab.report.pictures import Picture, picture
from groklab.text import loss_of, percent

#: Heat maps beside each other.
NEURONS, HEADS = 5, 6


def phase_pictures(c: CircuitAnalysis, loss: str) -> list[Picture]:
    """The phases, and the coefficients of the frequencies over training."""
    if len(c.steps) < 2:
        return [Picture("phases", "Phases of training", "One checkpoint is too few to tell phases.")]
    names = [
        n for n in ("restricted_loss", "excluded_loss", "gini_W_E", "gini_W_L", "sum_of_squares") if n in c.trajectory
    ]
    progress = pl.DataFrame({"step": np.array(c.steps)} | {n: c.trajectory[n] for n in names})
    ends = vars(c.phases)
    end = max(c.steps[-1], int(c.metrics["step"].max() or 0))  # type: ignore[arg-type]
    spans = [s for s in c.phases.spans(end) if s[2] > s[1]] if any(v is not None for v in ends.values()) else []
    drawn = figures.training_phases(c.metrics, progress, spans, loss=loss)
    told = [picture("phases", "Phases of training", c.phases_sentence(), drawn)]
    if "alpha" in c.trajectory:
        alpha = _long(c.steps, c.trajectory["alpha"], "alpha")
        drawn = figures.coefficients(alpha, c.named)
        told.append(picture("coefficients", "Cosines in the logits", c.coefficients_sentence(), drawn))
    return told


def readout_pictures(facts: Facts, c: CircuitAnalysis, kept: Mapping[int, Weights]) -> list[Picture]:
    """The spectrum of W_L through the checkpoints."""
    title = "Fourier spectrum of the neuron-logit map"
    steps = for_slider(facts, list(kept))
    try:
        norms = {s: component_norms(residue_map(kept[s], c.task)) for s in steps}
    except InputError as error:
        return [Picture("readout", title, f"Left out: {error}.")]
    names = [name.split() for name in component_names(c.p)[1:]]
    parts = [
        pl.DataFrame(
            {
                "step": [s] * (c.p - 1),
                "frequency": np.array([int(k) for _, k in names], np.int32),
                "wave": [wave for wave, _ in names],
                "norm": norms[s][1:],
            }
        )
        for s in steps
    ]
    drawn = figures.neuron_logit_spectrum(pl.concat(parts))
    return [picture("readout", title, c.readout_sentence(), drawn)]


def neuron_pictures(c: CircuitAnalysis) -> list[Picture]:
    """Clusters of neurons, and one example for each key frequency."""
    title = "Neurons by frequency"
    if "neurons" not in c.parts:
        return [Picture("neurons", title, f"Left out: {c.left_out['neurons']}.")]
    found = c.parts["neurons"]
    frequency, fve = np.asarray(found["frequency"]), np.asarray(found["fve"])
    frame = pl.DataFrame({"frequency": frequency, "fve": fve})
    told = [
        picture("neurons", title, c.neurons_sentence(), figures.neuron_clusters(frame, c.named)),
    ]
    best = [(int(k), np.flatnonzero(frequency == k)) for k in c.named]
    chosen = [(k, int(own[np.argmax(fve[own])])) for k, own in best if len(own)][:NEURONS]
    by_key = bool(chosen)
    if not chosen:
        order = np.argsort(-fve, kind="stable")[: NEURONS - 1]
        chosen = [(int(frequency[i]), int(i)) for i in order if frequency[i] > 0]
    if not chosen:
        return told
    values = activity(c.weights, c.task, c.network, ("neurons",))["neurons"][c.grid.rows]
    maps = {f"neuron {i}<br>k = {k} · {percent(float(fve[i]), 0)}": values[:, :, i] for k, i in chosen}
    sentence = _examples_sentence(len(chosen), by_key)
    return [*told, picture("examples", "Examples of neurons", sentence, figures.input_maps(_maps(maps)))]


def _examples_sentence(n: int, chosen: bool) -> str:
    if n == 1:
        return "The activation of the neuron that one frequency explains best."
    if chosen:
        return "For each frequency named, the activation of the neuron that it explains best, each on its own scale."
    return f"The activations of the {n} neurons that one frequency explains best, each on its own scale."


def component_pictures(c: CircuitAnalysis) -> list[Picture]:
    """Two-dimensional Fourier components of the logits and of the neurons."""
    told = []
    for part, key, title in (
        ("logits_2d", "logits2d", "The logits over a and b, in Fourier components"),
        ("neurons_2d", "neurons2d", "The neurons over a and b, in Fourier components"),
    ):
        if part not in c.parts:
            told.append(Picture(key, title, f"Left out: {c.left_out[part]}."))
            continue
        names = component_names(c.p)
        norm = np.asarray(c.parts[part]["norm"])
        frame = pl.DataFrame(
            {
                "of_a": np.repeat(names, c.p).tolist(),
                "of_b": np.tile(names, c.p).tolist(),
                "norm": norm.ravel(),
            }
        )
        told.append(picture(key, title, c.components_sentence(part), figures.components_2d(frame)))
    return told


def attention_pictures(c: CircuitAnalysis) -> list[Picture]:
    """Mean pattern and scores, and each head's attention to a over (a, b)."""
    title = "Attention from the last position"
    if "attention" not in c.parts:
        return [Picture("attention", title, f"Left out: {c.left_out['attention']}.")]
    found = c.parts["attention"]
    first, second = operand_positions(c.task)
    mean, score = np.asarray(found["mean_pattern"]), np.asarray(found["score"])
    n_heads, n_ctx = mean.shape
    positions = [f"position {i}" for i in range(n_ctx)]
    # the token p stands for '=' in every layout
    positions[-1] = "=" if c.task.shape.constants[-1] == c.p else "the last position"
    positions[first], positions[second] = "a", "b"
    pattern = pl.DataFrame(
        {
            "head": np.repeat(np.arange(n_heads), n_ctx),
            "position": positions * n_heads,
            "weight": mean.ravel(),
        }
    )
    best = np.asarray(found["score_frequency"])
    labels = [f"head {h}" + (f" · mostly k = {k}" if k else "") for h, k in enumerate(best)]
    scores = pl.DataFrame(
        {
            "head": np.repeat(np.arange(n_heads), c.p),
            "residue": np.tile(np.arange(c.p), n_heads),
            "score": score.ravel(),
            "label": np.repeat(labels, c.p).tolist(),
        }
    )
    drawn = figures.attention_heads(pattern, scores)
    told = [picture("attention", title, c.attention_sentence(), drawn, tall=True)]
    seen = pattern_on_grid(c.weights, c.task, c.network)[..., first]
    frequency, fve = found["pattern_frequency"], found["pattern_fve"]
    maps = {
        f"head {h}" + (f"<br>k = {frequency[h]} · {percent(float(fve[h]), 0)}" if frequency[h] else ""): seen[:, :, h]
        for h in range(min(n_heads, HEADS))
    }
    sentence = c.heads_sentence() + (f" The first {HEADS} are shown." if n_heads > HEADS else "")
    drawn = figures.input_maps(_maps(maps), shared=True, percent=True)
    return [*told, picture("heads", "Attention to a, head by head", sentence, drawn)]


def direction_pictures(c: CircuitAnalysis) -> list[Picture]:
    """Rank of W_L, and what the neurons write on its directions."""
    title = "Directions that the logits are read from"
    if "directions" not in c.parts:
        return [Picture("directions", title, f"Left out: {c.left_out['directions']}.")]
    found = c.parts["directions"]
    values = np.asarray(found["singular_values"])
    singular = pl.DataFrame({"place": np.arange(1, len(values) + 1), "value": values})
    keys = list(found["frequencies"])
    written = pl.concat(
        [
            pl.DataFrame(
                {"frequency": keys, "wave": [wave] * len(keys), "fve": np.asarray(found[f"{wave}_fve"], float)}
            )
            for wave in ("cos", "sin")
        ]
    )
    drawn = figures.directions(singular, written, len(rows_of(c.key_frequencies, c.p)))
    return [picture("directions", title, c.directions_sentence(), drawn)]


def ablation_pictures(c: CircuitAnalysis) -> list[Picture]:
    """The loss after each intervention, and without each frequency."""
    title = "What happens without its parts"
    if "ablations" not in c.parts:
        return [Picture("ablations", title, f"Left out: {c.left_out['ablations']}.")]
    found = c.parts["ablations"]
    rows = _interventions(c)
    own = float(found["loss"][list(found["names"]).index("base")])
    frame = pl.DataFrame(
        {"label": [label for _, label, _ in rows], "loss": [float(found["loss"][i]) for i, _, _ in rows]}
    )
    loss = np.asarray(found["loss_without_frequency"])
    each = pl.DataFrame({"frequency": np.arange(1, len(loss) + 1), "loss": loss})
    drawn = figures.ablation_losses(frame, own, c.uniform)
    single = figures.frequency_losses(each, c.named, own, c.uniform)
    return [
        picture("ablations", title, c.ablations_sentence(), drawn, tall=True),
        picture("frequencies", "What happens without each frequency", c.frequencies_sentence(), single),
    ]


def ablation_tables(c: CircuitAnalysis) -> list[Table]:
    """Loss on all pairs and on either set, and accuracy, after each intervention."""
    if "ablations" not in c.parts:
        return []
    found = c.parts["ablations"]
    columns = ("loss", "train_loss", "test_loss")
    rows = [
        (label, *(loss_of(float(found[n][i])) for n in columns), percent(float(found["accuracy"][i])))
        for i, label, _ in _interventions(c)
    ]
    return [Table("Interventions", ("intervention", "loss, all pairs", "train", "test", "accuracy"), rows)]


def _interventions(c: CircuitAnalysis) -> list[tuple[int, str, str]]:
    """Place in the measure's arrays, label and machine name; single key frequencies only where they are few."""
    names = list(c.parts["ablations"]["names"])
    keep = [n for n in names if c.few or not n.rpartition("_")[2].isdigit()]
    return [(names.index(n), label_of(n, c.sum), n) for n in keep]


def _maps(maps: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Columns panel, a, b, value from arrays (p, p) by title."""
    parts = []
    for title, values in maps.items():
        a, b = np.indices(values.shape)
        columns: dict[str, Any] = {"a": a.ravel(), "b": b.ravel(), "value": values.ravel()}
        parts.append(pl.DataFrame(columns).insert_column(0, pl.lit(title).alias("panel")))
    return pl.concat(parts)


def _long(steps: list[int], values: np.ndarray, name: str) -> pl.DataFrame:
    """Columns step, frequency and a value from an array (steps, p//2)."""
    n = values.shape[1]
    frequency = np.tile(np.arange(1, n + 1, dtype=np.int32), len(steps))
    return pl.DataFrame({"step": np.repeat(steps, n), "frequency": frequency, name: values.ravel()})


#: Pictures after those of the embedding, in their order.
PARTS: tuple[Callable[[CircuitAnalysis], list[Picture]], ...] = (
    neuron_pictures,
    component_pictures,
    attention_pictures,
    direction_pictures,
    ablation_pictures,
)
