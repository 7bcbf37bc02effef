"""Ctrl-C at any moment ends with exit code 130 and one line that says so."""

from __future__ import annotations

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
def test_it_is_said_wherever_it_comes(
    command: list[str], place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, press)
    monkeypatch.setattr(sys, "argv", ["groklab", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "groklab: stopped\n")
