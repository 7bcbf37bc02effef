"""A run as figures and pages see it: read once, and analysed when something first asks."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from groklab.analysis import (
    CircuitAnalysis,
    FeatureAnalysis,
    MixtureAnalysis,
    ModelAnalysis,
    NotApplicable,
    Weights,
    analyse_features,
    analyse_model,
    has_features,
    is_finite,
    may_have_circuit,
    nearest,
    phases_of,
    task_of,
)
from groklab.device import threads
from groklab.errors import DamagedError, InputError
from groklab.experiment import Experiment
from groklab.grokking import Headline, LearningPhase, Survival, survival
from groklab.learners import METRICS
from groklab.measures import embedding_matrix, grid_of_ordered_pairs, is_kernel_machine, operand_positions
from groklab.store import Environment, Mark, MemberResult, Run, Status, marks_of, thin
from groklab.tasks import Task, make_split

#: Checkpoints that a slider goes through, and that are read.
SLIDER, CHECKPOINTS = 30, 100
UNITS = {"cross_entropy": "cross-entropy (nats)", "mse": "mean squared error"}


@dataclass
class RunContext:
    """A run, with its analyses. What is missing or damaged becomes one of the `problems` instead of an error.

    Weights and analyses are those of the first member.

    Args:
        folder: the run on disk.
        experiments: one per member.
        status: how far the run is.
        members: each member's outcome, empty before the first evaluation.
        metrics: one row per evaluation and member.
        environment: versions and machine.
        changed: when the run was last written.
        tags: the user's.
        task: None where it cannot be built again.
        n_train: training inputs.
        problems: sentences for the reader; analyses may add to them.
    """

    folder: Run
    experiments: list[Experiment]
    status: Status
    members: list[MemberResult]
    metrics: pl.DataFrame
    environment: Environment
    changed: datetime.datetime
    tags: list[str]
    task: Task | None = None
    n_train: int = 0
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, run: Run) -> Self:
        """Read a run.

        Raises:
            DamagedError, InputError: only where its description cannot be read.
        """
        problems: list[str] = []
        empty = pl.DataFrame(schema={"step": pl.Int64, "member": pl.Int32, **dict.fromkeys(METRICS, pl.Float32)})

        def read(part: str, otherwise: Any, about: str = "") -> Any:
            try:
                return getattr(run, part)
            except InputError as error:
                problems.append(f"{about}{error}")
                return otherwise

        status = read("status", Status.empty("damaged"))
        metrics = read("metrics", empty)
        environment = read("environment", Environment(), "environment.json cannot be read: ")
        tags = read("tags", [])
        written = [run.path / name for name in ("status.json", "experiment.json")]
        changed = datetime.datetime.fromtimestamp(next(p for p in written if p.is_file()).stat().st_mtime, datetime.UTC)
        context = cls(
            folder=run,
            experiments=run.recorded,
            status=status,
            members=list(status.members),
            metrics=metrics,
            environment=environment,
            changed=changed,
            tags=tags,
            problems=problems,
        )
        try:
            context.experiments = run.experiments
            context.task = task_of(run)
            context.n_train = len(context.train_rows)
        except InputError as error:
            # a file may have moved or changed since, or its code be another's
            problems.append(f"the task cannot be built again, so figures that need it are left out ({error})")
        return context

    @property
    def experiment(self) -> Experiment:
        """The first member's experiment."""
        return self.experiments[0]

    @property
    def several(self) -> bool:
        """Whether the run is an ensemble."""
        return len(self.experiments) > 1

    @property
    def step(self) -> int:
        """The last step."""
        return int(self.status.step)

    @property
    def running(self) -> bool:
        """Whether the run may still continue within its budget."""
        return self.status.state not in ("finished", "diverged")

    @property
    def kernel_machine(self) -> bool:
        """Whether the learner is a kernel machine, without a network."""
        return self.experiment.network is None and bool(is_kernel_machine({}, self.experiment.model))

    @property
    def marks(self) -> list[Mark]:
        """What was changed in the middle of training."""
        return marks_of(self.experiments, self.members)

    @property
    def operations(self) -> list[str]:
        """The operations of a mixture, none for another task."""
        return [] if self.task is None else list(self.task.algebra.operations)

    @property
    def summed(self) -> int:
        """The number of operations whose losses are summed; 0 where losses are plain means."""
        # kernel machines are fitted, and their losses are plain means
        is_sum = self.task is not None and self.task.loss_factor != 1 and self.experiment.learner.scales_losses
        return len(self.operations) if is_sum else 0

    @property
    def member_metrics(self) -> pl.DataFrame:
        """The evaluations of the first member, by step."""
        return self.metrics.filter(pl.col("member") == 0).sort("step")

    @cached_property
    def phases(self) -> list[LearningPhase]:
        """Each member's learning phase; none where nothing can be read."""
        if not self.members or self.metrics.is_empty():
            return []
        return phases_of(self.experiments, self.metrics)

    @property
    def headlines(self) -> list[Headline]:
        """When each member memorised and generalised; none before the first evaluation."""
        imported = self.environment.imported if self.status.reason == "imported" else None
        return self.status.headlines(at_most=imported is not None and not imported.exact_steps)

    def event_steps(self, event: str) -> list[int | None]:
        """Return the members' steps of 'memorised' or 'grokked'."""
        return [getattr(m, f"{event}_step") for m in self.members]

    def survival(self, event: str) -> Survival | None:
        """Return the Kaplan–Meier summary of an event over the members; None before the first evaluation."""
        return survival(self.event_steps(event), [self.step] * len(self.members)) if self.members else None

    def typical_step(self, event: str) -> int | None:
        """Return the step to mark in figures: the member's own, or that by which half of the members are there."""
        if not self.several:
            return self.event_steps(event)[0] if self.members else None
        summary = self.survival(event)
        return None if summary is None or summary.median is None else int(summary.median)

    @property
    def measured(self) -> pl.DataFrame | None:
        """What was measured of the first member during training, by step; None where nothing was."""
        measured = self.folder.measured
        return None if measured is None else measured.filter(pl.col("member") == 0).sort("step")

    @property
    def train_rows(self) -> np.ndarray:
        """The training rows of the first member's task."""
        assert self.task is not None
        return make_split(self.experiment.split, self.task, self.experiment.seed).train

    @cached_property
    def checkpoints(self) -> dict[int, Weights]:
        """Weights by step at up to a hundred checkpoints; damaged ones and ones that are not finite are left out."""
        kept = self.folder.checkpoints
        weights_by_step: dict[int, Weights] = {}
        for step in thin(kept, CHECKPOINTS, self._marked(kept)):
            try:
                weights = self.folder.weights(step, 0)
            except DamagedError as error:
                self.problems.append(f"the checkpoint of step {step:,} is left out: {error}")
                continue
            if is_finite(weights):
                weights_by_step[step] = weights
            else:
                self.problems.append(f"the checkpoint of step {step:,} is left out: its weights are not finite")
        return weights_by_step

    @property
    def no_checkpoint(self) -> str:
        """The reason where there are no checkpoints."""
        return "no checkpoint of this run can be read" if self.folder.checkpoints else "this run has kept no checkpoint"

    @property
    def final_weights(self) -> Weights:
        """The weights of the last checkpoint that can be read.

        Raises:
            InputError: where there is none.
        """
        if not self.checkpoints:
            raise InputError(self.no_checkpoint)
        return self.checkpoints[max(self.checkpoints)]

    @property
    def slider_steps(self) -> list[int]:
        """About thirty of the checkpoints, those nearest to memorising and grokking among them."""
        return self.thinned(list(self.checkpoints))

    def thinned(self, steps: list[int], most: int = SLIDER) -> list[int]:
        """Return at most about `most` of the steps, those nearest to memorising and grokking among them."""
        return thin(steps, most, self._marked(steps))

    def count_weights(self) -> int | None:
        """Return the number of weights of one member, counted in the last checkpoint that can be read."""
        for step in reversed(self.folder.checkpoints):
            try:
                weights = self.folder.weights(step)
            except DamagedError:
                continue
            return sum(int(w.size) for w in weights.values()) // len(self.experiments)
        return None

    def _marked(self, kept: list[int]) -> list[int | None]:
        """Return the steps nearest to where the first member memorised and grokked."""
        events = [self.event_steps(e)[0] if self.members and kept else None for e in ("memorised", "grokked")]
        return nearest(kept, events)

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
        return f"Member 0 (seed {self.experiment.seed}): " if self.several else ""

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

    def has_part(self, name: str) -> bool:
        """Return whether a measure of the final weights is among the parts of the circuit's analysis."""
        return self.has_circuit and name in self.circuit.parts

    @property
    def has_coefficients(self) -> bool:
        """Whether the logits have coefficients of cosines over training."""
        return self.has_circuit and len(self.circuit.steps) > 1 and "alpha" in self.circuit.trajectory

    @property
    def has_logit_parts(self) -> bool:
        """Whether parts of the logits have losses, or a reason why not."""
        return self.has_circuit or self.logit_parts is not None

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
    def has_block(self) -> bool:
        """Whether the feature matrix has an off-diagonal block that is not zero."""
        return self.has_features and self.features.orientation is not None

    @property
    def features(self) -> FeatureAnalysis:
        """The analysis of the model's features.

        Raises:
            InputError: where there is none.
        """
        if not isinstance(self.feature_analysis, FeatureAnalysis):
            raise InputError("there is no analysis of features of this model")
        return self.feature_analysis


