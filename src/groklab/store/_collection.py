"""All runs of one folder, and the SQLite index that makes listing thousands of them quick.

The index is only a cache of the directories: rows are refreshed where a run's status is newer, and the file is built
again where it is missing or damaged.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from groklab import device, notebook
from groklab.errors import InputError, did_you_mean, matching, shorten, with_stems
from groklab.store import locks, storage
from groklab.store._one_member import MEMBER_MARK, OneMember
from groklab.store._records import Accuracy, Seconds, Step, Stored
from groklab.store._reprs import lines_of, rows_of, table_of
from groklab.store._run import Run
from groklab.text import first_of

#: What SQLite's binding raises for an incomplete database.
_DAMAGE = (sqlite3.Error, ValueError, OverflowError)
#: What the name of a run begins with while it is removed, and the files that show a run without its experiment.json.
_REMOVED = ".removed-"
_PARTS = ("environment.json", "status.json", "metrics.parquet", "lock.json")
_SCHEMA = "CREATE TABLE IF NOT EXISTS runs (name TEXT PRIMARY KEY, stamp TEXT, summary TEXT)"


class Collection:
    """The runs below one folder (by default `GROKLAB_HOME`)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else device.home()

    def __repr__(self) -> str:
        return f"Collection({str(self.folder)!r}, {_count(len(self.paths()))})"

    def _repr_html_(self) -> str:
        rows = rows_of(self.summaries())
        return table_of(f"{_count(len(rows))} in {self.folder}", rows)

    def find(self, name: str | Path, *, trust_plugin: bool = False) -> Run:
        """Return a run by its name, an unambiguous beginning of it, or its path; raises InputError otherwise."""
        given = str(name)
        for path in (self.folder / given, Path(given).expanduser()):
            if given and (path / "experiment.json").is_file():
                return Run(path, trust_plugin=trust_plugin)
        if os.sep in given or given in (".", ".."):
            raise InputError(f"{given!r} is not a run: a run's folder holds experiment.json")
        names = [path.name for path in self.paths()]
        meant = matching(given, names)
        if len(meant) == 1:
            return Run(self.folder / meant[0], trust_plugin=trust_plugin)
        if meant:
            raise InputError(f"{given!r} could be {first_of(meant, 5)}; write more of the name")
        if given and ((self.folder / given).is_dir() or Path(given).is_dir()):
            raise InputError(f"{given!r} is not a run: the folder holds no experiment.json")
        hint = did_you_mean(given, with_stems(names))
        raise InputError(f"no run is named {shorten(given)!r} in {self.folder}{hint}; `groklab runs` lists them")

    def look_up(self, name: str | Path, *, trust_plugin: bool = False) -> Run:
        """Return a run to look at, by what `find` takes, or by RUN#2 the third member of one.

        Raises:
            InputError: as `find`, and for a member that the run does not have.
        """
        given, mark, place = str(name).rpartition(MEMBER_MARK)
        if not (mark and given and place.isascii() and place.isdigit()):
            return self.find(name, trust_plugin=trust_plugin)
        with contextlib.suppress(InputError):
            return self.find(name, trust_plugin=trust_plugin)  # names may hold the mark
        return OneMember(self.find(given, trust_plugin=trust_plugin), int(place))

    def paths(self) -> list[Path]:
        """Return the folders of all runs, by name."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            # hidden ones are removed, or not complete yet
            folders = (Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
            return sorted(path for path in folders if (path / "experiment.json").is_file())

    def summaries(self) -> list[dict[str, Any]]:
        """Return every run's summary with its disk use, newest last; a damaged run has a `reason`."""
        with self._index() as (index, rows):
            known = {name: (stamp, text) for name, stamp, text in rows}
            listed = []
            for path in self.paths():
                stamp = _stamp(path)
                old = known.get(path.name)
                summary = _recalled(old[1]) if old is not None and old[0] == stamp else None
                if summary is None:
                    try:
                        summary = _summarise(path)
                    except FileNotFoundError:  # removed since it was listed
                        continue
                    row = (path.name, stamp, json.dumps(summary))
                    # an index that cannot be written, or a name that is not Unicode, only makes the next listing slower
                    with contextlib.suppress(sqlite3.Error, UnicodeError):
                        index.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", row)
                if summary["status"] in ("running", "perhaps running", "created"):
                    summary["status"] = locks.state(path)
                # the whole collection may have been moved since
                listed.append({**summary, "run": path.name, "path": str(path)})
            gone = set(known) - {s["run"] for s in listed}
            with contextlib.suppress(sqlite3.Error):
                index.executemany("DELETE FROM runs WHERE name = ?", [(name,) for name in gone])
        return sorted(listed, key=lambda s: s["changed"])

    def remove(self, *names: str) -> dict[str, int]:
        """Delete runs and everything in them, and return the bytes freed by name.

        Each first gets a hidden name. What is left under one by a process that was killed goes with the next removal.

        Raises:
            InputError: a run is not there, or is being written; then all of them stay.
        """
        hidden = {path: path.name[len(_REMOVED) :].rpartition(".")[0] for path in self.folder.glob(f"{_REMOVED}*")}
        again = {name for name in names if name and any(full.startswith(name) for full in hidden.values())}
        paths = []
        for name in names:
            try:
                paths.append(self._removable(name))
            except InputError:
                if not again:
                    raise  # otherwise this command was killed, and is given once more
        locks.wait_until_free(*paths)
        for path in dict.fromkeys(paths):
            try:
                with locks.exclusive(path):
                    # it may have been taken since
                    locks.wait_until_free(path)
                    os.rename(path, new := path.with_name(f"{_REMOVED}{path.name}.{secrets.token_hex(6)}"))
            except OSError as error:
                raise InputError(f"{path} cannot be removed: {error.strerror}") from None
            hidden[new] = path.name
        freed: dict[str, int] = {}
        for path, name in hidden.items():
            freed[name] = freed.get(name, 0) + storage.disk_use(path)
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                raise InputError(f"not all files of {name} could be removed; the others are in {path}")
        return freed

    def _removable(self, name: str) -> Path:
        """Return the folder of a run, or of one whose making or removal was killed."""
        try:
            return self.find(name).path
        except InputError:
            path = self.folder / name
            if path.parent == self.folder and any((path / part).is_file() for part in _PARTS):
                return path
            raise

    @contextlib.contextmanager
    def _index(self) -> Iterator[tuple[sqlite3.Connection, list[Any]]]:
        path = self.folder / "index.sqlite"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            index, rows = _open(path)
        except _DAMAGE:
            # damaged, or a folder that may only be read: rebuild, else keep it in memory
            with contextlib.suppress(OSError):
                path.unlink()
            try:
                index, rows = _open(path)
            except _DAMAGE:
                index, rows = _open(":memory:")
        except OSError as error:
            raise InputError(f"{self.folder} cannot be used for runs: {error.strerror}") from None
        try:
            yield index, rows
            with contextlib.suppress(sqlite3.Error):
                index.commit()
        finally:
            index.close()


