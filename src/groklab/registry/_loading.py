"""Loading a plug-in: its modules run from the very bytes that were read, under names of their own."""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from groklab.errors import InputError
from groklab.registry._entries import enter_again, withdraw
from groklab.registry._plugin import PLUGINS, Plugin

#: The version of each plug-in's file that is in force.
_CURRENT: dict[Path, Plugin] = {}
_LOCK = threading.RLock()


def load_plugin(plugin: Plugin) -> None:
    """Import a plug-in that was read for what it registers; one that has not changed since is not run again.

    Raises:
        InputError: if it fails to import, or registers a name that another file has registered.
    """
    with _LOCK:
        before = _CURRENT.get(plugin.file)
        if before is not None and before.sha256 == plugin.sha256:
            enter_again(before.name)
            return
        if before is not None:
            _unload(before)
        if plugin.file.suffix != ".py":
            raise InputError("plugin", str(plugin.file), "needs a Python file (.py)")
        PLUGINS[plugin.name] = _CURRENT[plugin.file] = plugin
        try:
            importlib.import_module(plugin.name)
        except BaseException as error:  # a stranger's code may raise anything; the user wants one sentence
            _unload(plugin)
            if isinstance(error, InputError | KeyboardInterrupt):
                raise
            reason = f"{type(error).__name__}: {error}".replace(f"{plugin.name}.", "")
            raise InputError(f"plugin {plugin.file.name} failed to import: {reason}") from error


def loaded_plugins() -> list[Plugin]:
    """Return the plug-ins that are loaded, each in its last version."""
    return list(_CURRENT.values())


def unload_plugins(keep: Collection[str] = ()) -> None:
    """Forget what plug-ins have registered, but for those of some files."""
    with _LOCK:
        for plugin in loaded_plugins():
            if str(plugin.file) not in keep:
                _unload(plugin)


def _unload(plugin: Plugin) -> None:
    withdraw(plugin.name)
    del _CURRENT[plugin.file]
    for name in [name for name in sys.modules if name.partition(".")[0] == plugin.name]:
        del sys.modules[name]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of plug-ins."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        root, _, inner = fullname.partition(".")
        if root not in PLUGINS or inner not in PLUGINS[root].modules:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(PLUGINS[root]))


class _Loader(importlib.abc.SourceLoader):
    """Runs a module from the bytes that were read: no compiled file, which may be older, comes in between."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def get_filename(self, fullname: str) -> str:
        return str(self.plugin.modules[fullname.partition(".")[2]][0])

    def get_data(self, path: str | bytes) -> bytes:
        codes = {str(file): code for file, code in self.plugin.modules.values()}
        return codes[path] if path in codes else Path(str(path)).read_bytes()

    def is_package(self, fullname: str) -> bool:
        return fullname == self.plugin.name or super().is_package(fullname)

    def exec_module(self, module: Any) -> None:
        module.__builtins__ = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        """Import as the statement does, with the modules beside the plug-in first."""
        top = name.partition(".")[0]
        if level == 0 and name == self.plugin.file.stem and (globals or {}).get("__name__") != self.plugin.name:
            return sys.modules[self.plugin.name]  # a module beside the plug-in imports the plug-in
        if level or top not in self.plugin.modules:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{self.plugin.name}.{name}", globals, locals, fromlist)
        return module if fromlist else sys.modules[f"{self.plugin.name}.{top}"]


# before the one for folders, which would take older compiled files and other names
sys.meta_path.insert(0, _Finder())
