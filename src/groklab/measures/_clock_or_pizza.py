"""Whether a network adds angles or averages them: the clock and the pizza (Zhong et al. 2023, arXiv 2306.17844).

A clock multiplies the two embeddings, so that the logit of c is Σ cos(w_k(a + b − c)), of the same size for all pairs.
A pizza adds them and takes the absolute value, which leaves |cos(w_k(a − b)/2)| as a factor, and weak logits where a
and b are half a turn apart. Definitions 4.1 and 4.2 and that of circularity in appendix B tell them apart. In double
precision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from groklab import components
from groklab.errors import InputError
from groklab.lazy import Array, Float64, jax, jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._fourier import ROUNDING, embedding_matrix
from groklab.measures._grid import Grid, grid_of
from groklab.measures._predictions import is_right
from groklab.measures._registry import Result, Weights, measure
from groklab.networks import Network, Transformer
from groklab.registry import fingerprint
from groklab.tasks import Task, TaskShape

#: Triples (a, b, c) that gradient symmetricity is a mean over; the paper takes 100. Drawn once, from this seed.
TRIPLES, SEED = 1000, 0
#: Principal components of the embedding that circularity is a mean over.
COMPONENTS = 4


@dataclass(frozen=True, eq=False)
class ClockOrPizza(Result):
    """What tells a clock from a pizza (Zhong et al. 2023).

    Attributes:
        gradient_symmetricity: `gradient_symmetricity` over a fixed sample of triples.
        distance_irrelevance: `distance_irrelevance` of the right answers' logits (definition 4.2).
        distance_irrelevance_of_rival: the same of the largest logit besides the right one, which is what the authors'
            training program records under that name.
        circularity: `circularity` of the embedding; NaN for one of fewer than four dimensions.
        accuracy: the share of all pairs that are answered rightly.
    """

    gradient_symmetricity: float
    distance_irrelevance: float
    distance_irrelevance_of_rival: float
    circularity: float
    accuracy: float


@measure("clock_or_pizza", online=True)
def clock_or_pizza(weights: Weights, task: Task, network: Any = None) -> ClockOrPizza:
    """Gradient symmetricity, distance irrelevance and circularity, which tell a clock from a pizza.

    For networks with a shared embedding (embed.W_E) on functions of a ± b with an odd modulus; raises InputError for
    others.
    """
    network = network_or_recognised(weights, network)
    grid = grid_of(task)
    logits = np.asarray(activity(weights, task, network)["logits"], np.float64)
    right, rival = right_and_rival_logits(logits, task)
    embedding = embedding_matrix(weights, task)
    return ClockOrPizza(
        gradient_symmetricity=gradient_symmetricity(weights, task, network),
        distance_irrelevance=distance_irrelevance(right[grid.rows], grid),
        distance_irrelevance_of_rival=distance_irrelevance(rival[grid.rows], grid),
        circularity=circularity(embedding) if embedding.shape[1] >= COMPONENTS else float("nan"),
        accuracy=float(is_right(logits, task.targets)[grid.rows].mean()),
    )


def right_and_rival_logits(logits: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the logit of the right answer and the largest of the others, of each input (N,)."""
    own = np.arange(logits.shape[1]) == task.targets[:, None]
    return logits[own], np.where(own, -np.inf, logits).max(axis=1)


def distance_irrelevance(values: Float64[np.ndarray, "p p"], grid: Grid) -> float:
    """Return how little values (p, p) at [a, b] depend on the distance a − b (definition 4.2).

    q = mean_j std_i(L_ij) / std(L), with L_ij the value at a + b = i, a − b = j (the other way about where the answer
    is a function of a − b): 0 for values that depend on the distance alone, 1 or nearly so for such that do not. NaN
    for values that do not vary.

    Raises:
        InputError: for an even modulus, where sum and difference do not make a pair.
    """
    if grid.p % 2 == 0:
        raise InputError(f"distance irrelevance needs an odd modulus: sums and differences mod {grid.p} miss pairs")
    table = np.empty((grid.p, grid.p))
    table[grid.sums, grid.differences] = values
    spread = table.std()
    if not spread > ROUNDING * np.abs(table).max():
        return float("nan")
    return float(table.std(axis=0).mean() / spread)


