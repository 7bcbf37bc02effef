"""Ends a function between two of its file operations, as SIGKILL would: nothing that it does later reaches the disk."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """Raised by every operation after the last one."""


class _Watch:
    """Counts the operations of one thread below one folder; `left` is how many more it may do, None: all."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.thread, self.root, self.hooked = 0, "", False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left is None or threading.get_ident() != self.thread:
            return
        if event not in _CHANGES and not (event == "open" and arguments[2] & _WRITES):
            return
        # names within an open folder are relative
        name = arguments[0] if isinstance(arguments[0], str | os.PathLike) else ""
        if os.path.isabs(name) and not os.fspath(name).startswith(self.root):
            return
        if self.left <= 0:
            raise Killed(f"{event} {name}")
        self.left -= 1


_watch = _Watch()


def killed_everywhere(function: Callable[[], Any], root: Path) -> Iterator[int]:
    """Call a function again and again, killed before its first file operation below a folder, before its second, …

    Yields the number of operations that it was left each time, until it has come to its end.
    """
    if not _watch.hooked:
        sys.addaudithook(_watch)
        _watch.hooked = True
    for n in itertools.count():
        _watch.thread, _watch.root, _watch.left = threading.get_ident(), str(root), n
        try:
            function()
        except Killed:
            ended = False
        else:
            ended = True
        finally:
            _watch.left = None
        if ended:
            return
        yield n


def content(folder: Path) -> dict[str, bytes]:
    """Every file and folder below a folder, by relative path, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}
