"""Kills at every file operation, in this process: what is given up there stays undone, as after SIGKILL."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from groklab.store import locks

_CHANGES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_folder: Path | None = None
_left = 0


class Killed(BaseException):
    """Every file operation raises it from the kill on: no handler can tidy up."""


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _left
    if _folder is None or event not in _CHANGES or (event == "open" and not arguments[2] & _WRITES):
        return
    path = arguments[0]
    if isinstance(path, str | os.PathLike) and Path(path).is_absolute() and not Path(path).is_relative_to(_folder):
        return
    _left -= 1
    if _left < 0:
        raise Killed


sys.addaudithook(_hook)


def kills(monkeypatch: pytest.MonkeyPatch, folder: Path, command: Callable[[], Any]) -> Iterator[int]:
    """Kill a command before its n-th change of files below a folder, for each n; ends with the first that ends."""
    global _folder, _left
    # what was killed is this very process
    monkeypatch.setattr(locks, "_lives", lambda other: other.pid != os.getpid())
    for n in itertools.count():
        _folder, _left = folder, n
        try:
            command()
            return
        except Killed:
            pass
        finally:
            _folder = None
        yield n
