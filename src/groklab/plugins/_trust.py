"""Plug-ins are run if the user names them; those of a run, if the user has named the very same source before.

What was named is kept as digests of sources in a file of the user's own, apart from all runs: a run's folder, which may
come from anyone, says nothing about what may be run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import warnings
from pathlib import Path

from groklab import registry
from groklab.errors import InputError

#: Digests of sources that the user has named in this process.
_OWN: set[str] = set()
#: What runs a plug-in in spite of all.
_OPTION = "--trust-plugin (in Python trust_plugin=True)"


def load_plugin(path: str | Path) -> Path:
    """Import a user's Python file for what it registers; one that has not changed since is not run again.

    Modules in the file's folder that it imports belong to it: they are loaded with it, for it alone, and again once one
    of them has changed. The digest of this source is remembered: runs that were trained with it may import it from then
    on.

    Raises:
        InputError: if the file is missing or fails to import, or registers a name that another file has registered.
    """
    plugin = registry.read_plugin(path)
    _load(plugin)
    trust(plugin.sha256, plugin.file)
    return plugin.file


def load_again(path: str | Path) -> Path:
    """Import the plug-in of an experiment as `load_plugin` does: the user's own, or one that is loaded already.

    Raises:
        InputError: as `load_plugin`, or if it is neither.
    """
    plugin = registry.read_plugin(path)
    if not is_own(plugin.sha256) and plugin.file not in [loaded.file for loaded in registry.loaded_plugins()]:
        raise InputError(f"the experiment needs the code of {path}; if it may run, name it with gl.load_plugin first")
    return _load(plugin)


def _load(plugin: registry.Plugin) -> Path:
    # the output of a command is not for what it prints
    with contextlib.redirect_stdout(sys.stderr):
        registry.load_plugin(plugin)
    return plugin.file


def load_recorded(path: str, digest: str | None, owner: str, trusted: bool = False) -> Path:
    """Import the plug-in that a run was trained with, if it is unchanged and the user's own, and return its file.

    Args:
        path: of the file, as it is recorded.
        digest: of its source, as it is recorded; None where it is not.
        owner: the run or sweep, for the refusal.
        trusted: import it although it may be another's, or has changed, which is then warned of.

    Raises:
        InputError: it is missing, has changed, or is not known as the user's own.
    """
    for loaded in registry.loaded_plugins():
        if loaded.sha256 == digest:
            return _load(loaded)
    plugin = _find(path, digest)
    difference = _difference(path, digest, plugin, owner)
    if plugin is None:
        raise InputError(f"{difference}; if it has moved, name it once with --plugin or gl.load_plugin")
    if difference and not trusted:
        raise InputError(
            f"{difference}; put it back as it was; {_OPTION} computes with the changed file, but cannot resume with it"
        )
    if not trusted and not is_own(plugin.sha256):
        raise InputError(f"{owner} needs the code of {path}, which you have not named with --plugin; {_OPTION} runs it")
    if difference:
        warnings.warn(f"{difference}, and is used as it is now", stacklevel=2)
    return _load(plugin)


def change_of_plugin(path: str, digest: str | None, owner: str) -> str:
    """Return a sentence on a plug-in that is missing or has changed, as `change_of_file`; it is not imported."""
    if any(loaded.sha256 == digest for loaded in registry.loaded_plugins()):
        return ""
    return _difference(path, digest, _find(path, digest), owner)


def _difference(path: str, digest: str | None, plugin: registry.Plugin | None, owner: str) -> str:
    if plugin is None:
        return change_of_file(path, digest, None, owner)
    named = path if len(plugin.modules) == 1 else f"{path}, or a module beside it that it imports,"
    return change_of_file(named, digest, plugin.sha256, owner)


def change_of_file(path: str, digest: str | None, now: str | None, owner: str) -> str:
    """Return a sentence on a file that is missing, or has changed since a run was trained; '' if it is unchanged.

    Args:
        digest: of its content, as it is recorded; None where it is not.
        now: of its content now; None where it is missing.
    """
    if now is None:
        return f"{owner} was trained with {path}, which is not there any more"
    if digest is None or digest == now:
        return ""
    return f"{path} has changed since {owner} was trained: its SHA-256 was {digest[:12]}… and is now {now[:12]}…"


def _find(path: str, digest: str | None) -> registry.Plugin | None:
    """Return a recorded plug-in as it is now, or the same source where the user has named it; None if it is missing."""
    places = [path, *(file for known, file in _remembered() if known == digest)]
    files = [registry.read_plugin(file) if os.path.isfile(file) else None for file in places]
    return next((plugin for plugin in files if plugin is not None and plugin.sha256 == digest), files[0])


# -- what the user has named -----------------------------------------------------------------------------------------


def trust(digest: str, file: Path | None = None) -> None:
    """Remember the digest of a source as the user's own: in this process, and with its `file` on this account."""
    _OWN.add(digest)
    if file is None or (digest, str(file)) in _remembered():
        return
    # without a folder for it, the user is asked again
    with contextlib.suppress(OSError, RuntimeError):
        path = _store()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with open(handle, "ab") as store:
            store.write(f"{digest} {file}\n".encode(errors="surrogateescape"))


def is_own(digest: str) -> bool:
    """Return whether the user has named a plug-in of this source before: in this process or on this account."""
    return digest in _OWN or any(known == digest for known, _ in _remembered())


def _store() -> Path:
    """Return the file of digests: in $XDG_STATE_HOME/groklab, or ~/.local/state/groklab."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return Path(base if os.path.isabs(base) else "~/.local/state").expanduser() / "groklab" / "plugins"


def _remembered() -> list[tuple[str, str]]:
    """Return the digests and files that are kept on this account; none from a file that others may write."""
    try:
        with open(_store(), "rb") as store:
            info = os.fstat(store.fileno())
            if info.st_uid != os.geteuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return []
            lines = store.read().decode(errors="surrogateescape").splitlines()
    except (OSError, RuntimeError):
        return []
    return [(digest, file) for digest, _, file in (line.partition(" ") for line in lines)]
