"""A plug-in as it is on disk: a user's Python file, and the modules beside it that it imports."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from groklab.errors import InputError
from groklab.text import named_file

#: Modules of these names are never those beside a plug-in.
_ELSEWHERE = sys.stdlib_module_names | {"groklab"}


@dataclass(frozen=True)
class Plugin:
    """A plug-in as it was read, before any of it runs.

    Attributes:
        file: its absolute path.
        modules: path and content of each module by its dotted name; the plug-in itself is ''.
    """

    file: Path
    modules: Mapping[str, tuple[Path, bytes]]

    @cached_property
    def sha256(self) -> str:
        """The hash of its code: of the file alone, or of it and of the modules beside it, in whatever folder."""
        hashes = {name: hashlib.sha256(code).hexdigest() for name, (_, code) in self.modules.items()}
        if len(hashes) == 1:
            return hashes[""]
        return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()

    @cached_property
    def name(self) -> str:
        """The name of its module in this process: each file, and each version of it, has its own."""
        digest = hashlib.sha256(f"{self.file}\n{self.sha256}".encode(errors="surrogateescape")).hexdigest()
        return f"groklab_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', self.file.stem)}_{digest[:12]}"


#: All versions of plug-ins that this process has loaded, by the name of their module.
PLUGINS: dict[str, Plugin] = {}


def plugin_of(value: object) -> Plugin | None:
    """Return the plug-in that defines a class or a function, in the version that was loaded; None for other code."""
    return PLUGINS.get(str(getattr(value, "__module__", "")).partition(".")[0])


def read_plugin(path: str | Path) -> Plugin:
    """Read a plug-in and the modules beside it that its text imports, however far on, and run none of them.

    Raises:
        InputError: if the file is missing or unreadable.
    """
    try:
        file = Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise InputError("plugin", str(path), f"is not a file: {error}") from None
    modules = {"": (file, named_file("plugin", str(file), "plug-in"))}
    unread = [""]
    while unread:
        importing = unread.pop()
        for name, beside in _imported_beside(file, importing, *modules[importing]):
            if name not in modules:
                modules[name] = (beside, named_file("plugin", str(beside), "plug-in") if beside.is_file() else b"")
                unread.append(name)
    return Plugin(file, modules)


def _imported_beside(plugin: Path, importing: str, file: Path, code: bytes) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each module in the plug-in's folder that the module `importing` imports."""
    package = importing.split(".") if importing else []
    if importing and file.name != "__init__.py":
        package = package[:-1]
    for level, name in _imports(code):
        if level == 0:
            top = name.partition(".")[0]
            if top not in _ELSEWHERE and plugin != plugin.parent / f"{top}.py":
                yield from _located(plugin.parent, name.split("."))
        elif level - 1 <= len(package):
            yield from _located(plugin.parent, [*package[: len(package) + 1 - level], *filter(None, name.split("."))])


def _located(folder: Path, parts: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of a module and of the packages that hold it, as far as there are such files."""
    passed = []
    for i in range(1, len(parts) + 1):
        inner = folder.joinpath(*parts[:i])
        files = [inner / "__init__.py", inner.with_name(f"{inner.name}.py")]
        passed.append((".".join(parts[:i]), next((f for f in files if f.is_file()), files[0])))
        if passed[-1][1].is_file():
            yield from passed
            passed = []
        elif not inner.is_dir():
            return  # (a folder without __init__.py is a package if there is a module in it)


@lru_cache(maxsize=256)
def _imports(code: bytes) -> frozenset[tuple[int, str]]:
    """Return what a module's text imports: how many dots stand before a name, and the name."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # importing it says what is wrong
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # what is imported from a package may be a module, too
            names |= {(node.level, f"{node.module or ''}.{alias.name}".lstrip(".")) for alias in node.names}
    return frozenset(names)
