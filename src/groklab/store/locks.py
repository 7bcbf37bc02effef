"""One process at a time writes a run: a lock with a heartbeat.

The lock is a small file in the run's folder that names process and host. A lock whose process is dead on this host is
taken over at once; one from another host, when its heartbeat has stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from groklab.errors import InputError
from groklab.store.storage import atomic_write

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


def holder(folder: Path) -> dict[str, Any] | None:
    """Return who is writing this run now (pid, host, process_started), or None."""
    path = folder / "lock.json"
    try:
        content = json.loads(path.read_bytes())
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not {"pid", "host", "process_started"} <= content.keys():
        return None
    fresh = age < STALE_SECONDS
    alive = _alive(content, fresh) if content["host"] == socket.gethostname() else fresh
    return content if alive else None


def _alive(content: dict[str, Any], fresh: bool) -> bool:
    """Return whether the process of this host that took a lock is alive; `fresh` decides where that cannot be seen."""
    try:
        number = int(content["pid"])
        process = psutil.Process(number)
        # the same number may since have gone to another process; a zombie writes no more
        same = abs(process.create_time() - float(content["process_started"])) < 2
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return fresh  # some systems hide the processes of other users
    except psutil.NoSuchProcess:
        return fresh and number < 2**22 and bool(psutil.pid_exists(number))
    except (TypeError, ValueError, OverflowError):
        return False


class Lock:
    """A lock that this process holds on a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "lock.json"
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": psutil.Process().create_time(),
            "token": secrets.token_hex(8),
        }
        self.content = json.dumps(me).encode()

    def take(self) -> None:
        """Take the lock; raises InputError if another process holds it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # a file lock that ends with its process guards the check and the writing together
            with open(self.folder / ".lock", "w") as guard:
                fcntl.flock(guard, fcntl.LOCK_EX)
                other = holder(self.folder)
                if other is not None:
                    raise InputError(
                        f"the run {self.folder.name} is being written by process {other['pid']} on {other['host']}; "
                        "wait for it, or stop it"
                    )
                try:
                    atomic_write(self.path, self.content)
                except BaseException:
                    self.release()
                    raise
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror or error}") from None

    def mine(self) -> bool:
        """Return whether the lock on disk is still this one."""
        try:
            return self.path.read_bytes() == self.content
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock, if it is still held."""
        if self.mine():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def check(self) -> None:
        """Make sure of the lock before writing; raises InputError if another process has taken it over.

        That happens to a process that was suspended for longer than `STALE_SECONDS`, as on a sleeping laptop.
        """
        if not self.mine():
            self.take()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Hold the run's lock while the block runs; raises InputError if another process holds it."""
    lock = Lock(folder)
    lock.take()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            if lock.mine():
                with contextlib.suppress(OSError):
                    os.utime(lock.path)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield lock
    finally:
        done.set()
        heart.join()
        lock.release()
