"""The interventions of an ensemble's members: when each comes, and what they did."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab import grokking
from groklab.errors import InputError, did_you_mean
from groklab.experiment import Experiment, with_settings
from groklab.interventions import EVENTS, Intervention
from groklab.store import Applied
from groklab.tasks import SplitRows, Task
from groklab.training._records import Records

#: Conditions are looked at whenever so many evaluations have passed, so that when an entry comes does not depend on the
#: machine's speed.
WHEN_EVALUATIONS = 10
#: Entries draw from streams of their own: the member's seed, and the entry's number in the bits above it.
_SEED_BITS = 32


def seed_of(experiment: Experiment, number: int) -> int:
    """Return the seed of an entry's draws."""
    own = getattr(experiment.interventions[number], "seed", None)
    return int(experiment.seed + (number << _SEED_BITS) if own is None else own)


def check_interventions(
    experiment: Experiment, task: Task, split: SplitRows, shapes: Mapping[str, Any], every: int
) -> None:
    """Raise InputError, naming entry and field, for what could not be done in training."""
    metrics = experiment.learner.metrics
    metrics += tuple(f"{m}_op{i}" for i in range(task.shape.n_operations) for m in experiment.learner.metrics[:4])
    changed = experiment
    for i, entry in enumerate(experiment.interventions):
        where = f"interventions.{i}"
        _check_time(entry, where, experiment, every, metrics)
        for setting, pattern in entry.patterns():
            if not fnmatch.filter(shapes, pattern):
                hint = did_you_mean(pattern, shapes)
                raise InputError(
                    f"{where}.{setting}", pattern, f"matches no weight{hint}; there are {', '.join(shapes)}"
                )
        if entry.changes_data and task.draw is not None:
            raise InputError(f"{where}.kind", entry.kind, f"needs a fixed training set, and {task.name} has none")
        try:
            split = entry.data(split, task, seed_of(experiment, i))
        except InputError as error:
            raise InputError(f"{where}.{error}") from None
        changed = with_settings(changed, entry.settings_for(changed), where)
        changed.learner.check(changed, task)
        if changed.learner.weight_shapes(changed, task.shape) != shapes:
            raise InputError(f"{where}: changes the shapes of the weights, which training cannot")


def _check_time(entry: Intervention, where: str, experiment: Experiment, every: int, metrics: Sequence[str]) -> None:
    if entry.step is not None:
        if entry.step % every:
            near = entry.step // every * every
            allowed = (
                f"needs to be a multiple of {every}, the steps between evaluations, such as {near} or {near + every}"
            )
            raise InputError(f"{where}.step", entry.step, allowed)
        if entry.step >= experiment.budget.steps:
            raise InputError(f"{where}.step", entry.step, f"needs to be below budget.steps={experiment.budget.steps}")
        for earlier in entry.keeps():
            if earlier > entry.step:
                raise InputError(f"{where}: goes back to step {earlier:,}, which is later than step {entry.step:,}")
    condition = entry.condition
    if condition is not None and condition.metric not in metrics:
        hint = did_you_mean(condition.metric, metrics)
        allowed = f"{condition.metric} is not recorded{hint}; allowed: {', '.join(metrics)}"
        raise InputError(f"{where}.when", entry.when, allowed)


@dataclass(frozen=True)
class Due:
    """An entry of one member that comes now."""

    member: int
    number: int
    entry: Intervention


