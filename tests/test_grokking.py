from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from groklab import grokking
from groklab.grokking import log_rank, reached_step, survival

ACCURACIES = st.lists(st.sampled_from([0.0, 0.2, 0.89, 0.9, 0.94, 0.95, 0.985, 0.99, 1.0]), max_size=40)


def plainly(
    steps: list[int], accuracy: list[float], criterion: str, cadence: int, ended: bool, train: list[float]
) -> int | None:
    """The definition, word by word."""
    fitted = [
        (s, a)
        for i, (s, a) in enumerate(zip(steps, train, strict=True))
        if s % cadence == 0 or (ended and i == len(steps) - 1)
    ]
    seen = [
        (s, a)
        for i, (s, a) in enumerate(zip(steps, accuracy, strict=True))
        if s % cadence == 0 or (ended and i == len(steps) - 1)
    ]
    highest = max([a for _, a in seen], default=0.0)
    for i, (step, value) in enumerate(seen):
        following = [a for _, a in seen[i : i + 5]]
        met = {
            "sustained_99": all(a >= 0.99 for a in following) and (ended or len(following) == 5),
            "first_95": value >= 0.95,
            "first_90": value >= 0.90,
            "near_maximum": 0.99 * highest >= 0.5 and value >= 0.99 * highest,
            "essential_ai": highest > 0.95 and value >= 0.99 * highest,
            "five_in_a_row": len(following) == 5 and all(a >= 0.95 for a in following),
            "tveit": value >= 0.95 and any(a == 1 for s, a in fitted if s <= step),
        }
        if met[criterion]:
            return step
    return None


@given(
    ACCURACIES,
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(sorted(grokking.CRITERIA)),
    st.booleans(),
    st.integers(0, 11),
    st.integers(0, 40),
)
def test_the_step_reached_is_the_defined_one(
    accuracy: list[float], every: int, cadence: int, criterion: str, ended: bool, off_grid: int, fits_at: int
) -> None:
    steps = [i * every for i in range(len(accuracy))]
    if len(steps) > 1:
        steps[-1] -= min(off_grid, every - 1)
    # all right once, and not for good
    train = [1.0 if i == fits_at else 0.9 for i in range(len(steps))]
    found = reached_step(np.array(steps, np.int64), np.array(accuracy), criterion, cadence, ended, np.array(train))
    assert found == plainly(steps, accuracy, criterion, cadence, ended, train)


def test_five_evaluations_are_needed_unless_the_run_has_ended() -> None:
    steps, accuracy = np.arange(0, 60, 10), np.array([0.1, 1, 0.5, 1, 1, 1])
    assert reached_step(steps, accuracy, cadence=10, ended=False) is None
    assert reached_step(steps, accuracy, cadence=10, ended=True) == 30
    longer = np.arange(0, 80, 10), np.array([0.1, 1, 0.5, 1, 1, 1, 1, 1])
    assert reached_step(*longer, cadence=10, ended=False) == 30


def test_a_chance_level_flatline_is_near_no_maximum() -> None:
    assert reached_step(np.arange(5), np.full(5, 0.04), "near_maximum") is None


def test_nothing_measured_is_nothing_reached() -> None:
    for criterion in ("sustained_99", "first_95", "near_maximum"):
        assert reached_step(np.zeros(0, np.int64), np.zeros(0), criterion) is None


def test_what_is_lost_after_grokking_is_seen() -> None:
    steps, accuracy = np.arange(0, 60, 10), np.array([0.1, 0.99, 1.0, 0.4, np.nan, 1.0])
    assert grokking.lowest_since(steps, accuracy, 10) == 0.4
    assert grokking.lowest_since(steps, accuracy, 50) == 1.0
    assert grokking.lowest_since(steps, accuracy, 40) == 1.0
    assert grokking.lowest_since(steps, accuracy, None) is None
    assert grokking.lowest_since(steps, accuracy, 60) is None


def test_lost_accuracy_is_not_reached() -> None:
    assert reached_step(np.arange(6), np.full(6, np.nan)) is None


def test_small_tasks_are_measured_every_step() -> None:
    assert [grokking.default_every(n) for n in (1, 999, 1000, 12769)] == [1, 1, 10, 10]


MEMBERS = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=2, max_size=25)


@given(MEMBERS)
def test_median_and_interval_are_those_of_scipy(members: list[tuple[int, bool]]) -> None:
    grokked = [t if seen else None for t, seen in members]
    found = survival(grokked, [t for t, _ in members])
    assert found.n == len(members)
    assert found.n_grokked == sum(seen for _, seen in members)
    if not found.n_grokked:
        assert found.median is None
        return
    data = stats.CensoredData.right_censored([t for t, _ in members], [not seen for _, seen in members])
    curve = stats.ecdf(data).sf
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        band = curve.confidence_interval(method="log-log")
    for name, values in (("median", curve), ("low", band.low), ("high", band.high)):
        probabilities = np.nan_to_num(values.probabilities, nan=1.0)
        below = np.flatnonzero(probabilities <= 0.5 + 1e-12)
        assert getattr(found, name) == (curve.quantiles[below[0]] if len(below) else None), name


@given(MEMBERS)
def test_the_median_is_the_textbook_product(members: list[tuple[int, bool]]) -> None:
    left, median = Fraction(1), None
    for t in sorted({t for t, seen in members if seen}):
        at_risk = sum(time >= t for time, _ in members)
        left *= 1 - Fraction(sum(time == t and seen for time, seen in members), at_risk)
        if left <= Fraction(1, 2):
            median = t
            break
    assert survival([t if seen else None for t, seen in members], [t for t, _ in members]).median == median


def test_a_single_member_has_no_interval() -> None:
    assert survival([120], [300]).to_dict() == {"n": 1, "n_grokked": 1, "median": 120.0, "low": None, "high": None}
    assert survival([None], [300]).to_dict() == {"n": 1, "n_grokked": 0, "median": None, "low": None, "high": None}


def test_censored_members_are_neither_dropped_nor_counted_as_grokked_at_their_end() -> None:
    # dropping the censored would say 110, counting them at their end 300
    assert survival([100, 110, None, None, None], [300] * 5).median is None
    assert survival([100, 110, 120, None, None], [300] * 5).median == 120


def test_no_members_are_no_numbers() -> None:
    assert survival([], []).median is None


@pytest.mark.parametrize("count", [2, 5])
def test_all_alike_have_one_median(count: int) -> None:
    assert survival([70] * count, [300] * count).median == 70


def test_the_log_rank_test_is_the_sum_over_steps() -> None:
    """By hand: at each step the observed less the expected share of the first group, over its variance."""
    one, other, ended = [3, 5, 5, None], [5, 8, None, None, 9], (10, 20)
    times = [([t or end for t in group], group) for group, end in zip((one, other), ended, strict=True)]
    difference = variance = 0.0
    for step in sorted({t for group in (one, other) for t in group if t is not None}):
        at_risk = [sum(t >= step for t in all_times) for all_times, _ in times]
        events = [sum(t == step for t in group) for _, group in times]
        n, d = sum(at_risk), sum(events)
        difference += events[0] - d * at_risk[0] / n
        if n > 1:
            variance += d * (at_risk[0] / n) * (1 - at_risk[0] / n) * (n - d) / (n - 1)
    expected = 2 * stats.norm.sf(abs(difference) / variance**0.5)
    assert log_rank(one, other, ended) == pytest.approx(expected, rel=1e-9)
    assert log_rank([None, None], [None], (5, 9)) == 1
