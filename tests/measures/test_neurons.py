"""Neurons of one frequency and the directions of W_L, against regressions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.measures.models import CASES, case

import groklab as gl
from groklab.measures import _neurons as neurons


def regressors(p: int, k: int) -> np.ndarray:
    """The polynomials of degree two in cos and sin of w_k a, w_k b that are products of one wave of each, (p², 9)."""
    a, b = (2 * np.pi * k * x.ravel() / p for x in np.indices((p, p)))
    waves = [lambda x: np.ones(len(x)), np.cos, np.sin]
    return np.stack([f(a) * g(b) for f in waves for g in waves], axis=1)


def regression(values: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Best polynomial of one neuron (p, p) at one frequency, and its R²."""
    x = regressors(len(values), k)
    fitted = (x @ np.linalg.lstsq(x, values.ravel(), rcond=1e-9)[0]).reshape(values.shape)
    return fitted, 1 - np.sum((values - fitted) ** 2) / np.sum((values - values.mean()) ** 2)


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_against_regressions(task_name: str, network_name: str) -> None:
    model = case(task_name, network_name)
    values = model.on_grid(model.neurons)
    p, n = len(values), values.shape[2]
    found = gl.MEASURES["neurons"](model.weights, model.task, network=model.network)
    fitted = neurons.polynomials(values, found["frequency"])
    winners = set()
    for i in range(n):
        if np.ptp(values[:, :, i]) == 0:
            assert (found["frequency"][i], found["cluster"][i]) == (0, -1)
            assert np.isnan(found["fve"][i])
            np.testing.assert_allclose(fitted[:, :, i], values[:, :, i], atol=1e-12)
            continue
        fves = [regression(values[:, :, i], k)[1] for k in range(1, p // 2 + 1)]
        best = int(np.argmax(fves)) + 1
        winners.add(best)
        assert found["frequency"][i] == best
        assert found["fve"][i] == pytest.approx(max(fves), abs=1e-9)
        assert found["cluster"][i] == (best if max(fves) >= 0.85 else -1)
        np.testing.assert_allclose(fitted[:, :, i], regression(values[:, :, i], best)[0], atol=1e-9)
    assert neurons.winning_frequencies(values) == tuple(sorted(winners))
    assert found["well_explained_neurons"] == np.sum(found["cluster"] > 0) == found["clustered_by_frequency"].sum()
    assert found["dead_neurons"] == n - found["neurons_by_frequency"].sum()
    assert found["neurons_by_frequency"].shape == found["clustered_by_frequency"].shape == (p // 2,)


def test_components_are_coefficients_of_unit_waves() -> None:
    p, k = 7, 2
    a, b = (2 * np.pi * k * x / p for x in np.indices((p, p)))
    blocks = neurons.blocks_of((3 + np.cos(a) * np.sin(b) - 2 * np.sin(b))[..., None], np.array([k]))[..., 0]
    expected = np.zeros((3, 3))
    expected[0, 0], expected[1, 2], expected[0, 2] = 3 * p, p / 2, -2 * p / np.sqrt(2)
    np.testing.assert_allclose(blocks, expected, atol=1e-12)


@given(
    p=st.integers(3, 12),
    data=st.data(),
    coefficients=arrays.arrays(np.float64, 9, elements=st.floats(-5, 5, allow_subnormal=False)),
)
def test_a_polynomial_of_one_frequency_is_explained_by_it(p: int, data, coefficients: np.ndarray) -> None:
    k = data.draw(st.integers(1, p // 2))
    values = (regressors(p, k) @ coefficients).reshape(p, p, 1)
    frequency, fve = neurons.best_frequency(neurons.single_frequency_fve(values))
    if values.std() > 1e-6:
        assert frequency[0] == k
        assert fve[0] == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(neurons.polynomials(values, frequency), values, atol=1e-9)


@given(value=st.floats(-1e6, 1e6), p=st.integers(2, 9))
def test_a_constant_neuron_is_dead(value: float, p: int) -> None:
    values = np.full((p, p, 2), value)
    assert np.isnan(neurons.single_frequency_fve(values)).all()
    frequency, fve = neurons.best_frequency(neurons.single_frequency_fve(values))
    assert not frequency.any()
    assert np.isnan(fve).all()
    assert neurons.winning_frequencies(values) == ()


@given(seed=st.integers(0, 999), p=st.integers(3, 9), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_shift_and_scale_change_nothing(seed: int, p: int, shift: float, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(p, p, 4))
    first = neurons.single_frequency_fve(values)
    np.testing.assert_allclose(neurons.single_frequency_fve(-scale * values + shift), first, atol=1e-9)
    # fractions of disjoint sets of components
    assert (first.sum(axis=0) <= 1 + 1e-12).all()


@given(seed=st.integers(0, 99), a=st.integers(0, 6), b=st.integers(0, 6))
def test_moving_the_origin_of_the_inputs_changes_nothing(seed: int, a: int, b: int) -> None:
    values = np.random.default_rng(seed).normal(size=(7, 7, 3))
    moved = np.roll(values, (a, b), axis=(0, 1))
    np.testing.assert_allclose(neurons.single_frequency_fve(moved), neurons.single_frequency_fve(values), atol=1e-12)


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_directions_against_projections_written_out(task_name: str, network_name: str) -> None:
    model = case(task_name, network_name)
    task, weights = model.task, model.weights
    p, sign = task.algebra.p, task.algebra.direction
    keys = (1, p // 2)
    found = gl.MEASURES["directions"](weights, task, network=model.network, frequencies=keys)
    to_logits = weights["unembed.W_U"]
    if network_name == "transformer":
        to_logits = weights["blocks.0.mlp.W_out"] @ to_logits
    a, b = task.algebra.operands.T
    s = (a + sign * b) % p
    class_of = {int(residue): int(task.targets[row]) for row, residue in enumerate(s)}
    w_l = np.stack([to_logits[:, class_of[residue]] for residue in range(p)])
    rest = w_l.copy()
    centred = model.neurons - model.neurons.mean(axis=0)
    for i, k in enumerate(keys):
        for direction, name, wave in (("u", "cos", np.cos), ("v", "sin", np.sin)):
            if wave is np.sin and 2 * k == p:
                assert np.isnan(found["sin_fve"][i])
                assert not found["v"][i].any()
                continue
            over_residues, over_inputs = wave(2 * np.pi * k * np.arange(p) / p), wave(2 * np.pi * k * s / p)
            over_residues /= np.linalg.norm(over_residues)
            over_inputs /= np.linalg.norm(over_inputs)
            vector = over_residues @ w_l
            rest -= np.outer(over_residues, vector)
            np.testing.assert_allclose(found[direction][i], vector, atol=1e-12)
            assert found[f"{direction}_norm"][k - 1] == pytest.approx(np.linalg.norm(vector))
            read = centred @ vector
            assert found[f"{name}_coefficient"][i] == pytest.approx(over_inputs @ read, abs=1e-9)
            assert found[f"{name}_fve"][i] == pytest.approx((over_inputs @ read) ** 2 / (read @ read), abs=1e-9)
    assert found["residual_ratio_with_constant"] == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(w_l))
    # the constant row of the Fourier transform is the mean over residues
    ratio = np.linalg.norm(rest - w_l.mean(0)) / np.linalg.norm(w_l - w_l.mean(0))
    assert found["residual_ratio"] == pytest.approx(ratio)
    np.testing.assert_allclose(np.sum(found["singular_values"] ** 2), np.sum(w_l**2))


def test_directions_without_variance_have_no_fraction() -> None:
    """Of dead neurons and of a W_L of one row alone: NaN, and not a number made of rounding."""
    model = case("add", "mlp")
    dead = {k: np.zeros_like(v) + 0.1 * k.endswith(".b") if "W_U" not in k else v for k, v in model.weights.items()}
    found = gl.MEASURES["directions"](dead, model.task, network=model.network, frequencies=(1, 2))
    assert np.isnan([found["cos_fve"], found["sin_fve"]]).all()
    same = {k: np.ones_like(v) / 3 if k == "unembed.W_U" else v for k, v in model.weights.items()}
    found = gl.MEASURES["directions"](same, model.task, network=model.network, frequencies=(1, 2))
    assert np.isnan([found["cos_fve"], found["sin_fve"]]).all()
    assert np.isnan(found["residual_ratio"])
    assert found["residual_ratio_with_constant"] == pytest.approx(1)
    assert gl.MEASURES["key_frequencies"](same, model.task, network=model.network)["neuron_logit_map"] == []


@given(constant=st.floats(-100, 100))
def test_a_constant_in_every_row_of_the_output_map_changes_no_main_number(constant: float) -> None:
    model = case("add", "mlp")
    moved = {k: v + constant if k == "unembed.W_U" else v for k, v in model.weights.items()}
    before, after = (
        gl.MEASURES["directions"](w, model.task, network=model.network, frequencies=(1, 2))
        for w in (model.weights, moved)
    )
    assert after["residual_ratio"] == pytest.approx(before["residual_ratio"], rel=1e-9)
    np.testing.assert_allclose(after["cos_fve"], before["cos_fve"], rtol=1e-7)


def test_residues_that_share_an_answer_have_no_directions() -> None:
    model = case("add", "transformer")
    squares = gl.read({"task": {"p": 7, "expression": "(x + y)^2"}}).task.build()
    with pytest.raises(gl.InputError, match="share an answer"):
        gl.MEASURES["directions"](model.weights, squares, network=model.network, frequencies=(1,))
