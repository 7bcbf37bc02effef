from __future__ import annotations

import sys

import pytest

from groklab.cli import main


class Program:
    """A command of the program, run in this process."""

    def __init__(self, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.command, self.monkeypatch, self.capsys = command, monkeypatch, capsys

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        self.monkeypatch.setattr(sys, "argv", ["groklab", self.command, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        assert ended.value.code == code, err
        return out, err


@pytest.fixture
def program(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The command that the test's module names COMMAND."""
    return Program(request.module.COMMAND, monkeypatch, capsys)
