"""What a model of several operations computes (Furuta et al. 2024): measured, judged and worded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import Weights
from groklab.analysis._circuit_parts import CONSTANT
from groklab.analysis._key_frequencies import (
    LEAST_P,
    MANY,
    PATIENCE,
    RULES,
    STAGES_RULE,
    OperationAnalysis,
    analyse_operation,
    few_stand_out,
    follow,
    key_frequencies_of,
    name_of_rule,
    too_large,
)
from groklab.analysis._model import PAGE, ModelAnalysis, NotApplicable, Options, Scope, Section, sizes_of, take_parts
from groklab.errors import InputError
from groklab.experiment import Experiment
from groklab.measures import FEWEST, MEASURES, grids_of
from groklab.tasks import Task, make_split
from groklab.text import jsonable, listed, loss_of, percent

#: Components over (a, b) that are named.
NAMED = 5
#: Measures of the final model, by what they are taken for.
PARTS: dict[Scope, tuple[str, ...]] = {
    "checkpoints": (),
    "explanation": ("logits_2d",),
    "page": ("logits_2d", "logit_parts"),
}


@dataclass(frozen=True, repr=False)
class MixtureAnalysis(ModelAnalysis):
    """A model of several operations, judged by what key frequencies alone are worth to each.

    Args:
        task: the mixture.
        key_frequencies: those that the operations share; None where no answer is a function of a + b or a − b.
        rule: a key of `RULES`, '' where there are no key frequencies.
        reason: why there are none, '' where there are.
        operations: those whose answer is a function of a + b or a − b.
        left_out: the names of the others.
        sizes: losses as recorded, and sizes of the weights.
        sparsity: single numbers of the measure `fourier_sparsity`.
        parts: results of other measures of the final model, by name.
    """

    task: Task
    key_frequencies: tuple[int, ...] | None
    rule: str
    reason: str
    operations: tuple[OperationAnalysis, ...]
    left_out: tuple[str, ...]
    sizes: Mapping[str, float]
    sparsity: Mapping[str, float]
    parts: Mapping[str, Mapping[str, Any]]

    @property
    def p(self) -> int:
        """The modulus."""
        return self.task.modulus

    @property
    def uniform(self) -> float:
        """The loss of guessing evenly among the answers."""
        return math.log(self.task.n_answers)

    def to_dict(self) -> dict[str, Any]:
        """Return recorded losses, sparsity, and `operations` with the measures of each, or `does_not_apply`."""
        sparsity = {"fourier_sparsity": dict(self.sparsity)} if self.sparsity else {}
        values = jsonable({**self.sizes, **sparsity})
        if self.key_frequencies is None:
            return {"key_frequencies": None, "does_not_apply": self.reason, **values}
        return {
            "rule": self.rule,
            "key_frequencies": list(self.key_frequencies),
            **values,
            "operations": [
                {"operation": one.name, "direction": one.direction, **one.values_to_dict()} for one in self.operations
            ],
            "left_out": list(self.left_out),
        }

    def verdict(self) -> str:
        """Return what functions of its sum at the key frequencies are worth to each operation."""
        if self.key_frequencies is None:
            return (
                f"No operation of {self.task.name} is a function of a + b or a − b, so no loss is restricted to key "
                "frequencies."
            )
        keys, n = self.key_frequencies, self.p // 2
        which = (
            f"the frequencies {listed(keys)}"
            if few_stand_out(keys, self.p)
            else f"{len(keys)} of {n} frequencies, which is not few"
        )
        losses = [
            f"{one.name} has a loss of {loss_of(one.last('restricted_loss'))} (complete model: "
            f"{loss_of(one.last('loss'))})"
            for one in self.operations
        ]
        even = loss_of(self.uniform)
        return f"With only functions of its sum at {which}, {listed(losses)}; uniform guessing has {even}."

    def sentences(self) -> list[str]:
        """Return the verdict, how frequencies were chosen, and the losses of each operation."""
        if self.key_frequencies is None:
            return [self.verdict(), f"{self.reason}."]
        operations = (one.losses_sentence(named=True) for one in self.operations)
        return [self.verdict(), self.rule_sentence(), *operations, *map(_left_out_sentence, self.left_out)]

    def sections(self) -> list[Section]:
        """Return what is measured of the weights that all operations share, and of each operation."""
        rule = [] if self.key_frequencies is None else [self.rule_sentence()]
        sections = [Section("Frequencies of the weights", [*rule, *self.sparsity_sentences()])]
        for operation in self.operations:
            sentences = [*_operation_sentences(operation), *self._components(operation.name)]
            sections.append(Section(f"Operation {operation.name}", sentences))
        names = self.left_out or (self.task.algebra.operations if self.key_frequencies is None else ())
        for name in names:
            sections.append(Section(f"Operation {name}", [_left_out_sentence(name), *self._components(name)]))
        if any(len(operation.steps) >= FEWEST for operation in self.operations):
            sections.append(Section("How they form", [STAGES_RULE]))
        return [section for section in sections if section.sentences]

    def rule_sentence(self) -> str:
        """Return how the key frequencies were chosen."""
        keys = self.key_frequencies or ()
        named = listed(keys) if len(keys) <= MANY else f"{len(keys)} frequencies"
        few = "" if few_stand_out(keys, self.p) else "; with so many this means little"
        return (
            f"Its operations share W_L, and with it the key frequencies {named} of 1 to {self.p // 2} "
            f"({RULES.get(self.rule, self.rule)}){few}."
        )

    def sparsity_sentences(self) -> list[str]:
        """Return sparsity and balance of the cosines and sines in each matrix that has them."""
        sentences = []
        for name, words in (("W_E", "the embedding W_E"), ("W_L", "the neuron-logit map W_L")):
            ffs, fcr = (self.sparsity.get(f"{kind}_{name}") for kind in ("ffs", "fcr"))
            if ffs is not None and fcr is not None:
                sentences.append(
                    f"Of the cosines and sines of {words} {percent(ffs, 0)} stand out (FFS {ffs:.3f}), and the smaller "
                    f"of the two is {fcr:.2f} of the larger on average (FCR)."
                )
        return sentences

    def _components(self, operation: str) -> list[str]:
        """Return the largest components over (a, b) of an operation's logits, where they are measured."""
        components = self.parts.get("logits_2d")
        if components is None:
            return []
        i = list(components["operations"]).index(operation)
        pairs = zip(components["largest"][i], components["largest_norm"][i], strict=True)
        largest = [f"{name} ({norm:.3g})" for name, norm in pairs if name != CONSTANT]
        return [f"The largest components of its logits, of a · of b: {', '.join(largest[:NAMED])}."]


