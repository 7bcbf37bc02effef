"""Process-wide settings of JAX, and what the machine offers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab.errors import InputError


@lru_cache(maxsize=1)
def configure() -> None:
    """Switch on 64-bit mode (every array of ours names its dtype) and the compilation cache.

    Every package whose modules import JAX calls this when it is imported itself.
    """
    import jax

    config: Any = jax.config  # JAX gives it no types
    config.update("jax_enable_x64", True)
    if config.jax_compilation_cache_dir is None:
        config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        # programs here are small and many: keep every one
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _write_whole_entries()


def _write_whole_entries() -> None:
    """Have JAX write entries of its compilation cache whole or not at all.

    It writes them in place, and what a killed process leaves of one is complained about at every start thereafter.
    """
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache

        write = LRUCache.put
    except (ImportError, AttributeError):
        return  # another version of JAX, which goes its own way

    def put(cache: Any, key: str, value: bytes) -> None:
        if not key or cache.eviction_enabled:
            write(cache, key, value)
            return
        part = cache.path / f".{key}.{os.getpid()}.tmp"
        try:
            part.write_bytes(value)
            os.replace(part, cache.path / f"{key}{_CACHE_SUFFIX}")
        except OSError:
            part.unlink(missing_ok=True)
            raise

    LRUCache.put = put  # type: ignore[method-assign,assignment]


def cache_folder() -> Path:
    """Where compiled programs are kept: $XDG_CACHE_HOME/groklab or ~/.cache/groklab."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "groklab"


def compiled_programs() -> str:
    """The folder of the compilation cache in use."""
    import jax

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
    import jax

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
