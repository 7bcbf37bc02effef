"""Predictions of the effective theory for a task, before any training (Liu et al. 2022, section 3).

l_eff = (1/nu) sum over equations of |E_i + E_j − E_m − E_n|^2 / Z0, with Z0 = sum_k |E_k|^2, descends by dE/dt = −H E
with H = 2 G / (nu Z0). Two of G's eigenvalues are always zero; the third, lambda_3, is the rate at which the slowest
other mode decays, and 1 / (lambda_3 eta) steps of rate eta the predicted time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from groklab.device import threads
from groklab.errors import InputError
from groklab.theory._parallelograms import ZERO, Equations

#: 'one' is the published code's nu = 1; 'parallelograms' the paper's formula, nu = |P0(D)|.
Normalisation = Literal["one", "parallelograms"]
#: Learning rate of the representation in the paper's experiments.
ETA = 1e-3
#: Representation quality above which a representation counts as reached.
REACHED = 0.95
#: The dimension of the linear representations, E_k = a + k b.
LINEAR = 2


@dataclass(frozen=True)
class AtFraction:
    """Random training sets of one size.

    Attributes:
        p_linear: share that force the linear representation.
        ideal_accuracy: mean.
        lambda_3, steps: medians; steps, 1 / (lambda_3 eta), is None where lambda_3 is 0.
    """

    n_train: int
    fraction: float
    p_linear: float
    ideal_accuracy: float
    lambda_3: float
    steps: float | None


@dataclass(frozen=True)
class CriticalFraction:
    """The critical fraction of p symbols, with its standard error and the pairs per symbol that it comes to."""

    p: int
    n_pairs: int
    critical_fraction: float
    critical_fraction_se: float
    pairs_per_symbol: float


@dataclass(frozen=True)
class TaskEquations:
    """What the equations of a task are, and how predictions are drawn from them.

    Attributes:
        eigenvalues_full: of G with all data, ascending, not normalised.
        eta: learning rate behind `steps`.
        draws, seed: of random training sets.
    """

    p: int
    n_pairs: int
    n_parallelograms: int
    null_space_dimension: int
    eigenvalues_full: list[float]
    normalisation: Normalisation
    eta: float
    draws: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class NoPrediction(TaskEquations):
    """Why the theory says nothing of a task."""

    does_not_apply: str


@dataclass(frozen=True)
class Prediction(TaskEquations):
    """What the theory says of a task."""

    critical_fraction: float
    critical_fraction_se: float
    by_fraction: list[AtFraction]


def critical_sizes(equations: Equations, draws: int, seed: int = 0) -> np.ndarray:
    """Return the least k at which the first k pairs of a random order force the linear representation, (draws,).

    Raises:
        InputError: where all pairs do not force it.
    """
    check_applies(equations)
    return least_sizes(equations.n_pairs, draws, lambda c: equations.null_dimension(c) == LINEAR, seed, LINEAR)


def least_sizes(
    n_pairs: int, draws: int, suffices: Callable[[np.ndarray], bool], seed: int = 0, least: int = 1
) -> npt.NDArray[np.int64]:
    """Return the least k from `least` on at which the first k pairs of a random order suffice, (draws,).

    Args:
        suffices: whether a training set (n_pairs,) bool does; it must hold for all pairs and never end as pairs are
            added, so that bisection finds k.
    """
    rng = np.random.default_rng(seed)
    sizes = np.empty(draws, np.int64)
    for d in range(draws):
        order = rng.permutation(n_pairs)
        low, high = least, n_pairs
        while low < high:
            middle = (low + high) // 2
            chosen = np.zeros(n_pairs, np.bool_)
            chosen[order[:middle]] = True
            low, high = (low, middle) if suffices(chosen) else (middle + 1, high)
        sizes[d] = low
    return sizes


def critical_fraction(sizes: np.ndarray, n_pairs: int) -> tuple[float, float]:
    """Return the share of the pairs at which half of all training sets force the linear representation, and its error.

    Between sizes the probability is interpolated; the standard error is that of a proportion of one half, over the
    probability's slope.

    Args:
        sizes: of `critical_sizes`.
    """
    k = np.arange(sizes.min() - 1, sizes.max() + 1)
    reached = np.searchsorted(np.sort(sizes), k, side="right") / len(sizes)
    half = float(np.interp(0.5, reached, k))
    # over the middle half of the draws: one size alone may hold no draw
    low, high = np.interp([0.25, 0.75], reached, k)
    slope = 0.5 / max(float(high - low), 1.0)
    return half / n_pairs, float(0.5 / np.sqrt(len(sizes)) / slope / n_pairs)


def against_p(equations: Sequence[Equations], draws: int, seed: int = 0) -> list[CriticalFraction]:
    """Return the critical fraction of each.

    It depends on p: some two to three pairs per symbol are enough, of p(p + 1)/2. Raises InputError where the theory
    does not apply.
    """
    rows = []
    for one in equations:
        fraction, error = critical_fraction(critical_sizes(one, draws, seed), one.n_pairs)
        rows.append(CriticalFraction(one.p, one.n_pairs, fraction, error, fraction * one.n_pairs / one.p))
    return rows


def at_fraction(
    equations: Equations, n_train: int, draws: int, normalisation: Normalisation = "one", seed: int = 0
) -> AtFraction:
    """Predict for random training sets of n_train pairs."""
    rng = np.random.default_rng([seed, n_train])
    linear, ideal, rates = [], [], []
    for _ in range(draws):
        chosen = np.zeros(equations.n_pairs, np.bool_)
        chosen[rng.permutation(equations.n_pairs)[:n_train]] = True
        values = equations.eigenvalues(chosen)
        linear.append(int((values < ZERO).sum()) == LINEAR)
        ideal.append(equations.ideal_accuracy(chosen))
        rates.append(grokking_rate(values, equations.count(chosen), normalisation))
    rate = float(np.median(rates))
    return AtFraction(
        n_train,
        n_train / equations.n_pairs,
        float(np.mean(linear)),
        float(np.mean(ideal)),
        rate,
        1 / (rate * ETA) if rate > 0 else None,
    )


def grokking_rate(eigenvalues: np.ndarray, n_equations: int, normalisation: Normalisation = "one") -> float:
    """Return lambda_3 of H = 2 G / (nu Z0), from G's eigenvalues (p,), ascending; Z0 = p − 1, as of normalised
    embeddings.
    """
    if len(eigenvalues) <= LINEAR:
        return 0.0
    third = float(eigenvalues[LINEAR])
    nu = max(n_equations, 1) if normalisation == "parallelograms" else 1
    return 2 * third / (nu * (len(eigenvalues) - 1)) if third >= ZERO else 0.0


def flow_rates(start: np.ndarray, gram: np.ndarray, nu: float = 1) -> npt.NDArray[np.float64]:
    """Return the rates at which the modes decay, (p,), ascending: the eigenvalues of H, those of zero exactly 0."""
    return _modes(start, gram, nu)[0]


def flow(start: np.ndarray, gram: np.ndarray, nu: float, times: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the effective theory's flow (T, p, d) from embeddings (p, d) at times (T,), of equations with G = gram.

    Exact: E(t) = sqrt(Z0) exp(−H t) E(0) / |exp(−H t) E(0)|; a step of rate eta is the time eta.
    """
    rates, vectors = _modes(start, gram, nu)
    decayed = np.exp(-np.multiply.outer(np.asarray(times, np.float64), rates))[:, :, None] * (vectors.T @ start)
    size = np.sqrt((decayed**2).sum(axis=(1, 2), keepdims=True))
    path: npt.NDArray[np.float64] = vectors @ decayed / size * np.linalg.norm(start)
    return path


