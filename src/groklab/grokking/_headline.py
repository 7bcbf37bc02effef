"""The result that is named first of every model: when it memorised, when it generalised, and the delay between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from groklab.grokking._definition import Survival, survival
from groklab.text import percent, percents, times


class HasOutcome(Protocol):
    """What a headline needs of one model's results."""

    @property
    def memorised_step(self) -> int | None:
        """The step at which it memorised the training set."""

    @property
    def grokked_step(self) -> int | None:
        """The step at which it generalised."""

    @property
    def test_accuracy(self) -> float | None:
        """The last."""


@dataclass(frozen=True)
class Headline:
    """When one model memorised and generalised, by groklab's definition.

    Args:
        memorised: the step, None where it had not.
        generalised: the step, which JSON and settings call `grokked`; None where it had not.
        step: where its training is.
        test_accuracy: at that step.
        ended: whether training is over, so that what was not reached is censored.
        diverged: whether its loss became infinite or not a number.
        at_most: whether the steps are only the latest possible ones, as of an imported file of few losses.
    """

    memorised: int | None
    generalised: int | None
    step: int
    test_accuracy: float | None = None
    ended: bool = True
    diverged: bool = False
    at_most: bool = False

    @classmethod
    def of(cls, outcome: HasOutcome, step: int, **state: bool) -> Headline:
        """Return the headline of a model's results at a step; state: the fields ended, diverged and at_most."""
        return cls(outcome.memorised_step, outcome.grokked_step, step, outcome.test_accuracy, **state)

    @property
    def delay(self) -> int | None:
        """Steps from memorising to generalising, None where one of them was not reached; below 0 the other way."""
        if self.memorised is None or self.generalised is None:
            return None
        return self.generalised - self.memorised

    @property
    def times_as_late(self) -> float | None:
        """The ratio of the two steps, None where it is not defined."""
        return self.generalised / self.memorised if self.generalised is not None and self.memorised else None

    @property
    def open(self) -> str:
        """What it means where a step was not reached: 'censored', 'so far' or 'diverged'."""
        return "diverged" if self.diverged else "censored" if self.ended else "so far"

    def delay_text(self) -> str:
        """Return the delay in a few words, '' where there is none to name."""
        if self.delay is None:
            return ""
        if self.delay <= 0:
            return "no delay"
        ratio = f", {times(self.times_as_late)} times as late" if self.times_as_late else ""
        return f"a delay of {self.delay:,} step{'s' if self.delay > 1 else ''}{ratio}"

    def sentence(self) -> str:
        """Return when it memorised, when it generalised, the delay, and the test accuracy."""
        at = "by step" if self.at_most else "at step"
        done = [
            f"{name} {at} {step:,}"
            for name, step in (("memorised", self.memorised), ("generalised", self.generalised))
            if step is not None
        ]
        missing = [
            name for name, step in (("memorised", self.memorised), ("generalised", self.generalised)) if step is None
        ]
        if missing:
            done.append(f"not {' and not '.join(missing)} by step {self.step:,} ({self.open})")
        delay = "" if self.at_most or not self.delay_text() else f": {self.delay_text()}"
        latest = ", at the latest" if self.at_most and len(missing) < 2 else ""
        return f"{', '.join(done)}{delay}{latest}; test accuracy {percent(self.test_accuracy)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "memorised_step": self.memorised,
            "generalised_step": self.generalised,
            "delay": self.delay,
            "times_as_late": self.times_as_late,
            "test_accuracy": self.test_accuracy,
            "sentence": self.sentence(),
        }


def headline_sentence(headlines: Sequence[Headline]) -> str:
    """Return the headline of one model, or of the members of an ensemble together; '' without any."""
    if len(headlines) == 1:
        return headlines[0].sentence()
    if not headlines:
        return ""
    n, medians, parts = len(headlines), [], []
    for name in ("memorised", "generalised"):
        reached = survival([getattr(h, name) for h in headlines], [max(h.step for h in headlines)] * n)
        medians.append(reached.median)
        parts.append(f"{reached.n_grokked} of {n} {name}{_median(reached)}")
    first, second = medians
    if first is not None and second is not None and second > first:
        parts[-1] += f": a delay of {second - first:,.0f} steps between the medians"
        parts[-1] += f", {times(second / first)} times as late" if first else ""
    diverged = sum(h.diverged for h in headlines)
    parts += [f"{diverged} diverged"] if diverged else []
    return f"{', '.join(parts)}; test accuracy {percents([h.test_accuracy for h in headlines])}"


def _median(reached: Survival) -> str:
    if reached.median is None:
        return ""
    interval = ""
    if reached.low is not None and reached.high is not None and reached.low != reached.high:
        interval = f", 95% interval {reached.low:,.0f} to {reached.high:,.0f}"
    return f" (median step {reached.median:,.0f}{interval})"
