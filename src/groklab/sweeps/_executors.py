"""Where packs train: worker processes of this machine, the device of this process, or a cluster that is running."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groklab import device
from groklab.errors import InputError, shorten
from groklab.lazy import jax
from groklab.store import storage
from groklab.sweeps._local_cluster import NO_DASHBOARD, NOTHING_SERVED

#: Seconds that a scheduler may take to answer, and the first worker to come.
ANSWER_SECONDS, WORKER_SECONDS = 10, 60
#: Worker processes per core of this machine, at most.
MAX_PER_CORE = 8
#: Seconds that the processes of this machine may take to start.
START_SECONDS = 300
#: host:port, or the same behind the name of one of dask's protocols; IPv6 hosts are in brackets.
_ADDRESS = re.compile(r"(?:(?:tcp|tls|ucx|ws|wss)://)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(\d{1,5})")
#: One thread per process: XLA counts NPROC, the libraries of linear algebra their own variables.
ONE_THREAD = dict.fromkeys(("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
#: The environment of worker processes; one that ends at once leaves semaphores, which needs no warning.
ENVIRONMENT = {"PYTHONWARNINGS": "ignore:resource_tracker:UserWarning"}
#: In the environment of workers that have a graphics card each: the cards, by the workers' names.
CARDS = "GROKLAB_CARDS"
#: Versions that must be the same everywhere for results to be those of one machine.
SAME = ("groklab", "jax", "python")


@dataclass(frozen=True)
class Workers:
    """A connection to workers.

    Args:
        client: the dask client.
        count: how many packs train at once.
        memory: bytes free on the smallest device; None on a CPU.
        description: the workers in words.
    """

    client: Any
    count: int
    platform: str
    memory: int | None
    description: str


@contextlib.contextmanager
def connected(folder: Path, workers: int | None = None, scheduler: str | None = None) -> Iterator[Workers]:
    """Connect to workers that see `folder`, for as long as the block runs.

    Args:
        workers: how many local processes; None means one per core. With graphics cards one for each, at most; a single
            card is used by this process itself.
        scheduler: the address of a cluster to use instead.

    Raises:
        InputError: the address is wrong, the scheduler does not answer, no worker comes, or one has another version or
            does not see the folder.
    """
    if scheduler is not None:
        if workers is not None:
            raise InputError("workers", workers, "cannot be given with a scheduler, whose cluster says how many")
        _check_address(scheduler)
        with _client(scheduler) as client:
            yield _checked(client, folder, scheduler)
    elif workers is not None and workers not in (allowed := range(1, MAX_PER_CORE * device.cores() + 1)):
        raise InputError("workers", workers, f"needs a number from 1 to {allowed[-1]} on this machine")
    elif len(cards := _cards()[:workers]) > 1:
        with _local(len(cards), folder, {CARDS: ",".join(cards)}) as client:
            first = jax.devices()[0]
            description = f"{len(cards)} workers, each on its own {first.device_kind}"
            yield Workers(client, len(cards), first.platform, device.available_memory(), description)
    elif cards:
        with _inside() as client:
            description = f"1 worker on {jax.devices()[0].device_kind}"
            yield Workers(client, 1, jax.devices()[0].platform, device.available_memory(), description)
    else:
        count = workers or device.cores()
        with _local(count, folder, ONE_THREAD) as client:
            several = "processes of one thread each" if count > 1 else "process of one thread"
            yield Workers(client, count, "cpu", None, f"{count} worker {several}")


def _cards() -> list[str]:
    """Return the graphics cards of this process, as CUDA_VISIBLE_DEVICES names them; none where it uses a CPU."""
    if not device.on_gpu():
        return []
    own = [card.strip() for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card.strip()]
    return own or [str(number) for number in range(len(jax.devices()))]


def take_card() -> None:
    """In a worker, before it uses JAX: see only the card that is its own, if there are several."""
    if cards := os.environ.get(CARDS):
        # a worker that takes the place of one that died has its name
        os.environ["CUDA_VISIBLE_DEVICES"] = cards.split(",")[int(_untyped().get_worker().name)]


@contextlib.contextmanager
def _local(count: int, folder: Path, environment: dict[str, str]) -> Iterator[Any]:
    """Start worker processes on this machine, and connect to them."""
    with _processes(count, folder, environment) as (address, security), _client(address, security) as client:
        try:
            client.wait_for_workers(1, timeout=START_SECONDS)
        except TimeoutError:
            raise InputError(f"the worker processes did not start within {START_SECONDS} s") from None
        yield client


@contextlib.contextmanager
def _processes(count: int, folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Start a cluster of worker processes and give its address and `Security`; they write to the folder's workers.log.

    The credentials come through a pipe: no file or command line holds them.
    """
    program = Path(__file__).with_name("_local_cluster.py")
    with open(folder / "workers.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **ENVIRONMENT, **environment},
            start_new_session=True,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise InputError(f"the worker processes did not start; {folder / 'workers.log'} says why")
        cluster = json.loads(line)
        yield cluster["address"], _untyped().Security(require_encryption=True, **cluster["credentials"])
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def _inside() -> Iterator[Any]:
    """A worker in this process, whose device it shares."""
    import dask

    distributed = _untyped()
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 1, "memory_limit": 0, **NO_DASHBOARD}
    with (
        tempfile.TemporaryDirectory(prefix="groklab-") as scratch,
        dask.config.set({"temporary-directory": scratch, **NOTHING_SERVED}),
        dask.config.set({"distributed.worker.use-file-locking": False}),
        distributed.LocalCluster(**options, silence_logs=50) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _check_address(address: str) -> None:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match[1]) <= 65_535:
        allowed = "needs to be host:port or tcp://host:port (or tls, ucx, ws, wss), such as tcp://127.0.0.1:8786"
        raise InputError("scheduler", shorten(address), allowed)