class ByItsSettings(RunContext):
    """A run whose figures are listed before its model is analysed: its task and settings decide which apply.

    An analysis may still find nothing, such as no frequency above zero; drawing the figure then says so.

    Args:
        run: what it has read is shared, in both directions.
    """

    def __init__(self, run: RunContext) -> None:
        self.__dict__ = vars(run)

    @property
    def has_circuit(self) -> bool:
        return bool(self.checkpoints) and self.task is not None and may_have_circuit(self.task, self.experiment)

    def has_part(self, name: str) -> bool:
        return self.has_circuit and (name != "attention" or self._attends_to_operands)

    @property
    def _attends_to_operands(self) -> bool:
        assert self.task is not None
        if not any(".attn." in name for name in self.final_weights):
            return False
        try:
            operand_positions(self.task)
            grid_of_ordered_pairs(self.task)
        except InputError:
            return False
        return True

    @property
    def has_coefficients(self) -> bool:
        return self.has_circuit and len(self.checkpoints) > 1

    @property
    def has_logit_parts(self) -> bool:
        return self.has_circuit or (self.experiment.network is not None and bool(self.operations))

    @property
    def has_features(self) -> bool:
        return bool(self.checkpoints) and has_features(self.experiment, self.task)

    @property
    def has_block(self) -> bool:
        return self.has_features
