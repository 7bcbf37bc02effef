"""Has workers train a sweep's packs, and keeps the table up to date with what they have done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from groklab.errors import DamagedError, InputError, Interrupted
from groklab.store import claims, storage
from groklab.sweeps import table
from groklab.sweeps.executors import Workers
from groklab.sweeps.folder import Folder
from groklab.sweeps.packs import train_pack
from groklab.training.progress import Portion

#: Seconds between two looks at the workers, two pictures, and two writings of the table at least.
LOOK_SECONDS, SHOW_SECONDS, WRITE_SECONDS = 0.05, 0.3, 3.0
#: Seconds that workers are given to save their packs once the sweep was asked to stop.
STOP_SECONDS = 60.0
#: How a sweep ends that loses its scheduler, and a pack whose workers die one after the other.
GONE = "the scheduler has gone; what was trained stays, and the same command goes on from there"
DIED = "its worker died again and again, as it does when there is not enough memory; workers.log may say more"


@dataclass(frozen=True)
class SweepProgress:
    """What a view of a sweep sees: for each member its phase (so far), whether it has ended, and its share of steps.

    keys, points, member_points: as in the sweep's folder. failed: members of packs that could not be trained.
    seconds: since this process began; done_before: the share that was done then. workers: how many there are now.
    said: how the members are packed and what trains them, in one sentence.
    """

    name: str
    said: str
    keys: dict[str, list[Any]]
    points: list[dict[str, Any]]
    member_points: list[int]
    phases: list[str | None]
    ended: list[bool]
    failed: list[bool]
    shares: list[float]
    seconds: float
    done_before: float
    workers: int

    @property
    def share(self) -> float:
        """The share of all members' steps that is done."""
        return sum(self.shares) / len(self.shares)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the present speed, once it is known."""
        done = self.share - self.done_before
        return self.seconds * (1 - self.share) / done if done > 0.01 else None

    @property
    def portion(self) -> Portion:
        """The same without the members, for those who watch more than this sweep."""
        return Portion(self.name, sum(self.ended), len(self.ended), self.share, self.seconds_left)


SweepView = Callable[[SweepProgress], None]


class SweepRecords:
    """The rows and curves of all members, taken from the packs, and the files that hold them."""

    def __init__(self, sweep: Folder) -> None:
        self.sweep = sweep
        self.rows = table.empty_rows(sweep)
        self.curves: dict[int, pl.DataFrame] = {}
        self.failures = sweep.failures()
        self.written_at = 0.0
        for number, pack in enumerate(sweep.packs):
            if (pack.path / "experiment.json").is_file():
                with contextlib.suppress(InputError, OSError):
                    self.take(number)
            if pack.path.name in self.failures and not self.is_done(number):
                self.fail(number, self.failures[pack.path.name])

    def take(self, number: int) -> None:
        """Read a pack; raises InputError or DamagedError where it has no run, or none that is whole."""
        rows, self.curves[number] = table.rows_of_pack(self.sweep, number)
        for row in rows:
            self.rows[row["member"]] |= row

    def is_done(self, number: int) -> bool:
        """Whether all of a pack's members have been trained to their end."""
        return all(self.rows[m]["status"] in ("finished", "diverged") for m in self.sweep.packs[number].members)

    def fail(self, number: int, reason: str) -> None:
        """Record that a pack could not be trained."""
        pack = self.sweep.packs[number]
        for member in pack.members:
            self.rows[member] |= {"status": "failed", "reason": reason}
        self.failures[pack.path.name] = reason

    def forget_failures(self) -> None:
        """Let packs that failed be tried again."""
        for row in self.rows:
            if row["status"] == "failed":
                row |= {"status": "pending", "reason": None}
        self.failures = {}

    def write(self) -> None:
        """Write table, curves and failures."""
        path = self.sweep.path
        storage.write_json(path / "failures.json", self.failures)
        blank = pl.DataFrame(schema=table.CURVE_SCHEMA)
        table.write(path / "curves.parquet", pl.concat([blank, *self.curves.values()]).sort("member", "step"))
        table.write(path / "table.parquet", table.table_of(self.sweep, self.rows))
        self.written_at = time.monotonic()


