"""The result of an entry: the trial that tuning chose, the score on fresh seeds, the difference to the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groklab.grokking import Survival, survival
from groklab.leaderboard._entry import BASELINE, Entry, Settings
from groklab.leaderboard._ledger import Outcome, Record
from groklab.leaderboard._question import CONVENTIONS, Question
from groklab.leaderboard._statistics import Difference, Sample
from groklab.reproduction import interval_of

#: Accuracy stays if no evaluation after grokking is below this.
STAYS = 0.95


@dataclass(frozen=True)
class TrialResult:
    """How one trial did on the seeds of tuning.

    Attributes:
        number: its place among the entry's trials; 0 is the entry's own settings.
    """

    number: int
    settings: Settings
    outcomes: tuple[Outcome, ...]

    @property
    def survival(self) -> Survival:
        """The median of its grokking steps."""
        return survival_of(self.outcomes)

    @property
    def rank(self) -> tuple[float, ...]:
        """What trials are ordered by, the best first: median, share, mean of the censored steps, test accuracy."""
        summary = self.survival
        median = math.inf if summary.median is None else summary.median
        steps = [o.ended if o.grokked is None else o.grokked for o in self.outcomes]
        accuracy = [o.test_accuracy or 0.0 for o in self.outcomes]
        n = len(self.outcomes)
        return median, -summary.n_grokked, sum(steps) / n, -sum(accuracy) / n, self.number

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        steps = [o.grokked for o in self.outcomes]
        return {"settings": self.settings, "grokked_steps": steps, "median": self.survival.median}


@dataclass(frozen=True)
class Cost:
    """What was spent: steps of all models, seconds on the machine, operations."""

    models: int
    steps: int
    seconds: float
    flop: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class Score:
    """An entry's score on the fresh seeds, in steps, seconds and operations to grokking; weak networks count.

    Attributes:
        trial: the settings that tuning chose; None for an entry that is scored as it is.
        trials: all that were tried, the best first.
        tuning: what that has cost; it is not part of the score.
        difference: to the baseline; None for the baseline itself, and where that is not measured.
        digests: of the questions whose records these are.
    """

    entry: Entry
    outcomes: tuple[Outcome, ...]
    record: Record
    trial: Settings | None
    trials: tuple[TrialResult, ...]
    tuning: Cost | None
    digests: tuple[str, ...]
    difference: Difference | None = None

    @property
    def name(self) -> str:
        """The entry's."""
        return self.entry.name

    @property
    def settings(self) -> Settings:
        """What differs from the published baseline, with what tuning chose."""
        return {**self.entry.settings, **(self.trial or {})}

    @property
    def survival(self) -> Survival:
        """The Kaplan–Meier median of the grokking steps, with its 95% interval."""
        return survival_of(self.outcomes)

    @property
    def share(self) -> float:
        """The share of the seeds that grokked within the budget."""
        return self.survival.n_grokked / len(self.outcomes)

    @property
    def share_interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of that share."""
        interval = interval_of([o.grokked is not None for o in self.outcomes])
        assert interval is not None
        return interval

    @property
    def staying(self) -> int:
        """How many of those that grokked stayed at `STAYS` or above as long as they were trained on."""
        return sum(o.lowest is not None and o.lowest >= STAYS for o in self.outcomes)

    @property
    def conventions(self) -> dict[str, Survival]:
        """The median by each other convention."""
        ended = [o.ended for o in self.outcomes]
        return {name: survival([o.others.get(name) for o in self.outcomes], ended) for name in CONVENTIONS}

    @property
    def sample(self) -> Sample:
        """The steps by seed."""
        return Sample({o.seed: o.grokked for o in self.outcomes}, {o.seed: o.ended for o in self.outcomes})

    @property
    def seconds_to_grok(self) -> float | None:
        """Seconds of one model alone on this machine to the median step; None without a median."""
        rate = self.record.steps_per_second
        own = self._own_steps
        return None if own is None or not rate else self.record.weak_seconds + own / rate

    @property
    def flop_to_grok(self) -> float | None:
        """Operations of forward and backward passes to the median step; None without a median."""
        own = self._own_steps
        return None if own is None else self.record.weak_flops + own * self.record.flops_per_step

    @property
    def _own_steps(self) -> float | None:
        """The median without the weak network's steps."""
        median = self.survival.median
        return None if median is None else median - self.outcomes[0].weak_steps

    @property
    def rank(self) -> tuple[float, ...]:
        """What entries are ordered by, the best first: median, share, mean of the censored steps."""
        return TrialResult(0, {}, self.outcomes).rank[:3]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "entry": self.name,
            "about": self.entry.about,
            "source": self.entry.source,
            "tuned": self.trial is not None,
            "settings": self.settings,
            "chosen": self.trial,
            "median": self.survival.to_dict(),
            "share": {"n": len(self.outcomes), "value": self.share, "interval": list(self.share_interval)},
            "seconds_to_grok": self.seconds_to_grok,
            "flop_to_grok": self.flop_to_grok,
            "flop_per_step": self.record.flops_per_step,
            "steps_per_second": self.record.steps_per_second,
            "weak": {"steps": self.outcomes[0].weak_steps, "flop": self.record.weak_flops},
            "staying": self.staying,
            "conventions": {name: s.to_dict() for name, s in self.conventions.items()},
            "difference": None if self.difference is None else self.difference.to_dict(),
            "tuning": None
            if self.tuning is None
            else {**self.tuning.to_dict(), "trials": [t.to_dict() for t in self.trials]},
            "outcomes": [o.model_dump() for o in self.outcomes],
            "digests": list(self.digests),
            "date": self.record.date,
            "hardware": self.record.hardware,
            "groklab": self.record.groklab,
        }


def survival_of(outcomes: Sequence[Outcome]) -> Survival:
    """Return the Kaplan–Meier summary of grokking steps."""
    return survival([o.grokked for o in outcomes], [o.ended for o in outcomes])


def trial_results(questions: Sequence[Question], records: dict[str, Record]) -> list[TrialResult]:
    """Return how the trials of these questions did, the best first."""
    results = []
    for question in questions:
        outcomes, n = records[question.digest].outcomes, len(question.seeds)
        for i, (number, settings) in enumerate(question.trials):
            results.append(TrialResult(number, settings, tuple(outcomes[i * n : (i + 1) * n])))
    return sorted(results, key=lambda trial: trial.rank)


def cost_of(questions: Sequence[Question], records: dict[str, Record]) -> Cost:
    """Return what was spent on these questions."""
    models = steps = 0
    seconds = flop = 0.0
    for question in questions:
        record = records[question.digest]
        own = sum(o.trained - o.weak_steps for o in record.outcomes)
        weak = len(question.weak)
        models += len(record.outcomes) + weak
        steps += own + sum(w.budget.steps for w in question.weak)
        seconds += record.seconds
        flop += own * record.flops_per_step + weak * record.weak_flops
    return Cost(models, steps, seconds, flop)


def is_baseline(score: Score) -> bool:
    """Return whether this is the entry that the others are compared with."""
    return score.name == BASELINE
