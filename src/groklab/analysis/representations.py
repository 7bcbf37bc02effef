"""What the representation of a sum or product is like (Liu et al. 2022): measured, judged and worded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import Weights
from groklab.analysis.model import ModelAnalysis, Section, sizes_of
from groklab.device import threads
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.measures import MEASURES
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.text import jsonable, percent
from groklab.theory.effective_theory import LINEAR

#: RQI above this is the operation's own representation (Liu et al. 2022, section 3.1).
GOOD = 0.95


@dataclass(frozen=True)
class RepresentationAnalysis(ModelAnalysis):
    """A final embedding, judged by the parallelograms that hold in it.

    Args:
        values: numbers of the measure `parallelograms`, and `effective_dimension` where it is defined.
        reason: why the analysis of a sum modulo p does not apply.
        sizes: what is known of any model, as `sizes_of` gives it.
    """

    values: Mapping[str, float]
    reason: str
    sizes: Mapping[str, float]

    @property
    def rqi(self) -> float:
        """Representation quality index, the share of all parallelograms that hold."""
        return self.values["rqi"]

    @property
    def is_structured(self) -> bool:
        """Whether the representation is that of the operation."""
        return self.rqi > GOOD

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as `representation`, and what is known of any model."""
        known = {"key_frequencies": None, "does_not_apply": self.reason, **self.sizes}
        return dict(jsonable({**known, "representation": dict(self.values)}))

    def verdict(self) -> str:
        """Return whether the representation is that of the operation."""
        share = f"{percent(self.rqi)} of all {self.values['n_parallelograms']:,.0f} parallelograms hold"
        return f"Its representation is {'' if self.is_structured else 'not '}that of the operation: {share}."

    def sentences(self) -> list[str]:
        """Return the verdict, what the training set implies, what the embedding predicts, and its dimensions."""
        values, free = self.values, self.values.get("null_dimension")
        sentences = [
            self.verdict(),
            f"The training set has {values['n_parallelograms_train']:,.0f} of them, which imply the answers of "
            f"{percent(values['ideal_accuracy'])} of all inputs.",
        ]
        if free is not None:
            meaning = "so that they force a line" if free == LINEAR else f"and {LINEAR} would force a line"
            sentences.append(f"Its equations leave {free:.0f} dimensions free, {meaning}.")
        sentences.append(
            f"Parallelograms of the final embedding predict {percent(values['predicted_accuracy'])} of all inputs, "
            f"{percent(values['predicted_test_accuracy'])} of the test set."
        )
        if "effective_dimension" in values:
            sentences.append(f"By its variances the embedding uses {values['effective_dimension']:.2f} dimensions.")
        return sentences

    def sections(self) -> list[Section]:
        """Return all sentences but the verdict, in one section."""
        return [Section("Representation", self.sentences()[1:])]


def analyse_representation(
    task: Task, experiment: Experiment, weights: Weights, metrics: pl.DataFrame
) -> RepresentationAnalysis | None:
    """Measure a final embedding; None where parallelograms say nothing.

    Modulo p the equations leave a constant alone, so that parallelograms there say nothing of how well it generalises.
    """
    if task.algebra.p is not None:
        return None
    train = make_split(experiment.split, task, experiment.seed).train
    values: dict[str, float] = {}
    # small matrices: threads would only wait for each other
    with threads(1):
        with contextlib.suppress(InputError):
            parallelograms = MEASURES["parallelograms"](weights, task, train, network=experiment.model)
            values = {k: float(np.asarray(v)) for k, v in parallelograms.items()}
        if not values:
            return None
        with contextlib.suppress(InputError):
            components = MEASURES["embedding_components"](weights, task, train, network=experiment.model)
            values["effective_dimension"] = float(np.asarray(components["effective_dimension"]))
    reason = f"the frequencies of a sum need a modulus, and {task.name} has none"
    return RepresentationAnalysis(values, reason, sizes_of(weights, task, metrics))
