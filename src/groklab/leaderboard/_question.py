"""Questions: the models that are trained together for an entry, and how they are trained and read."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from groklab import grokking
from groklab.experiment import Experiment
from groklab.leaderboard._entry import Entry, Settings
from groklab.leaderboard._ledger import Outcome
from groklab.leaderboard._track import Size, Track
from groklab.store import Run
from groklab.tasks import make_split
from groklab.training import CPU_LANES, build_task, matmul_rate, step_flops, step_rate, training

#: Raised when the same question would be answered otherwise, so that what is kept is measured again.
RULES = 1
TAG = "leaderboard"
#: The conventions that are shown beside groklab's own.
CONVENTIONS = tuple(name for name in grokking.CRITERIA if name != "sustained_99")
#: What evaluations add to the bare cost of steps, the seconds of a step of some models besides its products, and those
#: that compiling takes.
EVALUATED, OVERHEAD, COMPILED = 1.5, 2e-4, 5.0
#: Seconds for which a model's steps are timed alone.
TIMED = 1.0


@dataclass(frozen=True)
class Question:
    """Models of one entry that are trained together.

    Attributes:
        part: whether they are trials of tuning, or the score.
        trials: the trial of each group of seeds, by its place among the entry's trials, and its settings.
        seeds: of each trial.
    """

    entry: Entry
    track: Track
    size: Size
    part: Literal["tuning", "score"]
    trials: tuple[tuple[int, Settings], ...]
    seeds: tuple[int, ...]

    @cached_property
    def members(self) -> list[Experiment]:
        """The experiments, trial after trial and seed after seed."""
        made = [self.entry.experiment(self.track, self.size, settings) for _, settings in self.trials]
        return [replace(e, name=f"{e.name}-{self.part}", seed=seed) for e in made for seed in self.seeds]

    @cached_property
    def weak(self) -> list[Experiment]:
        """The experiments that are trained before, one per seed; none for an entry without."""
        first = self.entry.weak_experiment(self.track, self.size)
        return [] if first is None else [replace(first, seed=seed) for seed in self.seeds]

    @cached_property
    def digest(self) -> str:
        """A name of all that decides the answer: records of another digest are not this question's."""
        first = self.members[0]
        rules = [RULES, grokking.DEFINITION, list(CONVENTIONS), first.evaluation.every, vars(first.budget)]
        trained = [[m.identity for m in self.members], [[w.identity, w.budget.steps] for w in self.weak]]
        return hashlib.sha256(json.dumps([rules, trained], sort_keys=True).encode()).hexdigest()[:16]

    def seconds(self) -> float:
        """Estimate the seconds that the models take at most, if none of them groks before the budget is over."""
        return COMPILED + sum(_bare_seconds(group) for group in (self.members, self.weak) if group)

    def answer(self, view: Callable[[Any], None] | None, home: str | Path | None) -> dict[str, Any]:
        """Train the models, or resume them, and return the content of their record."""
        members, weak_steps, weak_flops, weak_seconds = self.members, 0, 0.0, 0.0
        if self.weak:
            run = training.train(self.weak, tags=(TAG,), view=view, home=home)
            weak_steps, weak_seconds = self.weak[0].budget.steps, run.status.seconds
            weak_flops = weak_steps * flops_per_step(self.weak[0])
            several = len(self.weak) > 1
            starts = [{"run": str(run.name), "member": i if several else None} for i in range(len(self.weak))]
            members = [_started(m, starts[i % len(starts)]) for i, m in enumerate(members)]
        run = training.train(members, tags=(TAG,), view=view, home=home)
        began = time.monotonic()
        outcomes = [_outcome(run, i, weak_steps) for i in range(len(members))]
        alone = self.members[0] if not self.weak else replace(self.members[0], start=None)
        rate = step_rate(alone, TIMED) if self.part == "score" else None
        return {
            "outcomes": [o.model_dump() for o in outcomes],
            "seconds": round(run.status.seconds + weak_seconds + time.monotonic() - began, 3),
            "flops_per_step": flops_per_step(alone),
            "weak_flops": weak_flops,
            "weak_seconds": round(weak_seconds / max(len(self.weak), 1), 3),
            "steps_per_second": rate,
        }


def _bare_seconds(members: Sequence[Experiment]) -> float:
    steps = members[0].budget.steps
    products = len(members) * flops_per_step(members[0]) / _rate(members[0].dtype)
    return EVALUATED * steps * (products + OVERHEAD * -(-len(members) // CPU_LANES))


@lru_cache(maxsize=2)
def _rate(dtype: str) -> float:
    return matmul_rate(dtype)


def questions_of(
    entry: Entry,
    track: Track,
    size: Size,
    part: Literal["tuning", "score"],
    trials: Sequence[tuple[int, Settings]],
    seeds: tuple[int, ...],
) -> list[Question]:
    """Return the questions of some trials: those that share a compiled program are trained together."""
    groups: dict[str, list[tuple[int, Settings]]] = {}
    for number, settings in trials:
        groups.setdefault(entry.experiment(track, size, settings).program, []).append((number, settings))
    return [Question(entry, track, size, part, tuple(group), seeds) for group in groups.values()]


def flops_per_step(experiment: Experiment) -> float:
    """Return the operations of one step of a model by its learner's formula, without the optimiser's own."""
    task = build_task(experiment)
    return step_flops(experiment, task, len(make_split(experiment.split, task, experiment.seed).train))


def _started(member: Experiment, start: dict[str, Any]) -> Experiment:
    assert member.start is not None
    return replace(member, start=replace(member.start, sha256=None, **start))


def _outcome(run: Run, member: int, weak_steps: int) -> Outcome:
    """Read how one model trained, with the weak network's steps added to all of its own."""
    result, budget = run.status.members[member], run.recorded[member].budget.steps
    curves = run.curves(member)
    known = np.isfinite(curves["test_accuracy"])
    steps, accuracy = curves["step"][known], curves["test_accuracy"][known]
    grokked = result.grokked_step
    # a model with a weak network before it has less of its own budget
    if grokked is not None and grokked + weak_steps > budget:
        grokked = None

    def total(step: int | None) -> int | None:
        return None if step is None else int(step) + weak_steps

    # as long as every model goes on, whenever it retires
    watched = steps <= (grokked or 0) + run.recorded[member].budget.extra_steps
    others = {name: _by_convention(name, curves, known, run) for name in CONVENTIONS}
    return Outcome(
        seed=result.seed,
        grokked=total(grokked),
        memorised=total(result.memorised_step),
        ended=budget,
        trained=int(run.status.step if result.steps is None else result.steps) + weak_steps,
        others={name: None if (t := total(step)) is None or t > budget else t for name, step in others.items()},
        lowest=grokking.lowest_since(steps[watched], accuracy[watched], grokked),
        test_accuracy=float(accuracy[-1]) if len(accuracy) else None,
        weak_steps=weak_steps,
        diverged=result.diverged,
    )


def _by_convention(name: str, curves: dict[str, np.ndarray], known: np.ndarray, run: Run) -> int | None:
    steps, accuracy = curves["step"][known], curves["test_accuracy"][known]
    cadence = run.recorded[0].evaluation.every or 1
    return grokking.reached_step(steps, accuracy, name, cadence, train=curves["train_accuracy"][known])
