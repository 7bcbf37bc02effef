"""Plug-ins are run if the user names them; those of a run, if the user has named the very same source before.

What was named is kept as digests of sources in a file of the user's own, apart from all runs: a run's folder, which may
come from anyone, says nothing about what may be run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import warnings
from pathlib import Path

from groklab import registry
from groklab.errors import InputError

#: The digest of the source that each file was last loaded with in this process.
_LOADED: dict[Path, str] = {}
#: Digests of sources that the user has named in this process.
_OWN: set[str] = set()
#: What runs a plug-in in spite of all.
_OPTION = "--trust-plugin (in Python trust_plugin=True)"


def load_plugin(path: str | Path) -> Path:
    """Import a user's Python file for the components that it registers.

    The digest of its source is remembered: runs that were trained with this source may import it from then on.

    Raises:
        InputError: if the file is missing or fails to import.
    """
    file = load_again(path)
    trust(_LOADED[file], file)
    return file


def load_again(path: str | Path) -> Path:
    """Import a file as `load_plugin` does, on behalf of what names it: it does not become the user's own."""
    try:
        # the output of a command is not for what it prints
        with contextlib.redirect_stdout(sys.stderr):
            file = registry.load_plugin(path)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise InputError(f"plugin {Path(path).name} failed to import: {type(error).__name__}: {error}") from error
    _LOADED[file] = digest_of(file)
    return file


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
    for file, loaded in _LOADED.items():
        if loaded == digest:
            return file
    file, now = _find(path, digest)
    difference = changed(path, digest, now, owner)
    if now is None:
        raise InputError(f"{difference}; if it has moved, name it once with --plugin or gl.load_plugin")
    if difference and not trusted:
        raise InputError(f"{difference}; {_OPTION} computes with the changed file")
    if not trusted and not is_own(now):
        raise InputError(f"{owner} needs the code of {path}, which you have not named with --plugin; {_OPTION} runs it")
    if difference:
        warnings.warn(f"{difference}, and is used as it is now", stacklevel=2)
    return load_again(file)


def change(path: str, digest: str | None, owner: str) -> str:
    """Return a sentence on a plug-in that is missing or has changed, as `changed` does; it is not imported."""
    return "" if digest in _LOADED.values() else changed(path, digest, _find(path, digest)[1], owner)


def changed(path: str, digest: str | None, now: str | None, owner: str) -> str:
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


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a plug-in's source. Raises InputError where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError("plugin", str(file), f"cannot be read: {error.strerror or error}") from None


def _find(path: str, digest: str | None) -> tuple[Path, str | None]:
    """Return a recorded plug-in and the digest of its source now, or the same source where the user has named it."""
    places = [path, *(file for known, file in _remembered() if known == digest)]
    files = [(file, digest_of(file) if file.is_file() else None) for file in map(Path, places)]
    return next((pair for pair in files if pair[1] == digest), files[0])


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
