"""What analyses by key frequencies share: the rule, the way along checkpoints, the stages, and their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import Progress, Weights, no_progress, readable
from groklab.analysis.model import NotApplicable, Scope
from groklab.measures.fourier import check_frequencies
from groklab.measures.frequencies import default_rule, find_frequencies
from groklab.measures.progress import models_at_once, trajectory
from groklab.measures.training_stages import FEWEST, RULE, TrainingStages, training_stages
from groklab.store.thinning import thin_evenly
from groklab.tasks.base import Task
from groklab.text import jsonable, listed, loss_of

#: Frequencies that are named one by one.
MANY = 8
#: The least modulus with more than one frequency that has a sine.
LEAST_P = 5
#: Numbers in the logits or neurons of one model, and in the logits of all its checkpoints, that a page waits for.
PATIENCE, PATIENCE_OF_ALL = 20_000_000, 150_000_000
#: Checkpoints that are measured in one call, between two reports of progress.
AT_ONCE = 8
#: How each rule of `measures.frequencies` chooses key frequencies.
RULES = {
    "neuron_logit_map": "those with a component of W_L, the map from neurons to logits, above a quarter of the largest",
    "embedding": "those with a component of W_E above a quarter of the largest",
    "neurons": "those that explain at least one neuron best",
    "logits": "those with a component of the logits above a twentieth of the largest",
    "furuta": "those with a component of W_L above half of the largest",
    "furuta_union": "those with a component of W_L or W_E above half of the largest",
    "given": "those that were given",
}
STAGES_RULE = f"Stages of training: {RULE}."


def few_stand_out(key_frequencies: Sequence[int], p: int) -> bool:
    """Return whether few frequencies stand out, at most half of all; of an unstructured model the rule names most."""
    return 2 * len(key_frequencies) <= p // 2


def too_large(task: Task) -> NotApplicable:
    """Return the analysis of a model that a page does not wait for."""
    size = f"With {task.n_inputs:,} inputs the measures take longer than a page should"
    return NotApplicable(f"{size}; groklab measure takes them.")


def key_frequencies_of(
    weights: Weights, task: Task, network: Any, rule: str | None, frequencies: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the key frequencies that are given, or those of a rule; raises InputError where they do not apply."""
    if frequencies is not None:
        return check_frequencies(frequencies, int(task.algebra.p or 0))
    return find_frequencies(weights, task, network, rule)


def name_of_rule(task: Task, rule: str | None, frequencies: Sequence[int] | None) -> str:
    """Return the rule of the key frequencies, a key of `RULES`."""
    return "given" if frequencies is not None else rule or default_rule(task)


def stages_of(steps: Sequence[int], excluded_loss: np.ndarray, metrics: pl.DataFrame, accuracy: str) -> TrainingStages:
    """Return where the stages of training end; accuracy: the column of the test accuracy."""
    columns = {k: metrics[k].cast(pl.Float64).to_numpy() for k in (accuracy, "weight_norm")}
    evaluated, generalised = metrics["step"].to_numpy(), np.nan_to_num(columns[accuracy])
    return training_stages(np.array(steps), excluded_loss, evaluated, generalised, columns["weight_norm"] ** 2)


def trajectory_to_dict(steps: Sequence[int], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return numbers by step as `trajectory`, and those that each frequency has as `by_frequency`."""
    return {
        "trajectory": {"step": list(steps), **jsonable({k: v for k, v in values.items() if v.ndim == 1})},
        "by_frequency": jsonable({k: v for k, v in values.items() if v.ndim == 2}),
    }


def follow(
    checkpoints: Mapping[int, Weights],
    task: Task,
    train: np.ndarray,
    network: Any,
    keys: Sequence[int],
    scope: Scope,
    progress: Progress = no_progress,
) -> tuple[list[int], dict[str, np.ndarray]]:
    """Take the measure `progress` along checkpoints, some at a time.

    Returns:
        The steps measured, without checkpoints that are damaged or not finite, and values (n_steps, …) by name. Unless
        the scope is every checkpoint, so many are measured as a page waits for.
    """
    steps = list(checkpoints)
    if scope != "checkpoints":
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
        progress(min(i + AT_ONCE, len(steps)), len(steps))
    return measured, {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def restricted_and_excluded(of_sum: str, restricted: float, own: float, excluded: float, train: float) -> str:
    """Return how the losses with the key frequencies alone and without them are worded, as the end of a sentence."""
    return (
        f"with those frequencies of {of_sum} alone in the logits the loss on all pairs is {loss_of(restricted)} "
        f"(restricted; its own {loss_of(own)}); with all else but them the training loss is {loss_of(excluded)} "
        f"(excluded; its own {loss_of(train)}"
    )


def stages_sentence(stages: TrainingStages, steps: Sequence[int], note: str = "") -> str:
    """Return where the stages of training end; note: a clause that follows, with its semicolon."""
    ends = {name.replace("_", " "): step for name, step in vars(stages).items()}
    reached = [f"{name} ends at step {step:,}" for name, step in ends.items() if step is not None]
    if len(steps) < FEWEST:
        kept = "is one" if len(steps) == 1 else f"are {len(steps)}"
        return f"The ends of the stages need {FEWEST} checkpoints; there {kept}."
    if not reached:
        return f"No stage ended by step {steps[-1]:,}: excluded loss did not rise and test accuracy did not pass 50%."
    missing = [name for name, step in ends.items() if step is None]
    more = f"; the end of {missing[0]} was not reached by step {steps[-1]:,}" if missing else ""
    text = listed(reached)
    return f"{text[0].upper()}{text[1:]}{note}{more}."


def stages_to_dict(stages: TrainingStages) -> dict[str, Any]:
    """Return the ends of the stages, and the rule."""
    return {**{f"{name}_ends": step for name, step in vars(stages).items()}, "rule": RULE}
