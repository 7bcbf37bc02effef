"""A dask cluster of this machine, as a program of its own: `python -P _local_cluster.py WORKERS`.

It prints its scheduler's address on standard output and ends, with all workers, as soon as its standard input does,
even if the process that started it was killed. As a program of its own it needs no `if __name__ == "__main__"` in the
scripts that sweep. It and its workers ignore signals that ask to end: batch systems send them to all processes of a
job, and the sweep has the workers save what they train.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
from typing import Any


def serve(n_workers: int) -> None:
    """Run the cluster until standard input ends."""
    import dask
    from distributed import LocalCluster

    scratch = tempfile.mkdtemp(prefix="groklab-sweep-")
    # the scheduler's, too
    dask.config.set({"temporary-directory": scratch})
    make: Any = LocalCluster  # dask gives it no types
    cluster = make(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        # what training needs is checked before it begins; a limit would stop a worker halfway
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        local_directory=scratch,
        silence_logs=logging.ERROR,
    )
    print(cluster.scheduler_address, flush=True)
    sys.stdin.buffer.read()
    shutil.rmtree(scratch, ignore_errors=True)
    # workers end with the process that started them; what they trained is on disk
    os._exit(0)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    serve(int(sys.argv[1]))
