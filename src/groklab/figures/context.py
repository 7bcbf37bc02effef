"""A run as figures and pages see it: its facts, and its analyses, made when something first asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from groklab.analysis.analysing import analyse_model
from groklab.analysis.circuits import CircuitAnalysis
from groklab.analysis.facts import RunFacts
from groklab.analysis.features import FeatureAnalysis, analyse_features, has_features
from groklab.analysis.mixtures import MixtureAnalysis
from groklab.analysis.model import ModelAnalysis, NotApplicable
from groklab.device import threads
from groklab.errors import InputError
from groklab.measures.fourier import embedding_matrix

UNITS = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}


@dataclass
class RunContext(RunFacts):
    """The facts of a run, with its analyses. Weights and analyses are those of one member, the first by default."""

    @property
    def loss_unit(self) -> str:
        """What the loss of one operation is, with its unit."""
        return UNITS.get(str(getattr(self.experiment.objective, "kind", "")), "loss")

    @property
    def loss_name(self) -> str:
        """What the loss is, with its unit, as an axis is labelled."""
        if self.kernel_machine:
            return "mean squared error"
        summed = f",<br>sum of {self.summed} operations" if self.summed else ""
        return self.loss_unit + summed

    @property
    def whose(self) -> str:
        """Words before a sentence that name the member of an ensemble; empty for a single model."""
        return f"Member {self.member} (seed {self.experiment.seed}): " if self.several else ""

    def embeddings(self) -> dict[int, np.ndarray]:
        """Return embeddings (p, d) by step at `slider_steps`.

        Raises:
            InputError: where there are no checkpoints, or the task has no modulus.
        """
        if not self.checkpoints:
            raise InputError(self.no_checkpoint)
        if self.task is None:
            raise InputError("the task cannot be built again")
        return {s: embedding_matrix(self.checkpoints[s], self.task) for s in self.slider_steps}

    @cached_property
    def model(self) -> ModelAnalysis:
        """The analysis that applies to the model."""
        if self.task is None:
            return NotApplicable(
                "The task cannot be built again, so nothing can be measured of what the model computes."
            )
        return analyse_model(self.task, self.experiment, self.checkpoints, self.member_metrics)

    @property
    def has_circuit(self) -> bool:
        """Whether the model has an analysis of its circuit; it is made when this is first asked."""
        return isinstance(self.model, CircuitAnalysis)

    @property
    def circuit(self) -> CircuitAnalysis:
        """The analysis of the model's circuit.

        Raises:
            InputError: with the reason where there is none.
        """
        if not isinstance(self.model, CircuitAnalysis):
            raise InputError(self.model.verdict().removesuffix("."))
        return self.model

    @property
    def logit_parts(self) -> Mapping[str, Any] | None:
        """Values of the measure `logit_parts`, of a circuit or of a mixture; None where they are not measured."""
        if isinstance(self.model, CircuitAnalysis | MixtureAnalysis):
            return self.model.parts.get("logit_parts")
        return None

    @property
    def uniform_loss(self) -> float:
        """The loss of guessing evenly among the answers."""
        assert self.task is not None
        return float(np.log(self.task.n_answers))

    @cached_property
    def feature_analysis(self) -> FeatureAnalysis | NotApplicable | None:
        """What the model looks at in a pair of operands; None where there is nothing to look for."""
        if isinstance(self.model, FeatureAnalysis):
            return self.model
        if self.task is None or self.kernel_machine or not has_features(self.experiment, self.task):
            return None
        # small matrices: threads would only wait for each other
        with threads(1):
            return analyse_features(self.task, self.experiment, self.checkpoints, self.member_metrics)

    @property
    def has_features(self) -> bool:
        """Whether the model has an analysis of its features; it is made when this is first asked."""
        return isinstance(self.feature_analysis, FeatureAnalysis)

    @property
    def features(self) -> FeatureAnalysis:
        """The analysis of the model's features.

        Raises:
            InputError: where there is none.
        """
        if not isinstance(self.feature_analysis, FeatureAnalysis):
            raise InputError("there is no analysis of features of this model")
        return self.feature_analysis
