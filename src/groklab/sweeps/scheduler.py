"""Train a sweep's packs: what a worker does with one, and what has the workers train them all and keeps the table.

While a worker trains, it writes how far its pack is into a small file, progress/PACK.json, which the scheduler reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.errors import DamagedError, InputError, Interrupted
from groklab.grokking.learning_phases import learning_phase
from groklab.store import locks, storage
from groklab.sweeps import folder
from groklab.sweeps.executors import Workers
from groklab.sweeps.folder import Folder
from groklab.training import interrupts, training
from groklab.training.records import Portion, Progress

#: Seconds between two looks at the workers, two updates of the view, and at least between two writes of the table.
LOOK_SECONDS, SHOW_SECONDS, WRITE_SECONDS = 0.05, 0.3, 3.0
#: Seconds that workers are given to save their packs once the sweep was asked to stop.
STOP_SECONDS = 60.0
#: Seconds between two reports of a worker, and between two looks at a pack that another process trains.
REPORT_SECONDS, WAIT_SECONDS = 1.0, 0.5
#: Why a sweep ends that loses its scheduler, and a pack whose workers die one after the other.
GONE = "the scheduler has gone; what was trained stays, and the same command continues from there"
DIED = "its worker died repeatedly, as it does when there is not enough memory; workers.log may say more"
#: The numbers of two of glibc's mallopt(3) options.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class SweepProgress:
    """The state of a sweep while it trains, as a view sees it.

    Args:
        description: how the members are packed and what trains them, in one sentence.
        keys: the grid's settings with their values.
        points: the settings of each point of the grid.
        member_points: the point of each member.
        phases: each member's phase so far, None before its first evaluation.
        ended: whether each member has ended.
        failed: whether each member is of a pack that could not be trained.
        shares: the share of each member's steps that is done.
        seconds: time since this process began.
        done_before: the share that was done then.
        workers: how many packs train at once, now.
    """

    name: str
    description: str
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


def train_pack(path: str, number: int) -> dict[str, Any]:
    """Train a pack to its end, from its last checkpoint on; this runs in a worker.

    Args:
        path: the sweep's folder.

    Returns:
        `status`: 'finished', 'interrupted' (the sweep was asked to stop) or 'failed', then with a `reason` of one
        sentence. Everything else is in the pack's run.
    """
    _keep_memory()
    sweep = Folder(Path(path))
    pack = sweep.packs[number]
    try:
        if _wait_for_lock(sweep, pack.path):
            return {"status": "interrupted", "reason": None}
        with contextlib.ExitStack() as stack:
            stop = _stopper(sweep, lambda: stack.enter_context(interrupts.deadline(0.0)))
            training.train(sweep.experiments_of(number), view=_Reporter(pack.progress, stop), home=sweep.path / "packs")
    except Interrupted:
        return {"status": "interrupted", "reason": None}
    except InputError as error:
        return {"status": "failed", "reason": str(error)}
    except Exception as error:  # an error in a user's plug-in must not end the sweep; workers.log has the details
        traceback.print_exc()
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    return {"status": "finished", "reason": None}


def _keep_memory() -> None:
    """Have the C library keep what is freed, for the next call of the program.

    dask has workers return it at once (it sets MALLOC_TRIM_THRESHOLD_); a program that allocates it again at each call
    spends a third of its time on that.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, 2**28)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def _wait_for_lock(sweep: Folder, path: Path) -> bool:
    """Wait while another process trains the pack, as one that outlives its sweep may; True if asked to stop."""
    while locks.holder(path) is not None:
        if sweep.stopping:
            return True
        time.sleep(WAIT_SECONDS)
    return sweep.stopping


