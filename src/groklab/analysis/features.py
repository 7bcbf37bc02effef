"""What a model looks at in a pair of operands: its feature matrices, and the verdict on a kernel machine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import NotApplicable, Weights, follow_features
from groklab.analysis.feature_frames import history_frame, orientation_of, turning_points
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.measures import MEASURES
from groklab.measures.circulance import ALIKE, CIRCULANT, ENTRIES, FAR, compared, is_ambiguous, is_asked
from groklab.measures.feature_matrices import has_two_operands, is_kernel_machine
from groklab.networks.mlp import MLP
from groklab.store.thinning import thin
from groklab.tasks.base import Task
from groklab.tasks.features import ORIENTATIONS
from groklab.tasks.splits import as_trained, make_split
from groklab.text import percent

#: Floating-point operations that a page waits for, of all checkpoints' feature matrices and of one more solution.
PATIENCE, PATIENCE_OF_ONE = 4e11, 2e10


@dataclass(frozen=True)
class FeatureVerdict:
    """The final feature matrix M of a kernel machine, judged by its off-diagonal block (Mallinar et al. 2024).

    Args:
        deviations: how far the block is from each circulant orientation, 0 to 1; None where it is zero.
        orientation: that of the smallest deviation; None where the block is zero.
        is_asked: whether the answer is a function of what the block compares.
        test_accuracy: of the machine; None where it is not recorded.
    """

    deviations: Mapping[str, float | None]
    orientation: str | None
    is_asked: bool
    test_accuracy: float | None

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        accuracy = self.test_accuracy
        if accuracy is None or accuracy != accuracy:
            right = "its accuracy is not recorded"
        else:
            right = f"it answers {percent(accuracy)} of the test pairs"
        if self.orientation is None:
            return f"Nothing yet: the off-diagonal block of its feature matrix M is zero, and {right}."
        deviation = float(self.deviations[self.orientation] or 0.0)
        if deviation > FAR:
            return (
                f"No circulant features: the off-diagonal block of M deviates from every circulant by "
                f"{deviation:.2f} or more, and {right}."
            )
        if is_ambiguous(dict(self.deviations)):
            return f"{ALIKE}: that is the off-diagonal block of M, and {right}."
        meaning = "which is what the task asks" if self.is_asked else "which is not what the task asks"
        how = "It has learnt" if deviation <= CIRCULANT else "In part it has learnt"
        return (
            f"{how} features that put together pairs of the same {compared(self.orientation)}, {meaning}: the "
            f"off-diagonal block of M is {ENTRIES[self.orientation]} but for {percent(deviation)} of its squares, and "
            f"{right}."
        )


@dataclass(frozen=True)
class FeatureAnalysis:
    """What one member looks at in a pair of operands: its feature matrices (2p, 2p) through training.

    Args:
        task: what it was trained on.
        kernel_machine: whether it is a kernel machine rather than a network.
        matrices: by step.
        history: one row per step, as `history_frame` makes it.
        orientation: of the smallest circulant deviation at the end, None where there is none.
        turning: as `turning_points` gives it.
        metrics: the member's evaluations.
        stratified, by_class: the measures `stratified_accuracy` and `class_agops` of the final model, empty where they
            do not apply or would take too long.
    """

    task: Task
    kernel_machine: bool
    matrices: dict[int, np.ndarray]
    history: pl.DataFrame
    orientation: str | None
    turning: dict[str, Any]
    metrics: pl.DataFrame
    stratified: dict[str, Any]
    by_class: dict[str, Any]

    @property
    def p(self) -> int:
        """The modulus."""
        return len(self.final) // 2

    @property
    def final(self) -> np.ndarray:
        """The last feature matrix."""
        return self.matrices[max(self.matrices)]

    @property
    def end(self) -> int:
        """Its step."""
        return max(self.matrices)

    @property
    def reordered(self) -> bool:
        """Whether the block is circulant in the order of logarithms rather than as it is."""
        return self.orientation is not None and self.orientation.endswith("_log")

    @property
    def is_asked(self) -> bool:
        """Whether the task's answer is a function of what the block compares."""
        return self.orientation is not None and is_asked(self.task, self.orientation)

    def verdict(self) -> str:
        """Return the judgement of the final feature matrix of a kernel machine."""
        row = self.history.row(-1, named=True)
        deviations: dict[str, float | None] = {k: row[k] for k in ORIENTATIONS}
        accuracy = self.at("test_accuracy", self.end)
        return FeatureVerdict(deviations, self.orientation, self.is_asked, accuracy).verdict()

    @property
    def matrix(self) -> str:
        """What the feature matrix is called."""
        return "M" if self.kernel_machine else "√AGOP"

    def last(self, name: str) -> float:
        """A number of `history` or of the metrics at the end, NaN where there is none."""
        frame = self.history if name in self.history.columns else self.metrics
        if name not in frame.columns or frame.is_empty():
            return float("nan")
        value = frame[name][-1]
        return float("nan") if value is None else float(value)

    def at(self, name: str, step: int) -> float:
        """A number of `history` or of the metrics at the step nearest to one, NaN where there is none."""
        frame = self.history if name in self.history.columns else self.metrics
        if name not in frame.columns or frame.is_empty():
            return float("nan")
        value = frame.sort((pl.col("step") - step).abs(), maintain_order=True)[name][0]
        return float("nan") if value is None else float(value)


def analyse_features(
    task: Task, experiment: Experiment, checkpoints: Mapping[int, Weights], metrics: pl.DataFrame
) -> FeatureAnalysis | NotApplicable:
    """Measure one member's feature matrices; the arguments are those of `analyse_circuit`."""
    if not checkpoints:
        return NotApplicable("There is no checkpoint to measure features in.")
    model, split = experiment.model, make_split(experiment.split, task, experiment.seed)
    train, machine = split.train, is_kernel_machine(checkpoints[max(checkpoints)], model)
    if machine:
        task = as_trained(task, split)
    steps = list(checkpoints)
    if not machine:
        each = 2.0 * max(len(train), 1) * int(getattr(model, "d_mlp", 0) or 0) ** 2
        steps = thin(steps, max(2, int(PATIENCE // max(each, 1.0))))
    try:
        matrices = follow_features(steps, lambda step: checkpoints[step], task, train, model)
    except (InputError, KeyError) as error:
        return NotApplicable(f"The measures of features do not apply: {error}.")
    history = history_frame(matrices)
    costly = machine and experiment.learner.flops(experiment, task.shape, len(train)) > PATIENCE_OF_ONE
    final = checkpoints[max(matrices)]
    results: dict[str, dict[str, Any]] = {}
    for name in ("stratified_accuracy", "class_agops"):
        try:
            results[name] = {} if costly else MEASURES[name](final, task, train, network=model)
        except (InputError, KeyError):
            results[name] = {}
    return FeatureAnalysis(
        task,
        machine,
        matrices,
        history,
        orientation_of(history),
        turning_points(metrics),
        metrics,
        results["stratified_accuracy"],
        results["class_agops"],
    )


def has_features(experiment: Experiment, task: Task | None) -> bool:
    """Return whether features are analysed: of a kernel machine, or one hidden layer on one-hot pairs mod p."""
    network = experiment.network
    if network is None:
        return is_kernel_machine({}, experiment.model)
    if task is None or not task.algebra.p or not has_two_operands(task):
        return False
    return isinstance(network, MLP) and network.n_hidden_layers == 1 and network.d_embed is None
