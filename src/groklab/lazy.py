"""JAX and other large libraries, imported when they are first used.

Importing them takes longer than most commands, and reading an experiment needs only the settings of what it names.
Modules import these names from here as they would from the libraries; the first attribute of `jax`, `jnp`, `optax`, …
that is looked up imports the library, and configures JAX before that.

In a process that was forked after JAX or polars had started, they would wait for ever for threads that a fork does not
copy; there their names raise InputError.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import types
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from groklab.errors import InputError

__all__ = [
    "Array",
    "Bool",
    "Complex128",
    "Float",
    "Float64",
    "Int",
    "Shaped",
    "custom_vjp",
    "diffrax",
    "jax",
    "jit",
    "jnp",
    "lax",
    "np",
    "optax",
    "pl",
    "scipy",
]


@lru_cache(maxsize=1)
def configure() -> None:
    """Switch on JAX's 64-bit mode (every array of groklab names its dtype) and its compilation cache.

    Raises InputError where the environment names a device that is not here.
    """
    # or the first array on a graphics card would take three quarters of its memory from other processes
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    config: Any = importlib.import_module("jax").config  # JAX gives it no types
    config.update("jax_enable_x64", True)
    if config.jax_compilation_cache_dir is None and (folder := cache_folder()) is not None:
        config.update("jax_compilation_cache_dir", str(folder / "xla"))
        # programs here are small and many: keep every one
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _write_complete_entries()
    _check_platform()


def cache_folder() -> Path | None:
    """Return where compiled programs are kept: $XDG_CACHE_HOME/groklab or ~/.cache/groklab; None without a home."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "groklab"
    except RuntimeError:
        return None


def _check_platform() -> None:
    """Raise InputError where the environment names a platform that JAX cannot use here."""
    for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"):
        value = os.environ.get(name, "")
        try:
            if value not in ("", "cpu"):
                importlib.import_module("jax").devices()
        except (RuntimeError, AssertionError):  # the latter for the name of a plug-in that is not installed
            allowed = "JAX finds no such device here; unset it, or set it to cpu, to train on the CPU"
            raise InputError(name, value, allowed) from None


def _write_complete_entries() -> None:
    """Make JAX write an entry of its compilation cache completely or not at all.

    It writes entries in place, and warns at every later start about one that a killed process left incomplete.
    """
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache

        write = LRUCache.put
    except (ImportError, AttributeError):
        return  # another version of JAX, whose cache works in another way

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


class _Library(types.ModuleType):
    """A library that is imported when one of its names is first looked up, after `before` was called."""

    def __init__(self, name: str, before: Callable[[], None] | None = None) -> None:
        super().__init__(name)
        self._before = before

    def _looked_up(self) -> list[str]:
        return [name for name in vars(self) if not name.startswith("_")]

    def _forbid(self) -> None:
        """Have every name raise InputError, as this process lacks the library's threads."""
        self._before = _refuse
        for name in self._looked_up():
            delattr(self, name)

    def __getattr__(self, name: str) -> Any:
        if self._before is not None:
            self._before()
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)  # from now on an attribute like any other
        return value


class _Transformed:
    """A function that JAX transforms when it is first called: the decorators `jit` and `custom_vjp`."""

    def __init__(self, transformation: str, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self._transformation = transformation
        self._rules: tuple[Callable[..., Any], ...] = ()

    @cached_property
    def _made(self) -> Any:
        made = getattr(jax, self._transformation)(self.__wrapped__)  # type: ignore[attr-defined]
        if self._rules:
            made.defvjp(*self._rules)
        return made

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Set the rules of reverse-mode differentiation."""
        self._rules = (forward, backward)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if _forked:
            _refuse()
        return self._made(*arguments, **options)


#: Whether this process was forked after JAX had started.
_forked = False


def _refuse() -> NoReturn:
    raise InputError(
        "this process was forked after JAX or polars had started, and would wait for ever for their threads, which a "
        "fork does not copy; start processes with multiprocessing.get_context('spawn')"
    )


def _after_fork() -> None:
    global _forked
    bridge = sys.modules.get("jax._src.xla_bridge")
    _forked = _forked or (bridge is not None and bridge.backends_are_initialized())
    tables: Any = pl
    lost: list[Any] = [jax, jnp, lax, optax, diffrax] if _forked else []
    for library in lost + [tables] * bool(tables._looked_up()):
        library._forbid()


class _ArrayType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, jax.Array)


class _Shape:
    """One of jaxtyping's types of arrays, for annotations that only tests evaluate."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, item: tuple[Any, str]) -> Any:
        of, shape = item
        return getattr(importlib.import_module("jaxtyping"), self.name)[jax.Array if of is Array else of, shape]


if TYPE_CHECKING:
    import diffrax
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    import polars as pl
    import scipy
    from jax import Array, custom_vjp, jit, lax
    from jaxtyping import Bool, Complex128, Float, Float64, Int, Shaped
else:
    jax, jnp, lax = (_Library(name, configure) for name in ("jax", "jax.numpy", "jax.lax"))
    optax, diffrax = (_Library(name, configure) for name in ("optax", "diffrax"))
    np, pl, scipy = (_Library(name) for name in ("numpy", "polars", "scipy"))
    jit, custom_vjp = (functools.partial(_Transformed, name) for name in ("jit", "custom_vjp"))
    Bool, Complex128, Float, Float64, Int, Shaped = map(
        _Shape, ("Bool", "Complex128", "Float", "Float64", "Int", "Shaped")
    )

    class Array(metaclass=_ArrayType):
        """`jax.Array`, for annotations."""

    os.register_at_fork(after_in_child=_after_fork)
