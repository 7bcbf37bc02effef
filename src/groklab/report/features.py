"""What a run's model looks at in a pair of operands: its feature matrices, measured once for the whole page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.facts import Facts, Weights, for_slider
from groklab.analysis.feature_frames import history_frame, orientation_of, turning_points
from groklab.analysis.features import FeatureAnalysis
from groklab.analysis.measuring import follow_features
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.feature_matrices import has_two_operands, is_kernel_machine
from groklab.measures.orientations import is_asked
from groklab.networks.mlp import MLP
from groklab.store.thinning import thin, thin_evenly
from groklab.tasks.base import Task
from groklab.tasks.features import ORIENTATIONS
from groklab.tasks.splits import as_trained, make_split

#: Floating-point operations that a page waits for, of all checkpoints' feature matrices and of one more solution.
PATIENCE, PATIENCE_OF_ONE = 4e11, 2e10
#: Entries of all matrices that a page holds, two bytes and a third each.
ENTRIES = 700_000


@dataclass(frozen=True)
class Features:
    """One member's feature matrices (2p, 2p) by step, and what is said of them.

    history: as `history_frame` makes it. orientation: of the smallest deviation at the end. turning: as
    `turning_points` finds it. metrics: the member's own. stratified, by_class: measures of the final model, empty where
    they do not apply or would take too long. shown: the steps that a slider goes through.
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
    shown: list[int]

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
    def asked(self) -> bool:
        """Whether the task's answer is a function of what the block compares."""
        return self.orientation is not None and is_asked(self.task, self.orientation)

    @property
    def analysis(self) -> FeatureAnalysis:
        """The judgement of the final feature matrix of a kernel machine."""
        row = self.history.row(-1, named=True)
        deviations: dict[str, float | None] = {k: row[k] for k in ORIENTATIONS}
        return FeatureAnalysis(deviations, self.orientation, self.asked, self.at("test_accuracy", self.end))

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


def features(facts: Facts, kept: Mapping[int, Weights], member: int = 0) -> Features | str:
    """Measure one member's feature matrices at its checkpoints `kept`, or say in a sentence why there are none."""
    task, experiment = facts.task, facts.experiments[member]
    if task is None:
        return "The task cannot be built again, so nothing can be measured of its features."
    if not kept:
        return "There is no checkpoint to measure features in."
    model, split = experiment.model, make_split(experiment.split, task, experiment.seed)
    train, machine = split.train, is_kernel_machine(kept[max(kept)], model)
    if machine:
        task = as_trained(task, split)
    steps = list(kept)
    if not machine:
        each = 2.0 * max(len(train), 1) * int(getattr(model, "d_mlp", 0) or 0) ** 2
        steps = thin(steps, max(2, int(PATIENCE // max(each, 1.0))))
    try:
        matrices = follow_features(steps, lambda step: kept[step], task, train, model)
    except (InputError, KeyError) as error:
        return f"The measures of features do not apply: {error}."
    history = history_frame(matrices)
    orientation = orientation_of(history)
    metrics = facts.metrics.filter(pl.col("member") == member).sort("step")
    # an axis of steps that a page can hold: many frames of large matrices are what makes it heavy
    panels = 2 if (orientation or "").endswith("_log") else 1
    most = max(2, ENTRIES // (panels * matrices[max(matrices)].size))
    shown = thin_evenly(list(matrices), min(31, most)) if machine else thin(for_slider(facts, list(matrices)), most)
    costly = machine and experiment.learner.flops(task.shape, len(train)) > PATIENCE_OF_ONE
    final = kept[max(matrices)]
    taken: dict[str, dict[str, Any]] = {}
    for name in ("stratified_accuracy", "class_agops"):
        try:
            taken[name] = {} if costly else MEASURES[name](final, task, train, network=model)
        except (InputError, KeyError):
            taken[name] = {}
    return Features(
        task,
        machine,
        matrices,
        history,
        orientation,
        turning_points(metrics),
        metrics,
        taken["stratified_accuracy"],
        taken["class_agops"],
        shown,
    )


def has_features(facts: Facts) -> bool:
    """Whether a page has a section on features: of a kernel machine, or one hidden layer on one-hot pairs mod p."""
    network = facts.experiment.network
    if network is None:
        return facts.kernel_machine
    if facts.task is None or not facts.task.algebra.p or not has_two_operands(facts.task):
        return False
    return isinstance(network, MLP) and network.n_hidden_layers == 1 and network.d_embed is None
