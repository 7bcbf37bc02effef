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
    """Return the folder of the compilation cache in use."""
    config: Any = jax.config
    return str(config.jax_compilation_cache_dir)


def home() -> Path:
    """Return the folder of all runs: $GROKLAB_HOME, or ~/groklab."""
    return Path(os.environ.get("GROKLAB_HOME") or "~/groklab").expanduser().resolve()


def cores() -> int:
    """Return how many cores this process may use: those available to it, or fewer if $GROKLAB_CORES is less."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("GROKLAB_CORES", "")
    return min(available, max(1, int(limit))) if limit.isdigit() else available


@lru_cache(maxsize=1)
def _controller() -> tuple[Any, int]:
    """Return the controller of threads, and how many the user's environment allows."""
    import scipy.linalg  # noqa: F401  its library of linear algebra is found only once it is loaded
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    return controller, min((info["num_threads"] for info in controller.select(user_api="blas").info()), default=1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run linear algebra in n threads, or in what the environment allows, process-wide, while inside."""
    controller, allowed = _controller()
    with controller.limit(limits=min(n, allowed), user_api="blas"):
        yield


def available_memory() -> int:
    """Return the bytes that are free on the default device."""
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
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"
