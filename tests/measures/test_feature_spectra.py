"""Eigenvalues and Fourier transforms of feature matrices, and the AGOP of each class, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.measures.feature_doubles import Kernel, metric, network_case, some_rows, task_of

import groklab as gl
from groklab.measures import _feature_spectra as fs
from groklab.measures import feature_matrix
from groklab.measures._circulance import circulant_deviation
from groklab.tasks import circulant, planted_features


@given(rank=st.integers(1, 8), scale=st.floats(1e-200, 1e200))
def test_the_rank_of_a_projection(rank: int, scale: float) -> None:
    values = scale * np.array([1.0] * rank + [0.0] * (8 - rank))
    assert fs.effective_rank(values) == pytest.approx(rank)
    assert fs.top_share(values) == pytest.approx(1 / rank)
    assert np.isnan(fs.effective_rank(np.zeros(3)))
    assert np.isnan(fs.top_share(np.zeros(3)))


def test_the_spectrum_of_a_feature_matrix() -> None:
    model = network_case("add", "quadratic")
    taken = gl.MEASURES["feature_spectrum"]
    assert taken.online
    found = taken(model.weights, model.task, model.train, network=model.network)
    m = feature_matrix(model.weights, model.task, model.train, model.network)
    values = found["eigenvalues"]
    assert values.shape == (10,)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(np.sum(values**2), np.sum(m**2))
    np.testing.assert_allclose(values.sum(), np.trace(m))
    shares = np.abs(values) / np.abs(values).sum()
    assert found["effective_rank"] == pytest.approx(np.exp(-sum(s * np.log(s) for s in shares if s > 0)))
    assert found["top_share"] == pytest.approx(shares[0])
    # a planted matrix has negative eigenvalues: their size counts
    planted = taken({"M": planted_features(5, "hankel", 0)}, model.task, network=Kernel())
    assert planted["eigenvalues"][-1] < 0
    sizes = np.abs(planted["eigenvalues"])
    assert planted["top_share"] == pytest.approx(sizes.max() / sizes.sum())


def test_the_transform_against_sums_written_out() -> None:
    q = 5
    block = np.random.default_rng(0).normal(size=(q, q))
    for k in range(q):
        for m in range(q):
            total = sum(np.exp(-2j * np.pi * (k * i - m * j) / q) * block[i, j] / q for i in range(q) for j in range(q))
            assert fs.transformed(block)[k, m] == pytest.approx(abs(total))


@given(seed=st.integers(0, 999), q=st.integers(2, 9))
def test_power_is_what_the_closest_circulant_holds(seed: int, q: int) -> None:
    rng = np.random.default_rng(seed)
    block, first = rng.normal(size=(q, q)), rng.normal(size=q)
    for wrapping in ("toeplitz", "hankel"):
        power = fs.circulant_power(block, wrapping)
        assert power.shape == (q // 2 + 1,)
        kept = 1 - circulant_deviation(block)[wrapping]
        assert power.sum() == pytest.approx(kept * np.sum(block**2))
        # of a circulant, its transform's diagonal (or places k, −k) holds all, frequency by frequency
        exact = circulant(first, wrapping)
        squares = fs.transformed(exact) ** 2
        k = np.arange(q)
        places = squares[k, k if wrapping == "toeplitz" else -k % q]
        assert places.sum() == pytest.approx(np.sum(exact**2))
        for frequency, value in enumerate(fs.circulant_power(exact, wrapping)):
            both = {frequency, (q - frequency) % q}
            assert value == pytest.approx(sum(places[i] for i in both), abs=1e-9)


def test_the_fourier_measure() -> None:
    taken, p = gl.MEASURES["feature_fourier"], 5
    found = taken({"M": planted_features(p, "toeplitz_log", 2)}, task_of("add"), network=Kernel())
    off = found["magnitude_log"] - np.diag(np.diag(found["magnitude_log"]))
    assert np.abs(off).max() < 1e-12 < np.abs(found["magnitude_log"]).max()
    shapes = {k: v.shape for k, v in found.items()}
    assert shapes == {
        "magnitude": (p, p),
        "magnitude_log": (p - 1, p - 1),
        **{f"{w}_power": (3,) for w in ("toeplitz", "hankel", "toeplitz_log", "hankel_log")},
    }
    energy = np.sum(planted_features(p, "toeplitz_log", 2)[p:, :p] ** 2)
    assert found["toeplitz_log_power"].sum() == pytest.approx(energy) == pytest.approx(np.sum(found["magnitude"] ** 2))
    # the constant was taken off
    assert found["toeplitz_log_power"][0] == pytest.approx(0, abs=1e-24)
    even = taken({"M": metric(12)}, task_of("even"), network=Kernel())
    assert np.isnan(even["magnitude_log"]).all()
    assert even["magnitude_log"].shape == (5, 5)
    assert np.isnan(even["hankel_log_power"]).all()
    assert even["hankel_power"].shape == (4,)


def test_the_agop_of_each_class() -> None:
    taken, model = gl.MEASURES["class_agops"], network_case("add =", "relu")
    assert not taken.online
    j = model.jacobians()
    _check(taken(model.weights, model.task, model.train, network=model.network), j)
    task, weights, rows = task_of("add"), {"M": metric(10)}, some_rows(task_of("add"))
    each = Kernel().agop(weights, task, rows, by_class=True)
    found = taken(weights, task, rows, network=Kernel())
    np.testing.assert_allclose(found["trace"], [np.trace(g) for g in each])
    # a class that nothing is said of
    silent = {k: v * (np.arange(5) > 0) if k == "unembed.W_U" else v for k, v in model.weights.items()}
    found = taken(silent, model.task, model.train, network=model.network)
    assert found["trace"][0] == 0
    assert np.isnan([found["alignment"][0], found["top_share"][0]]).all()


def _check(found: dict, j: np.ndarray) -> None:
    total = np.mean([one.T @ one for one in j], axis=0)
    for i in range(j.shape[1]):
        own = np.mean([np.outer(one[i], one[i]) for one in j], axis=0)
        values = np.linalg.eigvalsh(own)
        assert found["trace"][i] == pytest.approx(np.trace(own))
        expected = np.sum(own * total) / np.linalg.norm(own) / np.linalg.norm(total)
        assert found["alignment"][i] == pytest.approx(expected)
        assert found["top_share"][i] == pytest.approx(values.max() / np.abs(values).sum())
    assert found["trace"].sum() == pytest.approx(np.trace(total))
