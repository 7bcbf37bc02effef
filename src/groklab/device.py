"""What this machine offers: folders, cores, threads and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab.errors import InputError
from groklab.lazy import jax


def compiled_programs() -> str:
    """The folder of the compilation cache in use."""
    config: Any = jax.config
    return str(config.jax_compilation_cache_dir)


def home() -> Path:
    """The folder of all runs: $GROKLAB_HOME, or ~/groklab."""
    return Path(os.environ.get("GROKLAB_HOME") or "~/groklab").expanduser().resolve()


def cores() -> int:
    """How many cores this process may use: those that it is given, or fewer where $GROKLAB_CORES says so."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("GROKLAB_CORES", "")
    return min(given, max(1, int(said))) if said.isdigit() else given


@lru_cache(maxsize=1)
def _controller() -> tuple[Any, int]:
    """What sets threads, and how many there were when it was made: what the user's environment allows."""
    import scipy.linalg  # noqa: F401  its library of linear algebra is found only once it is loaded
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    return controller, min((info["num_threads"] for info in controller.select(user_api="blas").info()), default=1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Linear algebra in n threads or what the environment allows, process-wide, while inside."""
    controller, allowed = _controller()
    with controller.limit(limits=min(n, allowed), user_api="blas"):
        yield


def available_memory() -> int:
    """Bytes that the default device can still give."""
    device = jax.devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    import psutil

    return int(psutil.virtual_memory().available)


def require_memory(what: str, needed: int) -> None:
    """Raise InputError before anything is allocated, if `needed` bytes are more than the device has."""
    free = available_memory()
    if needed > free:
        raise InputError(
            f"{what} needs about {readable_bytes(needed)} ({needed:,} bytes), but only {readable_bytes(free)} are free"
        )


def readable_bytes(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"
