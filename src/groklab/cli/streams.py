"""Standard output and standard error that may close, or take nothing more, while a command works."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

#: The reader has gone (`| head`), or the terminal has.
_GONE = (errno.EPIPE, errno.EIO)


class _Output(io.FileIO):
    """A standard stream that drops what cannot be written, so that the command ends what it has begun.

    Attributes:
        lost: why output was lost, but for readers that have gone: a full disk.
    """

    lost: OSError | None = None

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno not in _GONE:
                self.lost = error
            _discard(self.fileno())
            return memoryview(data).nbytes  # type: ignore[arg-type]


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Let commands work to their end where nobody reads what they print; raises OSError for output lost otherwise."""
    before, outputs = (sys.stdout, sys.stderr), []
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # closed before the program began (`>&-`): no file of a run may get its number, and messages of libraries
            if not _is_open(number):
                _discard(number)
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper) and _number(stream) == number:
            outputs.append(output := _Output(number, "w", closefd=False))
            setattr(sys, name, _text(output, stream))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
        for output in outputs:
            if output.lost is not None:
                raise OSError(output.lost.errno, output.lost.strerror, "the output cannot be written")
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _text(output: _Output, like: io.TextIOWrapper) -> TextIO:
    """Return the stream of text of an output; names of files need not be text that the terminal can show."""
    # PYTHONUNBUFFERED writes through
    buffer = cast(io.BufferedWriter, output) if like.write_through else io.BufferedWriter(output)
    options: dict[str, Any] = {"line_buffering": like.line_buffering, "write_through": like.write_through}
    return io.TextIOWrapper(buffer, encoding=like.encoding, errors="backslashreplace", **options)


def _discard(number: int) -> None:
    """Have the system discard what is written to a descriptor."""
    null = os.open(os.devnull, os.O_WRONLY)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