def _open(path: Path | str) -> tuple[sqlite3.Connection, list[Any]]:
    """Return a connection to an index that is not damaged, and all of its rows."""
    index = sqlite3.connect(path, timeout=10)
    try:
        index.execute(_SCHEMA)
        rows = index.execute("SELECT name, stamp, summary FROM runs").fetchall()
        if index.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("the index is damaged")
        return index, rows
    except _DAMAGE:
        index.close()
        raise


def _stamp(path: Path) -> str:
    stamps = []
    for name in (".", "experiment.json", "status.json", "tags.json"):
        try:
            stamps.append(str((path / name).stat().st_mtime_ns))
        except OSError:
            stamps.append("-")
    return ".".join(stamps)


class _Row(Stored):
    """A run in the index: what a list of runs shows, and the rest of its summary."""

    model_config = ConfigDict(extra="allow")

    status: str
    tags: list[str]
    bytes: int
    changed: float
    task: str
    members: int
    steps: Step | None = None
    seconds: Seconds = 0.0
    memorised_step: Step | list[Step | None] | None = None
    grokked_step: Step | list[Step | None] | None = None
    test_accuracy: Accuracy | list[Accuracy | None] | None = None


def _recalled(text: Any) -> dict[str, Any] | None:
    try:
        return _Row.model_validate_json(text, strict=True).to_dict()
    except ValidationError:
        return None


def _summarise(path: Path) -> dict[str, Any]:
    try:
        changed = (path / "status.json").stat().st_mtime
    except OSError:
        changed = path.stat().st_mtime
    about: dict[str, Any] = {"task": "", "members": 0}
    try:
        run = Run(path)
        about = {"task": run.task_label, "members": run.n_members}
        summary = run.summary()
    except (InputError, OSError) as error:
        summary = {"run": path.name, "path": str(path), "status": "damaged", "reason": str(error), "tags": []}
    return {**summary, **about, "bytes": storage.disk_use(path), "changed": changed}


def run(name: str | Path, *, trust_plugin: bool = False, home: str | Path | None = None) -> Run:
    """Return a run by its name, an unambiguous beginning of it, or its path; `RUN#2` is the third member of one.

    Args:
        trust_plugin: import plug-ins that are another's, too, or have changed.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: where no run, or more than one, has the name.
    """
    return Collection(Path(home) if home is not None else None).look_up(name, trust_plugin=trust_plugin)


class Runs(list[Run]):
    """Runs in a list, shown as a table with the last one first."""

    def _rows(self) -> list[tuple[str, ...]]:
        return rows_of([run.summary() for run in self[-notebook.ROWS :]])

    def __repr__(self) -> str:
        return lines_of(_count(len(self)), self._rows())

    def _repr_html_(self) -> str:
        return table_of(_count(len(self)), self._rows())


def _count(n: int) -> str:
    return "1 run" if n == 1 else f"{n:,} runs"


def runs(home: str | Path | None = None) -> Runs:
    """Return every run that is kept, the one changed last at the end; a notebook shows them as a table."""
    collection = Collection(Path(home) if home is not None else None)
    return Runs(collection.find(s["run"]) for s in collection.summaries() if s["status"] != "damaged")
