"""The effective theory against its own definitions, brute force, and the published code's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.parallelograms import Equations, equations_of
from groklab.tasks import Arithmetic
from groklab.theory import at_fraction, critical_fraction, critical_sizes, grokking_rate, theory


def addition(p: int, modular: bool = False) -> Equations:
    return equations_of(Arithmetic(p=p, expression="x + y", modular=modular, pairs="unordered").build())


def training_set(equations: Equations, size: int, seed: int) -> np.ndarray:
    chosen = np.zeros(equations.n_pairs, bool)
    chosen[np.random.default_rng(seed).permutation(equations.n_pairs)[:size]] = True
    return chosen


def listed(equations: Equations, chosen: np.ndarray) -> np.ndarray:
    """Every equation of a training set as a row, one by one."""
    rows = [
        equations.incidence[u] - equations.incidence[v]
        for u, v in itertools.combinations(np.flatnonzero(chosen), 2)
        if equations.classes[u] == equations.classes[v]
    ]
    return np.array(rows).reshape(-1, equations.p)


@pytest.mark.parametrize(
    ("p", "count"), [(4, 3), (6, 13), (8, 34), (10, 70), (11, 95), (20, 615), (53, 12051), (97, 74872), (113, 118636)]
)
def test_parallelograms_are_counted_in_closed_form(p: int, count: int) -> None:
    assert addition(p).count() == count


@pytest.mark.parametrize(("p", "count"), [(10, 125), (11, 165), (53, 18603)])
def test_parallelograms_of_modular_addition(p: int, count: int) -> None:
    assert addition(p, modular=True).count() == count


@given(st.integers(3, 9), st.integers(0, 1000), st.booleans())
def test_the_matrix_of_the_equations_needs_no_list_of_them(p: int, seed: int, modular: bool) -> None:
    equations = addition(p, modular)
    size = np.random.default_rng(seed).integers(1, equations.n_pairs + 1)
    chosen = training_set(equations, int(size), seed)
    rows = listed(equations, chosen)
    np.testing.assert_allclose(equations.gram(chosen), rows.T @ rows, atol=1e-10)
    assert equations.count(chosen) == len(rows)
    assert equations.null_dimension(chosen) == p - np.linalg.matrix_rank(rows, tol=1e-6)
    assert equations.null_dimension(chosen) >= (1 if modular else min(p, 2))


@given(st.integers(0, 1000), st.sampled_from([12, 18, 22, 26, 34, 45]))
def test_what_a_training_set_implies_is_what_leaves_its_null_space(seed: int, size: int) -> None:
    equations = addition(10)
    chosen = training_set(equations, size, seed)
    np.testing.assert_array_equal(equations.reachable(chosen), equations.implied_by_rank(chosen))


def test_the_spectrum_with_all_data_is_the_published_one() -> None:
    expected = [0, 0, 30, 31.2716, 36.5472, 38.3765, 42.1380, 45.7284, 47.3148, 48.6235]
    np.testing.assert_allclose(addition(10).eigenvalues(), expected, atol=1e-4)
    assert [round(addition(p).eigenvalues()[2], 3) for p in (4, 6, 11, 20, 53)] == [6, 12, 36.529, 110, 729.489]
    assert [round(addition(p, modular=True).eigenvalues()[1], 6) for p in (10, 11, 20)] == [65, 77, 230]
    full = addition(10)
    assert grokking_rate(full.eigenvalues(), full.count()) == pytest.approx(60 / 9)
    assert grokking_rate(full.eigenvalues(), full.count(), "parallelograms") == pytest.approx(60 / 9 / 70)


def test_the_pairs_of_two_neighbouring_sums_suffice_and_none_can_be_spared() -> None:
    for p in (4, 6, 10, 13):
        equations = addition(p)
        chosen = np.isin(equations.classes, [p - 2, p - 1])
        assert equations.null_dimension(chosen) == 2
        for row in np.flatnonzero(chosen):
            fewer = chosen.copy()
            fewer[row] = False
            assert equations.null_dimension(fewer) > 2


def test_the_critical_fraction_is_where_half_of_all_training_sets_force_a_line() -> None:
    sizes = critical_sizes(addition(10), 600)
    for k, expected in ((18, 0.037), (20, 0.176), (22, 0.43), (25, 0.80), (30, 0.98)):
        # three standard errors of 600 draws
        assert np.mean(sizes <= k) == pytest.approx(expected, abs=3 * 0.5 / 600**0.5)
    fraction, error = critical_fraction(sizes, 55)
    assert fraction == pytest.approx(0.41, abs=0.015)
    assert 0.002 < error < 0.006
    # against resampling
    rng = np.random.default_rng(0)
    spread = np.std([critical_fraction(rng.choice(sizes, 600), 55)[0] for _ in range(200)])
    assert error == pytest.approx(spread, rel=0.5)
    assert np.median(critical_sizes(addition(20), 60)) / 210 == pytest.approx(0.23, abs=0.02)


def test_rates_by_fraction_are_the_published_medians() -> None:
    for k, rate, ideal in ((25, 0.144, 0.807), (30, 0.498, 0.901), (40, 1.888, 0.965), (50, 4.5, 0.992)):
        found = at_fraction(addition(10), k, 300)
        assert found.lambda_3 == pytest.approx(rate, rel=0.12)
        assert found.ideal_accuracy == pytest.approx(ideal, abs=0.012)
        assert found.steps == pytest.approx(1000 / found.lambda_3)
    never = at_fraction(addition(10), 15, 50)
    assert (never.lambda_3, never.steps) == (0, np.inf)


def test_where_it_says_nothing_it_says_so() -> None:
    found = theory(addition(7, modular=True), draws=5)
    assert found["null_space_dimension"] == 1
    assert "say" in found["does_not_apply"]
    assert "critical_fraction" not in found
    with pytest.raises(InputError, match="commutative"):
        equations_of(Arithmetic(p=5, expression="x - y").build())
    with pytest.raises(InputError, match="two operands"):
        equations_of(Arithmetic(p=3, expression="x + y + z").build())


def test_everything_is_plain_json() -> None:
    import json

    found = theory(addition(6), draws=40)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["by_fraction"][-1]["p_linear"] == 1
