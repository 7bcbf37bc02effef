from __future__ import annotations

from pathlib import Path

import pytest

from groklab import device
from groklab.errors import InputError


def test_too_much_memory_is_refused_naming_the_bytes() -> None:
    with pytest.raises(InputError, match=r"a model needs about .* \(1,000,000,000,000,000,000 bytes\)"):
        device.require_memory("a model", 10**18)
    device.require_memory("a model", 1)


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10**18, "909494.7 TiB")])
def test_bytes_are_written_for_people(n: int, text: str) -> None:
    assert device.readable_bytes(n) == text


def test_runs_are_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.home() == home
    monkeypatch.setenv("GROKLAB_HOME", "")
    assert device.home() == Path.home() / "groklab"
