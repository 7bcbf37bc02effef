"""How entries are compared: log-rank tests of censored steps, with Holm's correction for several of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from groklab.leaderboard._track import FEWEST_SEEDS

Steps = Sequence[int | None]
#: Probabilities below this, after the correction, decide.
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """An entry beside the baseline on the same seeds, and so on the same splits.

    Attributes:
        earlier, later, tied: seeds in which the entry grokked before the baseline, after it, and neither.
        statistic: the log-rank z, above 0 where the entry grokked sooner; None where nothing grokked.
        p: its two-sided probability; p_holm: after Holm's correction over all entries that are compared.
        verdict: 'sooner', 'later' or 'undecided'; reason: why it is undecided.
    """

    n: int
    earlier: int
    later: int
    tied: int
    statistic: float | None
    p: float | None
    p_holm: float | None
    verdict: Literal["sooner", "later", "undecided"]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(vars(self))


def log_rank(steps: Steps, ended: Sequence[int], others: Steps, others_ended: Sequence[int]) -> tuple[float, float]:
    """Return the log-rank z of two samples of censored steps, above 0 where the first comes sooner, and its p.

    Seeds are matched, and the test is not stratified by them: with one model of each entry per seed a stratum holds
    two times, and the stratified test would be a sign test. Where a seed makes both entries quick or slow, the
    unstratified test overstates the variance of their difference, so that it errs towards 'undecided'.

    Args:
        steps, others: None where a model had not grokked when its training ended.
        ended, others_ended: the last step of each model.
    """
    if all(s is None for s in (*steps, *others)):
        return math.nan, math.nan
    from scipy import stats  # takes longer to import than the rest of the command line

    samples = []
    for reached, last in ((steps, ended), (others, others_ended)):
        times = [float(e if s is None else s) for s, e in zip(reached, last, strict=True)]
        samples.append(stats.CensoredData.right_censored(times, [s is None for s in reached]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all events at one time have no variance
        result = stats.logrank(*samples)
    return float(result.statistic), float(result.pvalue)


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return probabilities after Holm's correction (1979): the smallest times n, the next times n - 1, …, rising."""
    p = np.asarray(probabilities, float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected.tolist()


@dataclass(frozen=True)
class Sample:
    """The steps of grokking of an entry by seed, with the last step of each model."""

    steps: dict[int, int | None]
    ended: dict[int, int]


def differences(baseline: Sample, entries: Sequence[Sample]) -> list[Difference]:
    """Compare entries with the baseline on the seeds that they share; the correction counts all of them."""
    tests = []
    for entry in entries:
        shared = sorted(baseline.steps.keys() & entry.steps.keys())
        columns = [[of[s] for s in shared] for of in (entry.steps, entry.ended, baseline.steps, baseline.ended)]
        tests.append((shared, *log_rank(*columns)))  # type: ignore[arg-type]
    # what cannot be tested is not counted as a test that is passed
    corrected = holm([1.0 if math.isnan(p) else p for _, _, p in tests])
    return [
        _difference(baseline, entry, shared, z, p, p_holm)
        for entry, (shared, z, p), p_holm in zip(entries, tests, corrected, strict=True)
    ]


def _difference(
    baseline: Sample, entry: Sample, shared: Sequence[int], z: float, p: float, p_holm: float
) -> Difference:
    both = ([math.inf if of[s] is None else of[s] for s in shared] for of in (entry.steps, baseline.steps))
    pairs: Any = list(zip(*both, strict=True))
    earlier, later = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    counts = len(shared), earlier, later, len(shared) - earlier - later
    if math.isnan(p):
        known = any(s is not None for s in (*entry.steps.values(), *baseline.steps.values()))
        reason = "all grokked at one step" if known else "neither has grokked"
        return Difference(*counts, None, None, None, "undecided", reason)
    reason = ""
    if len(shared) < FEWEST_SEEDS:
        reason = f"{len(shared)} seeds are shared, and fewer than {FEWEST_SEEDS} decide nothing"
    elif p_holm >= LEVEL:
        reason = f"p = {p_holm:.2g} after the correction, and {LEVEL:g} or more decides nothing"
    verdict: Any = "undecided" if reason else "sooner" if z > 0 else "later"
    return Difference(*counts, z, p, p_holm, verdict, reason)
