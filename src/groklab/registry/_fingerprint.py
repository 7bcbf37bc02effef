"""Fingerprints of code: what tells a class that was edited from the one before."""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import linecache
import pickle
import sys
import sysconfig
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from groklab.lazy import jax
from groklab.registry._plugin import plugin_of

#: Folders of the standard library's and installed modules, whose code does not change while they are used.
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
#: Methods that a dataclass writes itself, from its fields.
_WRITTEN = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__replace__")
#: The last fingerprint of each class and function that is looked at again each time.
_LAST: dict[str, str] = {}
_METHODS: Any = types.FunctionType | staticmethod | classmethod


def fingerprint(value: Any) -> str:
    """Return a hash of the code of a component's class or a measure's function; '' for groklab's own.

    Of a plug-in it is that of its files as they were loaded. What a notebook, a script or an imported module defines is
    looked at again each time, as its parts can be redefined one by one: functions, classes and values that it uses by
    their names, of user's own modules, are part of it.
    """
    inner = value
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not hasattr(inner, "__qualname__"):
        value = inner = type(inner)  # what an object has counted is not its code
    if inner.__module__ == "builtins" or inner.__module__.startswith("groklab."):
        return ""
    plugin = plugin_of(inner)
    if plugin is not None:
        return plugin.sha256
    description = _Description(inner.__module__.partition(".")[0]).of(value)
    result = hashlib.sha256(json.dumps(description).encode(errors="surrogatepass")).hexdigest()
    name = f"{inner.__module__}.{inner.__qualname__}"
    if _LAST.setdefault(name, result) != result:
        _LAST[name] = result
        # functions that the user has compiled with `jax.jit` hold the values that they used when they were first called
        jax.clear_caches()  # type: ignore[no-untyped-call]
    return result


class _Description:
    """Describes code and the values that it uses as plain lists; `own` is a package that counts as the user's."""

    def __init__(self, own: str) -> None:
        self.own = own
        # (with the values, so that none is freed and its id given to another)
        self.seen: dict[int, tuple[int, Any]] = {}

    def of(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | types.EllipsisType):
            return repr(value)
        if isinstance(value, tuple):
            return ["tuple", *map(self.of, value)]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(json.dumps(self.of(v)) for v in value)]
        if id(value) in self.seen:
            return self.seen[id(value)][0]
        self.seen[id(value)] = len(self.seen), value
        if isinstance(value, list):
            return ["list", *map(self.of, value)]
        if isinstance(value, Mapping):
            return ["mapping", *([self.of(k), self.of(v)] for k, v in value.items())]
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, type):
            own = self._is_own(value.__module__)
            return self._of_class(value) if own else f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            return [type(value).__name__, self.of(value.__func__), self.of(getattr(value, "__self__", None))]
        if isinstance(value, property):
            return ["property", self.of(value.fget), self.of(value.fset)]
        if isinstance(value, functools.partial):
            return ["partial", self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, functools.cached_property):
            return ["cached_property", self.of(value.func)]
        if hasattr(value, "__wrapped__"):
            # the last three are of JAX's custom derivatives
            return ["wrapped", *(self.of(getattr(value, n, None)) for n in ("__wrapped__", "fwd", "bwd", "jvp"))]
        return self._of_object(value)

    def _of_object(self, value: Any) -> Any:
        kind = type(value)
        if dataclasses.is_dataclass(value):
            return [self.of(kind), {f.name: self.of(getattr(value, f.name, None)) for f in dataclasses.fields(value)}]
        if self._is_own(kind.__module__):
            return [self.of(kind), self.of(getattr(value, "__dict__", None))]
        try:
            content = pickle.dumps(value.__array__() if hasattr(value, "__array__") else value, 5)
        except Exception:  # whatever a library's object raises
            return self.of(kind)
        return [self.of(kind), hashlib.sha256(content).hexdigest()]

    def _of_class(self, cls: Any) -> Any:
        fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
        settings = [[f.name, str(f.type), self.of(f.default), self.of(f.default_factory)] for f in fields]
        members = {
            name: self.of(value)
            for name, value in sorted(vars(cls).items())
            if not name.startswith("__") or (isinstance(value, _METHODS) and not (fields and name in _WRITTEN))
        }
        return ["class", [self.of(base) for base in cls.__bases__], settings, members]

    def _of_function(self, function: types.FunctionType) -> Any:
        code, names = function.__code__, function.__globals__
        enclosed = {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # it is not filled yet
                enclosed[name] = self.of(cell.cell_contents)
        if not self._is_own(function.__module__):
            return [f"{function.__module__}.{function.__qualname__}", enclosed]
        used: dict[str, Any] = {}
        for name, attributes in _globals_of(code):
            if name not in names:
                continue
            used[name] = self.of(names[name])
            if isinstance(names[name], types.ModuleType) and self._is_own(names[name].__name__):
                inside = vars(names[name])
                used |= {f"{name}.{a}": self.of(inside[a]) for a in attributes if a in inside}
        defaults = [self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        return ["function", _text_of(code), defaults, enclosed, used]

    def _is_own(self, module: str | None) -> bool:
        top = (module or "").partition(".")[0]
        if top == self.own or top == "__main__":
            return True
        if top in sys.stdlib_module_names or top == "groklab":
            return False
        file = getattr(sys.modules.get(module or ""), "__file__", None)
        return file is None or not str(file).startswith(_INSTALLED)


def _text_of(code: types.CodeType) -> Any:
    """Return a function's text where it was typed in; a file may have changed, so its instructions there."""
    entry = linecache.cache.get(code.co_filename, ())
    if len(entry) == 4 and entry[1] is None:
        return "".join(inspect.getblock(entry[2][code.co_firstlineno - 1 :]))
    constants = [_text_of(c) if isinstance(c, types.CodeType) else _repr(c) for c in code.co_consts]
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars]


def _repr(constant: object) -> str:
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


@lru_cache(maxsize=1024)
def _globals_of(code: types.CodeType) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the global names that a function and those inside it read, each with the attributes that they read."""
    names: set[str] = set()
    attributes = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for name, inner in _globals_of(constant):
                names.add(name)
                attributes |= set(inner)
    names |= {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return tuple((name, tuple(sorted(attributes))) for name in sorted(names))
