"""Tables that are filled when they are first looked at, by importing the modules that register in them."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections import UserDict
from collections.abc import Callable
from typing import TypeVar

#: What a discovered table holds.
Entry = TypeVar("Entry")

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
