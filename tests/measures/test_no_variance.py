"""Fractions, shares and correlations of what does not vary, but for rounding: NaN, and never a number made of noise."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groklab.measures import MEASURES, component_norms, find_frequencies, frequency_shares, gini, normalised
from groklab.measures._circulance import _ratio
from groklab.measures._feature_alignment import correlation
from groklab.tasks import Arithmetic

#: Zero, and constants whose means, sums and transforms round.
CONSTANTS = st.sampled_from([0.0, 1e-150, 1e-30, 0.1, 1 / 3, -7.3, 1e30])


# few moduli, each of which compiles programs of its own
@given(value=CONSTANTS, p=st.sampled_from([5, 8]), d=st.integers(1, 4))
def test_an_embedding_of_equal_rows_has_no_shares_and_no_dimensions(value: float, p: int, d: int) -> None:
    matrix = value * np.tile(np.linspace(1, 2, d), (p, 1))
    assert np.isnan(frequency_shares(matrix)).all()
    assert np.isnan(gini(component_norms(matrix))) == (value == 0)
    # what does not vary stays at zero, and is not scaled up from rounding
    assert not normalised(matrix).any()
    weights, task = {"embed.W_E": matrix}, Arithmetic(p=p).build()
    found = MEASURES["embedding_components"](weights, task)
    assert np.isnan(found["explained_variance"]).all()
    assert np.isnan(found["effective_dimension"])
    assert np.isnan(MEASURES["embedding_spectrum"](weights, task)["share"]).all()
    assert MEASURES["embedding_frequencies"](weights, task)["frequencies"] == []
    sparsity = MEASURES["fourier_sparsity"](weights, task)
    assert np.isnan([sparsity[f"{k}_W_E"] for k in ("ffs", "fcr", "sigma_ratio", "cosine_led")]).all()
    assert find_frequencies(weights, task, rule="embedding") == ()


@given(seed=st.integers(0, 99), p=st.integers(3, 12), scale=st.sampled_from([1e-100, 1e-30, 1.0, 1e30]))
def test_what_varies_has_shares_of_one_in_all_however_small(seed: int, p: int, scale: float) -> None:
    matrix = np.random.default_rng(seed).normal(size=(p, 3))
    np.testing.assert_allclose(frequency_shares(scale * matrix), frequency_shares(matrix), rtol=1e-9)
    np.testing.assert_allclose(frequency_shares(scale * matrix).sum(), 1)


@given(value=CONSTANTS, n=st.integers(3, 50))
def test_a_constant_correlates_with_nothing(value: float, n: int) -> None:
    noise = np.random.default_rng(n).normal(size=n)
    assert np.isnan(correlation(np.full(n, value), noise))
    # the same number, summed in another order
    nearly = np.full(n, value) * (1 + 1e-15 * np.arange(n))
    assert np.isnan(correlation(nearly, noise))


def test_a_block_of_ones_has_no_multiple_of_the_identity_to_divide_by() -> None:
    task = Arithmetic(p=7).build()
    found = MEASURES["block_structure"]({"M": np.full((14, 14), 1 / 3)}, task)
    assert np.isnan([found["ratio"], found["second_ratio"]]).all()
    assert found["off_diagonal_share"] == 0.5
    tiny = MEASURES["block_structure"]({"M": np.full((14, 14), 1e-180)}, task)
    assert tiny["off_diagonal_share"] == 0.5
    assert np.isnan(_ratio(1.0, 0.0))
