"""Inverse participation ratios: against sums written out, planted waves, and the networks that have neurons."""

from __future__ import annotations

import cmath
import math

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import initial_weights

import groklab as gl
from groklab import figures
from groklab.errors import InputError
from groklab.measures import MEASURES, neuron_logit_map, participation_ratio
from groklab.networks import MLP, EmbeddingDecoder, Transformer
from groklab.tasks import Arithmetic, Task

moduli = st.integers(3, 24)
seeds = st.integers(0, 999)


def written_out(column: np.ndarray, constant: bool) -> float:
    """The ratio of one column by sums over residues, term by term."""
    p = len(column)
    modes = [
        abs(sum(column[t] * cmath.exp(-2j * math.pi * k * t / p) for t in range(p)))
        for k in range(0 if constant else 1, p // 2 + 1)
    ]
    norm = math.sqrt(sum(m**2 for m in modes))
    return sum((m / norm) ** 4 for m in modes)


def wave(p: int, k: int, phase: float) -> np.ndarray:
    return np.cos(2 * np.pi * k * np.arange(p) / p + phase)


@given(p=moduli, seed=seeds, constant=st.booleans(), scale=st.sampled_from([1e-100, 1.0, 1e100]))
def test_against_sums_written_out(p: int, seed: int, constant: bool, scale: float) -> None:
    matrix = np.random.default_rng(seed).normal(size=(p, 3)) + 0.5
    expected = [written_out(matrix[:, i], constant) for i in range(3)]
    np.testing.assert_allclose(participation_ratio(scale * matrix, constant), expected, rtol=1e-9)


@given(p=moduli, k=st.integers(1, 12), phase=st.floats(0, 6), size=st.sampled_from([1e-150, 1.0, 1e30]))
def test_a_wave_of_any_phase_is_one_mode(p: int, k: int, phase: float, size: float) -> None:
    """Cosine and sine of a frequency are paired; the sine of p/2 is zero, and so is that column's ratio."""
    k = 1 + (k - 1) % ((p - 1) // 2)
    column = size * wave(p, k, phase)[:, None]
    np.testing.assert_allclose(participation_ratio(column), 1, rtol=1e-9)


@given(p=moduli, seed=seeds)
def test_modes_that_are_alike_have_the_smallest_ratio(p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = p // 2 + 1
    phases = np.exp(2j * np.pi * rng.random(n))
    # the constant and p/2 are real
    phases[0] = 1
    if p % 2 == 0:
        phases[-1] = -1
    column = np.fft.irfft(phases, p)[:, None]
    np.testing.assert_allclose(participation_ratio(column), 1 / n, rtol=1e-9)
    assert participation_ratio(rng.normal(size=(p, 1)))[0] >= 1 / n


def test_two_waves_of_one_size_count_as_two() -> None:
    column = (wave(31, 3, 0.1) + wave(31, 7, 2.0))[:, None]
    np.testing.assert_allclose(participation_ratio(column), 1 / 2)
    # |F_0| = 31, |F_3| = 31/2: of powers 4 and 1
    np.testing.assert_allclose(participation_ratio(1 + wave(31, 3, 0.1)[:, None]), 17 / 25)
    np.testing.assert_allclose(participation_ratio(1 + wave(31, 3, 0.1)[:, None], constant=False), 1)


def test_noise_has_about_four_over_p() -> None:
    noise = np.random.default_rng(0).normal(size=(97, 4000))
    # 2/n for complex Gaussian modes, n = 49, less a little as the sum of squares fluctuates with them
    assert participation_ratio(noise).mean() == pytest.approx(4 / 97, rel=0.05)


def test_what_has_no_mode_has_no_ratio() -> None:
    assert np.isnan(participation_ratio(np.zeros((7, 2)))).all()
    assert participation_ratio(np.full((7, 2), 1 / 3)).tolist() == [1, 1]
    for value in (1 / 3, -7.3, 1e30):
        assert np.isnan(participation_ratio(np.full((7, 2), value), constant=False)).all()
    for matrix in (np.ones(5), np.ones((2, 4)), np.full((5, 2), np.nan)):
        with pytest.raises(InputError, match="needs two axes"):
            participation_ratio(matrix)


def addition(p: int = 11) -> Task:
    return Arithmetic(p=p).build()


def test_gromovs_network_is_all_waves() -> None:
    network, task = MLP(d_mlp=16, activation="quadratic", init_scheme="gromov"), addition(23)
    weights = network.init(jax.random.key(0), task.shape, np.float32)
    found = MEASURES["inverse_participation"](weights, task)
    assert found["ipr_in"].shape == (2, 16)
    np.testing.assert_allclose(found["ipr"], 1, atol=1e-5)
    assert found["mean"] == pytest.approx(1, abs=1e-5)
    shuffled = {k: np.random.default_rng(0).permutation(np.asarray(w)) for k, w in weights.items()}
    assert MEASURES["inverse_participation"](shuffled, task)["mean_in"] < 0.3


def test_the_neurons_mean_is_that_of_its_three_vectors() -> None:
    network, task = MLP(d_mlp=6), addition()
    weights = initial_weights(network, task, 0)
    found = MEASURES["inverse_participation"](weights, task)
    for k in range(6):
        vectors = [weights["embed.0.W"][:11, k], weights["embed.1.W"][:11, k], weights["unembed.W_U"][k]]
        assert found["ipr"][k] == pytest.approx(np.mean([written_out(v, True) for v in vectors]), rel=1e-9)
    assert found["mean"] == pytest.approx(np.mean(found["ipr"]))
    assert found["mean"] == pytest.approx((2 * found["mean_in"] + found["mean_out"]) / 3)


def test_a_transformers_neurons_read_through_attention() -> None:
    network, task = Transformer(d_model=8, n_heads=2, d_mlp=5), addition()
    weights = initial_weights(network, task, 0)
    found = MEASURES["inverse_participation"](weights, task)
    for k in range(5):
        heard = np.zeros(11)
        for head in range(2):
            path = weights["blocks.0.attn.W_V"][head] @ weights["blocks.0.attn.W_O"][head]
            heard += weights["embed.W_E"][:11] @ path @ weights["blocks.0.mlp.W_in"][:, k]
        assert found["ipr_in"][0, k] == pytest.approx(written_out(heard, True), rel=1e-9)
        assert found["ipr_out"][k] == pytest.approx(written_out(neuron_logit_map(weights, task)[:, k], True), rel=1e-9)


@pytest.mark.parametrize("network", [MLP(d_mlp=6, n_hidden_layers=2), Transformer(d_model=8, n_heads=2, n_layers=2)])
def test_neurons_of_different_layers_are_not_averaged(network: MLP | Transformer) -> None:
    found = MEASURES["inverse_participation"](initial_weights(network, addition(), 0), addition())
    assert set(found) == {"mean_in", "mean_out", "ipr_in", "ipr_out"}


def test_a_shared_embedding_is_read_by_one_table_for_each_operand() -> None:
    network, task = MLP(d_mlp=6, d_embed=4), addition()
    weights = initial_weights(network, task, 0)
    tables = {f"embed.{i}.W": weights["embed.W_E"] @ weights["hidden.0.W"][4 * i : 4 * i + 4] for i in range(2)}
    same = tables | {"unembed.W_U": weights["unembed.W_U"]}
    found, expected = (MEASURES["inverse_participation"](w, task) for w in (weights, same))
    np.testing.assert_allclose(found["ipr"], expected["ipr"], rtol=1e-9)


def test_dead_neurons_do_not_count() -> None:
    network, task = MLP(d_mlp=6), addition()
    weights = {k: w.copy() for k, w in initial_weights(network, task, 0).items()}
    weights["embed.0.W"][:, 0] = weights["embed.1.W"][:, 0] = 0
    weights["unembed.W_U"][0] = 0
    found = MEASURES["inverse_participation"](weights, task)
    assert np.isnan(found["ipr"][0])
    assert found["mean"] == pytest.approx(np.mean(found["ipr"][1:]))


def test_what_has_no_such_neurons_is_refused() -> None:
    inverse = MEASURES["inverse_participation"]
    with pytest.raises(InputError, match="needs a task with a modulus"):
        inverse({}, gl.read({"task": {"kind": "group", "group": "S3"}}).task.build())
    attention = Transformer(d_model=8, n_heads=2, d_mlp=0)
    with pytest.raises(InputError, match="no neurons that read numbers"):
        inverse(initial_weights(attention, addition(), 0), addition())
    decoder = EmbeddingDecoder(d_embed=2, d_mlp=6, n_hidden_layers=1, head="classes")
    found = inverse(initial_weights(decoder, addition(), 0), addition())
    assert found["ipr_in"].shape == (1, 6)
    with pytest.raises(InputError, match=r"distances to the vectors targets\.Y"):
        inverse({"targets.Y": np.ones((11, 2))}, addition())


def test_it_is_taken_online_and_drawn(tmp_path: object) -> None:
    settings = {"measures.names": ["inverse_participation"], "measures.every": 20, "budget.steps": 40, "task.p": 11}
    run = gl.train("micro-fast", {**settings, "network.d_mlp": 8}, view=None)
    online = run.measured
    assert online is not None
    after = gl.take(run, "inverse_participation", steps=[40])
    np.testing.assert_allclose(online["inverse_participation.ipr"].to_list()[-1], after["ipr"].to_list()[-1], rtol=1e-6)
    taken = gl.take(run, "inverse_participation")
    lines = figures.participation_lines(taken, run.metrics)
    assert [t.name for t in lines.data[:4]] == ["train", "test", "neurons", "from the operands"]
    histogram = figures.participation_histogram(taken)
    assert [int(np.sum(t.y)) for t in histogram.data] == [8, 8]
    assert [t.name for t in histogram.data] == ["step 0", "step 40"]
    assert figures.participation_histogram(taken.tail(1)).data[0].name == "step 40"
    deep = taken.drop("ipr", "mean").with_columns(pl.col("ipr_in"))
    assert len(figures.participation_histogram(deep).data_frame) == 2 * 2 * 8
