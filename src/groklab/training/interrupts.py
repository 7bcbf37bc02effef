"""Signals and deadlines: noticed between chunks of training, so that what is kept is complete."""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from groklab.errors import Interrupted, OutOfTime

#: What asks a program to end: Ctrl-C, `kill`, a terminal that closes, SLURM, Kubernetes, a limit of CPU time. Ctrl-C
#: comes first: a signal between two changes of handlers can raise only by it.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
#: A signal that comes again within so many seconds is the same request: `timeout`, shells and batch systems send theirs
#: to a process and to its group.
SAME_SECONDS = 1.0

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


class Request:
    """A request to stop: the number of the first signal that came, and whether a later one wants the end at once.

    Not a threading.Event: in its `set` a second signal would wait for the first one to give its lock back.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.moment = 0.0
        self.urgent = False

    def hear(self, number: int, frame: Any) -> None:
        """Note a first signal; raise KeyboardInterrupt for a second one."""
        if self.number is None:
            self.number, self.moment = number, time.monotonic()
        elif number != signal.SIGXCPU and time.monotonic() - self.moment > SAME_SECONDS:
            # but for the limit of CPU time, which the system repeats each second
            self.urgent = True
            raise KeyboardInterrupt

    def obey(self, number: int, frame: Any) -> None:
        """Raise KeyboardInterrupt for a first signal, and for a second one."""
        first = self.number is None
        self.hear(number, frame)
        if first:
            raise KeyboardInterrupt

    def again(self) -> None:
        """Send a signal again whose KeyboardInterrupt was lost, as in a callback of the garbage collector."""
        self.moment = -math.inf

        def send() -> None:
            time.sleep(0.1)
            os.kill(os.getpid(), self.number or signal.SIGINT)

        # not a threading.Timer: its start waits for its thread, in which the signal may come, to be lost once more
        _thread.start_new_thread(send, ())

    @property
    def name(self) -> str | None:
        """The signal's name, 'ctrl-c' for SIGINT; None where none has come."""
        if self.number is None:
            return None
        return "ctrl-c" if self.number == signal.SIGINT else signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """The exit code of a program that a signal has ended: 128 and its number."""
        return 128 + (self.number or signal.SIGINT)


#: The request to this process, as long as `raised` is open.
_of_program: Request | None = None


@contextlib.contextmanager
def deadline(moment: float) -> Iterator[None]:
    """Stop training inside the block, saved, at the `time.monotonic()` of `moment`; OutOfTime is raised then."""
    before = _deadline.set(min(moment, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(before)


def out_of_time() -> bool:
    """Return whether the deadline of the enclosing block has passed."""
    return time.monotonic() >= _deadline.get()


@contextlib.contextmanager
def raised() -> Iterator[Request]:
    """Raise KeyboardInterrupt for each of SIGNALS, as for Ctrl-C; a program that holds nothing to save ends by it."""
    global _of_program
    before, _of_program = _of_program, Request()
    hook, again = sys.unraisablehook, _of_program.again
    sys.unraisablehook = lambda lost: again() if lost.exc_type is KeyboardInterrupt else hook(lost)
    try:
        with _handled_by(_of_program.obey, signal.SIG_DFL):
            yield _of_program
    finally:
        _of_program, sys.unraisablehook = before, hook


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], str | None]]:
    """Turn the first of SIGNALS into a flag that is read between chunks; a second one stops at once.

    It yields a function that returns why to stop: 'ctrl-c', the name of another signal, 'slice' for a deadline, or
    None. Signals that the process ignores or handles itself are left to it, but for Ctrl-C; outside of the main thread
    all of them are. One that comes too late to be read is sent again when the block has ended.
    """
    main = threading.current_thread() is threading.main_thread()
    program = _of_program if main else None
    request, ours = program or Request(), (signal.SIG_DFL, program.obey if program else None)

    def reason() -> str | None:
        return request.name or ("slice" if out_of_time() else None)

    with _handled_by(request.hear, *ours) if main else contextlib.nullcontext():
        try:
            yield reason
        except Interrupted as stop:
            if request.number is not None:
                raise
            raise OutOfTime(*stop.args) from None
    if main and request.number is not None:
        signal.raise_signal(request.number)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, Any], None], *free: Any) -> Iterator[None]:
    """Handle those of SIGNALS whose handler is one of `free`, and Ctrl-C, while the block runs."""
    before: dict[int, Any] = {}
    try:
        for number in SIGNALS:
            present = signal.getsignal(number)
            if present is not None and (present in free or number == signal.SIGINT):
                before[number] = present
                signal.signal(number, handler)
        yield
    finally:
        for number in reversed(before):
            signal.signal(number, before[number])
