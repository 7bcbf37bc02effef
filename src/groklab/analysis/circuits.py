"""What a network computes of a sum or difference modulo p: its measures, and the verdict on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import NotApplicable, Weights, follow
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.measures import MEASURES
from groklab.measures.frequencies import default_rule, find_frequencies
from groklab.measures.grid import Grid, grid_of
from groklab.measures.training_stages import Phases, find_phases
from groklab.store.thinning import thin_evenly
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.text import listed, loss_of, percent

Share = Literal["all", "part", "none"]

#: Shares of the logits' variance from which the sum of cosines is nearly all that a model computes, or a part of it.
COMPUTES, PARTLY = 0.9, 0.5
#: Frequencies that are named one by one.
MANY = 8
#: Measures of the final model.
PARTS = ("neurons", "directions", "attention", "ablations", "logits_2d", "neurons_2d", "logit_parts")
#: The least modulus with more than one frequency that has a sine.
LEAST_P = 5
#: Numbers in the logits or neurons of one model, and in the logits of all its checkpoints, that a page waits for.
PATIENCE, PATIENCE_OF_ALL = 20_000_000, 150_000_000


def few_stand_out(key_frequencies: Sequence[int], p: int) -> bool:
    """Return whether few frequencies stand out, at most half of all; of an unstructured model the rule names most."""
    return 2 * len(key_frequencies) <= p // 2


@dataclass(frozen=True)
class CircuitVerdict:
    """A model's final weights, judged by the Fourier components of its logits (Nanda et al. 2023, section 4).

    Args:
        p: the modulus.
        direction: 1 where the answer is a function of a + b, -1 where of a − b.
        formula: what a cosine at the right answer is a function of, such as 'a + b − c'.
        key_frequencies: in ascending order.
        logit_fve: share of the variance of the centred logits that the sum of cosines explains; None where residues
            share answers, so that there is no cosine for each.
        loss: on all pairs, in nats.
        restricted_loss: on all pairs, with the key frequencies of the sum alone.
    """

    p: int
    direction: int
    formula: str
    key_frequencies: tuple[int, ...]
    logit_fve: float | None
    loss: float
    restricted_loss: float

    @classmethod
    def of(cls, grid: Grid, key_frequencies: Sequence[int], final: Mapping[str, Any]) -> CircuitVerdict:
        """Return the judgement of the values that the measure `progress` gives of a final model."""
        fve = final.get("logit_fve")
        loss, restricted = float(final["loss"]), float(final["restricted_loss"])
        keys = tuple(int(k) for k in key_frequencies)
        return cls(grid.p, grid.direction, grid.formula, keys, None if fve is None else float(fve), loss, restricted)

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out."""
        return few_stand_out(self.key_frequencies, self.p)

    @property
    def share(self) -> Share | None:
        """How much of what the model computes is the sum of cosines; None where that is not defined."""
        if self.logit_fve is None:
            return None
        return "all" if self.logit_fve >= COMPUTES else "part" if self.logit_fve >= PARTLY else "none"

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        keys, n = self.key_frequencies, self.p // 2
        if self.logit_fve is None:
            sign = "+" if self.direction == 1 else "−"
            return (
                f"Residues share answers, so there is no cosine for each; functions of a {sign} b at {len(keys)} "
                f"frequencies ({listed(keys)}) alone have a loss of {loss_of(self.restricted_loss)}, and the complete "
                f"model {loss_of(self.loss)}."
            )
        formula = f"Σ αₖ cos(wₖ({self.formula}))"
        if self.formula.endswith("s(c)"):
            formula += ", where s(c) is the sum that c answers,"
        explains = f"explains {percent(self.logit_fve)} of the variance of its logits"
        if not self.few:
            how = {"all": "it computes by that sum", "part": "it computes partly by that sum"}
            judged = how.get(str(self.share), "it does not compute by that sum")
            return (
                f"No few frequencies stand out: {len(keys)} of the {n} pass the rule, and {formula} over them "
                f"{explains}, so {judged}."
            )
        which = f"k = {listed(keys)}" if len(keys) <= MANY else f"{len(keys)} of {n} frequencies k"
        if self.share == "all":
            return f"It computes {formula} with {which}: that {explains}."
        if self.share == "part":
            return f"It computes partly by {formula} with {which}: that {explains}."
        return f"It does not compute by {formula}: with {which}, the strongest, that {explains}."