class Interventions:
    """The entries of all members, and those that were applied.

    Attributes:
        applied: in the order in which they were.
        bases: members' experiments and splits before any of them.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        tasks: Sequence[Task],
        splits: Sequence[SplitRows],
        every: int,
        cadence: int,
        criterion: str,
    ) -> None:
        self.bases = list(experiments)
        self.tasks, self.splits = tasks, splits
        self.every, self.cadence, self.criterion = every, cadence, criterion
        self.applied: list[Applied] = []

    def __bool__(self) -> bool:
        return any(e.interventions for e in self.bases)

    def of(self, member: int) -> list[Applied]:
        """Return what was applied to a member."""
        return [a for a in self.applied if a.member == member]

    def pending(self, member: int) -> list[int]:
        """Return the numbers of a member's entries that have not come."""
        done = {a.number for a in self.of(member)}
        return [i for i in range(len(self.bases[member].interventions)) if i not in done]

    def since(self) -> dict[int, int]:
        """Return the step of the last entry applied to each member that has had one."""
        return {a.member: a.step for a in self.applied}

    def needed(self) -> set[int]:
        """Return the steps whose weights entries go back to."""
        return {step for e in self.bases for entry in e.interventions for step in entry.keeps()}

    def boundaries(self, step: int, alive: Sequence[int]) -> Iterator[int]:
        """Yield the later steps at which entries come, or may: of those of each kind, the next."""
        if not self:
            return
        entries = [self.bases[m].interventions[i] for m in alive for i in self.pending(m)]
        later = [e.step for e in entries if e.step is not None and e.step > step]
        if later:
            yield min(later)
        if any(e.step is None for e in entries):
            stride = WHEN_EVALUATIONS * self.every
            yield (step // stride + 1) * stride

    def due(self, step: int, records: Records) -> list[Due]:
        """Return the entries that come at this step, by the records before it."""
        return [
            Due(m, i, self.bases[m].interventions[i])
            for m in records.alive
            for i in self.pending(m)
            if self._comes(m, i, step, records)
        ]

    def _comes(self, member: int, number: int, step: int, records: Records) -> bool:
        entry = self.bases[member].interventions[number]
        if entry.step is not None:
            return bool(entry.step == step)
        if step % (WHEN_EVALUATIONS * self.every) or any(i < number for i in self.pending(member)):
            return False
        before = [a.step for a in self.of(member) if a.number < number]
        event = self.event(entry, member, step, records, since=max(before, default=0))
        return event is not None and step >= event + entry.after

    def event(self, entry: Intervention, member: int, step: int, records: Records, since: int) -> int | None:
        """Return the first recorded step from `since` on that meets an entry's condition, by records before `step`."""
        condition = entry.condition
        if condition is None:
            return self.reached(entry.when or "", member, step, records, since)
        own = slice(int(np.searchsorted(records.steps, since)), records.before(step))
        met = np.flatnonzero(condition.holds(records.metrics[condition.metric][own, member]))
        return int(records.steps[own][met[0]]) if len(met) else None

    def reached(self, event: str, member: int, step: int, records: Records, since: int = 0) -> int | None:
        """Return when a member memorised or grokked, by its records from `since` to before `step`."""
        own = slice(int(np.searchsorted(records.steps, since)), records.before(step))
        criterion = self.criterion if event == "grokked" else "sustained_99"
        train = records.metrics["train_accuracy"][own, member]
        values = records.metrics[EVENTS[event]][own, member]
        return grokking.reached_step(records.steps[own], values, criterion, self.cadence, False, train)

    def restored(self) -> tuple[tuple[Experiment, ...], tuple[SplitRows, ...]]:
        """Return the members' experiments and splits with all that was applied."""
        made = tuple(self.bases), tuple(self.splits)
        for a in self.applied:
            made = self.changed(*made, a)
        return made

    def changed(
        self, experiments: Sequence[Experiment], splits: Sequence[SplitRows], applied: Applied
    ) -> tuple[tuple[Experiment, ...], tuple[SplitRows, ...]]:
        """Return experiments and splits with an entry applied to those of its member."""
        m, number = applied.member, applied.number
        entry = self.bases[m].interventions[number]
        e = with_settings(experiments[m], applied.settings, f"interventions.{number}")
        split = entry.data(splits[m], self.tasks[m], seed_of(self.bases[m], number))
        return (*experiments[:m], e, *experiments[m + 1 :]), (*splits[:m], split, *splits[m + 1 :])
