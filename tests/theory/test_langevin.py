"""Localised Langevin dynamics: losses whose learning coefficient is known, and what is said of chains that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from groklab.errors import InputError
from groklab.theory import Chains, Sampling, make_sampler, run_chains, split_r_hat

SAMPLING = Sampling(epsilon=4e-3, nbeta=20.0, gamma=1.0, draws=20_000, burn_in=1000, chains=4, dtype="float64")


def chains(potential: Callable[[jax.Array], jax.Array], d: int, sampling: Sampling) -> Chains:
    """Chains around zero, where the potential is zero."""
    sampler = make_sampler(lambda w, data, key: potential(w["w"]), sampling.draws, sampling.burn_in, sampling.chains)
    return run_chains(sampler, {"w": np.zeros(d)}, None, 0.0, sampling)


def gibbs(potential: Callable[..., np.ndarray], d: int, sampling: Sampling) -> float:
    """nβ E[L] of the localised posterior, by quadrature in one or two dimensions."""
    # finer near zero, where a cold posterior is
    x = 9 * np.sinh(np.linspace(-7, 7, 2401)) / np.sinh(7)
    axes = np.meshgrid(*[x] * d, indexing="ij")
    loss = potential(*axes)
    density = np.exp(-sampling.nbeta * loss - sampling.gamma / 2 * sum(a**2 for a in axes))
    total, mean = density, loss * density
    for _ in range(d):
        total, mean = integrate.simpson(total, x=x, axis=0), integrate.simpson(mean, x=x, axis=0)
    return float(sampling.nbeta * mean / total)


def test_a_regular_minimum_has_half_the_number_of_weights() -> None:
    """Steps of a quadratic are an autoregression, whose variance is known with its pull and its step size."""
    curvatures = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 8.0])
    found = chains(lambda w: (jnp.asarray(curvatures) * w * w).sum() / 2, 6, SAMPLING)
    stiff = SAMPLING.nbeta * curvatures
    pulled = stiff + SAMPLING.gamma
    exact = (stiff / pulled / (1 - SAMPLING.epsilon * pulled / 4) / 2).sum()
    assert found.problem == ""
    # 80,000 draws, correlated over up to 2 / (ε 11) = 45 steps
    assert found.estimate == pytest.approx(exact, rel=0.03)
    assert exact == pytest.approx(6 / 2, rel=0.1)
    assert found.r_hat < 1.02


@pytest.mark.parametrize("mini_batches", [False, True])
def test_noise_of_mini_batches_leaves_the_estimate(mini_batches: bool) -> None:
    points = np.random.default_rng(0).normal(size=200)
    points -= points.mean()

    def loss(w: dict[str, jax.Array], data: jax.Array, key: jax.Array) -> jax.Array:
        rows = jax.random.randint(key, (50,), 0, 200) if mini_batches else jnp.arange(200)
        return ((data[rows] - w["w"][0]) ** 2).mean() / 2

    sampling = replace(SAMPLING, chains=3, nbeta=30.0, epsilon=2e-3, draws=40_000)
    sampler = make_sampler(loss, sampling.draws, sampling.burn_in, sampling.chains)
    found = run_chains(sampler, {"w": np.zeros(1)}, jnp.asarray(points), float((points**2).mean() / 2), sampling)
    # the noise of the gradient, ε/4 (nβ)² var/50, adds some per cent to the variance
    assert found.estimate == pytest.approx(30 / 31 / 2, rel=0.15)


@pytest.mark.parametrize(
    ("potential", "d", "epsilon"),
    # w⁴ has a coefficient of 1/4, and no pull makes it less at any temperature; (uv)² has 1/2, less 1/log(nβ)
    [(lambda w: w**4, 1, 4e-3), (lambda u, v: (u * v) ** 2, 2, 4e-4)],
)
def test_degenerate_minima_have_less(potential: Callable[..., np.ndarray], d: int, epsilon: float) -> None:
    sampling = replace(SAMPLING, gamma=2.0, nbeta=50.0, epsilon=epsilon, draws=100_000)
    found, exact = chains(lambda w: potential(*w), d, sampling), gibbs(potential, d, sampling)
    # some hundred independent draws, and walls of the valleys that are steep for the step
    assert found.estimate == pytest.approx(exact, rel=0.12)
    assert found.estimate < 0.7 * d / 2
    assert abs(exact - (0.25 if d == 1 else 0.5 - 1 / np.log(50))) < 0.12


def test_temperature_goes_to_the_known_coefficients() -> None:
    """By quadrature alone: what the estimate tends to, as nβ grows and the pull stays."""
    hot, cold = (replace(SAMPLING, nbeta=nbeta, gamma=1.0) for nbeta in (10.0, 10_000.0))
    for potential, coefficient in ((lambda w: w**4, 0.25), (lambda w: w**2, 0.5)):
        errors = [abs(gibbs(potential, 1, s) - coefficient) for s in (hot, cold)]
        assert errors[1] < 0.01 < errors[0]


def test_chains_are_seeded_and_the_same_with_more_of_them() -> None:
    few = replace(SAMPLING, draws=50, burn_in=10, chains=2)
    first, again, more, other = (
        chains(lambda w: (w * w).sum(), 3, s) for s in (few, few, replace(few, chains=5), replace(few, seed=1))
    )
    np.testing.assert_array_equal(first.losses, again.losses)
    np.testing.assert_allclose(more.losses[:2], first.losses, rtol=1e-12)
    assert not np.allclose(other.losses, first.losses)
    assert len({float(x) for x in more.losses[:, -1]}) == 5
    # without burn-in the first draw is at the weights themselves
    assert chains(lambda w: (w * w).sum(), 3, replace(few, burn_in=0)).distances[:, 0].tolist() == [0, 0]
    single = chains(lambda w: (w * w).sum(), 3, replace(few, dtype="float32"))
    assert single.estimate != first.estimate


def test_chains_that_fail_say_so_and_are_not_averaged() -> None:
    diverged = chains(lambda w: (w**4).sum() - (w**2).sum(), 2, replace(SAMPLING, epsilon=3.0, draws=100))
    assert np.isnan(diverged.estimate)
    assert diverged.problem == "4 of 4 chains diverged: a smaller epsilon, or more gamma, keeps them near"
    short = replace(SAMPLING, draws=500, gamma=0.1)
    hill = chains(lambda w: -(w**2).sum() + (w**4).sum(), 2, short)
    assert np.isnan(hill.estimate)
    assert (hill.estimates < 0).all()
    assert hill.problem.startswith("4 of 4 chains are negative, down to -")
    mixed = Chains(np.array([[1.0, 2.0], [1.0, np.nan]]), np.zeros((2, 2)), 0.5, 2.0)
    assert mixed.estimates.tolist()[0] == 2.0
    assert mixed.problem.startswith("1 of 2 chains diverged")


def test_r_hat_of_chains_that_agree_and_of_chains_that_do_not() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 1000))
    assert split_r_hat(noise) == pytest.approx(1, abs=0.01)
    # no monotone map changes it
    assert split_r_hat(np.exp(noise)) == pytest.approx(split_r_hat(noise), abs=0.01)
    assert split_r_hat(noise + np.array([[0], [0], [0], [2]])) > 1.2
    # a trend within each chain, and chains of different spread, whose means agree
    assert split_r_hat(noise + np.linspace(0, 3, 1000)) > 1.2
    assert split_r_hat(noise * [[1], [1], [1], [5]]) > 1.1
    assert np.isnan(split_r_hat(np.ones((2, 100))))
    assert np.isnan(split_r_hat(np.full((2, 100), np.nan)))


def test_r_hat_written_out() -> None:
    """Without ties, in the order of draws: the formula on normal scores of ranks, chain by chain."""
    from statistics import NormalDist

    draws = np.random.default_rng(1).normal(size=(2, 6)).cumsum(axis=1)
    halves = [list(c[:3]) for c in draws] + [list(c[3:]) for c in draws]

    def r_hat(parts: list[list[float]]) -> float:
        every = sorted(x for part in parts for x in part)
        scores = [[NormalDist().inv_cdf((every.index(x) + 1 - 0.375) / (len(every) + 0.25)) for x in p] for p in parts]
        means = [sum(s) / 3 for s in scores]
        within = np.mean([sum((x - m) ** 2 for x in s) / 2 for s, m in zip(scores, means, strict=True)])
        between = 3 * sum((m - np.mean(means)) ** 2 for m in means) / 3
        return float(np.sqrt((2 / 3 * within + between / 3) / within))

    middle = float(np.median(np.concatenate(halves)))
    # the median lies between two draws, which are as far from it: one of the two in each order
    folded = [[abs(x - middle) + 1e-12 * (x > middle) for x in part] for part in halves]
    expected = [r_hat(halves), r_hat(folded)]
    assert split_r_hat(draws) == pytest.approx(max(expected), rel=0.05)
    assert split_r_hat(draws) >= expected[0] - 1e-9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0.0}, "epsilon = 0.0: needs a number above 0"),
        ({"nbeta": float("nan")}, "nbeta"),
        ({"gamma": -1.0}, "gamma"),
        ({"draws": 3}, "draws = 3: needs an integer of 4 or more"),
        ({"chains": 0}, "chains"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "float16"}, "float16"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**settings)  # type: ignore[arg-type]


def test_devinterp_samples_the_same() -> None:
    """devinterp's own optimiser on the same quadratic; λ̂ by its formula."""
    torch = pytest.importorskip("torch")
    optim = pytest.importorskip("devinterp.optim")
    curvatures = [0.5, 1.0, 2.0, 4.0]
    sampling = replace(SAMPLING, draws=4000, epsilon=1e-2)
    torch.manual_seed(0)
    estimates = []
    for _ in range(sampling.chains):
        w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        settings = {"lr": sampling.epsilon, "nbeta": sampling.nbeta, "localization": sampling.gamma}
        optimiser = optim.SGMCMC.sgld([w], **settings)
        losses = []
        for _ in range(sampling.burn_in + sampling.draws):
            optimiser.zero_grad()
            loss = (torch.tensor(curvatures, dtype=torch.float64) * w * w).sum() / 2
            loss.backward()
            losses.append(float(loss.detach()))
            optimiser.step()
        estimates.append(sampling.nbeta * np.mean(losses[sampling.burn_in :]))
    found = chains(lambda w: (jnp.asarray(curvatures) * w * w).sum() / 2, 4, sampling)
    assert found.estimate == pytest.approx(np.mean(estimates), rel=0.1)
