"""Train a sweep's packs: what a worker does with one, and what has the workers train them all and keeps the table.

While a worker trains, it writes how far its pack is into a small file, progress/PACK.json, which the scheduler reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groklab import device, plugins
from groklab.errors import DamagedError, InputError, Interrupted
from groklab.experiment import Experiment
from groklab.grokking import learning_phase
from groklab.notebook import Watch
from groklab.registry import unload_plugins
from groklab.store import locks, storage
from groklab.sweeps._cells import Member
from groklab.sweeps._executors import Workers, connected, take_card
from groklab.sweeps._folder import ENDED, Sweep, SweepRecords
from groklab.sweeps._packing import pack
from groklab.sweeps._plan import MAX_MEMBERS, Plan, make_plan
from groklab.sweeps._records import PackProgress
from groklab.sweeps._watching import watching_sweep
from groklab.training import Portion, Progress, compile_ahead, interrupts, stop_requests, training

#: Seconds between two looks at the workers, two updates of the view, and at least between two writes of the table.
LOOK_SECONDS, SHOW_SECONDS, WRITE_SECONDS = 0.05, 0.3, 3.0
#: Seconds that workers are given to save their packs once the sweep was asked to stop.
STOP_SECONDS = 60.0
#: Seconds between two reports of a worker, and between two looks at a pack that another process trains.
REPORT_SECONDS, WAIT_SECONDS = 1.0, 0.5
#: The mark of this process.
PROCESS = secrets.token_hex(8)
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
        members: each member's point, and the member with its outcome and phase so far.
        shares: the share of each member's steps that is done.
        seconds: time since this process began.
        done_before: the share that was done then.
        workers: how many packs train at once, now.
    """

    name: str
    description: str
    keys: dict[str, list[Any]]
    points: list[dict[str, Any]]
    members: list[tuple[int, Member]]
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
    def ended(self) -> list[Member]:
        """The members that have ended."""
        return [m for _, m in self.members if m.ended]

    @property
    def portion(self) -> Portion:
        """The same without the members, for those who watch more than this sweep."""
        return Portion(self.name, len(self.ended), len(self.members), self.share, self.seconds_left)


SweepView = Callable[[SweepProgress], None]


@dataclass(frozen=True)
class PackResult:
    """How a pack's training ended; everything else is in the pack's run.

    Args:
        status: 'finished', 'interrupted' (the sweep was asked to stop) or 'failed'.
        reason: why it failed, in one sentence.
    """

    status: str
    reason: str = ""


def train_pack(
    path: str, number: int, process: str, own: Sequence[str] = (), following: int | None = None
) -> PackResult:
    """Train a pack of the sweep in a folder to its end, from its last checkpoint on; this runs in a worker.

    Args:
        following: the pack that is next, whose program is compiled meanwhile where this worker has a graphics card.
        process: the mark of the process that schedules the sweep.
        own: digests of the plug-ins that are the user's own.
    """
    take_card()
    _keep_memory()
    for digest in own:
        plugins.trust(digest)
    sweep = Sweep(path)
    if process != PROCESS:
        # a cluster's workers outlive a sweep, and the next one may have other plug-ins of the same names
        unload_plugins(keep=sweep.plan.overrides.get("plugins", ()))
    pack = sweep.packs[number]
    try:
        if _wait_for_lock(sweep, pack.path):
            return PackResult("interrupted")
        with contextlib.ExitStack() as stack:
            stop = _stopper(sweep, lambda: stack.enter_context(interrupts.deadline(0.0)))
            if following is not None and device.on_gpu():
                # an error comes again when that pack trains
                ahead = threading.Thread(target=_quietly, args=(compile_ahead, sweep.experiments_of(following)))
                ahead.start()
            training.train(sweep.experiments_of(number), view=_Reporter(pack.progress, stop), home=sweep.path / "packs")
    except Interrupted:
        return PackResult("interrupted")
    except InputError as error:
        return PackResult("failed", str(error))
    except Exception as error:  # an error in a user's plug-in must not end the sweep; workers.log has the details
        traceback.print_exc()
        return PackResult("failed", f"{type(error).__name__}: {error}")
    return PackResult("finished")


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    with contextlib.suppress(Exception):
        function(*arguments)


