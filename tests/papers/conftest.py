from __future__ import annotations

import pytest

from groklab.training import _ensemble as ensemble


@pytest.fixture(autouse=True)
def one_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members train one by one, so that runs of one, two and eight members share a compiled program."""
    monkeypatch.setattr(ensemble, "CPU_LANES", 1)
