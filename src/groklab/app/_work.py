"""Processes of the command line that the dashboard starts and stops."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from groklab.errors import InputError
from groklab.store import locks


@dataclass
class Job:
    """A process that the dashboard has started: its command, and the file of what it says."""

    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    message: str = ""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def refusal(self) -> str | None:
        """The sentence with which it has refused, or why it has ended otherwise; None where it did not fail."""
        code = self.process.poll()
        if code in (None, 0, 128 + signal.SIGTERM, -signal.SIGTERM):
            return None
        if not self.output.closed:
            self.output.seek(0)
            self.message = self.output.read().decode(errors="replace").strip()
            self.output.close()
        lines = self.message.splitlines()
        return lines[-1].removeprefix("groklab: ") if lines else f"the process ended with code {code}"


class Jobs:
    """The processes of one dashboard, by the address of what they train. They outlive it."""

    def __init__(self, home: Path) -> None:
        self.home, self._jobs, self._lock = home, dict[str, Job](), threading.Lock()

    def get(self, address: str) -> Job | None:
        """Return the last process that was started for an address."""
        return self._jobs.get(address)

    @property
    def running(self) -> list[str]:
        """The addresses of those that have not ended."""
        return [address for address, job in self._jobs.items() if job.running]

    def start(self, address: str, arguments: Sequence[str]) -> Job:
        """Start `groklab` with these arguments, unless the dashboard runs one for this address already."""
        with self._lock:
            known = self._jobs.get(address)
            if known is not None:
                if known.running:
                    return known
                known.output.close()
            # -P: what lies in the folder of runs is not imported
            command = (sys.executable, "-P", "-m", "groklab", *arguments)
            output = tempfile.TemporaryFile()  # noqa: SIM115  (read when the process has ended)
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env={**os.environ, "GROKLAB_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
            self._jobs[address] = job = Job(("groklab", *arguments), process, output)
            return job

    def close(self) -> None:
        """Let go of the processes, which go on."""
        for job in self._jobs.values():
            job.output.close()

    def stop(self, address: str, folder: Path) -> None:
        """Ask the process that trains a run or sweep to save it and end.

        Raises InputError where none does, or where it is not for the dashboard to end: on another machine, or another
        program, such as a notebook.
        """
        job = self._jobs.get(address)
        if job is not None and job.running:
            job.process.terminate()
            return
        holder = locks.holder(folder)
        if holder is None:
            raise InputError(f"{folder.name} is not being trained")
        pid = locks.process_here(holder)
        if pid is None or not _is_groklab(pid):
            raise InputError(f"{folder.name} is trained by {holder}, which the dashboard does not stop: do it there")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _is_groklab(pid: int) -> bool:
    """Return whether a process is the command line of groklab, of this very user: a lock may name any."""
    try:
        process = psutil.Process(pid)
        words = process.cmdline()[:5]
        return process.uids().real == os.getuid() and any(Path(word).name == "groklab" for word in words)
    except psutil.Error:
        return False
