"""The program `groklab` in processes of its own that start at once: forked from a server that has imported everything.

They are real processes, which signals, limits and full disks hit, but each starts in a tenth of a second of CPU time
instead of one and a half. The server has not used JAX: every process starts its own.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from subprocess import TimeoutExpired

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["forked"])


class Program:
    """`groklab` with these arguments, used as a subprocess.Popen that captures its output.

    Args:
        arguments: of the command line.
        environment: variables beside those of this process.
        largest_file: bytes beyond which no file of the process may grow.
    """

    def __init__(
        self, *arguments: str, environment: Mapping[str, str] | None = None, largest_file: int | None = None
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix="groklab-test-"))
        weakref.finalize(self, shutil.rmtree, folder)
        self._output = [folder / name for name in ("out", "err")]
        self._process = _CONTEXT.Process(
            target=_run,
            args=(arguments, {**os.environ, **(environment or {})}, tuple(map(str, self._output)), largest_file),
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended the process; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same, as of subprocess.Popen."""
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; what it has printed on standard output and standard error."""
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired("groklab", timeout or 0)
        out, err = (path.read_text() if path.is_file() else "" for path in self._output)
        return out, err


def _run(
    arguments: tuple[str, ...], environment: dict[str, str], output: tuple[str, str], largest_file: int | None
) -> None:
    """What the new process does."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in zip((1, 2), output, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["groklab", *arguments]
    runpy.run_module("groklab", run_name="__main__", alter_sys=True)
