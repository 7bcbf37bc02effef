from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clusters import cluster_of


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Two workers of one thread each, shared by all tests that kill none."""
    with cluster_of(2) as address:
        yield address


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the program in this process: exit code, standard output, standard error."""
    from groklab.cli import main

    def run(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out, err

    return run
