from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groklab as gl
from groklab.measures import fourier
from groklab.training.ensemble import build_task


@given(p=st.integers(2, 40))
def test_the_basis_is_orthonormal(p: int) -> None:
    basis = fourier.fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-12)


def test_cosines_come_before_sines() -> None:
    """Named after a bug of public code: sine and cosine labels swapped."""
    p, k = 11, 3
    basis, t = fourier.fourier_basis(p), np.arange(p)
    np.testing.assert_allclose(basis[2 * k - 1], np.cos(2 * np.pi * k * t / p) * np.sqrt(2 / p), atol=1e-12)
    np.testing.assert_allclose(basis[2 * k], np.sin(2 * np.pi * k * t / p) * np.sqrt(2 / p), atol=1e-12)


@given(p=st.integers(2, 30), seed=st.integers(0, 99))
def test_norms_against_the_fast_fourier_transform(p: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(p, 4))
    power = np.abs(np.fft.fft(matrix, axis=0)) ** 2 / p
    folded = [power[k].sum() * (1 if 2 * k == p else 2) for k in range(1, p // 2 + 1)]
    np.testing.assert_allclose(fourier.frequency_norms(matrix) ** 2, folded, rtol=1e-9)
    np.testing.assert_allclose(np.sum(fourier.component_norms(matrix) ** 2), np.sum(matrix**2), rtol=1e-9)


def test_gini_of_known_vectors() -> None:
    assert fourier.gini(np.full(7, 3.0)) == pytest.approx(0)
    assert fourier.gini(np.array([0, 0, 0, 5.0])) == pytest.approx(3 / 4)
    assert fourier.gini(np.zeros(3)) == 0


def test_a_planted_frequency_is_found() -> None:
    task = build_task(gl.preset("demo"))
    p, t = 59, np.arange(59)
    circle = np.stack([np.cos(2 * np.pi * 7 * t / p), np.sin(2 * np.pi * 7 * t / p)], 1)
    noise = np.random.default_rng(0).normal(size=(60, 16)) * 0.01
    weights = {"embed.W_E": noise + np.pad(circle, ((0, 1), (0, 14)))}
    weights |= {"blocks.0.mlp.W_out": np.eye(16), "unembed.W_U": weights["embed.W_E"].T}
    assert gl.MEASURES["embedding_frequencies"](weights, task)["frequencies"] == [7]
    assert gl.MEASURES["key_frequencies"](weights, task)["frequencies"] == [7]
    spectrum = gl.MEASURES["embedding_spectrum"](weights, task)
    assert spectrum["norm"].shape == (29,)
    assert spectrum["share"][6] > 0.95
    assert spectrum["gini_W_E"] > 0.8


def test_measures_over_a_runs_checkpoints() -> None:
    run = gl.train(gl.preset("micro-fast", {"budget.steps": 100}))
    frame = gl.take(run, "embedding_spectrum")
    assert frame["step"].to_list() == run.checkpoints
    assert len(frame["share"][0]) == 11
    norms = gl.take(run, "weight_norms")
    last = run.curves()["weight_norm"][-1]
    assert norms["total"][-1] == pytest.approx(float(last) ** 2, rel=1e-5)
    with pytest.raises(gl.InputError, match="unknown"):
        gl.take(run, "nonsense")


def test_a_task_without_a_modulus_has_no_spectrum() -> None:
    task = build_task(gl.preset("micro", {"task.modular": False}))
    with pytest.raises(gl.InputError, match="modulus"):
        gl.MEASURES["embedding_spectrum"]({"embed.W_E": np.zeros((3, 3))}, task)
