"""Measured values over the seeds, judged by the bars of a trial, and the verdict that follows."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groklab.reproduction._bar import Bar, label, shown
from groklab.reproduction._claim import Kind, Values

Verdict = Literal["reproduced", "partly", "not reproduced", "holds", "fails", "not run"]
#: What is said of each kind where every seed supports it, where some do, where none does, and before all are measured.
VERDICTS: dict[Kind, tuple[Verdict, Verdict, Verdict, Verdict]] = {
    "claim": ("reproduced", "partly", "not reproduced", "not run"),
    "check": ("holds", "partly", "fails", "not run"),
    "own": ("reproduced", "partly", "not reproduced", "not run"),
}


def verdict_of(kind: Kind, supports: Sequence[bool], complete: bool = True) -> Verdict:
    """Return the verdict on a claim of a kind from whether each seed supports it; complete: all seeds are measured."""
    every, some, none, not_run = VERDICTS[kind]
    if not supports or not complete:
        return not_run
    return every if all(supports) else some if any(supports) else none


def interval_of(supports: Sequence[bool]) -> tuple[float, float] | None:
    """Return Wilson's 95% interval of the share of seeds that support a claim; None without any."""
    from scipy import stats  # takes long to import

    if not supports:
        return None
    low, high = stats.binomtest(sum(supports), len(supports)).proportion_ci(method="wilson")
    return float(low), float(high)


@dataclass(frozen=True)
class Spread:
    """One measured value over the seeds, None for a seed that lacks it; median, min and max where all are numbers."""

    values: tuple[Any, ...]
    median: float | None = None
    min: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Spread:
        """Return the spread of the seeds' values."""
        known = [v for v in values if v is not None]
        if not known or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
            return cls(tuple(values))
        return cls(tuple(values), statistics.median(known), min(known), max(known))

    @property
    def text(self) -> str:
        """The spread in words: `1,480 (1,280 to 2,010)`, `true in 19 of 20`, `14, 35, 41`."""
        known = [v for v in self.values if v is not None]
        missing = len(self.values) - len(known)
        rest = f", none in {missing} of {len(self.values)}" if missing else ""
        if not known:
            return "none"
        if self.median is not None:
            low, middle, high = (shown(v) for v in (self.min, self.median, self.max))
            return (middle if low == high else f"{middle} ({low} to {high})") + rest
        counted = Counter(json.dumps(v) for v in known)
        if len(counted) == 1 and not missing:
            return shown(known[0])
        if all(isinstance(v, bool) for v in self.values):
            return f"true in {sum(self.values)} of {len(self.values)}"
        counts = {name: f" in {n}" if max(counted.values()) > 1 else "" for name, n in counted.items()}
        return "; ".join(shown(json.loads(name)) + count for name, count in counts.items()) + rest

    def to_dict(self) -> dict[str, Any]:
        """Return `values`, and for numbers `median`, `min` and `max`."""
        return {k: list(v) if k == "values" else v for k, v in vars(self).items() if v is not None}


@dataclass(frozen=True)
class Judged:
    """A bar beside what was measured for it.

    Args:
        measured, control: the values over the seeds, those of the control None where nothing was measured of one.
        passed, control_passed: whether each seed's value passes this bar.
    """

    bar: Bar
    measured: Spread
    control: Spread | None
    passed: tuple[bool, ...]
    control_passed: tuple[bool, ...]

    @property
    def texts(self) -> tuple[str, str]:
        """The values in words, and those of the control."""
        return self.measured.text, self.control.text if self.control is not None else "–"


def judge(bars: Sequence[Bar], values: Sequence[Values], controls: Sequence[Values | None]) -> list[Judged]:
    """Return each bar beside the values of the seeds and of their controls."""
    known = [c for c in controls if c is not None]

    def side(bar: Bar, of: Sequence[Values]) -> tuple[Spread, tuple[bool, ...]]:
        return Spread.of([v.get(bar.value) for v in of]), tuple(bar.passed(v) for v in of)

    judged = []
    for bar in bars:
        (measured, passed), (control, control_passed) = side(bar, values), side(bar, known)
        judged.append(Judged(bar, measured, control if known else None, passed, control_passed))
    return judged


@dataclass(frozen=True)
class BarRow:
    """A bar beside what was measured for it at each size, None where it was not, or where the size has no such bar."""

    bar: Bar
    sides: tuple[Judged | None, ...]

    def cells(self, measured: Sequence[bool]) -> list[str]:
        """Return the row in words: quantity, bar, for each measured size the values and the control's, and origin."""
        sides = [side for side, is_measured in zip(self.sides, measured, strict=True) if is_measured]
        texts = [text for side in sides for text in (side.texts if side is not None else ("no such bar", ""))]
        return [label(self.bar.value), self.bar.condition, *texts, self.bar.origin]


def bar_rows(sides: Sequence[Sequence[Judged]]) -> list[BarRow]:
    """Return a row for each bar that any size has; none is lent to another size."""
    keyed = [{(j.bar.value, j.bar.relation, shown(j.bar.threshold)): j for j in side} for side in sides]
    bars = {key: j.bar for side in reversed(keyed) for key, j in side.items()}
    order = dict.fromkeys(key for side in keyed for key in side)
    measured = [{key: j for key, j in side.items() if j.passed} for side in keyed]
    return [BarRow(bars[key], tuple(side.get(key) for side in measured)) for key in order]


def spreads(values: Sequence[Values]) -> dict[str, Spread]:
    """Return each value over the seeds."""
    names = dict.fromkeys(name for seed in values for name in seed)
    return {name: Spread.of([seed.get(name) for seed in values]) for name in names}


def seed_values(measured: Mapping[str, Mapping[str, Any]], count: int) -> list[Values]:
    """Return the values of each of `count` seeds from the spreads that `Spread.to_dict` wrote."""
    return [{name: spread["values"][i] for name, spread in measured.items()} for i in range(count)]
