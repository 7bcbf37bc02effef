"""What this machine offers: folders, cores, threads and memory, within the limits of containers and batch systems."""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from groklab.errors import InputError, check_choice
from groklab.lazy import jax
from groklab.text import integer_in

_ROOT = Path("/")
#: The limits of a control group, its use, and the caches in that, which give way: of version 2, and of version 1.
_MEMORY = (
    (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
)


def compiled_programs() -> str:
    """Return the folder of the compilation cache in use; 'none' without one."""
    config: Any = jax.config
    return str(config.jax_compilation_cache_dir or "none")


def home() -> Path:
    """Return the folder of all runs: $GROKLAB_HOME, or ~/groklab; raises InputError where there is no home."""
    folder = os.environ.get("GROKLAB_HOME") or "~/groklab"
    try:
        return Path(folder).expanduser().resolve()
    except RuntimeError:
        raise InputError("GROKLAB_HOME", folder, "this home does not exist; set it to the folder of runs") from None


def cores(root: Path = _ROOT) -> int:
    """Return how many cores this process may use.

    The fewest of: those that it may run on, those of its control groups, their quota of time (rounded up), and
    $GROKLAB_CORES.

    Args:
        root: the folder of /proc and /sys.

    Raises:
        InputError: $GROKLAB_CORES is not a number of cores.
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    text = os.environ.get("GROKLAB_CORES", "").strip()
    wanted = integer_in(text)
    if text and (wanted is None or wanted < 1):
        raise InputError("GROKLAB_CORES", text, "needs to be an integer of at least 1")
    limits += [wanted] if wanted else []
    for folder in _control_groups("cpu", root):
        v1 = (*_limits_in(folder / "cpu.cfs_quota_us"), *_limits_in(folder / "cpu.cfs_period_us"))
        match _limits_in(folder / "cpu.max") or v1:
            case (int(quota), int(period)) if period:
                limits.append(math.ceil(quota / period))
    for folder in _control_groups("cpuset", root):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus"):
            limits += [sum(map(_count, line.split(","))) for line in _lines(folder / name) if line]
    return max(1, min(limits))


def host_memory(root: Path = _ROOT) -> tuple[int, int]:
    """Return the bytes that this process may use outside of GPUs, in all and those that are free.

    The least of the machine's, what the control groups around the process leave (their caches of files that are not in
    use count as free), and its own limit of address space (`ulimit -v`).

    Args:
        root: the folder of /proc and /sys.
    """
    import psutil

    machine = psutil.virtual_memory()
    limits = [(machine.total, machine.available)]
    for folder in _control_groups("memory", root):
        for names, usage, cache in _MEMORY:
            limits += [
                (most, most - max(0, used - _of_table(folder / "memory.stat", cache)))
                for name in names
                for most, used in zip(_limits_in(folder / name), _limits_in(folder / usage), strict=False)
                if most is not None and used is not None
            ]
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY:
        limits.append((space, space - psutil.Process().memory_info().vms))
    return min(total for total, _ in limits), max(0, min(free for _, free in limits))


def _control_groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folder of this process's control group, and those around it, in each hierarchy with a controller.

    References:
        cgroups(7) for /proc/self/cgroup, proc_pid_mountinfo(5) for where the hierarchies are.
    """
    own: dict[str, str] = {}
    for match in _matches(r"\d+:([^:]*):(.*)", root / "proc/self/cgroup"):
        own |= dict.fromkeys(match[1].split(","), match[2])
    for match in _matches(r"\S+ \S+ \S+ (\S+) (\S+) .*- (cgroup2?) \S+ (\S+)", root / "proc/self/mountinfo"):
        top, place, kind, options = match.groups()
        if kind == "cgroup2" or controller in options.split(","):
            group = PurePath(own.get("" if kind == "cgroup2" else controller, top))
            # what is mounted may be but a part of the hierarchy, as in a container
            inside = group.relative_to(top) if group.is_relative_to(top) and ".." not in group.parts else PurePath()
            for part in (inside, *inside.parents):
                yield root / place.lstrip("/") / part


def _matches(pattern: str, path: Path) -> list[re.Match[str]]:
    return [match for line in _lines(path) if (match := re.fullmatch(pattern, line))]


def _lines(path: Path) -> list[str]:
    """Return the lines of a file of the system; none where it is not there."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _limits_in(path: Path) -> tuple[int | None, ...]:
    """Return the values in a file; None for 'max' and -1, which are none."""
    return tuple(int(word) if word.isdecimal() else None for word in " ".join(_lines(path)).split())


def _of_table(path: Path, name: str) -> int:
    """Return a number of a file with one name and number per line; 0 where it is not there."""
    return next((int(line.split()[1]) for line in _lines(path) if line.startswith(f"{name} ")), 0)


def _count(cores: str) -> int:
    """Count the cores of a range such as 0-3, or of one, such as 8."""
    first, _, last = cores.partition("-")
    return int(last or first) - int(first) + 1


#: Ways in which programs compute: `tables` by look-ups, which suit a CPU's caches; `dense` by matrix products and loops
#: of known length, which a graphics card runs alone.
WAYS = ("tables", "dense")

#: Settings of XLA for a graphics card. Products by cuBLAS alone: tuning Triton's takes most of the time of compiling
#: (on an H200 a program of 64 members did not compile within 50 s with it, and in 12 s without). CUDA graphs
#: (command buffers) for whole loops, too, so that the host launches none of their kernels.
XLA = {
    "xla_gpu_enable_triton_gemm": False,
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE",
}


def dense() -> bool:
    """Return whether programs are made for a graphics card: where there is one, unless $GROKLAB_WAY names the way."""
    way = os.environ.get("GROKLAB_WAY")
    if way:
        check_choice("GROKLAB_WAY", way, WAYS)
        return way == "dense"
    return on_gpu()


def on_gpu() -> bool:
    """Return whether the default device is not a CPU."""
    return bool(jax.devices()[0].platform != "cpu")


def has_idle_card(root: Path = _ROOT) -> bool:
    """Return whether an NVIDIA card is here that JAX does not use."""
    signs = (root / "dev/nvidia0", root / "proc/driver/nvidia/version")
    return not on_gpu() and (any(sign.exists() for sign in signs) or shutil.which("nvidia-smi") is not None)


@lru_cache(maxsize=1)
def xla_options() -> dict[str, Any]:
    """Return settings of XLA for the device's programs: those of `XLA` that it knows, without those of $XLA_FLAGS."""
    if not on_gpu():
        return {}
    flags = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in XLA.items() if f"--{name}=" not in flags and _is_known(name, value)}


def _is_known(name: str, value: Any) -> bool:
    """Return whether this version of XLA has a setting."""
    try:
        jax.jit(lambda x: x + 1, compiler_options={name: value})(0)
    except Exception:  # the compiler refuses by different classes of exceptions
        return False
    return True


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
    return host_memory()[1]


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
