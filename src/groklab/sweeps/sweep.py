"""Sweeps: many members over a grid of settings, in one folder with one table."""

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
from groklab.store import locks, storage
from groklab.store.run import Run
from groklab.sweeps import folder
from groklab.sweeps.executors import connected
from groklab.sweeps.folder import Folder
from groklab.sweeps.packing import pack
from groklab.sweeps.plan import MAX_MEMBERS, Plan, make_plan
from groklab.sweeps.scheduler import SweepRecords, SweepView, drive
from groklab.training.interrupts import ctrl_c


class Sweep:
    """A sweep on disk: its grid, its members and their results.

    Table and curves are read from their files, or from the packs where those are missing or damaged.

    Raises:
        InputError: the folder is not a sweep; DamagedError: its description is damaged.
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
        its_pack = self.folder.packs[self.folder.members[member]["pack"]]
        return Run(its_pack.path), its_pack.members.index(member)

    def _check(self, member: int) -> None:
        if not 0 <= member < self.n_members:
            raise InputError("member", member, f"{self.name} has members 0 to {self.n_members - 1}")

    @cached_property
    def _records(self) -> SweepRecords:
        return SweepRecords(self.folder)

    @property
    def table(self) -> pl.DataFrame:
        """One row per member: point, seed, one column for each key, status, steps, phase, losses and accuracies."""
        table = folder.read(self.path / "table.parquet", folder.SCHEMA)
        return folder.table_of(self.folder, self._records.rows) if table is None else table

    def curves(self, member: int | None = None) -> pl.DataFrame:
        """Columns member, step, losses and accuracies, thinned to some 200 steps, log-spaced; None: of all members."""
        curves = folder.read(self.path / "curves.parquet", folder.CURVE_SCHEMA)
        if curves is None:
            curves = folder.curves_of(self._records.curves)
        if member is None:
            return curves
        self._check(member)
        return curves.filter(pl.col("member") == member)

    @property
    def status(self) -> str:
        """'running', 'interrupted', 'finished', or 'failed' where no member could be trained."""
        if locks.holder(self.path) is not None:
            return "running"
        states = set(self.table["status"])
        if states == {"failed"}:
            return "failed"
        return "finished" if states <= {*folder.ENDED, "failed"} else "interrupted"

    def summary(self) -> dict[str, Any]:
        """One JSON object: how many members have finished, diverged and failed, and how many are of each phase."""
        rows = self.table
        counts = dict(rows["status"].value_counts().iter_rows())
        ended = rows.filter(pl.col("status").is_in(folder.ENDED))
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

    An interrupted sweep continues from its last checkpoints, a finished one is returned as it is, and failed members
    are tried again.

    Args:
        what: an experiment, a preset's name or a YAML file.
        keys: values for each setting: a list, an array or a text such as '1e-5:1e-2:16:log'; the first key varies
            slowest, seeds quickest.
        overrides: dotted settings for all members.
        workers: local processes; None means one per core.
        scheduler: the address of a dask cluster to train on instead.
        retire: whether members stop as soon as they have memorised and grokked.
        name: the folder's name, instead of the experiment's.

    Raises:
        InputError: the sweep cannot be trained as given.
        Interrupted: Ctrl-C was pressed; what was trained stays.
    """
    base = Path(home) if home is not None else device.home()
    options: dict[str, Any] = {"seeds": seeds, "retire": retire, "name": name, "max_members": max_members}
    plan = make_plan(what, keys, overrides=overrides, **options, home=base)
    path = base / "sweeps" / plan.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_finished(path):
        return Sweep(path)
    try:
        with locks.locked(path), ctrl_c() as should_stop:
            storage.sweep(path)
            _train(path, plan, workers, scheduler, view, should_stop)
    finally:
        if locks.holder(path) is None:
            _remove_unused(path)
    return Sweep(path)


def _is_finished(path: Path) -> bool:
    """Whether the folder holds a sweep with nothing left to do."""
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
    should_stop: Callable[[], bool],
) -> None:
    # what cannot be trained is refused before any worker starts
    pack(plan.experiments)
    with connected(path, workers, scheduler) as pool:
        try:
            planned = Folder(path)
        except InputError:
            packing = pack(plan.experiments, platform=pool.platform, workers=pool.count, memory=pool.memory)
            planned = Folder.create(path, plan, packing)
        records = SweepRecords(planned)
        records.forget_failures()
        drive(records, pool, view, should_stop)


def _remove_unused(path: Path) -> None:
    """Remove the folder of a sweep that was refused before it began."""
    if not (path / "sweep.json").exists():
        shutil.rmtree(path, ignore_errors=True)
