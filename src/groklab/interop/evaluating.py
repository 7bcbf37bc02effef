"""What imported weights do on every input, and the rows that this and the recorded losses make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab import grokking
from groklab.device import require_memory
from groklab.experiment.schema import Experiment
from groklab.interop.describing import step_of
from groklab.interop.weight_files import Source
from groklab.lazy import jax, jit, jnp
from groklab.learners.base import METRICS
from groklab.measures.activity import activity_function
from groklab.objectives import exact_cross_entropy
from groklab.store import storage
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split

#: Inputs of one forward pass.
_ROWS = 16_384
#: A wrong answer has at most half of the probability, so a mean loss L leaves at most a share L / ln 2 wrong.
_LOSS_OF_AN_ERROR = math.log(2)


@dataclass(frozen=True)
class Seen:
    """The losses of all inputs (n_inputs,), in float64, and whether their answers are right."""

    losses: np.ndarray
    right: np.ndarray


def evaluate(experiment: Experiment, task: Task, weights: dict[str, np.ndarray]) -> Seen:
    """Losses (cross-entropy over all classes) and answers on every input, in float64."""
    widest = max(array.shape[-1] for array in weights.values())
    require_memory("importing this", 8 * 4 * widest * min(_ROWS, task.n_inputs))
    run = activity_function(experiment.network, task.shape, task.n_classes)
    wide = {name: jnp.asarray(array, jnp.float64) for name, array in weights.items()}
    parts = [slice(start, start + _ROWS) for start in range(0, task.n_inputs, _ROWS)]
    found = [_judged(run(wide, jnp.asarray(task.inputs[p]))["logits"], jnp.asarray(task.targets[p])) for p in parts]
    losses, right = (np.concatenate([np.asarray(x) for x in column]) for column in zip(*found, strict=True))
    return Seen(losses, right)


@jit
def _judged(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    return exact_cross_entropy(logits, targets), logits.argmax(axis=1) == targets


def records(
    experiment: Experiment,
    source: Source,
    task: Task,
    seen: Seen,
    weights: dict[str, np.ndarray],
    said: list[str],
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The run's metrics, and what its one member reached. Adds to `said` what is known only in part.

    The last row is computed from the weights; the ones before are what the file records, at the steps for which it
    has both losses, since a line between gaps cannot be drawn.
    """
    rows = make_split(experiment.split, task, experiment.seed)
    parts = {"train": rows.train, "test": rows.test}
    last = {f"{which}_loss": float(seen.losses[part].mean()) for which, part in parts.items()}
    last |= {f"{which}_accuracy": float(seen.right[part].mean()) for which, part in parts.items()}
    last["weight_norm"] = math.sqrt(sum(float(np.square(w, dtype=np.float64).sum()) for w in weights.values()))

    final, told = step_of(source, experiment), source.told
    steps = np.zeros(0, np.int64)
    curves: dict[str, np.ndarray] = {}
    if told.train_losses is not None:
        steps = np.arange(0, min(len(told.train_losses), final), told.every)
        curves = {"train_loss": told.train_losses[steps]}
        if told.test_losses is not None:
            curves["test_loss"] = told.test_losses[: len(steps)]
    reached = {}
    for which, event in (("train", "memorised"), ("test", "grokked")):
        curve = curves.get(f"{which}_loss", np.zeros(0))
        accuracy = np.append(1 - curve / _LOSS_OF_AN_ERROR, last[f"{which}_accuracy"])
        criterion = experiment.evaluation.criterion if which == "test" else "sustained_99"
        cadence = max(told.every, grokking.default_every(task.n_inputs))
        at = np.append(steps[: len(curve)], final)
        reached[f"{event}_step"] = grokking.reached_step(at, accuracy, criterion, cadence)
    known = "the losses leave no doubt, the latest possible" if len(steps) else "the weights show it, the last"
    said.append(f"no accuracies are recorded: the steps of memorising and grokking are those by which {known}")

    blank = [None] * len(steps)
    metrics = {name: [*curves.get(name, blank), last.get(name)] for name in METRICS}
    frame = pl.DataFrame(
        {
            "step": pl.Series([*steps, final], dtype=pl.Int64),
            "member": pl.Series([0] * (len(steps) + 1), dtype=pl.Int32),
            **{name: pl.Series(values, dtype=pl.Float32) for name, values in metrics.items()},
        }
    )
    member = {
        **reached,
        "censored": reached["grokked_step"] is None,
        **{name: last.get(name) for name in METRICS},
        "diverged": False,
        "weights_sha256": storage.digest(weights),
        "seed": experiment.seed,
    }
    return frame, member
