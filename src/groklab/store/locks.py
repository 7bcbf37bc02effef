"""One process at a time writes a run: a claim with a heartbeat.

The claim is a small file in the run's folder that names process and host. A claim whose process is dead on this
host is taken over at once; one from another host, when its heartbeat has stopped.
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
    """Who is writing this run right now, or None."""
    path = folder / "claim.json"
    try:
        claim = json.loads(path.read_bytes())
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if not isinstance(claim, dict) or not {"pid", "host", "process_started"} <= claim.keys():
        return None
    fresh = age < STALE_SECONDS
    alive = _alive(claim, fresh) if claim["host"] == socket.gethostname() else fresh
    return claim if alive else None


def _alive(claim: dict[str, Any], fresh: bool) -> bool:
    """Whether the process of this host that made a claim lives; `fresh` decides where that cannot be seen."""
    try:
        number = int(claim["pid"])
        process = psutil.Process(number)
        # the same number may since have gone to another process; a zombie writes no more
        same = abs(process.create_time() - float(claim["process_started"])) < 2
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return fresh  # some systems hide the processes of other users
    except psutil.NoSuchProcess:
        return fresh and number < 2**22 and bool(psutil.pid_exists(number))
    except (TypeError, ValueError, OverflowError):
        return False


class Claim:
    """A claim that this process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "claim.json"
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": psutil.Process().create_time(),
            "token": secrets.token_hex(8),
        }
        self.content = json.dumps(me).encode()

    def take(self) -> None:
        """Take the claim; raises InputError if another process has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # a lock that dies with its process guards the look and the take together
            with open(self.folder / ".claim.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
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
        """Whether the claim on disk is still this one."""
        try:
            return self.path.read_bytes() == self.content
        except OSError:
            return False

    def release(self) -> None:
        """Let the claim go, if it is still held."""
        if self.mine():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def check(self) -> None:
        """To be called before writing: raises InputError if another process has taken the claim over.

        That happens to a process that stood still for longer than `STALE_SECONDS`, such as on a sleeping laptop.
        """
        if not self.mine():
            self.take()


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold the run's claim while the block runs; raises InputError if another process has it."""
    claim = Claim(folder)
    claim.take()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            if claim.mine():
                with contextlib.suppress(OSError):
                    os.utime(claim.path)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield claim
    finally:
        done.set()
        heart.join()
        claim.release()
