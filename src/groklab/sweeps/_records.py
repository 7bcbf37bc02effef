"""What the files of a sweep hold, as the types that they are checked against when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import Field, model_validator

from groklab.grokking import Phase
from groklab.store import Place, Seed, Step, Stored


class PackPlan(Stored):
    """A pack: the folder of its run, and its members by number."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
    members: Annotated[list[Place], MinLen(1)]


class MemberPlan(Stored):
    """A member: the number of its point, and that of its pack."""

    point: Place
    seed: Seed
    identity: str
    pack: Place


class SweepPlan(Stored):
    """The content of sweep.json.

    Attributes:
        base: the description that all members share.
        overrides: dotted settings laid over it for all members.
        keys: the grid's settings and their values.
        points: the settings of each point.
        packing: how the members are packed, and why, in one sentence.
        sources: digests of plug-ins and of the task's files, by their paths.
    """

    format: Literal[1]
    base: dict[str, Any]
    overrides: dict[str, Any]
    keys: dict[str, Annotated[list[Any], MinLen(1)]]
    points: Annotated[list[dict[str, Any]], MinLen(1)]
    packing: str
    packs: list[PackPlan]
    members: Annotated[list[MemberPlan], MinLen(1)]
    sources: Annotated[dict[str, str], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _check(self) -> SweepPlan:
        for number, point in enumerate(self.points):
            if point.keys() != self.keys.keys() or any(point[key] not in self.keys[key] for key in point):
                raise ValueError(f"point {number} is not of the grid")
        packed = [(m, number) for number, pack in enumerate(self.packs) for m in pack.members]
        if sorted(packed) != [(number, member.pack) for number, member in enumerate(self.members)]:
            raise ValueError("members and packs do not fit each other")
        if len({pack.name for pack in self.packs}) < len(self.packs):
            raise ValueError("two packs have the same name")
        if any(member.point >= len(self.points) for member in self.members):
            raise ValueError("a member is of a point that does not exist")
        return self


@dataclass(frozen=True)
class Row:
    """A member's row of the table, without the values of the grid's keys.

    Attributes:
        reason: why it ended or failed.
        phase_reason: why its phase is undefined, censored or doubtful.
    """

    member: int
    point: int
    seed: int
    identity: str
    pack: str
    status: str = "pending"
    reason: str | None = None
    steps: int | None = None
    seconds: float | None = None
    memorised_step: int | None = None
    grokked_step: int | None = None
    train_step: int | None = None
    test_step: int | None = None
    phase: Phase | None = None
    censored: bool | None = None
    phase_reason: str | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    weight_norm: float | None = None
    best_test_accuracy: float | None = None


class PackProgress(Stored):
    """How far a worker is with a pack: its step of a budget, and which members have ended with which phase."""

    step: Step
    budget: Annotated[Step, Ge(1)]
    ended: list[bool]
    phases: list[Phase]
