"""A signal that asks to end, at any moment, ends with exit code 128 + n and one line that says how to go on."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from groklab.cli import main


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (["train", "micro"], "groklab.cli.train.check_name"),
        (["sweep", "micro", "--grid", "seed=0,1"], "groklab.cli.sweeping.check_name"),
        (["presets"], "groklab.cli.find.print_pairs"),
    ],
)
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "stopped"),
        (signal.SIGTERM, "stopped by SIGTERM"),
        (signal.SIGHUP, "stopped by SIGHUP"),
        (signal.SIGUSR1, "stopped by SIGUSR1"),
    ],
)
def test_it_is_said_wherever_it_comes(
    command: list[str],
    place: str,
    number: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def send(*_: Any) -> None:
        signal.raise_signal(number)

    # under nohup a process is born ignoring SIGHUP, and goes on ignoring it
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        monkeypatch.setattr(place, send)
        monkeypatch.setattr(sys, "argv", ["groklab", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 128 + number
        assert capsys.readouterr() == ("", f"groklab: {words}; give the same command again to go on\n")
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)
