"""Attention of the last position, against softmaxes, regressions and Fourier transforms written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.measures.models import TASKS, case, made

import groklab as gl
from groklab.measures import _attention as attention
from groklab.networks import Transformer


def shares(values: np.ndarray) -> np.ndarray:
    """Power of each frequency 1..p//2 of values (p, d) over that of all, by the fast Fourier transform."""
    power = np.sum(np.abs(np.fft.rfft(values, axis=0)) ** 2, axis=1)
    if len(values) % 2 == 0:
        power[-1] /= 2  # has no twin
    return power[1:] / power[1:].sum()


def r_squared(columns: list[np.ndarray], values: np.ndarray) -> float:
    x = np.stack([c.ravel() for c in columns], axis=1)
    rest = values.ravel() - x @ np.linalg.lstsq(x, values.ravel(), rcond=1e-9)[0]
    return 1 - np.sum(rest**2) / np.sum((values - values.mean()) ** 2)


@pytest.mark.parametrize("task_name", TASKS)
def test_against_a_layer_written_out(task_name: str) -> None:
    model = case(task_name, "transformer")
    w, p = model.weights, model.task.algebra.p
    found = gl.MEASURES["attention"](w, model.task, network=model.network)
    a, b = np.indices((p, p))
    last = w["embed.W_E"][p] + w["pos_embed.W_pos"][2]
    ov_of_all = 0
    for head in range(2):
        w_q, w_k, w_v, w_o = (w[f"blocks.0.attn.W_{x}"][head] for x in "QKVO")
        streams = [w["embed.W_E"][a] + w["pos_embed.W_pos"][0], w["embed.W_E"][b] + w["pos_embed.W_pos"][1]]
        streams.append(np.broadcast_to(last, streams[0].shape))
        scores = np.stack([x @ w_k @ (last @ w_q) / np.sqrt(w_q.shape[1]) for x in streams], axis=-1)
        pattern = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(found["mean_pattern"][head], pattern.mean(axis=(0, 1)), atol=1e-12)
        np.testing.assert_allclose(found["score"][head], scores[:, 0, 0], atol=1e-12)
        np.testing.assert_allclose(found["score_share"][head], shares(scores[:, :1, 0]), atol=1e-9)
        assert found["score_frequency"][head] == np.argmax(found["score_share"][head]) + 1
        to_a, fves = pattern[..., 0], []
        for k in range(1, p // 2 + 1):
            waves = [[np.ones((p, p)), np.cos(2 * np.pi * k * x / p), np.sin(2 * np.pi * k * x / p)] for x in (a, b)]
            fves.append(r_squared([f * g for f in waves[0] for g in waves[1]], to_a))
        best = int(np.argmax(fves)) + 1
        assert found["pattern_frequency"][head] == best
        assert found["pattern_fve"][head] == pytest.approx(max(fves), abs=1e-9)
        cosine, sine = (f(2 * np.pi * best * a / p) - f(2 * np.pi * best * b / p) for f in (np.cos, np.sin))
        x = np.stack([cosine.ravel(), sine.ravel()], axis=1)
        expected = np.linalg.lstsq(x, to_a.ravel() - 0.5, rcond=1e-9)[0]
        np.testing.assert_allclose([found["alpha"][head], found["beta"][head]], expected, atol=1e-9)
        rest = to_a.ravel() - 0.5 - x @ expected
        # far below zero where a saturated head hardly varies, and rests on 1 rather than on 0.5
        assert found["linear_fve"][head] == pytest.approx(1 - np.mean(rest**2) / to_a.var(), rel=1e-6, abs=1e-9)
        ov = w["embed.W_E"][:p] @ w_v @ w_o
        ov_of_all = ov_of_all + ov
        np.testing.assert_allclose(found["ov_share"][head], shares(ov), atol=1e-9)
        assert found["ov_frequency"][head] == np.argmax(shares(ov)) + 1
    path = shares(ov_of_all @ w["blocks.0.mlp.W_in"])
    np.testing.assert_allclose(found["neuron_path_share"], path, atol=1e-9)
    assert found["neuron_path_frequency"] == np.argmax(path) + 1


@given(
    p=st.integers(3, 12),
    data=st.data(),
    alpha=st.floats(-0.2, 0.2, allow_subnormal=False),
    beta=st.floats(-0.2, 0.2, allow_subnormal=False),
)
def test_a_linear_form_is_found_again(p: int, data, alpha: float, beta: float) -> None:
    k = data.draw(st.integers(1, p // 2))
    a, b = (2 * np.pi * k * x / p for x in np.indices((p, p)))
    beta = 0.0 if 2 * k == p else beta
    made_up = (0.5 + alpha * (np.cos(a) - np.cos(b)) + beta * (np.sin(a) - np.sin(b)))[..., None]
    fitted, *coefficients = attention.linear_form(made_up, np.array([k]))
    np.testing.assert_allclose(np.ravel(coefficients), [alpha, beta], atol=1e-12)
    np.testing.assert_allclose(fitted, made_up, atol=1e-12)


def test_attention_that_does_not_vary_has_no_frequency() -> None:
    model = case("add", "transformer")
    flat = {k: 0 * v if k.endswith("W_Q") else v for k, v in model.weights.items()}
    found = gl.MEASURES["attention"](flat, model.task, network=model.network)
    for name in ("score_frequency", "pattern_frequency", "pattern_std", "alpha", "beta"):
        assert not found[name].any()
    for name in ("score_share", "pattern_fve", "linear_fve"):
        assert np.isnan(found[name]).all()
    np.testing.assert_allclose(found["mean_pattern"], 1 / 3)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e-9), (np.float64, 1e-15)])
