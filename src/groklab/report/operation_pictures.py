"""The figures of what Furuta et al. 2024 measure of an operation: sparsity and balance of frequencies, mixtures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from groklab import figures
from groklab.analysis.circuits import CircuitAnalysis
from groklab.analysis.facts import Facts, Weights, for_slider
from groklab.analysis.model import ModelAnalysis
from groklab.errors import DamagedError, InputError
from groklab.measures import MEASURES
from groklab.measures.fourier import component_names
from groklab.report.pictures import Picture, picture, unit
from groklab.text import listed, loss_of, percent

MEASURE = "fourier_sparsity"
FURUTA = (
    "FFS, Fourier frequency sparsity: the share of cosine and sine components above half of the largest, 1 where all "
    "frequencies are used alike. FCR, Fourier coefficient ratio: the mean over frequencies of the smaller of cosine "
    "and sine over the larger, 1 where they are balanced. Both of W_E, the numbers' embeddings, and of W_L, the map "
    "from neurons to logits (Furuta et al. 2024).",
)


def operation_pictures(facts: Facts, kept: Mapping[int, Weights], model: ModelAnalysis) -> list[Picture]:
    """Draw the operations of a mixture, FFS and FCR by step, and the logits in Fourier components.

    FFS and FCR are drawn where they were measured online or no circuit is analysed, the components where none is.
    """
    told = mixture_pictures(facts)
    if facts.task is None or not facts.task.algebra.p:
        return told
    if MEASURE in facts.experiment.measures.names or not isinstance(model, CircuitAnalysis):
        told += _sparsity(facts, kept)
    if not isinstance(model, CircuitAnalysis) and kept:
        told += _components(facts, kept)
    return told


def mixture_pictures(facts: Facts) -> list[Picture]:
    """Accuracy and loss of each operation of a mixture by step, of the first member."""
    names = facts.operations
    if not names or f"test_accuracy_op{len(names) - 1}" not in facts.metrics.columns:
        return []
    own = facts.metrics.filter(pl.col("member") == 0).sort("step")
    drawn = figures.operation_curves(own, names)
    last = own.row(-1, named=True)
    accuracies = [f"{name} {percent(last[f'test_accuracy_op{i}'])}" for i, name in enumerate(names)]
    sentence = (
        f"One split of the pairs for all operations. Test accuracy at step {last['step']:,}: {listed(accuracies)}."
    )
    if f"test_loss_op{len(names) - 1}" in last:
        losses = [f"{name} {loss_of(last[f'test_loss_op{i}'])}" for i, name in enumerate(names)]
        sentence += f" Test loss, each operation's own {unit(facts)}: {listed(losses)}."
    return [picture("operations", "The operations of the mixture", sentence, drawn, tall=True)]


def _sparsity(facts: Facts, kept: Mapping[int, Weights]) -> list[Picture]:
    title = "Sparsity and balance of the frequencies"
    try:
        frame = _on_line(facts)
        frame = _after(facts, kept) if frame is None else frame
    except (InputError, DamagedError) as error:
        return [Picture("sparsity", title, f"Left out: {error}.")]
    if frame is None or len(frame) < 2:
        return []
    own = facts.metrics.filter(pl.col("member") == 0)
    last = frame.tail(1).to_dicts()[0]
    values = [
        f"{kind.upper()} of W_{of} {last[f'{kind}_W_{of}']:.2f}"
        for kind in ("ffs", "fcr")
        for of in "EL"
        if last.get(f"{kind}_W_{of}") is not None
    ]
    sentence = f"At step {last['step']:,}: {listed(values)}. Both are 1 or nearly so before training."
    return [picture("sparsity", title, sentence, figures.fourier_progress(frame, own), tall=True)]


def _on_line(facts: Facts) -> pl.DataFrame | None:
    """The measure as it was taken while training, of the first member; None where it was not."""
    measured = facts.run.measured
    if measured is None:
        return None
    columns = {c: c.split(".")[1] for c in measured.columns if c.startswith(f"{MEASURE}.")}
    numbers = [c for c in columns if measured[c].dtype in (pl.Float64, pl.Float32)]
    if not numbers:
        return None
    own = measured.filter(pl.col("member") == 0).sort("step")
    return own.select("step", *(pl.col(c).alias(columns[c]) for c in numbers)).drop_nulls()


def _after(facts: Facts, kept: Mapping[int, Weights]) -> pl.DataFrame | None:
    """The measure at the kept checkpoints."""
    rows = []
    for step in for_slider(facts, list(kept)):
        found = MEASURES[MEASURE](kept[step], facts.task, network=facts.experiment.model)  # type: ignore[arg-type]
        rows.append({"step": step} | {k: float(v) for k, v in found.items() if np.ndim(v) == 0})
    return pl.DataFrame(rows) if rows else None


def _components(facts: Facts, kept: Mapping[int, Weights]) -> list[Picture]:
    """The logits over a and b in Fourier components, of each operation, for the last checkpoint."""
    step = max(kept)
    assert facts.task is not None
    p, several = facts.task.modulus, list(facts.task.algebra.operations)
    title = "The logits over a and b, in Fourier components"
    try:
        norm = np.asarray(MEASURES["logits_2d"](kept[step], facts.task, network=facts.experiment.model)["norm"])
    except InputError as error:
        return [Picture("logits2d", title, f"Left out: {error}.")]
    names = component_names(p)
    told = []
    for i, one in enumerate(norm if several else norm[None]):
        frame = pl.DataFrame(
            {"of_a": np.repeat(names, p).tolist(), "of_b": np.tile(names, p).tolist(), "norm": one.ravel()}
        )
        whole = float((one**2).sum())
        share = float(np.sort((one**2).ravel())[-20:].sum()) / max(whole, 1e-300)
        which = f" of {several[i]}" if several else ""
        sentence = f"At step {step:,} the 20 largest of {p**2:,} components{which} hold {percent(share)} of the power."
        told.append(picture(f"logits2d{i or ''}", title + which, sentence, figures.components_2d(frame)))
    return told
