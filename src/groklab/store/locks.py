"""One process at a time writes a run: a lock with a heartbeat.

lock.json in the run's folder names a process and carries a token and a counter, which a thread of that process raises
every few seconds. Others judge by their own clock: a counter that has stood still for `STALE_SECONDS` is that of a dead
process. Process ids decide only where they mean the same: on the same host, since the same boot, in the same PID
namespace. There a dead process is known at once.

Where the file system has file locks, they make the check of a lock and the write that follows one step. Where it has
none, the heartbeat is all there is.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from groklab.errors import DamagedError, InputError
from groklab.store import storage
from groklab.store._records import LockFile

HEARTBEAT_SECONDS = 5.0
#: So long the counter needs to stand still, before another process takes a lock over.
STALE_SECONDS = 60.0
#: Seconds between two looks of a process that waits.
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        lock: what its lock says; None where that cannot be read.
        alive: None where that cannot be seen yet: `holder` needs to be asked again, for up to `STALE_SECONDS`.
    """

    lock: LockFile | None
    alive: bool | None

    def __str__(self) -> str:
        return "an unknown process" if self.lock is None else f"process {self.lock.pid} on {self.lock.host}"


@dataclass(frozen=True)
class _Sight:
    """What this process saw of a lock last: its content, when, for how long unchanged, and whether it ever changed."""

    content: bytes
    at: float
    still: float = 0.0
    moves: bool = False


_seen: dict[Path, _Sight] = {}


def holder(folder: Path) -> Holder | None:
    """Return who writes this run now, without waiting; None if nobody does."""
    path = folder / "lock.json"
    content = _read(path)
    return None if content is None else _judge(path, content)


def process_here(held: Holder) -> int | None:
    """Return the id of the process that holds a lock, where it is known to run on this machine."""
    return held.lock.pid if held.lock is not None and _lives(held.lock) else None


def state(folder: Path) -> Literal["running", "perhaps running", "interrupted"]:
    """Return 'running', 'perhaps running' (its process cannot be seen from here) or 'interrupted'."""
    other = holder(folder)
    if other is None:
        return "interrupted"
    return "running" if other.alive else "perhaps running"


def wait_until_free(*folders: Path) -> None:
    """Wait while it cannot be seen whether runs are being written; raises InputError as soon as one is."""
    warned: set[Path] = set()
    while held := {folder: other for folder in folders if (other := holder(folder)) is not None}:
        for folder, other in held.items():
            if other.alive:
                raise InputError(f"the run {folder.name} is being written by {other}; wait for it, or stop it")
            if folder not in warned:
                warned.add(folder)
                wait = f"waiting up to {STALE_SECONDS:.0f} s for its heartbeat"
                warnings.warn(f"{folder.name} was being written by {other}; {wait}", stacklevel=3)
        time.sleep(LOOK_SECONDS)


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes out of this block; raises InputError where it cannot be written."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(folder))
        except OSError as error:
            raise storage.explain(folder, error) from None
        yield


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[bool]:
    """Keep other processes out of this block, by a file lock that ends with its process.

    Yields False, after a warning, where the file system has no file locks.

    Raises InputError where another process stays in its block, as one that is suspended there.
    """
    # not for writing alone, which waits where a pipe has this name; no link, which would make a file elsewhere
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(folder / ".lock", flags, 0o666), "w") as file:
        until = time.monotonic() + STALE_SECONDS
        while True:
            try:
                locked = storage.lock_file(file.fileno())
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise InputError(f"{folder} is being written by a process that is suspended; stop it") from None
                time.sleep(LOOK_SECONDS / 50)
        if not locked:
            _warn_of_no_file_locks(folder)
        yield locked


