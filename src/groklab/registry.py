"""The kinds of things an experiment can name, and how users add their own.

A *component* is a frozen dataclass: its fields are its settings, its docstring its help, its `kind` the name
under which an experiment refers to it. Fields annotated `float` change no shape and may differ between the
members of an ensemble; every other field decides which program is compiled.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
import inspect
import pkgutil
import threading
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from groklab.errors import InputError, check_choice

T = TypeVar("T", bound=type)

#: What a discovered table holds.
Entry = TypeVar("Entry")

#: What components there are.
COMPONENT_FAMILIES = ("task", "learner", "network", "objective", "optimiser")
#: family -> kind -> component class
FAMILIES: dict[str, dict[str, type]] = {}
#: family -> the abstract class that says what its components offer, with defaults
BASES: dict[str, type[abc.ABC]] = {}


def kinds(family: str) -> dict[str, type]:
    """Return the registered components of a family ('task', 'network', 'optimiser', 'objective')."""
    return FAMILIES.setdefault(family, {})


def base_of(family: str) -> Callable[[T], T]:
    """Class decorator: every component of the family subclasses this class, or is given what it lacks of it."""

    def decorate(cls: T) -> T:
        BASES[family] = cls
        return cls

    return decorate


@dataclass_transform(frozen_default=True, kw_only_default=True)
def register(family: str, kind: str) -> Callable[[T], T]:
    """Class decorator: make the class a frozen dataclass and let experiments name it as `kind`.

    A class that does not subclass its family's base, such as `groklab.networks.Network`, takes the base's defaults.

    Raises:
        InputError: if there is no such family, another class has this kind already, or the class lacks a method that
            the family needs.
    """
    check_choice("family", family, COMPONENT_FAMILIES)

    def decorate(cls: T) -> T:
        made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        made.kind = kind
        # The experiment's validator refuses unknown keys; this attribute is how pydantic is told.
        made.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}
        table = kinds(family)
        if kind in table and table[kind].__qualname__ != cls.__qualname__:
            raise InputError(f"the {family} {kind!r} is already defined by {table[kind].__module__}")
        base = BASES.get(family)
        if base is not None and not issubclass(made, base):
            _adopt(made, base, f"the {family} {kind!r}")
        table[kind] = made
        return made  # type: ignore[no-any-return]

    return decorate


def _adopt(cls: Any, base: Any, name: str) -> None:
    """Make `cls` a virtual subclass of `base`, with the defaults of what it does not define."""
    for attribute in dir(base):
        value = inspect.getattr_static(base, attribute)
        if attribute.startswith("_") or hasattr(cls, attribute):
            continue
        if getattr(value, "__isabstractmethod__", False):
            raise InputError(f"{name} needs a method {attribute}()")
        setattr(cls, attribute, value)
    base.register(cls)


def load_plugin(path: str | Path) -> Path:
    """Import a user's Python file for the components that it registers.

    Raises InputError if the file is missing or fails to import.
    """
    import importlib.util
    import sys

    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise InputError("plugin", str(path), "is not a file")
    name = f"groklab_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError("plugin", str(path), "needs a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything; the user wants one sentence
        raise InputError(f"plugin {file.name} failed to import: {type(error).__name__}: {error}") from error
    return file


#: Packages whose folders fill the tables of presets and claims; `groklab/__init__.py` adds `groklab.papers`.
SOURCES: list[str] = []


def load_all(package: str) -> None:
    """Import every module of a package, so that all that it registers is there."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)


def load_part(part: str) -> None:
    """Import one part of every folder of `SOURCES`, such as 'presets': each source has a function `load(part)`."""
    for source in SOURCES:
        importlib.import_module(source).load(part)


class Discovered(UserDict[str, Entry]):
    """A table that modules fill when they are imported, which happens at the first look.

    Args:
        load: imports these modules.
    """

    def __init__(self, load: Callable[[], None]) -> None:
        self._load = load
        self._table: dict[str, Entry] = {}
        self._complete = self._loading = False
        self._lock = threading.RLock()

    def __setitem__(self, name: str, entry: Entry) -> None:
        self._table[name] = entry

    @property
    def data(self) -> dict[str, Entry]:  # type: ignore[override]
        """The table, complete for all but the thread whose modules are filling it."""
        if not self._complete:
            with self._lock:
                if not (self._complete or self._loading):
                    self._loading = True
                    try:
                        self._load()
                        self._complete = True
                    finally:
                        self._loading = False
        return self._table