@contextlib.contextmanager
def _client(address: str, security: Any = None) -> Iterator[Any]:
    """Connect to a scheduler; without `security` with the credentials of dask's configuration, if there are any."""
    distributed = _untyped()
    silent = f"gives no answer within {ANSWER_SECONDS} s; is a dask scheduler running there, as tcp://host:8786?"
    with _silenced():
        # made in two steps, as a client that cannot connect needs to be closed as well
        client = distributed.Client.__new__(distributed.Client)
        failed: list[Exception] = []

        def connect() -> None:
            try:
                with warnings.catch_warnings():
                    # about other versions: `_check_versions` reports those that matter
                    warnings.simplefilter("ignore")
                    client.__init__(address, timeout=ANSWER_SECONDS, set_as_default=False, security=security)
            except Exception as error:  # whatever a library for a protocol raises
                failed.append(error)

        # in a thread, as dask waits for ever for a server that accepts the connection and speaks another protocol
        trying = threading.Thread(target=connect, daemon=True)
        trying.start()
        trying.join(2 * ANSWER_SECONDS)
        if trying.is_alive():
            client.status = "closed"
            raise InputError("scheduler", address, silent)
        try:
            if failed and isinstance(failed[0], (OSError, TimeoutError)):
                raise InputError("scheduler", address, silent)
            if failed:
                # a protocol whose library is not installed, or one that needs certificates
                why = " ".join(str(failed[0]).split()).rstrip(".") or type(failed[0]).__name__
                raise InputError("scheduler", address, f"cannot be asked from here: {why}")
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=5)
            # or the last reference to it would close it again, and print its errors
            client.status = "closed"


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep dask's logs off the terminal: errors are reported in sentences."""
    names = [name for name in logging.Logger.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _untyped() -> Any:
    import distributed  # takes half a second, and gives no types

    return distributed


def _checked(client: Any, folder: Path, address: str) -> Workers:
    """Return the workers of an existing cluster, if all of them can train as this process would."""
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError:
        raise InputError("scheduler", address, f"has no worker, and none came within {WORKER_SECONDS} s") from None
    _check_versions(client.get_versions(packages=["groklab", "jax"]))
    token = folder / f".token.{secrets.token_hex(6)}.tmp"  # a name that the next sweep removes
    storage.atomic_write(token, b"")
    try:
        seen = client.run(os.path.isfile, str(token))
    finally:
        token.unlink(missing_ok=True)
    for worker, sees in seen.items():
        if not sees:
            raise InputError(
                f"the worker {worker} does not see {folder}: a sweep's folder needs to be on a file system that all "
                "workers share (GROKLAB_HOME says where it is)"
            )
    devices = client.run(_platform)
    platforms = {platform for platform, _ in devices.values()}
    platform = "cpu" if "cpu" in platforms else min(platforms)
    memory = None if platform == "cpu" else min(free for _, free in devices.values())
    count = sum(client.nthreads().values())
    description = f"{len(devices)} worker{'s' if len(devices) > 1 else ''} of {address}, {count} at a time"
    return Workers(client, count, platform, memory, description)


def _check_versions(versions: dict[str, Any]) -> None:
    own = _of_interest(versions["client"])
    for worker, reported in versions["workers"].items():
        theirs = _of_interest(reported)
        for name in SAME:
            if theirs[name] != own[name]:
                has = f"{name} {theirs[name]}" if theirs[name] else f"no {name}"
                raise InputError(f"the worker {worker} has {has}, but this sweep needs {name} {own[name]}, as here")


def _of_interest(versions: dict[str, Any]) -> dict[str, str | None]:
    python = str(versions["host"]["python"]).split(".")
    packages = versions["packages"]
    return {"groklab": packages["groklab"], "jax": packages["jax"], "python": ".".join(python[:2])}


def _platform() -> tuple[str, int]:
    return str(jax.devices()[0].platform), device.available_memory()
