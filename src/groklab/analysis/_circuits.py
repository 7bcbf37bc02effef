"""What a network computes of a sum or difference modulo p (Nanda et al. 2023): measured, judged and worded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import Weights
from groklab.analysis._circuit_parts import CircuitParts
from groklab.analysis._clock_or_pizza import likeness_sentence
from groklab.analysis._key_frequencies import (
    LEAST_P,
    MANY,
    PATIENCE,
    RULES,
    STAGES_RULE,
    analyse_operation,
    follow,
    key_frequencies_of,
    name_of_rule,
    too_large,
)
from groklab.analysis._model import (
    PAGE,
    ModelAnalysis,
    NotApplicable,
    Options,
    Scope,
    Section,
    sections_of,
    sizes_of,
    take_parts,
)
from groklab.errors import InputError
from groklab.experiment import Experiment
from groklab.measures import LOGIT_FVES, ClockOrPizza, Neurons, grid_of
from groklab.tasks import Task, make_split
from groklab.text import listed, loss_of, percent

Share = Literal["all", "part", "none"]

#: Shares of the logits' variance from which the sum of cosines is nearly all that a model computes, or a part of it.
COMPUTES, PARTLY = 0.9, 0.5
#: Measures of the final model, by what they are taken for.
PARTS: dict[Scope, tuple[str, ...]] = {
    "checkpoints": ("neurons",),
    "explanation": ("neurons", "directions", "attention", "ablations", "clock_or_pizza"),
    "page": (
        "neurons",
        "directions",
        "attention",
        "ablations",
        "clock_or_pizza",
        "logits_2d",
        "neurons_2d",
        "logit_parts",
    ),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class CircuitAnalysis(CircuitParts, ModelAnalysis):
    """A network's final model and how it formed, judged by the Fourier components of its logits.

    The parts that are measured, and a sentence on each, are those of `CircuitParts`.
    """

    @property
    def logit_fve(self) -> float | None:
        """Share of the variance of the centred logits that the sum of cosines explains.

        None where residues share answers, so that there is no cosine for each; NaN where the logits of all answers are
        alike, so that there is no variance.
        """
        return self.last("logit_fve") if "logit_fve" in self.trajectory else None

    @property
    def share(self) -> Share | None:
        """How much of what the model computes is the sum of cosines; None where that is not defined."""
        if self.logit_fve is None or math.isnan(self.logit_fve):
            return None
        return "all" if self.logit_fve >= COMPUTES else "part" if self.logit_fve >= PARTLY else "none"

    def to_dict(self) -> dict[str, Any]:
        """Return the final values, the stages of training, and values by step and by frequency."""
        neurons = self.part("neurons", Neurons) if "neurons" in self.parts else None
        return {
            "rule": self.rule,
            "key_frequencies": list(self.key_frequencies),
            **self.values_to_dict(),
            "well_explained_neurons": None if neurons is None else neurons.well_explained_neurons,
            "n_neurons": None if neurons is None else len(neurons.fve),
        }

    def verdict(self) -> str:
        """Return whether the model computes by a sum of cosines, and with which frequencies."""
        keys, n = self.key_frequencies, self.p // 2
        if self.logit_fve is None:
            return (
                f"Residues share answers, so there is no cosine for each; functions of {self.sum} at {len(keys)} "
                f"frequencies ({listed(keys)}) alone have a loss of {loss_of(self.last('restricted_loss'))}, and the "
                f"complete model {loss_of(self.last('loss'))}."
            )
        if math.isnan(self.logit_fve):
            return "Its logits are the same for all answers: they have no variance that a sum of cosines could explain."
        formula = f"Σ αₖ cos(wₖ({self.grid.formula}))"
        if self.grid.formula.endswith("s(c)"):
            formula += ", where s(c) is the sum that c answers,"
        explains = f"explains {percent(self.logit_fve)} of the variance of its logits"
        if not self.few:
            how = {"all": "it computes by that sum", "part": "it computes partly by that sum"}
            judged = how.get(str(self.share), "it does not compute by that sum")
            return (
                f"No small set of frequencies stands out: {len(keys)} of the {n} pass the rule, and {formula} over "
                f"them {explains}, so {judged}."
            )
        which = f"k = {listed(keys)}" if len(keys) <= MANY else f"{len(keys)} of {n} frequencies k"
        if self.share == "all":
            return f"It computes {formula} with {which}: that {explains}."
        if self.share == "part":
            return f"It computes partly by {formula} with {which}: that {explains}."
        return f"It does not compute by {formula}: with {which}, the strongest, that {explains}."

    def sentences(self) -> list[str]:
        """Return the verdict, how frequencies were chosen, neurons, attention, clock or pizza, and losses."""
        sentences = [self.verdict(), self.rule_sentence()]
        if "neurons" in self.parts:
            sentences.append(self.neurons_sentence())
        if "attention" in self.parts:
            sentences.append(self.heads_sentence())
        if "clock_or_pizza" in self.parts:
            sentences.append(likeness_sentence(self.part("clock_or_pizza", ClockOrPizza)))
        return [*sentences, self.losses_sentence()]

    def sections(self) -> list[Section]:
        """Return what is measured of the embedding, attention, neurons, logits, of ablations and of training."""
        parts = self.parts
        attention = (self.heads_sentence, self.linear_sentence, self.attention_sentence)
        neurons = (self.neurons_sentence, self.other_clusters_sentence)
        ablations = (self.ablations_sentence, self.interventions_sentence, self.frequencies_sentence)
        readout = [self.readout_sentence(), self.directions_sentence()] if "directions" in parts else []
        components = [self.components_sentence("logits_2d")] if "logits_2d" in parts else []
        like = [likeness_sentence(self.part("clock_or_pizza", ClockOrPizza))] if "clock_or_pizza" in parts else []
        return sections_of(
            {
                "Embedding": [self.embedding_sentence()],
                "Attention": [sentence() for sentence in attention] if "attention" in parts else [],
                "Neurons": [sentence() for sentence in neurons] if "neurons" in parts else [],
                "Output map W_L": readout,
                "Logits": [self.rule_sentence(), *self.fit_sentences(), *like, self.losses_sentence(), *components],
                "Ablations": [sentence() for sentence in ablations] if "ablations" in parts else [],
                "How it forms": [self.stages_sentence(), STAGES_RULE],
            }
        )

    def rule_sentence(self) -> str:
        """Return how the key frequencies were chosen."""
        rule = RULES.get(self.rule, self.rule)
        if not self.few:
            return f"Its key frequencies are {rule}: nearly all pass, so statements about them mean little."
        return f"Its key frequencies, of 1 to {self.p // 2}, are {rule}."

    def fit_sentences(self) -> list[str]:
        """Return the coefficients of the cosines and the loss of their sum alone; nothing without such a fit."""
        if "alpha" not in self.trajectory:
            return []
        alone, own, train, test = (loss_of(self.last(k)) for k in ("trig_loss", "loss", "train_loss", "test_loss"))
        return [
            self.coefficients_sentence(),
            f"On all pairs the sum of cosines alone has a loss of {alone}, the complete model {own} ({train} on the "
            f"training set, {test} on the test set).",
            *self._fractions_sentence(),
        ]

    def _fractions_sentence(self) -> list[str]:
        """Return what the sum of cosines explains of the logits' variance, by what is taken off the logits first."""
        known = {k: f"{percent(self.last(k))} less {off}" for k, off in LOGIT_FVES.items() if k in self.trajectory}
        if "logit_fve_raw" not in known:
            return []
        known["logit_fve_raw"] = f"{percent(self.last('logit_fve_raw'))} of the raw logits"
        own = percent(self.last("logit_fve"))
        rest = listed([text for name, text in known.items() if name != "logit_fve"])
        return [f"It explains {own} of the variance of the logits centred over c, as softmax sees them; {rest}."]


