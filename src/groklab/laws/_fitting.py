"""Fitting a law: a log-normal accelerated failure time model with censoring, by maximum likelihood.

log T is normal about the law's own value with one spread σ. A member that had not grokked when its budget ended
contributes the probability of a longer time; one that grokked within the first evaluation, that of a shorter one. In
Olsen's parameters (1978, Econometrica 46), coefficients over σ and 1/σ, the likelihood is concave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.laws._fit import Estimate, Fit, r2_of
from groklab.laws._law import Columns, Law
from groklab.laws._law import law as find_law
from groklab.laws._times import Times, times_of
from groklab.sweeps import Sweep, find_sweep

#: The least spread of log T: times are known to about a thousandth, since they are counted in evaluations.
LEAST_SPREAD = 1e-3
#: Places at which a threshold is tried before it is refined.
TRIED = 24


@dataclass(frozen=True)
class Solution:
    """Parameters of greatest likelihood.

    Args:
        coefficients: log C, then the exponents.
        threshold: nan for a law without one.
        log_likelihood: of log T.
    """

    coefficients: np.ndarray
    threshold: float
    spread: float
    log_likelihood: float

    def values(self, law: Law) -> np.ndarray:
        """Return all parameters in the order of `names_of`."""
        ends = [self.threshold] if law.threshold is not None else []
        return np.array([np.exp(self.coefficients[0]), *self.coefficients[1:], *ends, self.spread])


def fit(
    law: str | Law,
    sweep: Sweep | str | Path,
    *,
    axes: Mapping[str, str] | None = None,
    at: Mapping[str, Any] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> Fit:
    """Fit a law to a sweep, with bootstrap intervals over seeds.

    Args:
        law: its name, see `groklab.laws.LAWS`.
        sweep: a sweep, its name or its folder.
        axes: by variable of the formula, another setting that it is, with a unit as in `optimiser.clamp_norm/25`.
        at: values at which settings are held that the sweep varies and the law does not have.
        resamples: of the bootstrap, which draws the seeds of each cell again, with replacement.
        seed: of the bootstrap.

    Raises:
        InputError: for an unknown law, a sweep without the axes that it needs, or fewer than three cells that grokked.
    """
    law = find_law(law) if isinstance(law, str) else law
    sweep = sweep if isinstance(sweep, Sweep) else find_sweep(sweep)
    if not 0 <= resamples <= 100_000:
        raise InputError("resamples", resamples, "needs an integer from 0 to 100,000")
    times = times_of(sweep, law, axes or {}, at or {})
    best = solve(law, times.columns, times.log_time, times.observed, times.early)
    drawn = bootstrap(law, times, best, resamples, seed)
    return Fit(
        law=law,
        sweep=sweep.name,
        times=times,
        estimates=_estimates(law, times, best.values(law), drawn),
        solution=best,
        resamples=len(drawn),
        seed=seed,
        held_out=_held_out(law, times),
        drawn=drawn,
    )


def solve(
    law: Law,
    columns: Columns,
    log_time: np.ndarray,
    observed: np.ndarray,
    early: np.ndarray,
    near: float | None = None,
) -> Solution:
    """Return the parameters of greatest likelihood.

    Args:
        columns: (n,) of each variable.
        log_time: (n,) of a time, or of its bound where it is not `observed`: from above where it is `early`.
        near: a threshold to begin with, in place of many.
    """
    from scipy import optimize

    def at(threshold: float) -> Solution:
        return _linear(law, columns, threshold, log_time, observed, early)

    if law.threshold is None:
        return at(np.nan)
    values = columns[law.threshold.variable]
    highest = float(values[observed | early].min())
    grid = highest * (1 - np.geomspace(1e-3, 1 - 1e-6, TRIED))
    if near is not None and near < highest:
        grid = np.array([near, *grid[[0, TRIED // 2, -1]]])
    tried = sorted(grid, key=lambda threshold: -at(threshold).log_likelihood)
    place = float(tried[0])
    width = max(abs(highest - place), 1e-3 * highest)
    bounds = (max(place - width, 1e-9), min(place + 0.9 * width, highest * (1 - 1e-6)))
    refined = optimize.minimize_scalar(
        lambda threshold: -at(threshold).log_likelihood,
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-4 * highest},
    )
    return max((at(place), at(float(refined.x))), key=lambda s: s.log_likelihood)


def fit_arrays(law: str, columns: Columns, time: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Return the exponents of a law without a threshold, and R² of log T over the observed times.

    Args:
        time: (n,) times, or bounds from below where they are not `observed`.
    """
    known, log_time = find_law(law), np.log(time)
    best = solve(known, columns, log_time, observed, np.zeros_like(observed))
    expected = np.log(predicted(known, columns, best))
    return best.coefficients[1:], r2_of(log_time[observed], expected[observed])