def _keep_memory() -> None:
    """Have the C library keep what is freed, for the next call of the program.

    dask has workers return it at once (it sets MALLOC_TRIM_THRESHOLD_); a program that allocates it again at each call
    spends a third of its time on that.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, 2**28)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def _wait_for_lock(sweep: Sweep, path: Path) -> bool:
    """Wait while another process trains the pack, as one that outlives its sweep may; True if asked to stop."""
    while locks.holder(path) is not None:
        if sweep.stopping:
            return True
        time.sleep(WAIT_SECONDS)
    return sweep.stopping


def _stopper(sweep: Sweep, end: Callable[[], Any]) -> Callable[[], bool]:
    """Return a function that ends training, saved, once the sweep was asked to stop, and returns whether it was."""
    ended = False

    def stop() -> bool:
        nonlocal ended
        if not ended and sweep.stopping:
            ended = True
            end()
        return ended

    return stop


class _Reporter:
    """Writes how far a pack is: its step, which members have ended, and their phases so far."""

    def __init__(self, path: Path, stop: Callable[[], bool]) -> None:
        self.path, self.stop, self.written_at = path, stop, 0.0

    def __call__(self, progress: Progress) -> None:
        if self.stop() and progress.compiling:
            # before that takes a minute
            raise Interrupted(progress.run)
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
        report = PackProgress(step=progress.step, budget=max(progress.budget, 1), ended=ended, phases=phases)
        with contextlib.suppress(InputError):
            storage.atomic_write(self.path, report.model_dump_json().encode())


def drive(
    records: SweepRecords, workers: Workers, view: SweepView | None, stop_requested: Callable[[], str | None]
) -> None:
    """Train every pack that is not done; raises Interrupted once what was being trained is saved, if asked to stop."""
    sweep = records.sweep
    (sweep.path / "progress").mkdir(exist_ok=True)
    for left in (sweep.stop_file, *sweep.path.glob("progress/*.json")):
        left.unlink(missing_ok=True)
    begun, before = time.monotonic(), _progress(records, "", 0, 0.0, 0.0).share
    own = [digest for digest in sweep.plan.sources.values() if plugins.is_own(digest)]
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
                following = todo[-1] if todo else None
                task = workers.client.submit(train_pack, str(sweep.path), number, PROCESS, own, following, pure=False)
                training[task] = number
            if stop_requested() is not None:
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


def _remove_left_behind(sweep: Sweep) -> None:
    """Remove what killed workers have left: half-written progress, and locks on packs that they trained."""
    storage.sweep(sweep.path / "progress")
    for kept in sweep.packs:
        locks.tidy(kept.path)


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
        result = future.result() if future.status == "finished" else _lost(future)
        try:
            records.take(number)
        except (InputError, OSError) as error:
            if result.status == "finished":
                result = PackResult("failed", str(error))
        if result.status == "failed":
            records.fail(number, result.reason)
        records.sweep.packs[number].progress.unlink(missing_ok=True)
        future.release()
    return bool(ended)


def _lost(future: Any) -> PackResult:
    """Return the result of a task that returned nothing; raises InputError where the scheduler has gone."""
    if future.status != "error":
        raise InputError(GONE)
    error = future.exception()
    reason = DIED if type(error).__name__ == "KilledWorker" else f"{type(error).__name__}: {error}"
    return PackResult("failed", reason)


def _stop(records: SweepRecords, training: dict[Any, int]) -> None:
    """Ask workers to save and stop, and wait until they have."""
    records.sweep.stop_file.touch()
    until = time.monotonic() + STOP_SECONDS
    while training and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        _collect(records, training)


def _reported(sweep: Sweep, number: int) -> PackProgress | None:
    """Return the progress that a pack's worker has written; None where there is nothing usable yet."""
    try:
        report = storage.read_json(sweep.packs[number].progress, PackProgress)
    except (OSError, DamagedError):
        return None
    fits = len(report.ended) == len(sweep.packs[number].members) == len(report.phases) and report.budget >= report.step
    return report if fits else None


def _progress(records: SweepRecords, trainer: str, workers: int, seconds: float, before: float) -> SweepProgress:
    sweep, rows = records.sweep, records.rows
    phases = [row.phase for row in rows]
    outcomes = [{"failed": "failed", **dict.fromkeys(ENDED, "censored")}.get(row.status, "undecided") for row in rows]
    shares = [float(outcome != "undecided") for outcome in outcomes]
    for number, trained in enumerate(sweep.packs):
        if records.is_done(number):
            continue
        report = _reported(sweep, number)
        if report is None:
            continue
        for member, ended, phase in zip(trained.members, report.ended, report.phases, strict=True):
            outcomes[member] = "censored" if ended else "undecided"
            phases[member] = phase
            shares[member] = 1.0 if ended else report.step / report.budget
    return SweepProgress(
        name=sweep.path.name,
        description=f"{sweep.packing}; {trainer}",
        keys=sweep.keys,
        points=sweep.points,
        members=[(m.point, Member(i, m.seed, outcomes[i], phase=phases[i])) for i, m in enumerate(sweep.members)],
        shares=shares,
        seconds=seconds,
        done_before=before,
        workers=workers,
    )


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
    view: Watch[SweepProgress] = "live",
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
        view: "live" shows the map in a notebook as it fills, and a line now and then elsewhere; None shows nothing; a
            function is called with the progress.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: the sweep cannot be trained as given.
        Interrupted: Ctrl-C was pressed, or another signal asked to end; what was trained stays.
    """
    base = Path(home) if home is not None else device.home()
    options: dict[str, Any] = {"seeds": seeds, "retire": retire, "name": name, "max_members": max_members}
    plan = make_plan(what, keys, overrides=overrides, **options, home=base)
    path = base / "sweeps" / plan.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_finished(path):
        return Sweep(path)
    try:
        with watching_sweep(view) as watch, stop_requests() as stop_requested, locks.locked(path):
            _train(path, plan, workers, scheduler, watch, stop_requested)
    finally:
        if locks.holder(path) is None:
            _remove_unused(path)
    return Sweep(path)


def _is_finished(path: Path) -> bool:
    """Return whether the folder holds a sweep with nothing left to do."""
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
    stop_requested: Callable[[], str | None],
) -> None:
    # what cannot be trained is refused before any worker starts
    pack(plan.experiments)
    with connected(path, workers, scheduler) as pool:
        try:
            planned = Sweep(path)
        except InputError:
            packing = pack(plan.experiments, platform=pool.platform, workers=pool.count, memory=pool.memory)
            planned = Sweep.create(path, plan, packing)
        records = SweepRecords(planned)
        records.forget_failures()
        drive(records, pool, view, stop_requested)


def _remove_unused(path: Path) -> None:
    """Remove the folder of a sweep that was refused before it began."""
    if not (path / "sweep.json").exists():
        shutil.rmtree(path, ignore_errors=True)