def _stopper(sweep: Folder, end: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that ends training, saved, once the sweep was asked to stop."""
    ended = False

    def stop() -> None:
        nonlocal ended
        if not ended and sweep.stopping:
            ended = True
            end()

    return stop


class _Reporter:
    """Writes how far a pack is: its step, which members have ended, and their phases so far."""

    def __init__(self, path: Path, stop: Callable[[], None]) -> None:
        self.path, self.stop, self.written_at = path, stop, 0.0

    def __call__(self, progress: Progress) -> None:
        self.stop()
        now = time.monotonic()
        if progress.compiling or not len(progress.steps) or now - self.written_at < REPORT_SECONDS:
            return
        self.written_at = now
        ended, phases = [], []
        for m in range(progress.metrics["train_loss"].shape[1]):
            finite = np.isfinite(progress.metrics["train_loss"][:, m])
            ended.append(not bool(finite[-1]))
            curves = (progress.metrics[f"{s}_accuracy"][finite, m] for s in ("train", "test"))
            phases.append(learning_phase(progress.steps[finite], *curves).phase)
        content = {"step": progress.step, "budget": progress.budget, "ended": ended, "phases": phases}
        with contextlib.suppress(InputError):
            storage.atomic_write(self.path, json.dumps(content).encode())


class SweepRecords:
    """The rows and curves of all members, read from the packs, and the files that hold them."""

    def __init__(self, sweep: Folder) -> None:
        self.sweep = sweep
        self.rows = folder.empty_rows(sweep)
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
        """Read a pack; raises InputError where it has no run, DamagedError where its run is damaged."""
        rows, self.curves[number] = folder.rows_of_pack(self.sweep, number)
        for row in rows:
            self.rows[row["member"]] |= row

    def is_done(self, number: int) -> bool:
        """Whether all of a pack's members have been trained to their end."""
        return all(self.rows[m]["status"] in folder.ENDED for m in self.sweep.packs[number].members)

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
        folder.write(path / "curves.parquet", folder.curves_of(self.curves))
        folder.write(path / "table.parquet", folder.table_of(self.sweep, self.rows))
        self.written_at = time.monotonic()


def drive(records: SweepRecords, workers: Workers, view: SweepView | None, should_stop: Callable[[], bool]) -> None:
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
                    view(_progress(records, workers.description, present, shown - begun, before))
            # no more at once than there are threads, so that a worker that dies takes nobody's pack with it
            while todo and len(training) < present:
                number = todo.pop()
                training[workers.client.submit(train_pack, str(sweep.path), number, pure=False)] = number
            if should_stop():
                _stop(records, training)
                raise Interrupted(sweep.path.name)
            time.sleep(LOOK_SECONDS)
            if _collect(records, training) and time.monotonic() - records.written_at > WRITE_SECONDS:
                records.write()
        if view is not None:
            view(_progress(records, workers.description, workers.count, time.monotonic() - begun, before))
    finally:
        sweep.stop_file.unlink(missing_ok=True)
        if not training:
            _remove_left_behind(sweep)
        if sweep.path.is_dir():
            records.write()


def _remove_left_behind(sweep: Folder) -> None:
    """Remove what killed workers have left: half-written progress, and locks on packs that they trained."""
    storage.sweep(sweep.path / "progress")
    for pack in sweep.packs:
        if (pack.path / "lock.json").exists():
            # a process that still holds it refuses
            with contextlib.suppress(InputError), locks.locked(pack.path):
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
    """Move what has ended out of `training` and into the table; return whether anything had."""
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
    """The answer for a task that gave none; raises InputError where the scheduler has gone."""
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


def _reported(sweep: Folder, number: int) -> dict[str, Any]:
    """What a pack's worker has written of its progress; empty where there is nothing usable yet."""
    try:
        report = storage.read_json(sweep.packs[number].progress)
        n = len(sweep.packs[number].members)
        complete = len(report["ended"]) == n == len(report["phases"]) and report["budget"] >= report["step"] >= 0
        return dict(report) if complete else {}
    except (OSError, DamagedError, KeyError, TypeError):
        return {}


def _progress(records: SweepRecords, trainer: str, workers: int, seconds: float, before: float) -> SweepProgress:
    sweep, rows = records.sweep, records.rows
    phases = [row["phase"] for row in rows]
    ended = [row["status"] in (*folder.ENDED, "failed") for row in rows]
    shares = [float(done) for done in ended]
    for number, pack in enumerate(sweep.packs):
        if records.is_done(number):
            continue
        report = _reported(sweep, number)
        for place, member in enumerate(pack.members if report else ()):
            ended[member] = report["ended"][place]
            phases[member] = report["phases"][place]
            shares[member] = 1.0 if ended[member] else report["step"] / max(report["budget"], 1)
    return SweepProgress(
        name=sweep.path.name,
        description=f"{sweep.description['packing']}; {trainer}",
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