def _linear(
    law: Law, columns: Columns, threshold: float, log_time: np.ndarray, observed: np.ndarray, early: np.ndarray
) -> Solution:
    """Return the best coefficients and spread where everything else is known."""
    design, offset = design_of(law, columns, threshold)
    known = np.isfinite(design).all(1) & np.isfinite(offset)
    if (observed | early)[~known].any():  # it grokked where the law says never
        return Solution(np.full(design.shape[1], np.nan), threshold, np.nan, -np.inf)
    rows = design[known], (log_time - offset)[known], observed[known], early[known]
    coefficients, spread, log_likelihood = _most_likely(*rows)
    lowest = np.array([-np.inf, *(e.least for e in law.exponents)])
    if (coefficients < lowest).any():  # concave: the best that is allowed is at the bound
        free = coefficients >= lowest
        y = rows[1] - rows[0][:, ~free] @ lowest[~free]
        own, spread, log_likelihood = _most_likely(rows[0][:, free], y, *rows[2:])
        coefficients = np.where(free, 0.0, lowest)
        coefficients[free] = own
    return Solution(coefficients, threshold, spread, log_likelihood)


def _most_likely(x: np.ndarray, y: np.ndarray, seen: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return coefficients, spread and log-likelihood of a censored normal regression.

    Args:
        x: (n, k); y: (n,) values or bounds.
        seen: (n,) whether y is a value; of the others, `before` says that y is a bound from above.
    """
    from scipy import optimize, special

    late, n = ~seen & ~before, int(seen.sum())
    scale = np.maximum(np.abs(x).max(0), 1e-12)
    u = np.column_stack([-x / scale, y])  # of z = tau · y - x · delta in (delta, tau)

    def parts(parameters: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return minus the log-likelihood, and its first and second derivatives in z."""
        z, tau = u @ parameters, parameters[-1]
        # the second term is the resolution of the times, which keeps the spread above zero
        value = 0.5 * float((z[seen] ** 2).sum()) + 0.5 * n * (tau * LEAST_SPREAD) ** 2
        value += 0.5 * n * np.log(2 * np.pi) - n * np.log(tau)
        first, second = np.where(seen, z, 0.0), np.where(seen, 1.0, 0.0)
        for which, sign in ((late, 1.0), (before, -1.0)):
            w = sign * z[which]
            log_p = special.log_ndtr(-w)
            mills = np.exp(-0.5 * w**2 - 0.5 * np.log(2 * np.pi) - log_p)
            value -= float(log_p.sum())
            first[which], second[which] = sign * mills, mills * (mills - w)
        return value, first, second

    def loss(parameters: np.ndarray) -> float:
        return parts(parameters)[0] if parameters[-1] > 0 else np.inf

    def gradient(parameters: np.ndarray) -> np.ndarray:
        tau = parameters[-1]
        slope = parts(parameters)[1] @ u
        slope[-1] += n * tau * LEAST_SPREAD**2 - n / tau
        return np.asarray(slope)

    def curvature(parameters: np.ndarray) -> np.ndarray:
        bent = (u * parts(parameters)[2][:, None]).T @ u
        bent[-1, -1] += n * LEAST_SPREAD**2 + n / parameters[-1] ** 2
        return np.asarray(bent)

    start, *_ = np.linalg.lstsq(-u[:, :-1], y, rcond=None)
    spread = max(float(np.std(y + u[:, :-1] @ start)), 10 * LEAST_SPREAD)
    first = np.append(start, 1.0) / spread
    result = optimize.minimize(
        loss, first, jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-6 * len(y), "maxiter": 200}
    )
    spread = 1 / float(result.x[-1])
    return result.x[:-1] * spread / scale, spread, -float(result.fun)