def may_have_circuit(task: Task, experiment: Experiment) -> bool:
    """Return whether `analyse_circuit` applies by the task and the settings; the weights may still have nothing."""
    network = experiment.network
    if network is None or task.algebra.operations:
        return False
    try:
        grid = grid_of(task)
    except InputError:
        return False
    return grid.p >= LEAST_P and not _takes_long(task, network)


def _takes_long(task: Task, network: Any) -> bool:
    return task.n_inputs * max(task.n_answers, int(getattr(network, "d_mlp", 0) or 0)) > PATIENCE


def analyse_circuit(
    task: Task,
    experiment: Experiment,
    checkpoints: Mapping[int, Weights],
    metrics: pl.DataFrame,
    options: Options = PAGE,
) -> CircuitAnalysis | NotApplicable:
    """Measure one member's checkpoints and its final model.

    Args:
        task: the experiment's.
        experiment: of the member.
        checkpoints: weights by step, the last of which is the final model.
        metrics: the member's evaluations by step; empty ones are replaced by those of the checkpoints.
        options: what is measured, and by which key frequencies.

    Raises:
        InputError: where a rule or frequencies are given that do not apply.
    """
    network, final, scope = experiment.network, checkpoints[max(checkpoints)], options.scope
    try:
        keys = key_frequencies_of(final, task, network, options)
        grid = grid_of(task)
    except (InputError, KeyError) as error:
        if options.given:
            raise
        return NotApplicable.because(error, sizes_of(final, task, metrics))
    if grid.p < LEAST_P and scope != "checkpoints":
        return NotApplicable(f"A modulus of {grid.p} has too few frequencies to tell what the model computes.")
    if scope == "page" and _takes_long(task, network):
        return too_large(task)
    if not keys:
        return NotApplicable(
            "No frequency of this model is above zero, so there is nothing to say of what it computes."
        )
    train = make_split(experiment.split, task, experiment.seed).train
    steps, values = follow(checkpoints, task, train, network, keys, options)
    parts, left_out = take_parts(PARTS[scope], final, task, train, network=network, frequencies=keys)
    if metrics.is_empty():
        columns = {k: values[k] for k in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")}
        metrics = pl.DataFrame({"step": steps, **columns, "weight_norm": np.sqrt(values["sum_of_squares"])})
    return CircuitAnalysis(
        **vars(analyse_operation(task.name, grid, task, steps, values, metrics)),
        task=task,
        network=network,
        grid=grid,
        key_frequencies=keys,
        rule=name_of_rule(task, options),
        weights=final,
        metrics=metrics,
        parts=parts,
        left_out=left_out,
    )