def test_attention_constant_up_to_the_rounding_of_its_type_has_no_variance(dtype: type, scale: float) -> None:
    """Below the units in which the model itself computes; beside ½ the fraction would be minus millions."""
    model = case("add", "transformer")
    flat = {k: ((scale if k.endswith("W_Q") else 1) * v).astype(dtype) for k, v in model.weights.items()}
    found = gl.MEASURES["attention"](flat, model.task, network=model.network)
    assert np.isnan(found["linear_fve"]).all()
    assert np.isnan(found["pattern_fve"]).all()
    assert not found["pattern_std"].any()
    assert not found["pattern_frequency"].any()
    # in double precision, a million times as much varies
    finer = {k: 1e6 * v.astype(np.float64) if k.endswith("W_Q") else v.astype(np.float64) for k, v in flat.items()}
    assert np.isfinite(gl.MEASURES["attention"](finer, model.task, network=model.network)["linear_fve"]).all()


def test_a_constant_score_has_no_frequency() -> None:
    model = case("add", "transformer")
    flat = {k: np.ones_like(v) / 3 if k.endswith(("W_E", "W_pos")) else v for k, v in model.weights.items()}
    found = gl.MEASURES["attention"](flat, model.task, network=model.network)
    assert not found["score_frequency"].any()
    assert np.isnan(found["score_share"]).all()
    assert np.isnan(found["ov_share"]).all()


@pytest.mark.parametrize("settings", [{"n_layers": 2, "layer_norm": "pre"}, {"d_mlp": 0}, {"biases": "all"}])
def test_other_transformers_show_their_last_layer(settings: dict) -> None:
    network = Transformer(**{"d_model": 8, "n_heads": 2, "d_mlp": 12} | settings)
    model = made(case("add", "transformer").task, network)
    found = gl.MEASURES["attention"](model.weights, model.task, network=network)
    seen = gl.activations(model.weights, model.task.inputs, network)
    block = f"blocks.{network.n_layers - 1}.attn."
    pattern, scores = (np.asarray(seen[block + x])[:, :, -1] for x in ("hook_pattern", "hook_attn_scores"))
    np.testing.assert_allclose(found["mean_pattern"], pattern.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found["score"].T, model.on_grid(scores[..., 0]).mean(axis=1), atol=1e-12)
    assert ("neuron_path_share" in found) == (network.d_mlp != 0)


def test_a_sign_between_operands_moves_the_second() -> None:
    signs = gl.read({"task": {"p": 5, "expression": "x - y", "layout": "a op b ="}}).task.build()
    assert attention.operand_positions(signs) == (0, 2)
    model = made(signs, Transformer(d_model=8, n_heads=2, d_mlp=12))
    assert gl.MEASURES["attention"](model.weights, signs, network=model.network)["mean_pattern"].shape == (2, 4)


def test_what_does_not_apply_is_refused() -> None:
    model = case("add", "mlp")
    with pytest.raises(gl.InputError, match="the mlp network has none"):
        gl.MEASURES["attention"](model.weights, model.task, network=model.network)
    three = gl.read({"task": {"p": 3, "expression": "x + y + z"}}).task.build()
    with pytest.raises(gl.InputError, match="two positions that vary"):
        attention.operand_positions(three)
