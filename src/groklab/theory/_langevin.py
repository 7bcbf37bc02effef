"""The local learning coefficient by localised stochastic gradient Langevin dynamics (Lau et al. 2023).

Around weights w* the tempered posterior ∝ exp(−nβ L(w) − γ/2 |w − w*|²) is sampled by

    w ← w − ε/2 (nβ ∇L_m(w) + γ (w − w*)) + √ε N(0, 1),

with L_m the loss of a fresh mini-batch, and λ̂ = nβ (E[L_m(w)] − L(w*)) (arXiv 2308.12108). In the limit of large nβ and
small γ and ε it is the learning coefficient: half the number of weights where the loss has a regular minimum, less
where it is degenerate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.lazy import Array, jax, jnp

#: Weights by name.
Weights = Mapping[str, Array]
#: From weights, data and a random key to the loss of a mini-batch.
Loss = Callable[[Weights, Any, Array], Array]
#: What runs the chains: weights, data, key, ε, nβ, γ -> losses and distances (chains, draws).
Sampler = Callable[..., tuple[Array, Array]]


@dataclass(frozen=True)
class Sampling:
    """How the posterior is sampled; the defaults are those of devinterp's notebook on modular addition.

    Attributes:
        epsilon: the step size ε.
        nbeta: the inverse temperature nβ; the theory's choice for n inputs is n / log n.
        gamma: the strength γ of the pull towards w*.
        draws: losses that the mean is over, one at each step after burn_in.
        burn_in: steps before them. With none the first draw is at w* itself, as in the notebook; the pull forgets the
            start within 2 / (εγ) steps or so, which is 133 by default.
        chains: independent chains, one lane each.
        batch_size: inputs of each mini-batch, drawn with replacement; None takes all.
        seed: of all random numbers; chain i is the same with more chains.
        dtype: in which weights move. Losses are averaged in float64.
    """

    epsilon: float = 3e-3
    nbeta: float = 2.0
    gamma: float = 5.0
    draws: int = 500
    burn_in: int = 0
    chains: int = 3
    batch_size: int | None = 128
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        for name in ("epsilon", "nbeta"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(name, getattr(self, name), "needs a number above 0")
        if not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise InputError("gamma", self.gamma, "needs a number of 0 or more")
        for name, least in (("draws", 4), ("burn_in", 0), ("chains", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is None and name == "batch_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(name, value, f"needs an integer of {least} or more")
        check_choice("dtype", self.dtype, ("float32", "float64"))


@dataclass(frozen=True, eq=False)
class Chains:
    """What chains around some weights have seen.

    Attributes:
        losses: (chains, draws) float64, of the mini-batches.
        distances: (chains, draws) float64, |w − w*|.
        start: L(w*), of all data.
        nbeta: of the sampling.
        n_weights: how many numbers move.
    """

    losses: np.ndarray
    distances: np.ndarray
    start: float
    nbeta: float
    n_weights: int = 0

    @property
    def estimates(self) -> np.ndarray:
        """(chains,) λ̂ of each chain; NaN for one that left the numbers."""
        finite = np.isfinite(self.losses).all(axis=1) & np.isfinite(self.distances).all(axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            values = self.nbeta * (self.losses.mean(axis=1) - self.start)
        return np.asarray(np.where(finite, values, np.nan))

    @property
    def estimate(self) -> float:
        """λ̂, the mean of the chains; NaN where there is a problem with any."""
        return float("nan") if self.problem else float(self.estimates.mean())

    @property
    def r_hat(self) -> float:
        """`split_r_hat` of the losses."""
        return split_r_hat(self.losses)

    @property
    def problem(self) -> str:
        """Why there is no estimate, in a sentence; empty where there is one."""
        estimates = self.estimates
        left, below = np.flatnonzero(np.isnan(estimates)), np.flatnonzero(estimates < 0)
        n = len(estimates)
        if len(left):
            return f"{len(left)} of {n} chains diverged: a smaller epsilon, or more gamma, keeps them near"
        if len(below):
            return (
                f"{len(below)} of {n} chains are negative, down to {estimates.min():.3g}: they found a lower loss, so "
                "the weights are not a minimum at this temperature"
            )
        return ""


def make_sampler(loss: Loss, draws: int, burn_in: int, chains: int) -> Sampler:
    """Return the compiled function that runs chains as lanes: of equal shapes it is compiled once.

    It takes weights, data, a key, ε, nβ and γ, and returns losses and distances, (chains, draws).
    """

    def chain(weights: Weights, data: Any, key: Array, epsilon: Array, nbeta: Array, gamma: Array) -> Any:
        names = sorted(weights)

        def step(w: dict[str, Array], t: Array) -> tuple[dict[str, Array], tuple[Array, Array]]:
            own = jax.random.fold_in(key, t)
            value, gradient = jax.value_and_grad(loss)(w, data, jax.random.fold_in(own, 0))
            apart = {k: w[k] - weights[k] for k in names}
            distance = jnp.sqrt(sum(((v * v).sum() for v in apart.values()), jnp.zeros((), value.dtype)))
            moved = {}
            for i, k in enumerate(names, 1):
                dtype = w[k].dtype
                e, b, g = (jnp.asarray(x, dtype) for x in (epsilon, nbeta, gamma))
                noise = jax.random.normal(jax.random.fold_in(own, i), w[k].shape, dtype)
                moved[k] = w[k] - e / 2 * (b * gradient[k].astype(dtype) + g * apart[k]) + jnp.sqrt(e) * noise
            return moved, (value, distance)

        w = dict(weights)
        if burn_in:
            w, _ = jax.lax.scan(lambda w, t: (step(w, t)[0], None), w, jnp.arange(burn_in))
        return jax.lax.scan(step, w, jnp.arange(burn_in, burn_in + draws))[1]

    def lanes(weights: Weights, data: Any, key: Array, epsilon: Array, nbeta: Array, gamma: Array) -> Any:
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(chains))
        return jax.vmap(chain, in_axes=(None, None, 0, None, None, None))(weights, data, keys, epsilon, nbeta, gamma)

    return jax.jit(lanes)


def run_chains(sampler: Sampler, weights: Mapping[str, Any], data: Any, start: float, sampling: Sampling) -> Chains:
    """Run the chains of a sampler made for this sampling.

    Args:
        weights: w*, by name.
        start: L(w*), of all data.
    """
    arrays = {k: jnp.asarray(v, sampling.dtype) for k, v in weights.items()}
    settings = (jnp.asarray(getattr(sampling, name), jnp.float64) for name in ("epsilon", "nbeta", "gamma"))
    n = sum(v.size for v in arrays.values())
    losses, distances = sampler(arrays, data, jax.random.key(sampling.seed), *settings)
    return Chains(np.asarray(losses, np.float64), np.asarray(distances, np.float64), start, sampling.nbeta, n)


def split_r_hat(draws: np.ndarray) -> float:
    """Return R̂ of draws (chains, draws): how far halves of chains differ, 1 where they do not.

    The larger of the rank-normalised split R̂ of the draws and of their distances from the median (Vehtari et al. 2021,
    arXiv 1903.08008, section 4). NaN where a draw is not finite, or none differs.
    """
    values = np.asarray(draws, np.float64)
    n = values.shape[1] // 2
    if n < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return float("nan")
    halves = np.concatenate([values[:, :n], values[:, -n:]])
    return max(_r_hat(_normal_scores(x)) for x in (halves, np.abs(halves - np.median(halves))))


def _normal_scores(values: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri
    from scipy.stats import rankdata  # a second of importing

    ranks = rankdata(values).reshape(values.shape)
    return np.asarray(ndtri((ranks - 3 / 8) / (values.size + 1 / 4)))


def _r_hat(values: np.ndarray) -> float:
    n = values.shape[1]
    within = values.var(axis=1, ddof=1).mean()
    between = n * values.mean(axis=1).var(ddof=1)
    return float(np.sqrt(((n - 1) / n * within + between / n) / within))