def design_of(law: Law, columns: Columns, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 1 + exponents) what multiplies log C and the exponents, and (n,) what is added."""
    n = len(next(iter(columns.values())))
    parts = [np.ones((n, 1))]
    if law.features is not None:
        parts.append(law.features(columns, threshold))
    return np.concatenate(parts, axis=1), np.zeros(n) if law.offset is None else law.offset(columns)


def predicted(law: Law, columns: Columns, solution: Solution) -> np.ndarray:
    """Return (n,) median times by the law; infinite where it says never."""
    design, offset = design_of(law, columns, solution.threshold)
    never = ~np.isfinite(design).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(
            never, np.inf, np.exp(np.where(np.isfinite(design), design, 0) @ solution.coefficients + offset)
        )


def bootstrap(law: Law, times: Times, best: Solution, resamples: int, seed: int) -> np.ndarray:
    """Return (resamples, parameters): the parameters with the seeds of each cell drawn again, with replacement.

    None are returned where no cell has two members: nothing is known of the spread over seeds then. Draws in which too
    few cells grokked to determine the parameters are drawn again.
    """
    members = [np.flatnonzero(times.cells == cell) for cell in np.unique(times.cells)]
    n_parameters = law.n_parameters
    if max(map(len, members)) < 2:
        return np.zeros((0, n_parameters))
    generator = np.random.Generator(np.random.PCG64(seed))
    columns, log_time, observed, early = times.columns, times.log_time, times.observed, times.early
    drawn: list[np.ndarray] = []
    for _ in range(2 * resamples):
        if len(drawn) == resamples:
            break
        rows = np.concatenate([generator.choice(own, len(own)) for own in members])
        if len(np.unique(times.cells[rows][observed[rows]])) < n_parameters - 1:
            continue
        own = {name: values[rows] for name, values in columns.items()}
        solved = solve(law, own, log_time[rows], observed[rows], early[rows], best.threshold)
        drawn.append(solved.values(law))
    return np.array(drawn).reshape(-1, n_parameters)


def names_of(law: Law) -> list[str]:
    """Return the names of the parameters: C, exponents, threshold, and the spread of log T."""
    return ["C", *(e.name for e in law.exponents), *([law.threshold.name] if law.threshold else []), "sigma"]


def _estimates(law: Law, times: Times, values: np.ndarray, drawn: np.ndarray) -> tuple[Estimate, ...]:
    published = {e.name: e for e in law.exponents}
    made = []
    for i, (name, value) in enumerate(zip(names_of(law), values, strict=True)):
        low, high = (None, None) if not len(drawn) else np.quantile(drawn[:, i], (0.025, 0.975)).tolist()
        exponent = published.get(name)
        known = None if exponent is None else exponent.published
        if exponent is not None and exponent.units_of and times.units[exponent.units_of][1] == 1:
            known = None
        made.append(Estimate(name, float(value), low, high, known))
    return tuple(made)


def _held_out(law: Law, times: Times) -> float | None:
    """Return the mean log-density of a member's log T where its cell was left out; None where too few cells remain."""
    total, cells = 0.0, np.unique(times.cells)
    for cell in cells:
        rest, own = times.cells != cell, times.cells == cell
        if len(np.unique(times.cells[rest & times.observed])) < law.n_parameters - 1:
            return None
        known, left = (
            (
                {k: v[which] for k, v in times.columns.items()},
                times.log_time[which],
                times.observed[which],
                times.early[which],
            )
            for which in (rest, own)
        )
        total += log_density(law, *left, solve(law, *known))
    return total / len(times.cells)


def log_density(
    law: Law, columns: Columns, log_time: np.ndarray, observed: np.ndarray, early: np.ndarray, solution: Solution
) -> float:
    """Return the log-likelihood of members under given parameters."""
    from scipy import special

    with np.errstate(divide="ignore"):
        expected = np.log(predicted(law, columns, solution))
    z = (log_time - expected) / solution.spread
    dense = -0.5 * z**2 - np.log(solution.spread) - 0.5 * np.log(2 * np.pi)
    return float(np.where(observed, dense, special.log_ndtr(np.where(early, z, -z))).sum())
