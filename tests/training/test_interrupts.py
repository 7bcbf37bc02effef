from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from groklab.errors import Interrupted
from groklab.training import interrupts, stop_requests
from groklab.training.interrupts import SIGNALS, raised

Handlers = dict[int, Any]


@pytest.fixture
def handlers() -> Iterator[Handlers]:
    """The handlers of a program that has none of its own; they are as they were after the test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    fresh: Handlers = {**dict.fromkeys(SIGNALS, signal.SIG_DFL), signal.SIGINT: signal.default_int_handler}
    for number, handler in fresh.items():
        signal.signal(number, handler)
    yield fresh
    for number, handler in before.items():
        signal.signal(number, handler)


def present() -> Handlers:
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_flag_and_the_handlers_of_before_come_back(number: int, handlers: Handlers) -> None:
    def train() -> None:
        with stop_requests() as reason:
            assert reason() is None
            signal.raise_signal(number)
            assert reason() == ("ctrl-c" if number == signal.SIGINT else signal.Signals(number).name)
            raise Interrupted("a run")

    with pytest.raises(Interrupted):
        train()
    assert present() == handlers


def test_a_second_signal_stops_at_once_unless_it_is_the_same_request(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> None:
        with stop_requests():
            signal.raise_signal(signal.SIGTERM)
            # as `timeout` sends it: to the process, and to its group
            signal.raise_signal(signal.SIGTERM)
            monkeypatch.setattr(interrupts, "SAME_SECONDS", -1.0)
            # the system repeats it until the process ends
            signal.raise_signal(signal.SIGXCPU)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train()
    assert present() == handlers


def test_a_signal_that_comes_too_late_is_sent_again(handlers: Handlers) -> None:
    reached: list[bool] = []

    def train() -> None:
        with stop_requests():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        train()
    assert reached


def test_signals_that_a_program_ignores_or_handles_itself_are_left_to_it(handlers: Handlers) -> None:
    heard: list[int] = []
    # as `nohup` does, and a script that asks SLURM to queue it again
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    own = present()
    with raised(), stop_requests() as reason:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGUSR1)
        assert reason() is None
    assert heard == [signal.SIGUSR1]
    assert present() == own


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost(handlers: Handlers) -> None:
    def interrupted(phase: str, info: object) -> None:
        # as in those of JAX, whose exceptions Python ignores
        gc.callbacks.remove(interrupted)
        signal.raise_signal(signal.SIGTERM)

    gc.callbacks.append(interrupted)
    with raised() as request:
        with pytest.raises(KeyboardInterrupt):
            collect_and_wait()
        assert request.name == "SIGTERM"


def collect_and_wait() -> None:
    gc.collect()
    # the signal comes again after a tenth of a second
    time.sleep(30)


def test_a_signal_is_not_sent_again_before_it_can_be_heard(handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    # as where other processes keep the cores busy
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (start(thread), time.sleep(0.05)))
    with raised() as request:
        request.number = signal.SIGTERM
        request.again()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)


def test_other_threads_leave_signals_alone(handlers: Handlers) -> None:
    inside: list[Any] = []

    def train() -> None:
        with stop_requests() as reason:
            inside.extend([present(), reason()])

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert inside == [handlers, None]
