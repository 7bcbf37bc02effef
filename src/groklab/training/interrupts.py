"""Ctrl-C and deadlines: noticed between chunks of training, so that what is kept is complete."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from groklab.errors import Interrupted, OutOfTime

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


class _Pressed:
    """Whether Ctrl-C was pressed.

    Not a threading.Event: in its `set` a second signal would wait for the first one to give its lock back.
    """

    yes = False


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
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C into a flag that is read between chunks; a second one stops at once. A deadline raises it, too."""
    pressed = _Pressed()

    def stop_requested() -> bool:
        return pressed.yes or out_of_time()

    if threading.current_thread() is not threading.main_thread():
        with _raising_out_of_time(pressed):
            yield stop_requested
        return

    def handler(number: int, frame: Any) -> None:
        if pressed.yes:
            raise KeyboardInterrupt
        pressed.yes = True

    before = signal.signal(signal.SIGINT, handler)
    try:
        with _raising_out_of_time(pressed):
            yield stop_requested
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _raising_out_of_time(pressed: _Pressed) -> Iterator[None]:
    """Raise OutOfTime for an interruption without Ctrl-C."""
    try:
        yield
    except Interrupted as stop:
        if pressed.yes:
            raise
        raise OutOfTime(*stop.args) from None
