from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from groklab.sweeps import _local_cluster as local_cluster
from groklab.sweeps._executors import ENVIRONMENT


@contextmanager
def cluster_of(workers: int, **environment: str) -> Iterator[str]:
    """The address of a real dask cluster of this machine."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(Path(local_cluster.__file__)), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT, **environment},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
