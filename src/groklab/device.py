"""Process-wide settings of JAX, and what the machine offers."""

from __future__ import annotations

import os
from pathlib import Path

import jax

from groklab.errors import InputError


def configure() -> None:
    """64-bit mode on (every array of ours names its dtype) and the compilation cache on; called at import."""
    jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
        # programs here are small and many: keep every one
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cache_folder() -> Path:
    """Where compiled programs are kept: $XDG_CACHE_HOME/groklab or ~/.cache/groklab."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "groklab"


def home() -> Path:
    """The folder of all runs: $GROKLAB_HOME, or ~/groklab."""
    return Path(os.environ.get("GROKLAB_HOME") or "~/groklab").expanduser().resolve()


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
