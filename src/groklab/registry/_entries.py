"""Registering under a name: whose code it is decides whether it may replace what has the name already."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groklab.errors import InputError
from groklab.registry._plugin import PLUGINS


@dataclass(frozen=True)
class _Origin:
    """Where registered code is from: a file, or None for what is typed in a notebook or at a prompt."""

    file: Path | None
    sha256: str = ""


#: Where users' entries are from, by what they are and their names. groklab's own are not listed.
_ORIGINS: dict[tuple[str, str], _Origin] = {}
#: What each loaded plug-in has registered, by the name of its module: table, what it holds, name, entry, module.
_OF_PLUGINS: dict[str, list[tuple[MutableMapping[str, Any], str, str, Any, str]]] = {}


def enter(table: MutableMapping[str, Any], what: str, name: str, entry: Any, module: str) -> None:
    """Register an entry under a name.

    Users' own code is replaced by code of the same file, of a notebook's cell or a script, or of a file that is equal.

    Args:
        what: what the table holds, in the singular.
        module: the name of the module that defines the entry.

    Raises:
        InputError: if the name is taken by groklab itself, or by another file.
    """
    if module.startswith("groklab."):
        table[name] = entry
        return
    origin = _origin(module)
    if name in table:
        _check_replaceable(_ORIGINS.get((what, name)), origin, what, name)
    _ORIGINS[what, name] = origin
    table[name] = entry
    root = module.partition(".")[0]
    if root in PLUGINS:
        entries = _OF_PLUGINS.setdefault(root, [])
        if not any(e[3] is entry for e in entries):
            entries.append((table, what, name, entry, module))


def enter_again(plugin: str) -> None:
    """Register again what a loaded plug-in has registered, where something else has taken its place."""
    for table, what, name, entry, module in _OF_PLUGINS.get(plugin, []):
        if table.get(name) is not entry:
            enter(table, what, name, entry, module)


def withdraw(plugin: str) -> None:
    """Take back what a plug-in has registered, as far as it is still there."""
    for table, _, name, entry, _ in _OF_PLUGINS.pop(plugin, []):
        if table.get(name) is entry:
            del table[name]


def _origin(module: str) -> _Origin:
    root, _, inner = module.partition(".")
    if root in PLUGINS:
        return _Origin(PLUGINS[root].modules[inner][0], PLUGINS[root].sha256)
    file = getattr(sys.modules.get(module), "__file__", None)
    # a script is run again where its lines were typed
    return _Origin(None if file is None or module == "__main__" else Path(file).resolve())


def _check_replaceable(before: _Origin | None, now: _Origin, what: str, name: str) -> None:
    if before is None:
        raise InputError(f"the {what} {name!r} is groklab's own; give yours another name")
    if before.file is None or now.file is None or before.file == now.file or not before.file.exists():
        return
    if now.sha256 and before.sha256 == now.sha256:
        return
    raise InputError(f"the {what} {name!r} is defined in {before.file} and in {now.file}; rename one of them")
