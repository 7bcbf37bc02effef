"""Numbers of the released model of Nanda et al. 2023 (λ = 0.1, seed 1), to four significant digits and more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import groklab as gl
from groklab.interop._weight_files import read_source
from groklab.measures import WELL_EXPLAINED
from groklab.networks import Transformer
from groklab.tasks import make_split

KEYS = [6, 23, 37, 39, 41]
DIGITS = 6e-5


def released_weights(reference: Path) -> dict[str, np.ndarray]:
    """By our names, from the released file."""
    return read_source(reference / "nanda2023_wd0.1_seed1.pth").weights


@pytest.fixture(scope="module")
def kept() -> dict:
    return {}


@pytest.fixture
def take(reference: Path, kept: dict):
    """A measure of the released model, taken once."""

    def measured(name: str):
        if not kept:
            experiment = gl.preset("nanda2023/released-wd0.1")
            task = experiment.task.build()
            rows = make_split(experiment.split, task, 1).train
            kept["model"] = released_weights(reference), task, rows
        if name not in kept:
            kept[name] = gl.MEASURES[name](*kept["model"], network=Transformer())
        return kept[name]

    return measured


def test_largest_components_of_the_logits(take) -> None:
    found = take("logits_2d")
    assert {tuple(int(part.split()[1]) for part in name.split(" · ")) for name in found["largest"]} == {
        (k, k) for k in KEYS
    }
    expected = [13505, 13497, 13146, 13063, 4096, 4008, 4003, 3916, 2959, 2952, 2888, 2840]
    expected += [2620, 2617, 2611, 2533, 2260, 2192, 2100, 2097]
    np.testing.assert_allclose(found["largest_norm"], expected, atol=0.5)
    rest = np.sort(found["norm"].ravel())[::-1][20:22]
    np.testing.assert_allclose(rest, [847.5, 544], atol=0.6)
    assert found["norm"][0, 0] == pytest.approx(847.5, abs=0.05)


def test_neurons(take) -> None:
    found = take("neurons")
    counts = {int(k) + 1: int(found["neurons_by_frequency"][k]) for k in np.flatnonzero(found["neurons_by_frequency"])}
    assert counts == {3: 10, 6: 117, 12: 1, 23: 84, 31: 1, 37: 127, 39: 54, 41: 105, 46: 6, 54: 7}
    assert found["well_explained_neurons"] == 185
    assert [int(found["clustered_by_frequency"][k - 1]) for k in KEYS] == [47, 31, 65, 11, 31]
    assert np.sum(found["fve"] >= 0.95) == 59
    assert WELL_EXPLAINED == 0.85
    quantiles = np.quantile(found["fve"], [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(quantiles, [0.268, 0.450, 0.716, 0.917, 0.961], atol=5.1e-4)
    assert take("key_frequencies")["neurons"] == sorted(counts)


def test_directions(take) -> None:
    found = take("directions")
    assert found["frequencies"] == KEYS
    assert found["residual_ratio"] == pytest.approx(0.099606, rel=DIGITS)
    values = [27.107, 26.333, 17.268, 17.223, 16.063, 15.292, 14.337, 14.231, 13.748, 13.498, 3.036, 2.252, 1.180]
    np.testing.assert_allclose(found["singular_values"][:13], values, atol=6e-4)
    squares = found["singular_values"] ** 2
    assert squares[:10].sum() / squares.sum() == pytest.approx(0.99443, rel=DIGITS)
    np.testing.assert_allclose(found["cos_fve"], [0.9412, 0.9854, 0.9354, 0.8957, 0.8694], atol=5.1e-5)
    np.testing.assert_allclose(found["sin_fve"], [0.9339, 0.9854, 0.9465, 0.8879, 0.8786], atol=5.1e-5)
    np.testing.assert_allclose(found["cos_coefficient"], [5525.3, 18251, 4022.6, 3113.7, 3593.2], rtol=DIGITS)
    np.testing.assert_allclose(found["sin_coefficient"], [5539.1, 18863, 4149.9, 2948.8, 3643.3], rtol=DIGITS)
    strongest = {23: (26.254, 27.039), 6: (17.175, 17.160), 41: (15.266, 15.272), 54: (0.663, 2.952)}
    for k, norms in strongest.items():
        np.testing.assert_allclose([found["u_norm"][k - 1], found["v_norm"][k - 1]], norms, atol=6e-4)


def test_fractions_of_the_logits_variance(take) -> None:
    found = take("progress")
    expected = {"": 0.974770, "_raw": 0.974770, "_mean_centred": 0.974770, "_input_centred": 0.975575}
    for version, value in (expected | {"_double_centred": 0.975575}).items():
        assert found[f"logit_fve{version}"] == pytest.approx(value, abs=5.1e-7), version


def test_attention(take) -> None:
    found = take("attention")
    means = [[0.509, 0.489, 0.0019], [0.493, 0.505, 0.0018], [0.500, 0.498, 0.0018], [0.493, 0.505, 0.0020]]
    np.testing.assert_allclose(found["mean_pattern"], means, atol=5.1e-4)
    assert list(found["score_frequency"]) == list(found["pattern_frequency"]) == [6, 23, 6, 23]
    np.testing.assert_allclose(found["score_share"].max(axis=1), [0.396, 0.668, 0.552, 0.579], atol=5.1e-4)
    np.testing.assert_allclose(found["pattern_fve"], [0.3923, 0.6675, 0.5503, 0.5789], atol=5.1e-5)
    np.testing.assert_allclose(found["linear_fve"], [0.390, 0.667, 0.550, 0.578], atol=5.1e-4)
    np.testing.assert_allclose(found["alpha"], [0.089, 0.055, -0.102, -0.126], atol=5.1e-4)
    np.testing.assert_allclose(found["beta"], [0.091, 0.187, 0.130, -0.119], atol=5.1e-4)


def test_ablations(take) -> None:
    found = take("ablations")
    losses = dict(zip(found["names"], found["loss"], strict=True))
    training = dict(zip(found["names"], found["train_loss"], strict=True))
    expected = {
        "base": 3.519740948e-7,
        "polynomials_well_explained": 1.4119e-7,
        "polynomials_all": 9.7594e-8,
        "key_sums_all": 1.2003e-8,
        "unexplained_neurons_zero": 1.1273e-5,
        "unexplained_neurons_mean": 1.1075e-5,
        "skip_around_mlp_zero": 1.1296e-6,
        "skip_around_mlp_mean": 8.1767e-7,
        "attention_output_zero": 8.9282,
        "skip_around_attention_zero": 6.1957e-5,
        "directions_W_L_alone": 1.7979e-6,
        "directions": 3.8413e-7,
        "complement_W_L_alone": 4.9357,
        "complement": 5.7268,
        "logits_key_blocks": 3.7678e-9,
        "logits_without_keys": 9.038295,
    }
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=DIGITS), name
    assert training["base"] == pytest.approx(9.202423534e-9, rel=1e-6)
    alone = {6: 2.92582e-2, 23: 1.175779, 37: 4.35657e-4, 39: 6.54772e-5, 41: 2.60809e-4}
    for k, value in {**alone, "keys": 8.385370}.items():
        assert training[f"logits_without_{k}"] == pytest.approx(value, rel=DIGITS), k
    others = np.delete(found["loss_without_frequency"], np.array(KEYS) - 1)
    np.testing.assert_allclose([others.min(), others.max()], [3.161e-7, 3.789e-7], rtol=2e-4)
