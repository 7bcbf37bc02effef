"""Everything that a page says of a run, read with patience: what is missing or damaged is noted, not raised."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import Weights as Weights
from groklab.errors import DamagedError, InputError
from groklab.experiment.schema import Experiment
from groklab.grokking import Survival, survival
from groklab.grokking.learning_phases import LearningPhase, phase_of
from groklab.learners.base import METRICS
from groklab.measures.feature_matrices import is_kernel_machine
from groklab.measures.fourier import embedding_matrix
from groklab.store.run import Run
from groklab.store.thinning import thin
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.training.ensemble import build_task

#: Checkpoints that a slider goes through, and that are measured.
CHECKPOINTS, MEASURED = 30, 100


@dataclass
class Facts:
    """One run. `members` is what each reached, empty before the first evaluation; `problems` are for the reader."""

    run: Run
    experiments: list[Experiment]
    status: dict[str, Any]
    members: list[dict[str, Any]]
    metrics: pl.DataFrame
    environment: dict[str, Any]
    changed: datetime.datetime
    tags: list[str]
    task: Task | None = None
    n_train: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def experiment(self) -> Experiment:
        """The first member's experiment."""
        return self.experiments[0]

    @property
    def several(self) -> bool:
        """Whether the run is an ensemble."""
        return len(self.experiments) > 1

    @property
    def kernel_machine(self) -> bool:
        """Whether the learner is a kernel machine, without a network."""
        return self.experiment.network is None and bool(is_kernel_machine({}, self.experiment.model))

    @property
    def operations(self) -> list[str]:
        """The operations of a mixture, none for another task."""
        return [] if self.task is None else list(self.task.algebra.operations)

    @property
    def summed(self) -> int:
        """Of how many operations the losses are the sum; 0 where they are plain means."""
        # kernel machines are fitted, and their losses are plain means
        whole = self.task is not None and self.task.loss_factor != 1 and self.experiment.learner.scales_losses
        return len(self.operations) if whole else 0

    @cached_property
    def phases(self) -> list[LearningPhase]:
        """Each member's learning phase, as `show` has it; none where nothing can be read."""
        if not self.members or self.metrics.is_empty():
            return []
        known = _Curves(self.experiments, self.metrics)
        return [phase_of(known, member) for member in range(len(self.members))]

    def evaluations(self, member: int = 0) -> pl.DataFrame:
        """Return one member's metrics by step."""
        return self.metrics.filter(pl.col("member") == member).sort("step")

    @property
    def step(self) -> int:
        """How far the run is."""
        return int(self.status["step"])

    @property
    def running(self) -> bool:
        """Whether the run may still go on to what its budget allows."""
        return self.status["status"] not in ("finished", "diverged")

    def reached(self, event: str) -> list[int | None]:
        """The members' steps of 'memorised' or 'grokked'."""
        return [m.get(f"{event}_step") for m in self.members]

    def estimate(self, event: str) -> Survival | None:
        """Kaplan–Meier summary of an event over the members; None before the first evaluation."""
        return survival(self.reached(event), [self.step] * len(self.members)) if self.members else None

    def typical(self, event: str) -> int | None:
        """The step to mark in figures: the member's own, or that by which half of the members have reached it."""
        if not self.several:
            return self.reached(event)[0] if self.members else None
        found = self.estimate(event)
        return None if found is None or found.median is None else int(found.median)


@dataclass(frozen=True)
class _Curves:
    """The metrics of a run that have been read, as `phase_of` asks for them."""

    experiments: Sequence[Experiment]
    metrics: pl.DataFrame

    def curves(self, member: int = 0) -> dict[str, np.ndarray]:
        own = self.metrics.filter(pl.col("member") == member).sort("step")
        return {name: own[name].to_numpy() for name in own.columns}


def gather(run: Run) -> Facts:
    """Read a run. Raises DamagedError or InputError only where its description cannot be read."""
    problems: list[str] = []
    empty = pl.DataFrame(schema={"step": pl.Int64, "member": pl.Int32, **dict.fromkeys(METRICS, pl.Float32)})
    status: dict[str, Any] = {"status": "damaged", "reason": None, "step": 0, "seconds": 0.0, "members": []}
    experiments, metrics, environment, tags = run.experiments, empty, {}, []
    try:
        status |= run.status
    except DamagedError as error:
        problems.append(str(error))
    try:
        metrics = run.metrics
    except DamagedError as error:
        problems.append(str(error))
    try:
        environment = run.environment
    except (DamagedError, FileNotFoundError) as error:
        problems.append(f"environment.json cannot be read: {error}")
    try:
        tags = run.tags
    except DamagedError as error:
        problems.append(str(error))
    written = [run.path / name for name in ("status.json", "experiment.json")]
    changed = next(p for p in written if p.is_file()).stat().st_mtime
    facts = Facts(
        run,
        experiments,
        status,
        list(status["members"]),
        metrics,
        environment,
        datetime.datetime.fromtimestamp(changed, datetime.UTC),
        tags,
        problems=problems,
    )
    try:
        facts.task = build_task(facts.experiment)
        facts.n_train = len(make_split(facts.experiment.split, facts.task, facts.experiment.seed).train)
    except InputError as error:
        # a table's file may have moved since
        problems.append(f"the task cannot be built again, so figures that need it are left out ({error})")
    return facts


def whole_checkpoints(facts: Facts, member: int = 0) -> tuple[dict[int, Weights], str]:
    """One member's weights by step at up to a hundred checkpoints, or none and a sentence saying why.

    Checkpoints that are damaged or not finite are left out and noted among the problems.
    """
    kept = facts.run.checkpoints
    if not kept:
        return {}, "this run has kept no checkpoint."
    found: dict[int, Weights] = {}
    for step in thin(kept, MEASURED, _marked(facts, member, kept)):
        try:
            weights = facts.run.weights(step, member)
        except DamagedError as error:
            facts.problems.append(f"the checkpoint of step {step:,} is left out: {error}")
            continue
        if all(np.isfinite(w).all() for w in weights.values()):
            found[step] = weights
        else:
            facts.problems.append(f"the checkpoint of step {step:,} is left out: its weights are not finite")
    return found, "" if found else "no checkpoint of this run can be read."


def for_slider(facts: Facts, steps: Sequence[int], member: int = 0) -> list[int]:
    """About thirty of the steps, those nearest to memorising and grokking among them."""
    return thin(list(steps), CHECKPOINTS, _marked(facts, member, list(steps)))


def embeddings(facts: Facts, kept: Mapping[int, Weights], member: int = 0) -> tuple[dict[int, np.ndarray], str]:
    """One member's embeddings (p, d) by step at about thirty of its checkpoints, or none and a sentence saying why."""
    if facts.task is None:
        return {}, "the task cannot be built again."
    try:
        return {s: embedding_matrix(kept[s], facts.task) for s in for_slider(facts, list(kept), member)}, ""
    except InputError as error:
        return {}, f"{error}."


def parameters(facts: Facts) -> int | None:
    """Number of weights of one member, counted in the last checkpoint that can be read."""
    for step in reversed(facts.run.checkpoints):
        try:
            weights = facts.run.weights(step)
        except DamagedError:
            continue
        return sum(int(w.size) for w in weights.values()) // len(facts.experiments)
    return None


def _marked(facts: Facts, member: int, kept: list[int]) -> list[int | None]:
    """The checkpoints nearest to where the member memorised and grokked."""
    reached = [facts.reached(e)[member] if facts.members else None for e in ("memorised", "grokked")]
    return [None if step is None else min(kept, key=lambda s: abs(s - step)) for step in reached]