def drive(records: SweepRecords, workers: Workers, view: SweepView | None, asked_to_stop: Callable[[], bool]) -> None:
    """Train every pack that is not done; raises Interrupted once what was being trained is saved, if asked to stop."""
    sweep = records.sweep
    (sweep.path / "progress").mkdir(exist_ok=True)
    for left in (sweep.stop_file, *sweep.path.glob("progress/*.json")):
        left.unlink(missing_ok=True)
    begun, before = time.monotonic(), _progress(records, "", 0, 0.0, 0.0).share
    # the last first, as they are taken from the end
    todo = [n for n in range(len(sweep.packs)) if not records.is_done(n)][::-1]
    training: dict[Any, int] = {}
    shown = 0.0
    try:
        while todo or training:
            if time.monotonic() - shown > SHOW_SECONDS:
                present = _threads(workers)
                shown = time.monotonic()
                if view is not None:
                    view(_progress(records, workers.said, present, shown - begun, before))
            # no more at once than there are threads, so that a worker that dies takes nobody's pack with it
            while todo and len(training) < present:
                number = todo.pop()
                training[workers.client.submit(train_pack, str(sweep.path), number, pure=False)] = number
            if asked_to_stop():
                _stop(records, training)
                raise Interrupted(sweep.path.name)
            time.sleep(LOOK_SECONDS)
            if _collect(records, training) and time.monotonic() - records.written_at > WRITE_SECONDS:
                records.write()
        if view is not None:
            view(_progress(records, workers.said, workers.count, time.monotonic() - begun, before))
    finally:
        sweep.stop_file.unlink(missing_ok=True)
        if not training:
            _remove_left_behind(sweep)
        if sweep.path.is_dir():
            records.write()


def _remove_left_behind(sweep: Folder) -> None:
    """Remove what workers that were killed have left: half-written progress, and claims on packs that they trained."""
    storage.sweep(sweep.path / "progress")
    for pack in sweep.packs:
        if (pack.path / "claim.json").exists():
            # whoever still holds it refuses
            with contextlib.suppress(InputError), claims.claimed(pack.path):
                pass


def _threads(workers: Workers) -> int:
    """Packs that the workers can train at once, now; raises InputError where the scheduler has gone."""
    if workers.client.status != "running":
        raise InputError(GONE)
    try:
        return sum(workers.client.nthreads().values())
    except (OSError, TimeoutError):
        raise InputError(GONE) from None


def _collect(records: SweepRecords, training: dict[Any, int]) -> bool:
    """Take what has ended out of `training` and into the table; whether anything had."""
    ended = [future for future in training if future.done()]
    for future in ended:
        number = training.pop(future)
        answer = future.result() if future.status == "finished" else _lost(future)
        try:
            records.take(number)
        except (InputError, OSError) as error:
            if answer["status"] == "finished":
                answer = {"status": "failed", "reason": str(error)}
        if answer["status"] == "failed":
            records.fail(number, answer["reason"])
        records.sweep.packs[number].progress.unlink(missing_ok=True)
        future.release()
    return bool(ended)


def _lost(future: Any) -> dict[str, Any]:
    """The answer of a task that has given none; raises InputError where the scheduler has gone."""
    if future.status != "error":
        raise InputError(GONE)
    error = future.exception()
    reason = DIED if type(error).__name__ == "KilledWorker" else f"{type(error).__name__}: {error}"
    return {"status": "failed", "reason": reason}


def _stop(records: SweepRecords, training: dict[Any, int]) -> None:
    """Ask workers to save and stop, and wait until they have."""
    records.sweep.stop_file.touch()
    until = time.monotonic() + STOP_SECONDS
    while training and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        _collect(records, training)


def _told(sweep: Folder, number: int) -> dict[str, Any]:
    """What a pack's worker tells of it; empty where it has not yet, or in another form."""
    try:
        found = storage.read_json(sweep.packs[number].progress)
        n = len(sweep.packs[number].members)
        whole = len(found["ended"]) == n == len(found["phases"]) and found["budget"] >= found["step"] >= 0
        return dict(found) if whole else {}
    except (OSError, DamagedError, KeyError, TypeError):
        return {}


def _progress(records: SweepRecords, said: str, workers: int, seconds: float, before: float) -> SweepProgress:
    sweep, rows = records.sweep, records.rows
    phases = [row["phase"] for row in rows]
    ended = [row["status"] in ("finished", "diverged", "failed") for row in rows]
    shares = [float(done) for done in ended]
    for number, pack in enumerate(sweep.packs):
        if records.is_done(number):
            continue
        told = _told(sweep, number)
        for place, member in enumerate(pack.members if told else ()):
            ended[member] = told["ended"][place]
            phases[member] = told["phases"][place]
            shares[member] = 1.0 if ended[member] else told["step"] / max(told["budget"], 1)
    return SweepProgress(
        name=sweep.path.name,
        said=f"{sweep.description['packing']}; {said}",
        keys=sweep.keys,
        points=sweep.points,
        member_points=[m["point"] for m in sweep.members],
        phases=phases,
        ended=ended,
        failed=[row["status"] == "failed" for row in rows],
        shares=shares,
        seconds=seconds,
        done_before=before,
        workers=workers,
    )