def _modes(start: np.ndarray, gram: np.ndarray, nu: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(gram)
    return 2 * np.where(values < ZERO, 0, values) / (nu * float((start**2).sum())), vectors


def check_applies(equations: Equations) -> None:
    """Raise InputError where even all pairs leave another dimension free than a linear representation's two."""
    if not equations.count():
        raise InputError("the effective theory says nothing here: no two pairs have one answer, so nothing is equated")
    free = equations.null_dimension()
    if free < LINEAR:
        raise InputError(
            f"the effective theory says nothing here: the equations of all pairs leave {free} dimension, the constant "
            "representation, so that no line satisfies them (sums modulo p, for one, need a circle)"
        )
    if free > LINEAR:
        raise InputError(
            f"the effective theory says nothing here: the equations of all pairs leave {free} dimensions, and no "
            "training set forces the linear representation"
        )


# matrices are small: threads would only wait for each other
@threads(1)
def theory(
    equations: Equations,
    *,
    fractions: Sequence[float] | None = None,
    draws: int = 1000,
    normalisation: Normalisation = "one",
    seed: int = 0,
) -> Prediction | NoPrediction:
    """Return all predictions for a task."""
    common: dict[str, Any] = {
        "p": equations.p,
        "n_pairs": equations.n_pairs,
        "n_parallelograms": equations.count(),
        "null_space_dimension": equations.null_dimension(),
        "eigenvalues_full": equations.eigenvalues().tolist(),
        "normalisation": normalisation,
        "eta": ETA,
        "draws": draws,
        "seed": seed,
    }
    try:
        sizes = critical_sizes(equations, draws, seed)
    except InputError as error:
        return NoPrediction(**common, does_not_apply=str(error))
    fraction, error_of = critical_fraction(sizes, equations.n_pairs)
    shares = np.linspace(0.1, 1, 19) if fractions is None else np.asarray(fractions, float)
    n_train = sorted({max(2, round(f * equations.n_pairs)) for f in shares})
    rows = [at_fraction(equations, k, min(draws, 200), normalisation, seed) for k in n_train]
    return Prediction(**common, critical_fraction=fraction, critical_fraction_se=error_of, by_fraction=rows)
