"""The local learning coefficient of a network's weights, from its training data alone (Lau et al. 2023).

How degenerate the training loss is around weights: `groklab.theory` has the sampling, this module the loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from groklab import components
from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp
from groklab.measures._activity import network_or_recognised
from groklab.measures._registry import Result, Rows, Weights, measure
from groklab.networks import Network
from groklab.objectives import CrossEntropy
from groklab.registry import fingerprint
from groklab.tasks import Task, TaskShape
from groklab.theory import Chains, Sampler, Sampling, make_sampler, run_chains


@dataclass(frozen=True, eq=False)
class LearningCoefficient(Result):
    """The local learning coefficient at some weights, by `Sampling`'s defaults.

    Attributes:
        learning_coefficient: λ̂, the mean of the chains; NaN where a chain diverged or is negative.
        chains: (chains,) λ̂ of each chain, also of such as are negative; NaN for one that diverged.
        loss: L(w*) on the training set.
        r_hat: rank-normalised split R̂ of the losses; above 1.01 or so the chains are too short.
        distance: how far the chains are from w* in the end, on average.
    """

    learning_coefficient: float
    chains: np.ndarray
    loss: float
    r_hat: float
    distance: float


@measure("learning_coefficient", online=True)
def learning_coefficient(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, objective: Any = None
) -> LearningCoefficient:
    """Local learning coefficient: how degenerate the training loss is around the weights, by Langevin dynamics.

    Of the training set alone, by the settings of devinterp's notebook; `gl.learning_coefficient` has others, and shows
    the chains. Raises InputError as `chains_around` does.
    """
    return summary(chains_around(weights, task, train_rows, network, objective))


def summary(chains: Chains) -> LearningCoefficient:
    """Return what is kept of chains."""
    return LearningCoefficient(
        learning_coefficient=chains.estimate,
        chains=chains.estimates,
        loss=chains.start,
        r_hat=chains.r_hat,
        distance=float(chains.distances[:, -1].mean()),
    )


def chains_around(
    weights: Weights,
    task: Task,
    train_rows: Rows = None,
    network: Any = None,
    objective: Any = None,
    sampling: Sampling | None = None,
) -> Chains:
    """Sample the training loss around weights.

    Args:
        task: with the answers as they were trained on.
        train_rows: the training set.
        objective: the loss; None is the cross-entropy.
        sampling: None is `Sampling()`.

    Raises:
        InputError: for a learner that is not a network, a task with several answers per input, and an unknown training
            set.
    """
    sampling = sampling or Sampling()
    network, objective = network_or_recognised(weights, network), objective or CrossEntropy()
    if not isinstance(network, Network):
        raise InputError(f"the learning coefficient applies to networks, and not to the learner {network.kind}")
    if task.reads is not None:
        raise InputError(f"the learning coefficient needs one answer per input, and {task.name} has more")
    if train_rows is None:
        raise InputError("the learning coefficient needs train_rows, the inputs trained on, which are not known")
    rows = np.asarray(train_rows)
    inputs = task.inputs if task.n_ctx else np.asarray(task.features, sampling.dtype)
    targets = task.targets if task.values is None else np.asarray(task.values, sampling.dtype)
    fixed = {k: jnp.asarray(v, sampling.dtype) for k, v in weights.items() if k in network.fixed_weights}
    moving = {k: np.asarray(v) for k, v in weights.items() if k not in fixed}
    batch = None if sampling.batch_size is None or sampling.batch_size >= len(rows) else sampling.batch_size
    full, sampler = _programs(network, objective, task.shape, sampling, batch)
    data = {"inputs": jnp.asarray(inputs[rows]), "targets": jnp.asarray(targets[rows]), "fixed": fixed}
    start = float(full({k: jnp.asarray(v, sampling.dtype) for k, v in moving.items()}, data))
    return run_chains(sampler, moving, data, start, sampling)


def _programs(network: Any, objective: Any, shape: TaskShape, sampling: Sampling, batch: int | None) -> Any:
    parts = [[components.as_json(part), fingerprint(type(part))] for part in (network, objective)]
    counts = (sampling.draws, sampling.burn_in, sampling.chains, batch)
    return _compiled(json.dumps(parts, sort_keys=True), shape, counts, components.Carried(network, objective))


@lru_cache(maxsize=16)
def _compiled(
    description: str, shape: TaskShape, counts: tuple[int, int, int, int | None], carried: components.Carried
) -> tuple[Any, Sampler]:
    """Return the compiled loss of all data, and the sampler."""
    network, objective = carried.values
    draws, burn_in, chains, batch = counts

    def of_rows(weights: Mapping[str, Array], inputs: Array, targets: Array, fixed: Mapping[str, Array]) -> Array:
        logits = network.apply({**weights, **fixed}, network.prepare(inputs, shape), shape)
        losses: Array = objective.per_row(logits, targets).mean()
        return losses

    def full(weights: Mapping[str, Array], data: Mapping[str, Any]) -> Array:
        return of_rows(weights, data["inputs"], data["targets"], data["fixed"])

    def of_batch(weights: Mapping[str, Array], data: Mapping[str, Any], key: Array) -> Array:
        if batch is None:
            return full(weights, data)
        rows = jax.random.randint(key, (batch,), 0, len(data["inputs"]))
        return of_rows(weights, data["inputs"][rows], data["targets"][rows], data["fixed"])

    return jax.jit(full), make_sampler(of_batch, draws, burn_in, chains)
