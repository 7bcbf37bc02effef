"""What analyses by key frequencies share: the rule, the way along checkpoints, the stages, and their words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import Weights, readable
from groklab.analysis._model import NotApplicable, Options
from groklab.measures import (
    CARRIES,
    FEWEST,
    RULE,
    Grid,
    TrainingStages,
    check_frequencies,
    default_rule,
    find_frequencies,
    models_at_once,
    training_stages,
    trajectory,
)
from groklab.store import thin_evenly
from groklab.tasks import Task
from groklab.text import jsonable, listed, loss_of

#: Frequencies that are named one by one.
MANY = 8
#: Frequencies that may carry the embedding for any to stand out.
MOST_CARRYING = 10
#: The least modulus with more than one frequency that has a sine.
LEAST_P = 5
#: Numbers in the logits or neurons of one model, and in the logits of all its checkpoints, that a page waits for.
PATIENCE, PATIENCE_OF_ALL = 20_000_000, 150_000_000
#: Checkpoints that are measured in one call, between two reports of progress.
AT_ONCE = 8
#: How each rule of `measures.frequencies` chooses key frequencies.
RULES = {
    "neuron_logit_map": "those with a component of W_L, the map from neurons to logits, above a quarter of the "
    "largest, its constant left out",
    "embedding": "those with a component of W_E above a quarter of the largest, its constant left out",
    "neurons": "those that explain at least one neuron best",
    "logits": "those with a component of the logits above a twentieth of the largest, their constant left out",
    "furuta": "those with a component of W_L above half of the largest, its constant left out",
    "furuta_union": "those with a component of W_L or W_E above half of the largest, the constant left out",
    "given": "those that were given",
}
STAGES_RULE: str = f"Stages of training: {RULE}."


@dataclass(frozen=True, kw_only=True, repr=False)
class OperationAnalysis:
    """The measure `progress` of one operation, whose answer is a function of a + b or a − b, along checkpoints.

    Args:
        name: the task's, or in a mixture the operation's.
        direction: +1 for a + b, -1 for a − b.
        uniform: the loss of guessing evenly among the answers.
        steps: the checkpoints that were measured.
        trajectory: values of the measure at these steps, arrays (n_steps, …).
        stages: where the stages of training end.
    """

    name: str
    direction: int
    uniform: float
    steps: list[int]
    trajectory: Mapping[str, np.ndarray]
    stages: TrainingStages

    @property
    def sum(self) -> str:
        """What the answer is a function of, in print."""
        return "a + b" if self.direction > 0 else "a − b"

    def last(self, name: str) -> float:
        """Return a number of the final model, NaN where there is none."""
        return float(self.trajectory[name][-1]) if name in self.trajectory else float("nan")

    def values_to_dict(self) -> dict[str, Any]:
        """Return the final values, the stages of training, and values by step and by frequency."""
        ends = {f"{name}_ends": step for name, step in vars(self.stages).items()}
        by_step, by_frequency = ({k: v for k, v in self.trajectory.items() if v.ndim == n} for n in (1, 2))
        return {
            **jsonable({k: v[-1] for k, v in self.trajectory.items()}),
            "training_stages": {**ends, "rule": RULE},
            "trajectory": {"step": list(self.steps), **jsonable(by_step)},
            "by_frequency": jsonable(by_frequency),
        }

    def losses_sentence(self, named: bool = False) -> str:
        """Return the restricted and the excluded loss; named: begin with the operation."""
        start = f"{self.name}: with" if named else "With"
        restricted, own, excluded, train = (
            loss_of(self.last(k)) for k in ("restricted_loss", "loss", "excluded_loss", "train_loss")
        )
        return (
            f"{start} only the key frequencies of {self.sum} in the logits the loss on all pairs is {restricted} "
            f"(restricted loss; complete model: {own}); without them the training loss is {excluded} (excluded loss; "
            f"complete model: {train}, uniform guessing: {loss_of(self.uniform)})."
        )

    def stages_sentence(self) -> str:
        """Return where the stages of training end."""
        ends = {name.replace("_", " "): step for name, step in vars(self.stages).items()}
        reached = [f"{name} ends at step {step:,}" for name, step in ends.items() if step is not None]
        if len(self.steps) < FEWEST:
            kept = "is one" if len(self.steps) == 1 else f"are {len(self.steps)}"
            return f"The ends of the stages need {FEWEST} checkpoints; there {kept}."
        last = f"{self.steps[-1]:,}"
        if not reached:
            return f"No stage ended by step {last}: excluded loss did not rise and test accuracy did not pass 50%."
        missing = [name for name, step in ends.items() if step is None]
        more = f"; the end of {missing[0]} was not reached by step {last}" if missing else ""
        text = listed(reached)
        return f"{text[0].upper()}{text[1:]}{self._stages_note()}{more}."

    def _stages_note(self) -> str:
        """Return what else there is to know of the stages, as clauses with their semicolons."""
        return ""


def analyse_operation(
    name: str,
    grid: Grid,
    task: Task,
    steps: list[int],
    values: Mapping[str, np.ndarray],
    metrics: pl.DataFrame,
    accuracy: str = "test_accuracy",
) -> OperationAnalysis:
    """Return the analysis of one operation.

    Args:
        name: the task's, or in a mixture the operation's.
        grid: the operation's.
        task: the task that holds it.
        steps: the checkpoints that were measured.
        values: of the measure `progress` at these steps, arrays (n_steps, …).
        metrics: the member's evaluations by step.
        accuracy: the column of the operation's test accuracy, without which there are no stages.
    """
    stages = TrainingStages(None, None, None)
    if accuracy in metrics.columns:
        columns = {k: metrics[k].cast(pl.Float64).to_numpy() for k in (accuracy, "weight_norm")}
        evaluated, generalised = metrics["step"].to_numpy(), np.nan_to_num(columns[accuracy])
        squares = columns["weight_norm"] ** 2
        stages = training_stages(np.array(steps), values["excluded_loss"], evaluated, generalised, squares)
    return OperationAnalysis(
        name=name,
        direction=grid.direction,
        uniform=math.log(task.n_answers),
        steps=steps,
        trajectory=values,
        stages=stages,
    )


def few_stand_out(key_frequencies: Sequence[int], p: int) -> bool:
    """Return whether few frequencies stand out, at most half of all; of an unstructured model the rule names most."""
    return 2 * len(key_frequencies) <= p // 2


def carrying_frequencies(shares: Mapping[int, float]) -> list[int]:
    """Return the frequencies that each carry at least 5% of the embedding's power, strongest first.

    Empty where none stands out: none carries so much, or more than `MOST_CARRYING` do.

    Args:
        shares: of the power, by frequency.
    """
    carrying = [k for k in sorted(shares, key=lambda k: -shares[k]) if shares[k] >= CARRIES]
    return carrying if len(carrying) <= MOST_CARRYING else []


def strong_frequencies(shares: Mapping[int, float]) -> list[int]:
    """Return the frequencies that carry the embedding and have twice an equal share, strongest first.

    Args:
        shares: of the power, by frequency: all of them.
    """
    bar = max(CARRIES, 2 / max(len(shares), 1))
    return [k for k in sorted(shares, key=lambda k: -shares[k]) if shares[k] >= bar]


def too_large(task: Task) -> NotApplicable:
    """Return the analysis of a model that a page does not wait for."""
    size = f"With {task.n_inputs:,} inputs the measures take longer than a page should"
    return NotApplicable(f"{size}; groklab measure takes them.")


def key_frequencies_of(weights: Weights, task: Task, network: Any, options: Options) -> tuple[int, ...]:
    """Return the key frequencies that are given, or those of a rule; raises InputError where they do not apply."""
    if options.frequencies is not None:
        return check_frequencies(options.frequencies, int(task.algebra.p or 0))
    return find_frequencies(weights, task, network, options.rule)


def name_of_rule(task: Task, options: Options) -> str:
    """Return the rule of the key frequencies, a key of `RULES`."""
    return "given" if options.frequencies is not None else options.rule or default_rule(task)


def follow(
    checkpoints: Mapping[int, Weights],
    task: Task,
    train: np.ndarray,
    network: Any,
    keys: Sequence[int],
    options: Options,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Take the measure `progress` along checkpoints, some at a time.

    Returns:
        The steps measured, without checkpoints that are damaged or not finite, and values (n_steps, …) by name. Unless
        the scope is every checkpoint, so many are measured as a page waits for.
    """
    steps = list(checkpoints)
    if options.scope != "checkpoints":
        steps = thin_evenly(steps, max(2, PATIENCE_OF_ALL // (task.n_inputs * task.n_answers)))
    measured: list[int] = []
    parts = []
    # small models are measured side by side, and to fill up the last turn is quicker than to compile it
    fills = models_at_once(task) >= AT_ONCE
    for i in range(0, len(steps), AT_ONCE):
        loaded = dict(readable(checkpoints, steps[i : i + AT_ONCE]))
        if loaded:
            models = list(loaded.values())
            filled = models + [models[-1]] * (AT_ONCE - len(models)) if fills else models
            stack = {k: np.stack([w[k] for w in filled]) for k in models[0]}
            values = trajectory(stack, task, train, network, keys)
            parts.append({k: v[: len(loaded)] for k, v in values.items()})
            measured += loaded
        options.progress(min(i + AT_ONCE, len(steps)), len(steps))
    return measured, {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
