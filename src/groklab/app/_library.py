"""What the dashboard's folder holds: runs and sweeps by their exact names, and nothing beside the folder."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

from groklab.errors import InputError, did_you_mean, shorten
from groklab.store import Collection, OneMember, Run
from groklab.sweeps import Sweep, sweep_paths

T = TypeVar("T")
#: States of runs that change by themselves.
LIVE = ("running", "perhaps running")
#: Bytes that file systems take as the name of a folder, and digits of the number of a member.
LONGEST_NAME, LONGEST_NUMBER = 255, 9
#: Seconds for which a list of the folder serves.
FRESH_SECONDS = 0.5


class Cache(Generic[T]):
    """The last few results of a function by key; several that ask for one wait for the first."""

    def __init__(self, size: int) -> None:
        self.size, self._lock = size, threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[threading.Lock, list[T]]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returns, or returned before for this key."""
        with self._lock:
            lock, kept = self._entries.setdefault(key, (threading.Lock(), []))
            self._entries.move_to_end(key)
            while len(self._entries) > self.size:
                self._entries.popitem(last=False)
        with lock:
            if not kept:
                kept.append(make())
        return kept[0]


class Library:
    """The runs and sweeps of a folder."""

    def __init__(self, home: Path) -> None:
        self.home, self.collection = home, Collection(home)
        self._lists: dict[str, tuple[float, list[dict[str, Any]]]] = {}
        self._sweeps: Cache[dict[str, Any]] = Cache(1000)
        self._lock = threading.Lock()

    def runs(self) -> list[dict[str, Any]]:
        """Return a summary of each run, as `Collection.summaries` does; those that train have their last step."""
        return self._fresh("runs", self._read_runs)

    def sweeps(self) -> list[dict[str, Any]]:
        """Return a summary of each sweep, the one changed last at the end."""
        return self._fresh("sweeps", self._read_sweeps)

    def _fresh(self, name: str, read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        with self._lock:
            moment, known = self._lists.get(name, (0.0, []))
            if not moment or time.monotonic() - moment > FRESH_SECONDS:
                known = read()
                self._lists[name] = time.monotonic(), known
            return known

    def _read_runs(self) -> list[dict[str, Any]]:
        rows = self.collection.summaries()
        for row in rows:
            if row["status"] in LIVE:
                row["steps"] = max(row.get("steps") or 0, last_step(Path(row["path"])))
        return rows

    def _read_sweeps(self) -> list[dict[str, Any]]:
        rows = []
        for path in sweep_paths(self.home):
            stamp = stamp_of(path, "sweep.json", "table.parquet", "lock.json", "failures.json")
            try:
                summary = self._sweeps.get((path, stamp), lambda path=path: Sweep(path).summary())  # type: ignore[misc]
            except (InputError, OSError) as error:
                summary = {"sweep": path.name, "status": "damaged", "failures": [str(error)]}
            changed = max((p.stat().st_mtime for p in path.glob("*.parquet")), default=path.stat().st_mtime)
            rows.append({**summary, "changed": changed})
        return sorted(rows, key=lambda row: float(row["changed"]))

    def run(self, name: str) -> Run:
        """Return a run by its exact name; raises InputError for what is not a run in this folder."""
        if not _is_name(name) or not (self.home / name / "experiment.json").is_file():
            raise _missing("run", name, [path.name for path in self.collection.paths()])
        return Run(self.home / name)

    def sweep(self, name: str) -> Sweep:
        """Return a sweep by its exact name; raises InputError for what is not a sweep in this folder."""
        if not _is_name(name) or not (self.home / "sweeps" / name / "sweep.json").is_file():
            raise _missing("sweep", name, [path.name for path in sweep_paths(self.home)])
        return Sweep(self.home / "sweeps" / name)

    def member(self, name: str, number: int) -> Run:
        """Return a member of a sweep as a run of its own; raises InputError where it has not begun."""
        sweep = self.sweep(name)
        run, place = sweep.run(number)
        return OneMember(run, place, f"{name}, member {number}")

    def find(self, address: str) -> Run:
        """Return what an address names: RUN, RUN#MEMBER, or sweeps/SWEEP#MEMBER."""
        name, mark, member = address.rpartition("#")
        if not mark:
            return self.run(address)
        if not (member.isascii() and member.isdecimal() and len(member) <= LONGEST_NUMBER):
            raise InputError(f"{shorten(member)!r} is not the number of a member")
        if name.startswith("sweeps/"):
            return self.member(name.removeprefix("sweeps/"), int(member))
        run = self.run(name)
        if not int(member) < run.n_members:
            raise InputError(f"{name} has no member {member}")
        return OneMember(run, int(member), address)


def _is_name(name: str) -> bool:
    """Return whether a text is the name of a visible folder, and not a path that leads elsewhere."""
    short = 0 < len(os.fsencode(name)) <= LONGEST_NAME
    return short and not name.startswith(".") and not {os.sep, "/", "\\", "\0"} & set(name)


def _missing(kind: str, name: str, names: list[str]) -> InputError:
    return InputError(f"no {kind} is named {shorten(name)!r} in this folder{did_you_mean(name, names)}")


def stamp_of(folder: Path, *names: str) -> tuple[int, ...]:
    """Return what changes when one of the files of a folder does."""
    stamps = []
    for name in names:
        try:
            about = (folder / name).stat()
            stamps += [about.st_mtime_ns, about.st_size]
        except OSError:
            stamps.append(0)
    return tuple(stamps)


def run_stamp(run: Run) -> tuple[Any, ...]:
    """Return what changes when a run does: what is recorded of it, and whether a process trains it."""
    files = ("experiment.json", "status.json", "metrics.parquet", "tags.json")
    return (*stamp_of(run.path, *files), (run.path / "lock.json").exists())


def last_step(path: Path) -> int:
    """Return the last step that a run's metrics hold."""
    try:
        return int(Run(path).metrics["step"].max() or 0)  # type: ignore[arg-type]
    except (InputError, OSError):
        return 0
