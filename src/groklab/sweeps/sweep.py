"""Sweeps: many members over a grid of settings, kept in one folder with one table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from groklab import device
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.grokking.learning_phases import PHASES
from groklab.store import claims, storage
from groklab.store.run import Run
from groklab.sweeps import table
from groklab.sweeps.driving import SweepRecords, SweepView, drive
from groklab.sweeps.executors import connected
from groklab.sweeps.folder import Folder
from groklab.sweeps.packing import pack
from groklab.sweeps.plan import MAX_MEMBERS, Plan, make_plan
from groklab.training.interrupts import ctrl_c


class Sweep:
    """A sweep on disk: its grid, its members, and what they have reached.

    Raises InputError where the folder is no sweep, DamagedError where its description is not whole. Table and curves
    are read from their files, and taken from the packs where those are missing or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.folder = Folder(Path(path))
        self.path = self.folder.path

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}, {self.n_members} members, {self.status})"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def keys(self) -> dict[str, list[Any]]:
        """The settings that are swept, in order, with their values."""
        return self.folder.keys

    @property
    def n_members(self) -> int:
        """How many members there are: points times seeds."""
        return len(self.folder.members)

    @property
    def packing(self) -> str:
        """How the members are packed, and why, in one sentence."""
        return str(self.folder.description["packing"])

    def experiment(self, member: int) -> Experiment:
        """A member's experiment; raises InputError for one that is not there."""
        self._check(member)
        return self.folder.experiment(member)

    def run(self, member: int) -> tuple[Run, int]:
        """The run that holds a member, and its place there: its weights are `run.weights(member=place)`."""
        self._check(member)
        found = self.folder.packs[self.folder.members[member]["pack"]]
        return Run(found.path), found.members.index(member)

    def _check(self, member: int) -> None:
        if not 0 <= member < self.n_members:
            raise InputError("member", member, f"{self.name} has members 0 to {self.n_members - 1}")

    @cached_property
    def _records(self) -> SweepRecords:
        return SweepRecords(self.folder)

    @property
    def table(self) -> pl.DataFrame:
        """One row a member: point, seed, a column for each key, status, steps, phase, last losses and accuracies."""
        found = table.read(self.path / "table.parquet")
        return table.table_of(self.folder, self._records.rows) if found is None else found

    def curves(self, member: int | None = None) -> pl.DataFrame:
        """Columns member, step, losses and accuracies, thinned to some 200 steps, log-spaced; None: of all members."""
        found = table.read(self.path / "curves.parquet")
        if found is None:
            found = pl.concat([pl.DataFrame(schema=table.CURVE_SCHEMA), *self._records.curves.values()])
        if member is None:
            return found
        self._check(member)
        return found.filter(pl.col("member") == member)

    @property
    def status(self) -> str:
        """'running', 'interrupted', 'finished', or 'failed' where no member could be trained."""
        if claims.holder(self.path) is not None:
            return "running"
        states = set(self.table["status"])
        if states == {"failed"}:
            return "failed"
        return "finished" if states <= {"finished", "diverged", "failed"} else "interrupted"

    def summary(self) -> dict[str, Any]:
        """One JSON object: how many members have finished, diverged and failed, and how many are of each phase."""
        rows = self.table
        counts = dict(rows["status"].value_counts().iter_rows())
        ended = rows.filter(pl.col("status").is_in(["finished", "diverged"]))
        phases = dict(ended["phase"].value_counts().iter_rows())
        reasons = rows.filter(pl.col("status") == "failed")["reason"].unique().sort().to_list()
        return {
            "sweep": self.name,
            "path": str(self.path),
            "status": self.status,
            "members": self.n_members,
            "finished": counts.get("finished", 0) + counts.get("diverged", 0),
            "diverged": counts.get("diverged", 0),
            "failed": counts.get("failed", 0),
            "phases": {phase: phases.get(phase, 0) for phase in PHASES},
            "steps": int(rows["steps"].sum()),
            "seconds": round(float(rows["seconds"].sum()), 3),
            "keys": self.keys,
            "packs": len(self.folder.packs),
            "packing": self.packing,
            "failures": reasons,
        }


def sweep(
    what: str | Path | Experiment,
    keys: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: int = 1,
    workers: int | None = None,
    scheduler: str | None = None,
    retire: bool = True,
    name: str | None = None,
    max_members: int = MAX_MEMBERS,
    view: SweepView | None = None,
    home: str | Path | None = None,
) -> Sweep:
    """Train an experiment at every point of a grid with several seeds, and return the sweep.

    what: an experiment, a preset's name or a YAML file; overrides: dotted settings for all members. keys: values for
    each setting, a list, an array or a text such as '1e-5:1e-2:16:log'; the first varies slowest, seeds quickest.
    workers: local processes (None: one a core); scheduler: the address of a dask cluster to train on instead. Members
    stop as soon as they have memorised and grokked, unless retire is False. name: of the folder, instead of the
    experiment's. A sweep that was interrupted goes on where it stood, one that is finished is returned as it is, and
    members that have failed are tried again.
    Raises InputError for anything that cannot be done as asked, and Interrupted on Ctrl-C; what was trained stays.
    """
    base = Path(home) if home is not None else device.home()
    asked: dict[str, Any] = {"seeds": seeds, "retire": retire, "name": name, "max_members": max_members}
    plan = make_plan(what, keys, overrides=overrides, **asked, home=base)
    path = base / "sweeps" / plan.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_finished(path):
        return Sweep(path)
    try:
        with claims.claimed(path), ctrl_c() as asked_to_stop:
            storage.sweep(path)
            _train(path, plan, workers, scheduler, view, asked_to_stop)
    finally:
        if claims.holder(path) is None:
            _remove_unused(path)
    return Sweep(path)


def _is_finished(path: Path) -> bool:
    """Whether a sweep is there of which nothing is left to do."""
    try:
        return Sweep(path).status == "finished" and "failed" not in set(Sweep(path).table["status"])
    except (InputError, OSError):
        return False


def _train(
    path: Path,
    plan: Plan,
    workers: int | None,
    scheduler: str | None,
    view: SweepView | None,
    asked_to_stop: Callable[[], bool],
) -> None:
    # whatever cannot be trained is refused before any worker starts
    pack(plan.experiments)
    with connected(path, workers, scheduler) as found:
        try:
            folder = Folder(path)
        except InputError:
            packing = pack(plan.experiments, platform=found.platform, workers=found.count, memory=found.memory)
            folder = Folder.create(path, plan, packing)
        records = SweepRecords(folder)
        records.forget_failures()
        drive(records, found, view, asked_to_stop)


def _remove_unused(path: Path) -> None:
    """Remove the folder of a sweep that was refused before it was one."""
    if not (path / "sweep.json").exists():
        shutil.rmtree(path, ignore_errors=True)
