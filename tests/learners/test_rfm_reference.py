"""The reference is right: its gradients against automatic differentiation, its course against known trajectories."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import rfm_reference as reference

from amounts import amount

GOLDEN = Path(__file__).parents[1] / "data" / "mallinar2024_golden.json"
BANDWIDTH = 2.5
#: Of the known run; the second needs the matrix of the first, which takes seconds. The fast machine, which other tests
#: hold against this reference, follows all known runs.
ITERATIONS = amount(1, full=2)


def one_hot_pairs(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (p^2, 2p) and targets (p^2, p) of x + y mod p, row-major."""
    a, b = np.divmod(np.arange(p * p), p)
    eye = np.eye(p)
    return np.concatenate([eye[a], eye[b]], axis=1), eye[(a + b) % p]


def deviation(block: np.ndarray, sign: int) -> float:
    """Share of energy of block[i, j] (p, p) that means over equal (j + sign * i) mod p leave unexplained."""
    p = len(block)
    i, j = np.indices(block.shape)
    wrapped = (j + sign * i) % p
    means = np.bincount(wrapped.ravel(), block.ravel()) / p
    return float(((block - means[wrapped]) ** 2).sum() / (block**2).sum())


@pytest.mark.parametrize("kernel", reference.KERNELS)
@pytest.mark.parametrize("inputs", ["dense", "one-hot"])
def test_gradients_by_hand_agree_with_automatic_differentiation(kernel: str, inputs: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 6)) if inputs == "dense" else one_hot_pairs(3)[0]
    root = rng.standard_normal((6, 6))
    X, M, alpha = jnp.asarray(X), jnp.asarray(root @ root.T / 6), jnp.asarray(rng.standard_normal((len(X), 4)))
    by_hand, automatic = (
        np.asarray(reference.jacobians(kernel, X, X, alpha, M, BANDWIDTH, automatic=a)) for a in (False, True)
    )
    assert by_hand.shape == (len(X), 4, 6)
    np.testing.assert_allclose(by_hand, automatic, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kernel", reference.KERNELS)
def test_an_iteration_fits_its_rows_and_says_what_it_used(kernel: str) -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((9, 5)), np.eye(3)[rng.integers(3, size=9)]
    ran = reference.iterate(X, Y, X[:4] + 0.1, Y[:4], kernel, 2, BANDWIDTH)
    assert [entry["train_accuracy"] for entry in ran] == [1, 1]
    assert max(entry["train_loss"] for entry in ran) < 1e-18
    np.testing.assert_array_equal(ran[0]["M"], np.eye(5))
    np.testing.assert_array_equal(ran[1]["M"], ran[0]["M_next"])
    # the default power is a half
    np.testing.assert_allclose(ran[0]["M_next"] @ ran[0]["M_next"], ran[0]["agop"], rtol=1e-9, atol=1e-12)


def test_centring_takes_off_the_mean_jacobian() -> None:
    J = jnp.asarray(np.random.default_rng(2).standard_normal((7, 3, 4)) + 5)
    mean = np.asarray(J.mean(axis=0))
    difference = np.asarray(reference.agop(J, centre=False) - reference.agop(J, centre=True))
    np.testing.assert_allclose(difference, mean.T @ mean, rtol=1e-12)


@pytest.mark.long
def test_the_quadratic_machine_follows_a_known_run() -> None:
    runs = json.loads(GOLDEN.read_text())["runs"]
    run = next(r for r in runs if (r["operation"], r["kernel"]) == ("x+y", "quadratic"))
    known, p = run["iterations"], run["p"]
    X, Y = one_hot_pairs(p)
    train = np.asarray(run["train_index"])
    test = np.setdiff1d(np.arange(p * p), train)

    rows, targets, points = (jnp.asarray(a) for a in (X[train], Y[train], X[test]))
    M = jnp.eye(2 * p)
    for t in range(ITERATIONS):
        alpha = reference.fit("quadratic", rows, targets, M, BANDWIDTH, ridge=0.0)
        predicted = reference.predict("quadratic", points, rows, alpha, M, BANDWIDTH)
        found = reference.measure(predicted, jnp.asarray(Y[test]))
        assert found["accuracy"] == known["acc"][t]
        assert found["loss"] == pytest.approx(known["mse"][t], rel=1e-12)
        assert found["correct_class_loss"] == pytest.approx(known["corr"][t], rel=1e-12)
        if t == 0:
            fitted = reference.predict("quadratic", rows, rows, alpha, M, BANDWIDTH)
            assert reference.measure(fitted, targets)["loss"] < 1e-30
        if t + 1 < ITERATIONS:
            J = reference.jacobians("quadratic", rows, rows, alpha, M, BANDWIDTH)
            M = reference.matrix_power(reference.agop(J, centre=True), 0.5)
            # eigenvalues that are zero but for rounding, 1e-17 say, have roots that are not: M is known to 1e-9 only
            assert np.trace(M) == pytest.approx(known["trM"][t], rel=1e-9)
            block = np.asarray(M[p:, :p])
            assert deviation(block, -1) == pytest.approx(known["T"][t], rel=1e-6)
            assert deviation(block, +1) == pytest.approx(known["H"][t], rel=1e-6)