class Lock:
    """A lock that this process holds on a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "lock.json"
        place = _place()
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": None if place is None else _started(os.getpid()),
            "place": place,
            "token": secrets.token_hex(8),
        }
        self._start = json.dumps(me)[:-1].encode()
        self._counter = 0

    def take(self) -> None:
        """Take the lock, and remove what killed writers have left; waits where it cannot be seen whether one lives.

        Raises InputError if another process holds it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                wait_until_free(self.folder)
                with exclusive(self.folder) as alone:
                    if self._claim():
                        if alone:
                            storage.sweep(self.folder)
                        return
        except OSError as error:
            raise storage.explain(self.path, error) from None

    def _claim(self) -> bool:
        """Write the lock, unless another process has been quicker; by renames alone, should there be no file locks."""
        content, aside = _read(self.path), self.folder / f".lock.json.{secrets.token_hex(6)}.tmp"
        if content is not None:
            if _judge(self.path, content) is not None:
                return False
            try:
                os.rename(self.path, aside)
            except FileNotFoundError:
                return False
            lives = _read(aside) != content
            if lives:  # and gets it back, unless another process has been quicker
                with contextlib.suppress(OSError):
                    os.link(aside, self.path)
            aside.unlink()
            if lives:
                return False
        self._file = open(aside, "xb", buffering=0)  # noqa: SIM115  (`release` closes it)
        with contextlib.ExitStack() as undo:
            undo.callback(self._file.close)
            undo.callback(aside.unlink, missing_ok=True)
            self.beat()
            try:
                os.link(aside, self.path)
            except FileExistsError:
                return False
            except OSError:  # a file system without links
                os.rename(aside, self.path)
            else:
                aside.unlink()
            undo.pop_all()
        return True

    def beat(self) -> None:
        """Raise the counter.

        It is written into the very file that this process made: once another process has replaced that, it is lost.
        """
        self._counter += 1
        self._file.seek(0)
        self._file.write(self._start + b', "counter": %d}\n' % self._counter)
        os.fsync(self._file.fileno())

    def mine(self) -> bool:
        """Return whether the lock on disk is still this one."""
        return (_read(self.path) or b"").startswith(self._start)

    def release(self) -> None:
        """Release the lock, if it is still held."""
        self._file.close()
        with contextlib.suppress(OSError), exclusive(self.folder):
            if self.mine():
                self.path.unlink()

    @contextlib.contextmanager
    def guard(self, path: Path) -> Iterator[None]:
        """Keep the lock while a file of the run is replaced; raises InputError if it is lost.

        That happens to a process that was suspended for longer than `STALE_SECONDS`, as on a sleeping laptop.
        """
        if not path.parent.resolve().is_relative_to(self.folder.resolve()):
            yield
            return
        with exclusive(self.folder):
            if not self.mine():
                raise InputError(
                    f"{self.folder.name} was taken over by another process while this one was suspended, or its lock "
                    "was removed; this process writes nothing more"
                )
            yield


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Hold the run's lock while the block runs; raises InputError if another process holds it."""
    lock = Lock(folder)
    lock.take()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                lock.beat()

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        with storage.guarded(lock.guard):
            yield lock
    finally:
        done.set()
        heart.join()
        lock.release()


def tidy(folder: Path) -> None:
    """Remove the lock of a process that was killed, if there is one, and its temporary files."""
    if (folder / "lock.json").exists() and holder(folder) is None:
        # a process that has taken it since refuses
        with contextlib.suppress(InputError), locked(folder):
            pass


def _read(path: Path) -> bytes | None:
    try:
        return storage.read_bytes(path, "record")
    except FileNotFoundError:
        return None
    except InputError:
        return b""  # what is there is not a file, or hidden


def _judge(path: Path, content: bytes) -> Holder | None:
    lock, alive = None, None
    # of a lock that cannot be read, only the heartbeat counts
    with contextlib.suppress(DamagedError):
        lock = storage.check_json(path, content, LockFile)
        alive = _lives(lock)
    if alive is None:
        alive = _moves(path, content)
    return None if alive is False else Holder(lock, alive)


def _lives(lock: LockFile) -> bool | None:
    """Return whether the process that holds a lock runs, where its id means something here."""
    if lock.place is None or lock.place != _place():
        return None
    try:
        # the same number may since have gone to another process
        return _started(lock.pid) == lock.process_started
    except PermissionError:
        return None  # some systems hide the processes of other users


def _moves(path: Path, content: bytes) -> bool | None:
    """Return whether a lock's counter moves, by what this process has seen; None: not known yet."""
    now, last = time.monotonic(), _seen.get(path)
    if last is None:
        sight = _Sight(content, now)
    elif last.content != content:
        sight = _Sight(content, now, moves=now - last.at < STALE_SECONDS)
    else:
        # of the time since the last look only as much as one heartbeat counts: this process may have been suspended
        still = last.still + min(now - last.at, HEARTBEAT_SECONDS)
        sight = _Sight(content, now, still, last.moves)
    _seen[path] = sight
    if sight.still >= STALE_SECONDS:
        return False
    return True if sight.moves else None


def _place() -> list[str | int] | None:
    """Return host, boot and PID namespace of this process; None where they cannot be known."""
    host = socket.gethostname()
    if sys.platform != "linux":
        import psutil

        return [host, round(psutil.boot_time()), 0]
    try:
        # /proc may be that of another namespace
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [host, boot, os.stat("/proc/self/ns/pid").st_ino]
    except OSError:
        return None


def _started(pid: int) -> float | None:
    """Return when a process of this system started; None if it has ended. Raises PermissionError if it is hidden."""
    if sys.platform == "linux":
        try:
            # since boot, not by a clock that is set
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            # what is left of a process that has ended writes no more
            return None if fields[0] in (b"Z", b"X") else float(fields[19])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 0)
                raise PermissionError(pid) from None
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise PermissionError(pid) from None


@lru_cache(maxsize=256)
def _warn_of_no_file_locks(folder: Path) -> None:
    warnings.warn(
        f"{folder} is on a file system without file locks: only heartbeats keep two processes from writing one run",
        stacklevel=5,
    )
