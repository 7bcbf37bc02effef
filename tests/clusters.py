from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed  # noqa: F401  (its defaults, which leaving `dask.config.set` would remove if they came within)

from groklab.sweeps import _local_cluster as local_cluster
from groklab.sweeps._executors import ENVIRONMENT, ONE_THREAD


@contextmanager
def cluster_of(workers: int, **environment: str) -> Iterator[str]:
    """The address of a real dask cluster of this machine."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(Path(local_cluster.__file__)), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT, **ONE_THREAD, **environment},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        cluster = json.loads(process.stdout.readline())
        # as a user of a cluster with TLS configures dask
        names = {"tls_ca_file": "ca-file", "tls_client_cert": "client.cert", "tls_client_key": "client.key"}
        tls = {f"distributed.comm.tls.{names[k]}": v for k, v in cluster["credentials"].items()}
        with dask.config.set(tls):
            yield cluster["address"]
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