@dataclass(frozen=True)
class CircuitAnalysis:
    """A network's final model and how it formed (Nanda et al. 2023).

    Args:
        task: what the network was trained on.
        network: its settings.
        grid: the task's pairs (a, b) and the sum or difference of which the answer is a function.
        key_frequencies: of the final model, by `rule`.
        rule: the name of the rule, a key of `RULES`.
        weights: the final model's.
        steps: the checkpoints that were measured.
        trajectory: values of the measure `progress` at these steps, arrays (n_steps, …).
        metrics: the member's evaluations, with the columns step, train_loss, test_loss, test_accuracy and weight_norm.
        phases: where the phases of training end.
        parts: results of other measures of the final model, by name.
        left_out: the reason of each measure that is missing among them, by name.
    """

    task: Task
    network: Any
    grid: Grid
    key_frequencies: tuple[int, ...]
    rule: str
    weights: Weights
    steps: list[int]
    trajectory: Mapping[str, np.ndarray]
    metrics: pl.DataFrame
    phases: Phases
    parts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]

    @property
    def p(self) -> int:
        """The modulus."""
        return self.grid.p

    @cached_property
    def judgement(self) -> CircuitVerdict:
        """The judgement of the final model."""
        final = {k: v[-1] for k, v in self.trajectory.items() if v.ndim == 1}
        return CircuitVerdict.of(self.grid, self.key_frequencies, final)

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        return self.judgement.verdict()

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out, to be named and coloured."""
        return few_stand_out(self.key_frequencies, self.p)

    @property
    def named(self) -> tuple[int, ...]:
        """The key frequencies where they are few, to be coloured."""
        return self.key_frequencies if self.few else ()

    @property
    def uniform(self) -> float:
        """The loss of guessing evenly among the answers."""
        return float(np.log(self.task.n_answers))

    @property
    def sum(self) -> str:
        """What the answer is a function of, in print."""
        return "a + b" if self.grid.direction > 0 else "a − b"

    def last(self, name: str) -> float:
        """Return a number of the final model, NaN where there is none."""
        return float(self.trajectory[name][-1]) if name in self.trajectory else float("nan")


def analyse_circuit(
    task: Task, experiment: Experiment, checkpoints: Mapping[int, Weights], metrics: pl.DataFrame
) -> CircuitAnalysis | NotApplicable:
    """Measure one member's checkpoints and its final model.

    Args:
        task: the experiment's.
        experiment: of the member.
        checkpoints: weights by step, the last of which is the final model.
        metrics: the member's evaluations by step; empty ones are replaced by those of the checkpoints.
    """
    if not checkpoints:
        return NotApplicable("There is no checkpoint to measure what the model computes.")
    network, final = experiment.network, checkpoints[max(checkpoints)]
    try:
        grid = grid_of(task)
    except InputError as error:
        return NotApplicable.because(str(error))
    if grid.p < LEAST_P:
        return NotApplicable(f"A modulus of {grid.p} has too few frequencies to tell what the model computes.")
    size = task.n_inputs * max(task.n_answers, int(getattr(network, "d_mlp", 0) or 0))
    if size > PATIENCE:
        return NotApplicable(
            f"With {task.n_inputs:,} inputs the measures take longer than a page should; groklab measure takes them."
        )
    try:
        keys = find_frequencies(final, task, network)
    except (InputError, KeyError) as error:
        return NotApplicable.because(str(error))
    if not keys:
        return NotApplicable(
            "No frequency of this model stands out from nothing at all, so there is nothing to say of what it computes."
        )
    train = make_split(experiment.split, task, experiment.seed).train
    most = max(2, PATIENCE_OF_ALL // (task.n_inputs * task.n_answers))
    steps = thin_evenly(list(checkpoints), most)
    _, trajectory = follow(steps, lambda step: checkpoints[step], task, train, network, keys)
    parts: dict[str, Mapping[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in PARTS:
        try:
            parts[name] = MEASURES[name](final, task, train, network=network, frequencies=keys)
        except (InputError, KeyError) as error:
            left_out[name] = str(error)
    if metrics.is_empty():
        metrics = _metrics_of(steps, trajectory)
    recorded = {k: metrics[k].cast(pl.Float64).to_numpy() for k in ("test_accuracy", "weight_norm")}
    phases = find_phases(
        np.array(steps),
        trajectory["excluded_loss"],
        metrics["step"].to_numpy(),
        np.nan_to_num(recorded["test_accuracy"]),
        recorded["weight_norm"] ** 2,
    )
    rule = default_rule(task)
    return CircuitAnalysis(task, network, grid, keys, rule, final, steps, trajectory, metrics, phases, parts, left_out)


def _metrics_of(steps: list[int], trajectory: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return metrics at the checkpoints alone, in place of damaged ones."""
    columns = {k: trajectory[k] for k in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")}
    return pl.DataFrame({"step": steps, **columns, "weight_norm": np.sqrt(trajectory["sum_of_squares"])})