def circularity(embedding: np.ndarray, components: int = COMPONENTS) -> float:
    """Return how near the first principal components of an embedding (p, d) are to waves (appendix B).

    The mean over components v of max_k 2/(p Σ_j v_j²) |Σ_j v_j e^(2πijk/p)|², k = 1..p − 1: 1 for circles. NaN where a
    component is zero, as for an embedding that does not vary in so many dimensions.

    Raises:
        InputError: unless the embedding has at least so many dimensions.
    """
    values = np.asarray(embedding, np.float64)
    if values.ndim != 2 or min(values.shape) < components:
        raise InputError("embedding", values.shape, f"needs two axes of {components} or more")
    centred = values - values.mean(axis=0)
    u, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    if sizes[components - 1] <= ROUNDING * np.linalg.norm(values):
        return float("nan")
    power = 2 / len(values) * np.abs(np.fft.fft(u[:, :components], axis=0)[1:]) ** 2
    return float(np.minimum(power.max(axis=0), 1).mean())


def gradient_symmetricity(
    weights: Weights, task: Task, network: Any = None, triples: np.ndarray | None = None
) -> float:
    """Return how alike a logit's gradients in the embeddings of a and of b are (definition 4.1).

    The mean over triples (a, b, c) of the cosine of ∂Q_abc/∂E_a and ∂Q_abc/∂E_b, with Q_abc the logit of c and each
    embedding a variable of its own, before positions are added: 1 where only the sum of the embeddings counts. A triple
    with a gradient of zero does not count; NaN where all are.

    Args:
        triples: (n, 3) of numbers below p; None draws 1,000 from a fixed seed.

    Raises:
        InputError: for a network without a shared embedding.
    """
    network = network_or_recognised(weights, network)
    if not isinstance(network, Network) or "embed.W_E" not in weights:
        raise InputError(f"gradients in embeddings need a shared embedding, and the network {network.kind} has none")
    grid, places = grid_of(task), task.shape.varying
    if len(places) != 2:
        raise InputError(f"gradients in two embeddings need two positions that vary, and {task.name} has {len(places)}")
    if triples is None:
        triples = np.random.default_rng(SEED).integers(grid.p, size=(TRIPLES, 3))
    a, b, c = np.asarray(triples).T
    answers = grid.answers[c] if task.n_answers == grid.p else c % task.n_answers
    run = _gradients(network, task.shape)
    arrays = {k: jnp.asarray(v, jnp.float64) for k, v in weights.items()}
    gradients = np.asarray(run(arrays, jnp.asarray(task.inputs[grid.rows[a, b]]), jnp.asarray(answers)))
    # of a transformer, one per position; of others, one per position that varies
    at = places if gradients.shape[1] == task.n_ctx else (0, 1)
    of_a, of_b = gradients[:, at[0]], gradients[:, at[1]]
    sizes = np.linalg.norm(of_a, axis=1) * np.linalg.norm(of_b, axis=1)
    counted = sizes > 0
    cosines = (of_a * of_b).sum(axis=1)[counted] / sizes[counted]
    return float(cosines.mean()) if len(cosines) else float("nan")


def _gradients(network: Network, shape: TaskShape) -> Callable[[Mapping[str, Array], Array, Array], Array]:
    """Return the function from weights, inputs (n, n_ctx) and classes (n,) to gradients (n, places, d)."""
    description = json.dumps([components.as_json(network), fingerprint(type(network))], sort_keys=True)
    return _compiled(description, shape, components.Carried(network))


@lru_cache(maxsize=16)
def _compiled(description: str, shape: TaskShape, carried: components.Carried) -> Callable[..., Array]:
    (network,) = carried.values
    more = {"last_only": True} if isinstance(network, Transformer) else {}

    def total(added: Array, weights: Mapping[str, Array], inputs: Array, classes: Array) -> Array:
        def hook(name: str, value: Array) -> Array:
            return value + added if name == "hook_embed" else value

        logits = network.reference_forward(weights, inputs, shape, hook, **more)
        # rows do not meet, so that the gradient of the sum is each one's own
        return jnp.take_along_axis(logits.reshape(len(inputs), -1), classes[:, None], axis=1).sum()

    def gradients(weights: Mapping[str, Array], inputs: Array, classes: Array) -> Array:
        places = shape.n_ctx if isinstance(network, Transformer) else len(shape.varying)
        zeros = jnp.zeros((len(inputs), places, weights["embed.W_E"].shape[1]), weights["embed.W_E"].dtype)
        given: Array = jax.grad(total)(zeros, weights, inputs, classes)
        return given

    return jax.jit(gradients)
