"""A dask cluster of this machine, as a program of its own: `python -P _local_cluster.py WORKERS`.

It prints, as JSON on standard output, its scheduler's address and one-time credentials, without which nobody can
connect. It ends, with all workers, as soon as its standard input does, even if the process that started it was killed.
As a program of its own it needs no `if __name__ == "__main__"` in the scripts that sweep. It and its workers ignore
signals that ask to end: batch systems send them to all processes of a job, and the sweep has the workers save what they
train.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

#: What any user of this machine could read without credentials: dask's dashboard and the pages beside it.
NOTHING_SERVED: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
NO_DASHBOARD: dict[str, Any] = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
#: What a client needs of a cluster's `Security`.
CREDENTIALS = ("tls_ca_file", "tls_client_cert", "tls_client_key")
_SCRATCH = "groklab-sweep-"


def serve(n_workers: int) -> None:
    """Run the cluster until standard input ends."""
    import dask
    from distributed import LocalCluster, Security

    scratch = make_scratch()
    # for all temporary files, of workers, too
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    dask.config.set({"temporary-directory": scratch, **NOTHING_SERVED})
    security: Any = Security.temporary()  # type: ignore[no-untyped-call]
    make: Any = LocalCluster  # dask gives it no types
    cluster = make(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        # what training needs is checked before it begins; a limit would stop a worker halfway
        memory_limit=0,
        local_directory=scratch,
        silence_logs=logging.ERROR,
        security=security,
        **NO_DASHBOARD,
    )
    credentials = {name: getattr(security, name) for name in CREDENTIALS}
    print(json.dumps({"address": cluster.scheduler_address, "credentials": credentials}), flush=True)
    sys.stdin.buffer.read()
    shutil.rmtree(scratch, ignore_errors=True)
    # workers end with the process that started them; what they trained is on disk
    os._exit(0)


def make_scratch() -> str:
    """Make a folder for temporary files that only this user may enter, and remove those of processes that were killed.

    A file lock on it ends with this process.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        if (handle := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH))
        # unless another process has taken it for a left one
        if _lock(scratch) is not None and scratch.exists():
            return str(scratch)


def _lock(folder: Path) -> int | None:
    """Lock a folder of this user's, for as long as this process runs; None if that is not possible."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if os.fstat(handle).st_uid == os.getuid():
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
        os.close(handle)
    return None


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    serve(int(sys.argv[1]))