def _operation_sentences(operation: OperationAnalysis) -> list[str]:
    """Return losses, the fit by cosines, and where the stages of training end."""
    loss, train, test = (loss_of(operation.last(k)) for k in ("loss", "train_loss", "test_loss"))
    sentences = [
        operation.losses_sentence(named=True),
        f"Its loss is {loss} on all pairs ({train} on the training set, {test} on the test set), and its test accuracy "
        f"{percent(operation.last('test_accuracy'))}.",
    ]
    if np.isfinite(operation.last("logit_fve")):
        fve = percent(operation.last("logit_fve"))
        sentences.append(f"Cosines of {operation.sum} less the answer explain {fve} of the variance of its logits.")
    return [*sentences, operation.stages_sentence()] if len(operation.steps) >= FEWEST else sentences


def _left_out_sentence(operation: str) -> str:
    return f"{operation} is not a function of a + b or a − b, so it has no restricted loss."


def analyse_mixture(
    task: Task,
    experiment: Experiment,
    checkpoints: Mapping[int, Weights],
    metrics: pl.DataFrame,
    options: Options = PAGE,
) -> MixtureAnalysis | NotApplicable:
    """Measure one member's operations; the arguments are those of `analyse_circuit`."""
    network, final, scope = experiment.network, checkpoints[max(checkpoints)], options.scope
    if task.modulus < LEAST_P and scope != "checkpoints":
        return NotApplicable(f"A modulus of {task.modulus} has too few frequencies to tell what the model computes.")
    if scope == "page" and task.n_inputs * task.n_answers > PATIENCE:
        return too_large(task)
    train = make_split(experiment.split, task, experiment.seed).train
    keys, reason, operations = None, "", []
    left_out: Sequence[str] = ()
    try:
        keys = key_frequencies_of(final, task, network, options)
        grids, left_out = grids_of(task)
    except InputError as error:
        if options.given:
            raise
        keys, reason = None, str(error)
    if keys is not None:
        steps, values = follow(checkpoints, task, train, network, keys, options)
        for i, (name, grid) in enumerate(grids.items()):
            own = {k: v[:, i] for k, v in values.items() if not np.isnan(v[:, i]).all()}
            accuracy = f"test_accuracy_op{task.algebra.operations.index(name)}"
            operations.append(analyse_operation(name, grid, task, steps, own, metrics, accuracy))
    parts, _ = take_parts(PARTS[scope], final, task, train, network=network)
    sparsity: dict[str, float] = {}
    with contextlib.suppress(InputError):
        sparsity = {k: float(v) for k, v in MEASURES["fourier_sparsity"](final, task).items() if np.ndim(v) == 0}
    return MixtureAnalysis(
        task,
        keys,
        "" if keys is None else name_of_rule(task, options),
        reason,
        tuple(operations),
        tuple(left_out),
        sizes_of(final, task, metrics),
        sparsity,
        parts,
    )
