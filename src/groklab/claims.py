"""One process at a time writes a run: a claim with a heartbeat.

The claim is a small file in the run's folder that names process and host. A claim whose process is dead on this
host is taken over at once; one from another host, when its heartbeat has stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from groklab.errors import InputError
from groklab.storage import atomic_write

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


def holder(folder: Path) -> dict[str, Any] | None:
    """Who is writing this run right now, or None."""
    path = folder / "claim.json"
    try:
        claim: dict[str, Any] = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
    except (OSError, json.JSONDecodeError):
        return None
    if claim.get("host") == socket.gethostname():
        try:
            started = psutil.Process(int(claim["pid"])).create_time()
        except (psutil.Error, KeyError, ValueError):
            return None
        # the same number may since have gone to another process
        return claim if abs(started - claim.get("process_started", 0)) < 2 else None
    return claim if age < STALE_SECONDS else None


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the run's claim while the block runs; raises InputError if another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    me = {
        "pid": os.getpid(),
        "thread": threading.get_ident(),
        "host": socket.gethostname(),
        "process_started": psutil.Process().create_time(),
    }
    path = folder / "claim.json"
    # a lock that dies with its process guards the look and the take together
    with open(folder / ".claim.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = holder(folder)
        if other is not None:
            raise InputError(
                f"the run {folder.name} is being written by process {other['pid']} on {other['host']}; "
                "wait for it, or stop it"
            )
        atomic_write(path, json.dumps(me).encode())
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(path)

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        with contextlib.suppress(OSError):
            path.unlink()
