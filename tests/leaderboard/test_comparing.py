"""The statistics, against plain references on hand-made censored samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from groklab.leaderboard import Sample, differences, holm, log_rank

EARLY = [10, 12, 12, 15, None, 20, 21, 22, 30, 31]
LATE = [14, 22, 25, None, 33, None, 41, 50, 52, 60]
ENDED = [60] * 10


def reference(steps: list[int | None], others: list[int | None], ended: int) -> float:
    """The log-rank z by its definition: events less those expected, over all times of events."""
    both = [[(ended if s is None else s, s is not None) for s in sample] for sample in (steps, others)]
    excess = variance = 0.0
    for time in sorted({t for sample in both for t, happened in sample if happened}):
        at_risk = [sum(t >= time for t, _ in sample) for sample in both]
        events = [sum(t == time and happened for t, happened in sample) for sample in both]
        n, d = sum(at_risk), sum(events)
        excess += events[0] - d * at_risk[0] / n
        if n > 1:
            variance += d * at_risk[0] * at_risk[1] * (n - d) / n**2 / (n - 1)
    return excess / math.sqrt(variance)


def test_log_rank_is_that_of_its_definition() -> None:
    z, p = log_rank(EARLY, ENDED, LATE, ENDED)
    assert z == pytest.approx(reference(EARLY, LATE, 60), rel=1e-9)
    assert z > 0
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    back, same = log_rank(LATE, ENDED, EARLY, ENDED)
    assert (back, same) == pytest.approx((-z, p), rel=1e-9)


def test_holm_is_that_of_its_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def sample(steps: list[int | None], ended: int = 60) -> Sample:
    return Sample(dict(enumerate(steps)), dict.fromkeys(range(len(steps)), ended))


def test_a_difference_counts_matched_seeds() -> None:
    (found,) = differences(sample(LATE), [sample(EARLY)])
    assert (found.n, found.earlier, found.later, found.tied) == (10, 9, 1, 0)
    assert found.verdict == "sooner"
    assert found.reason == ""
    (other,) = differences(sample(EARLY), [sample(LATE)])
    assert other.verdict == "later"


def test_the_baseline_under_another_name_is_undecided() -> None:
    (found,) = differences(sample(EARLY), [sample(EARLY)])
    assert (found.verdict, found.tied) == ("undecided", 10)
    assert found.p == pytest.approx(1)


def test_nine_seeds_decide_nothing() -> None:
    (found,) = differences(sample([50] * 8 + [51]), [sample([5, 6, 7, 8, 9, 10, 11, 12, 13])])
    assert found.p is not None
    assert found.p < 1e-3
    assert found.verdict == "undecided"
    assert found.reason == "9 seeds are shared, and fewer than 10 decide nothing"


def test_where_nothing_grokked_nothing_is_decided() -> None:
    (found,) = differences(sample([None] * 12), [sample([None] * 12)])
    assert (found.verdict, found.reason, found.p) == ("undecided", "neither has grokked", None)


def test_several_comparisons_are_corrected() -> None:
    near = [9, 10, 11, 12, 13, 14, 16, 17, 18, 22]
    far = [11, 13, 14, 15, 17, 19, 20, 24, 29, None]
    (alone,) = differences(sample(far), [sample(near)])
    assert alone.p is not None
    many = differences(sample(far), [sample(near), *[sample(far)] * 9])
    assert many[0].p == alone.p
    assert many[0].p_holm == pytest.approx(min(10 * alone.p, 1))
    assert (alone.verdict, many[0].verdict) == ("sooner", "undecided")
    assert all(d.p_holm is not None and d.p is not None and d.p_holm >= d.p for d in many)


def test_twins_of_other_seeds_are_rarely_told_apart() -> None:
    """Of 200 pairs of samples from one distribution about one in twenty has p < .05 before any correction."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        a, b = (np.minimum(rng.exponential(30, 20), 60) for _ in range(2))
        steps = [[None if t >= 60 else int(1000 * t) for t in s] for s in (a, b)]
        told += log_rank(steps[0], [60_000] * 20, steps[1], [60_000] * 20)[1] < 0.05
    assert 2 <= told <= 20
