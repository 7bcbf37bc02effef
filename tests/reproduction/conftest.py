from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from groklab.cli import main
from groklab.reproduction import PAPERS, Claim, Paper, publish


@pytest.fixture
def paper() -> Iterator[Callable[..., Paper]]:
    """Publishes a paper of the test's own, which ends with the test."""

    def make(*claims: Claim) -> Paper:
        return publish("mine", "A paper of the test's own", claims)

    yield make
    PAPERS.pop("mine", None)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call
