"""What a run's final model computes, measured once for the whole page: key frequencies, trajectory, phases, parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.circuits import CircuitAnalysis, not_applicable
from groklab.analysis.facts import Facts, Weights
from groklab.analysis.measuring import follow
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.frequencies import default_rule, find_frequencies
from groklab.measures.grid import Grid, grid_of
from groklab.measures.phases import Phases, find_phases
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split

#: Measures of the final model.
PARTS = ("neurons", "directions", "attention", "ablations", "logits_2d", "neurons_2d", "logit_parts")
#: The least modulus with more than one frequency that has a sine.
LEAST_P = 5
#: Numbers in the logits or neurons of one model, and in the logits of all its checkpoints, that a page waits for.
PATIENCE, PATIENCE_OF_ALL = 20_000_000, 150_000_000


@dataclass(frozen=True)
class Circuit:
    """One member's final model and how it came about.

    steps, and found: the values of `progress` with an axis of these steps first. keys: of the final model, by `rule`.
    metrics: columns step, train_loss, test_loss. parts: results of PARTS on the final weights; why: of those missing,
    a sentence's reason.
    """

    task: Task
    network: Any
    grid: Grid
    keys: tuple[int, ...]
    rule: str
    final: Weights
    steps: list[int]
    found: dict[str, np.ndarray]
    metrics: pl.DataFrame
    phases: Phases
    parts: dict[str, dict[str, Any]]
    why: dict[str, str]

    @property
    def p(self) -> int:
        """The modulus."""
        return self.grid.p

    @cached_property
    def analysis(self) -> CircuitAnalysis:
        """The judgement of the final model."""
        return CircuitAnalysis.of(self.grid, self.keys, {k: v[-1] for k, v in self.found.items() if v.ndim == 1})

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out, to be named and coloured."""
        return self.analysis.few

    @property
    def named(self) -> tuple[int, ...]:
        """The key frequencies where they are few, to be coloured."""
        return self.keys if self.few else ()

    @property
    def uniform(self) -> float:
        """The loss of guessing evenly among the answers."""
        return float(np.log(self.task.n_answers))

    @property
    def sum(self) -> str:
        """What the answer is a function of, in print."""
        return "a + b" if self.grid.direction > 0 else "a − b"

    def last(self, name: str) -> float:
        """A number of the final model, NaN where there is none."""
        return float(self.found[name][-1]) if name in self.found else float("nan")


def circuit(facts: Facts, kept: Mapping[int, Weights], member: int = 0) -> Circuit | str:
    """Measure one member's checkpoints `kept` and its final model, or say in a sentence why that does not apply."""
    task, experiment = facts.task, facts.experiments[member]
    if task is None:
        return "The task cannot be built again, so nothing can be measured of what the model computes."
    if not kept:
        return "There is no checkpoint to measure what the model computes."
    network, final = experiment.network, kept[max(kept)]
    try:
        grid = grid_of(task)
    except InputError as error:
        return not_applicable(str(error))
    if grid.p < LEAST_P:
        return f"A modulus of {grid.p} has too few frequencies to tell what the model computes."
    size = task.n_inputs * max(task.n_answers, int(getattr(network, "d_mlp", 0) or 0))
    if size > PATIENCE:
        return f"With {task.n_inputs:,} inputs the measures take longer than a page should; groklab measure takes them."
    try:
        keys = find_frequencies(final, task, network)
    except (InputError, KeyError) as error:
        return not_applicable(str(error))
    if not keys:
        return (
            "No frequency of this model stands out from nothing at all, so there is nothing to say of what it computes."
        )
    train = make_split(experiment.split, task, experiment.seed).train
    steps = _measured(list(kept), PATIENCE_OF_ALL // (task.n_inputs * task.n_answers))
    _, found = follow(steps, lambda step: kept[step], task, train, network, keys)
    parts: dict[str, dict[str, Any]] = {}
    why: dict[str, str] = {}
    for name in PARTS:
        try:
            parts[name] = MEASURES[name](final, task, train, network=network, frequencies=keys)
        except (InputError, KeyError) as error:
            why[name] = str(error)
    metrics = facts.metrics.filter(pl.col("member") == member).sort("step")
    if metrics.is_empty():
        metrics = _metrics_of(steps, found)
    seen = {k: metrics[k].cast(pl.Float64).to_numpy() for k in ("test_accuracy", "weight_norm")}
    phases = find_phases(
        np.array(steps),
        found["excluded_loss"],
        metrics["step"].to_numpy(),
        np.nan_to_num(seen["test_accuracy"]),
        seen["weight_norm"] ** 2,
    )
    rule = default_rule(task)
    return Circuit(task, network, grid, keys, rule, final, steps, found, metrics, phases, parts, why)


def _measured(steps: list[int], most: int) -> list[int]:
    """At most `most` of the steps, at least two where there are two, the first and the last among them."""
    if len(steps) <= most:
        return steps
    return [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, max(most, 2)).round().astype(int))]


def _metrics_of(steps: list[int], found: dict[str, np.ndarray]) -> pl.DataFrame:
    """What the damaged metrics would have said, at the checkpoints alone."""
    columns = {k: found[k] for k in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")}
    return pl.DataFrame({"step": steps, **columns, "weight_norm": np.sqrt(found["sum_of_squares"])})
