"""One member of an ensemble, as a run that can be looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groklab.errors import check_member
from groklab.lazy import np, pl
from groklab.store._records import Status
from groklab.store._run import Run

if TYPE_CHECKING:
    from groklab.experiment import Experiment

#: Between the name of a run and the place of its member.
#: Between the name of a run and the place of one of its members.
MEMBER_MARK = "#"


class OneMember(Run):
    """One member of a run, as a run of its own that can only be read.

    A member that stopped before the others keeps its last weights in all later checkpoints of the run; here they are
    those of the step at which it stopped.

    Args:
        run: the ensemble.
        place: the member's.
        title: the name of the run that it becomes, by default RUN#2.
    """

    def __init__(self, run: Run, place: int, title: str = "") -> None:
        check_member(place, run.n_members, run.name)
        super().__init__(run.path, trust_plugin=run.trust_plugin)
        self.run, self.place, self.title = run, place, title or f"{run.name}{MEMBER_MARK}{place}"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs."""
        return {**super().__getstate__(), "run": self.run, "place": self.place, "title": self.title}

    @property
    def name(self) -> str:
        """The title."""
        return self.title

    @property
    def recorded(self) -> list[Experiment]:
        """The member's experiment alone, as it is recorded."""
        return [self.run.recorded[self.place]]

    @property
    def experiments(self) -> list[Experiment]:
        """The member's experiment alone."""
        return [self.run.experiments[self.place]]

    @property
    def identities(self) -> list[str]:
        """The member's identity alone."""
        return [self.run.identities[self.place]]

    @property
    def n_members(self) -> int:
        """One."""
        return 1

    @property
    def status(self) -> Status:
        """The run's status, with the outcome of this member alone, and its share of the time."""
        of_run = self.run.status
        members = of_run.members[self.place : self.place + 1]
        status = replace(of_run, members=members, seconds=of_run.seconds / self.run.n_members)
        if not members:
            return status
        one = members[0]
        status = replace(status, step=of_run.step if one.steps is None else one.steps)
        if of_run.state in ("finished", "diverged"):
            # the reason of the last member need not be that of this one
            if one.diverged:
                return replace(status, state="diverged", reason="diverged")
            status = replace(status, state="finished")
            if status.step < of_run.step or of_run.reason == "diverged":
                return replace(status, reason="grokked")
        return status

    @property
    def metrics(self) -> pl.DataFrame:
        """The member's evaluations, as member 0."""
        return self._own(self.run.metrics)

    @property
    def measured(self) -> pl.DataFrame | None:
        """What online measures give of the member, as member 0."""
        measured = self.run.measured
        return None if measured is None else self._own(measured)

    def _own(self, frame: pl.DataFrame) -> pl.DataFrame:
        own = frame.filter(pl.col("member") == self.place)
        return own.with_columns(pl.lit(0, frame.schema["member"]).alias("member"))

    @property
    def checkpoints(self) -> list[int]:
        """The steps whose weights are kept, up to the member's last."""
        last = self.status.step
        return sorted({min(step, last) for step in self.run.checkpoints})

    def weights(self, step: int | None = None, member: int | None = None) -> dict[str, np.ndarray]:
        """Return the member's weights at a kept step, without a member axis."""
        place = self.place if self.run.n_members > 1 else None
        kept = self.run.checkpoints
        if step is not None and step not in kept and step in self.checkpoints:
            step = next(s for s in kept if s > step)
        return self.run.weights(step, place)

    def last_weights(self, member: int | None = None) -> tuple[int, dict[str, np.ndarray]]:
        """Return the member's last step whose file is complete, and its weights."""
        step, weights = self.run.last_weights(self.place if self.run.n_members > 1 else None)
        return min(step, self.status.step), weights
