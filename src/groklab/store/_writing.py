"""What training and imports write into the folder of a run; a `Run` itself only reads it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab.errors import DamagedError
from groklab.lazy import np, pl
from groklab.store import storage
from groklab.store._records import Applied, Environment, StateHeader, Status
from groklab.store._run import Run
from groklab.store._sources import moved, sources_of, within

if TYPE_CHECKING:
    from groklab.experiment import Experiment


@dataclass(frozen=True)
class State:
    """A full state for resuming: after `step` updates and `seconds` of training, evaluated every `every` steps.

    Attributes:
        lanes: the members of each block, by lane; empty: as they were packed at first.
        retired: for members that stopped on their own, the step.
    """

    step: int
    seconds: float
    every: int
    arrays: dict[str, np.ndarray]
    lanes: list[list[int]] = field(default_factory=list)
    retired: dict[int, int] = field(default_factory=dict)
    applied: list[Applied] = field(default_factory=list)


class RunWriter:
    """Writes the files of a run, each completely or not at all.

    Args:
        run: whose files; it reads what is written at once.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def create(cls, path: Path, experiments: Sequence[Experiment], environment: Environment) -> RunWriter:
        """Make the folder of a new run."""
        storage.write_json(path / "environment.json", environment.to_dict())
        storage.write_json(path / "status.json", Status.empty().to_dict())
        # last: a folder without it is not a run yet
        _write_members(path, experiments)
        return cls(Run(path))

    def experiments(self, experiments: Sequence[Experiment]) -> None:
        """Record members' experiments again, as when their budget has grown; identities stay."""
        _write_members(self.run.path, experiments)
        self.run._forget()

    def status(self, **changes: Any) -> None:
        """Update status.json, or write it from the start where it is missing or damaged."""
        try:
            status = self.run.status
        except DamagedError as error:
            warnings.warn(str(error), stacklevel=2)
            status = Status.empty()
        storage.write_json(self.run.path / "status.json", replace(status, **changes).to_dict())

    def metrics(self, frame: pl.DataFrame) -> None:
        """Replace the metrics."""
        storage.write_table(self.run.path / "metrics.parquet", frame)

    def measured(self, frame: pl.DataFrame) -> None:
        """Replace the arrays of online measures."""
        storage.write_table(self.run.path / "measures.parquet", frame)

    def checkpoint(self, step: int, weights: dict[str, np.ndarray]) -> None:
        """Keep the weights of a step; `weights` come with a member axis."""
        arrays = {k: v[0] for k, v in weights.items()} if self.run.n_members == 1 else weights
        path = self.run.path / "checkpoints" / f"step_{step:09d}.safetensors"
        storage.save_arrays(path, arrays, {"step": step, "identities": self.run.identities})

    def optimiser(self, step: int, arrays: dict[str, np.ndarray], applied: Sequence[Applied]) -> None:
        """Keep beside a checkpoint what a branch needs besides weights: arrays by `member/path`, and interventions."""
        path = self.run.path / "checkpoints" / f"optimiser_{step:09d}.safetensors"
        header = {"step": step, "identities": self.run.identities, "applied": [a.to_dict() for a in applied]}
        storage.save_arrays(path, arrays, header)

    def state(self, state: State) -> None:
        """Keep a full state for resuming, over the older of the two that are kept."""
        slots = [self.run.path / "state" / f"rolling_{i}.safetensors" for i in (0, 1)]
        oldest = min(slots, key=lambda p: p.stat().st_mtime_ns if p.exists() else -1)
        header = {"step": state.step, "seconds": state.seconds, "every": state.every, "identities": self.run.identities}
        if state.lanes:
            header |= {"lanes": state.lanes, "retired": sorted(state.retired.items())}
        if state.applied:
            header["applied"] = [a.to_dict() for a in state.applied]
        storage.save_arrays(oldest, state.arrays, header)


def states(run: Run) -> list[State]:
    """Return the states for resuming, newest first; damaged ones are left out with a warning."""
    saved = []
    for path in sorted((run.path / "state").glob("rolling_*.safetensors")):
        try:
            arrays, header = storage.load_arrays(path, StateHeader)
        except DamagedError as error:
            warnings.warn(f"{error}; going back to the one before", stacklevel=2)
            continue
        if header.identities != run.identities:
            raise DamagedError(f"{path} belongs to another experiment")
        retired = dict(header.retired)
        saved.append(State(header.step, header.seconds, header.every, arrays, header.lanes, retired, header.applied))
    return sorted(saved, key=lambda state: -state.step)


def _write_members(path: Path, experiments: Sequence[Experiment]) -> None:
    members = [{"identity": e.identity, "experiment": moved(e.to_dict(), within(path))} for e in experiments]
    sources = {within(path)(file): digest for file, digest in sources_of(experiments).items()}
    storage.write_json(path / "experiment.json", {"format": 1, "members": members, "sources": sources})
