"""What the files of a run hold, as the types that they are checked against when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groklab.grokking import Headline

#: A number of steps: so many that a double counts them exactly.
Step: TypeAlias = Annotated[int, Ge(0), Le(2**53)]
Seconds: TypeAlias = Annotated[float, Ge(0), Le(1e12)]
Accuracy: TypeAlias = Annotated[float, Ge(0), Le(1)]
Seed: TypeAlias = Annotated[int, Ge(0), Le(2**32 - 1)]
Place: TypeAlias = Annotated[int, Ge(0), Le(2**31 - 1)]
RunState: TypeAlias = Literal["created", "running", "perhaps running", "interrupted", "finished", "diverged", "damaged"]


class Stored(BaseModel):
    """JSON of known fields; others, as of a later version, are passed over."""

    # built when it is first used: a list of runs uses few of them
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def of_json(cls, content: Any) -> Self | None:
        """Return what JSON holds; None where it does not fit."""
        try:
            return cls.model_validate(content, strict=True)
        except ValidationError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON values of the fields that are known."""
        return self.model_dump(exclude_unset=True)


class OperationResult(Stored):
    """The results of one operation of a mixture."""

    operation: str
    memorised_step: Step | None
    grokked_step: Step | None
    test_accuracy: Accuracy | None


class Applied(Stored):
    """An intervention that was applied to a member.

    Attributes:
        number: of the entry in the experiment's `interventions`.
        step: updates before it.
        sentence: what it did.
        entry: the entry itself, as JSON.
        settings: what it set, by dotted name.
        memorised_step, grokked_step: judged by what was recorded from then on; None while training goes on, or never.
    """

    number: Place
    member: Place
    step: Step
    kind: str
    sentence: str
    entry: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    memorised_step: Step | None = None
    grokked_step: Step | None = None


class MemberResult(Stored):
    """The results of one member of a run.

    Attributes:
        steps: where its training ended; None, where the run's own did.
        censored: whether its budget ended before it grokked.
        train_loss, test_loss, train_accuracy, test_accuracy: the last ones; None for numbers that are not finite. The
            learner's other metrics are in JSON only.
        weights_sha256: of the last weights, see `groklab.store.digest`.
        operations: of a mixture, the results of each operation.
        interventions: those that were applied, in order; None where the experiment has none.
    """

    model_config = ConfigDict(extra="allow")

    memorised_step: Step | None
    grokked_step: Step | None
    censored: bool
    train_loss: float | None
    test_loss: float | None
    train_accuracy: Accuracy | None
    test_accuracy: Accuracy | None
    lowest_since_grokked: Accuracy | None = None
    steps: Step | None = None
    diverged: bool
    weights_sha256: str
    seed: Seed
    operations: list[OperationResult] | None = None
    interventions: list[Applied] | None = None


@dataclass(frozen=True)
class Status:
    """How far a run is, and its results.

    Attributes:
        state: 'created', 'running', 'perhaps running' (its process cannot be seen from here), 'interrupted', 'finished'
            or 'diverged'; `status` in JSON.
        reason: why it ended: 'steps', 'seconds', 'grokked', 'diverged', 'imported', or why it was interrupted.
        step: updates so far.
        seconds: of training.
        members: the results of each member; empty before the first evaluation.
        criterion: of grokking, by which these were judged; None: the experiment's.
    """

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    state: Annotated[RunState, Field(alias="status")]
    reason: str | None
    step: Step
    seconds: Seconds
    members: list[MemberResult]
    criterion: str | None = None

    @classmethod
    def empty(cls, state: RunState = "created") -> Status:
        """Return the status of a run that has not been trained."""
        return cls(state, None, 0, 0.0, [])

    def headlines(self, at_most: bool = False) -> list[Headline]:
        """Return when each member memorised and generalised; at_most: the steps are only the latest possible ones."""
        ended = self.state in ("finished", "diverged")
        return [
            Headline.of(
                m,
                self.step if m.steps is None else m.steps,
                ended=ended or m.diverged,
                diverged=m.diverged,
                at_most=at_most,
            )
            for m in self.members
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of status.json."""
        rest = {name: value for name, value in vars(self).items() if name not in ("state", "members")}
        return {"status": self.state, **rest, "members": [m.to_dict() for m in self.members]}


class Imported(Stored):
    """The file that a run was imported from.

    Attributes:
        exact_steps: whether the steps of memorising and grokking are those of the training, and not upper bounds.
    """

    file: str
    sha256: str
    options: dict[str, Any]
    warnings: list[str]
    exact_steps: bool = False


class Environment(Stored):
    """Machine and versions at the start of a run; None where they are not recorded."""

    model_config = ConfigDict(extra="allow")

    groklab: str | None = None
    python: str | None = None
    jax: str | None = None
    jaxlib: str | None = None
    optax: str | None = None
    numpy: str | None = None
    platform: str | None = None
    processor: str | None = None
    cores: int | None = None
    device: str | None = None
    definition_of_grokking: str | None = None
    imported: Imported | None = None

    @property
    def versions(self) -> str:
        """The versions of what groklab computes with, in words."""
        named = {name: getattr(self, name) for name in ("jax", "jaxlib", "optax", "numpy", "python")}
        return ", ".join(f"{name} {version}" for name, version in named.items() if version) or "unknown"


class Evaluation(Stored):
    """The part of an experiment that a list of runs shows."""

    model_config = ConfigDict(extra="allow")

    criterion: str


class Settings(Stored):
    """An experiment as JSON, of which `groklab.experiment` reads the rest."""

    model_config = ConfigDict(extra="allow")

    evaluation: Evaluation


class Description(Stored):
    """One member of experiment.json."""

    identity: str
    experiment: Settings


class Descriptions(Stored):
    """The content of experiment.json; `sources` are the digests of plug-ins and of the task's files, by their paths."""

    members: Annotated[list[Description], MinLen(1)]
    sources: Annotated[dict[str, str], Field(default_factory=dict)]


class LockFile(Stored):
    """What lock.json says of the process that holds it; see `groklab.store.locks`.

    Attributes:
        process_started: in the system's units.
        place: host, boot and PID namespace, between which process ids do not compare; None: unknown.
    """

    pid: Annotated[int, Ge(1), Le(2**31 - 1)]
    host: str
    process_started: float | None
    place: list[str | int] | None


class CheckpointHeader(Stored):
    """What a checkpoint says of its weights."""

    step: Step
    identities: list[str]


class OptimiserHeader(Stored):
    """What is kept of the optimiser beside a checkpoint: see `RunWriter.optimiser`."""

    step: Step
    identities: list[str]
    applied: list[Applied] = []


class StateHeader(Stored):
    """What a state for resuming says of its arrays; see `State`."""

    step: Step
    seconds: Seconds
    every: Annotated[Step, Ge(1)]
    identities: list[str]
    lanes: list[list[Place]] = []
    retired: list[tuple[Place, Step]] = []
    applied: list[Applied] = []
