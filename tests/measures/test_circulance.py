"""How circulant a block is, against rows shifted and variances taken as the paper writes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.measures.feature_doubles import Kernel, metric, network_case, task_of

import groklab as gl
from groklab.measures import _circulance as circulance
from groklab.measures import blocks, feature_matrix
from groklab.measures._feature_matrices import neural_feature_matrix
from groklab.tasks import ORIENTATIONS, Orientation, circulant, log_order, planted_features

squares = st.integers(1, 9).flatmap(
    lambda q: arrays.arrays(np.float64, (q, q), elements=st.integers(-999, 999).map(lambda k: k / 10))
)


def deviation(block: np.ndarray, shift: int) -> float:
    """1/|B|² Σ_j Var(S(B)[:, j]): row l shifted right by l (aligns anti-diagonals), or left for shift −1."""
    shifted = np.array([np.roll(row, shift * place) for place, row in enumerate(block)])
    variances = [sum((v - np.mean(column)) ** 2 for v in column) for column in shifted.T]
    return sum(variances) / sum(v * v for v in block.ravel())


@given(block=squares)
def test_against_the_definition(block: np.ndarray) -> None:
    found = circulance.circulant_deviation(block)
    if not block.any():
        assert np.isnan(found["toeplitz"])
        assert np.isnan(found["hankel"])
        return
    assert found["toeplitz"] == pytest.approx(deviation(block, -1), abs=1e-9)
    assert found["hankel"] == pytest.approx(deviation(block, 1), abs=1e-9)
    assert 0 <= found["toeplitz"] <= 1
    assert 0 <= found["hankel"] <= 1
    # turning the columns round exchanges the two; scale does not matter, however small or large
    other = circulance.circulant_deviation(block[:, ::-1])
    assert found == pytest.approx({"toeplitz": other["hankel"], "hankel": other["toeplitz"]}, abs=1e-9)
    for scale in (1e-200, 1e200):
        assert circulance.circulant_deviation(scale * block) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@given(seed=st.integers(0, 999), p=st.sampled_from([5, 7, 11]))
def test_what_is_planted_is_found(orientation: Orientation, seed: int, p: int) -> None:
    block = blocks(planted_features(p, orientation, seed))[2]
    found = circulance.deviations(block)
    assert found[orientation] == pytest.approx(0, abs=1e-24)
    assert circulance.circulant_deviation(circulant(np.arange(1.0, p), "hankel"))["hankel"] < 1e-24


@given(seed=st.integers(0, 999), p=st.sampled_from([5, 7, 11, 13]), wrapping=st.sampled_from(["toeplitz", "hankel"]))
def test_means_are_the_closest_circulant(seed: int, p: int, wrapping: circulance.Wrapping) -> None:
    rng = np.random.default_rng(seed)
    block, first = rng.normal(size=(p, p)), rng.normal(size=p)
    np.testing.assert_allclose(circulance.diagonal_means(circulant(first, wrapping), wrapping), first, atol=1e-12)
    means = circulance.diagonal_means(block, wrapping)
    closest = np.linalg.norm(block - circulant(means, wrapping))
    assert closest <= np.linalg.norm(block - circulant(means + 0.1 * first, wrapping))


@given(seed=st.integers(0, 999), p=st.sampled_from([5, 7, 11, 13]))
def test_every_generator_gives_the_same(seed: int, p: int) -> None:
    block = np.random.default_rng(seed).normal(size=(p, p))
    generators = [g for g in range(2, p) if len({pow(g, k, p) for k in range(p)}) == p - 1]
    assert len(generators) > 1
    found = [circulance.deviations(block, g) for g in generators]
    for other in found:
        assert other == pytest.approx(found[0], abs=1e-12)
    in_order = np.array(
        [[block[pow(generators[0], i, p), pow(generators[0], j, p)] for j in range(1, p)] for i in range(1, p)]
    )
    assert found[0]["toeplitz_log"] == pytest.approx(deviation(in_order, -1))
    assert found[0]["hankel_log"] == pytest.approx(deviation(in_order, 1))


def test_noise_has_what_its_size_says() -> None:
    q, rng = 31, np.random.default_rng(0)
    found = [circulance.circulant_deviation(rng.normal(size=(q, q))) for _ in range(40)]
    for wrapping in ("toeplitz", "hankel"):
        # one block's standard deviation is about sqrt(2 q) / q²
        assert np.mean([f[wrapping] for f in found]) == pytest.approx(
            1 - 1 / q, abs=4 * (2 * q) ** 0.5 / q**2 / 40**0.5
        )


def test_no_logarithm_where_p_is_no_prime() -> None:
    found = circulance.deviations(np.eye(6))
    assert found["toeplitz"] == 0
    assert np.isnan(found["toeplitz_log"])
    assert np.isnan(found["hankel_log"])
    with pytest.raises(gl.InputError, match="generates fewer"):
        circulance.deviations(np.eye(7), generator=2)
    assert list(log_order(3)) == [2, 1]


def test_the_measure_of_a_network_and_of_a_kernel_machine() -> None:
    model = network_case("add", "quadratic")
    taken = gl.MEASURES["circulant_deviation"]
    assert taken.online
    found = taken(model.weights, model.task, model.train, network=model.network)
    block = blocks(feature_matrix(model.weights, model.task, model.train, model.network))[2]
    nfm = blocks(neural_feature_matrix(model.weights, model.task, model.network))[2]
    assert set(found) == {f"{a}{o}{b}" for o in ORIENTATIONS for a, b in (("", ""), ("", "_paper"), ("nfm_", ""))}
    assert found["toeplitz"] == pytest.approx(deviation(block, -1))
    assert found["hankel_paper"] == pytest.approx(deviation(block, 1) / 5)
    assert found["nfm_hankel"] == pytest.approx(deviation(nfm, 1))
    assert found["toeplitz_log_paper"] == pytest.approx(found["toeplitz_log"] / 4)

    planted = planted_features(5, "hankel", 1)
    found = taken({"M": planted}, model.task, network=Kernel())
    assert set(found) == {f"{o}{a}" for o in ORIENTATIONS for a in ("", "_paper")}
    assert found["hankel"] < 1e-24 < 0.1 < found["toeplitz"]
    start = taken({"M": np.eye(10)}, model.task, network=Kernel())
    assert all(np.isnan(v) for v in start.values())


@given(seed=st.integers(0, 999), c1=st.floats(-10, 10), c2=st.floats(-10, 10), p=st.integers(2, 9))
def test_identity_and_ones_are_found(seed: int, c1: float, c2: float, p: int) -> None:
    exact = circulance.fit_identity_and_ones(c1 * np.eye(p) + c2)
    assert exact[:2] == pytest.approx((c1, c2), abs=1e-12)
    assert np.isnan(exact[2]) or np.abs(exact[0]) + np.abs(exact[1]) < 1e-6 or exact[2] < 1e-9
    block = np.random.default_rng(seed).normal(size=(p, p))
    basis = np.stack([np.eye(p).ravel(), np.ones(p * p)], axis=1)
    expected = np.linalg.lstsq(basis, block.ravel(), rcond=None)[0]
    found = circulance.fit_identity_and_ones(block)
    assert found[:2] == pytest.approx(expected, abs=1e-9)
    fitted = (basis @ expected).reshape(p, p)
    assert found[2] == pytest.approx(np.linalg.norm(block - fitted) / np.linalg.norm(block))


def test_the_structure_of_blocks() -> None:
    taken, task = gl.MEASURES["block_structure"], task_of("add")
    matrix = planted_features(5, "toeplitz", 3)
    found = taken({"M": matrix}, task, network=Kernel())
    for prefix in ("", "second_"):
        assert found[f"{prefix}ratio"] == pytest.approx(-1)
        assert found[f"{prefix}residual"] == pytest.approx(0, abs=1e-12)
    assert (found["c1"], found["c2"]) == pytest.approx((1, -0.2))
    assert found["off_diagonal_share"] == pytest.approx(2 * np.sum(matrix[5:, :5] ** 2) / np.sum(matrix**2))
    other = taken({"M": metric(10)}, task, network=Kernel())
    assert (other["c1"], other["c2"], other["residual"]) == circulance.fit_identity_and_ones(metric(10)[:5, :5])
    assert other["second_c1"] == circulance.fit_identity_and_ones(metric(10)[5:, 5:])[0]
    nothing = taken({"M": np.zeros((10, 10))}, task, network=Kernel())
    assert all(np.isnan(nothing[k]) for k in ("ratio", "residual", "off_diagonal_share"))
