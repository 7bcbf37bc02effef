from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jax._src.lru_cache import LRUCache

from groklab import device
from groklab.errors import InputError


def test_an_entry_of_the_compilation_cache_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LRUCache(str(tmp_path), max_size=-1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            cache.put("key", b"program")
    assert cache.get("key") is None
    assert not list(tmp_path.glob("*key*"))
    cache.put("key", b"program")
    assert cache.get("key") == b"program"
    assert len(list(tmp_path.glob("*key*"))) == 1


def test_too_much_memory_is_refused_naming_the_bytes() -> None:
    with pytest.raises(InputError, match=r"a model needs about .* \(1,000,000,000,000,000,000 bytes\)"):
        device.require_memory("a model", 10**18)
    device.require_memory("a model", 1)


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10**18, "909494.7 TiB")])
def test_bytes_are_written_for_people(n: int, text: str) -> None:
    assert device.readable_bytes(n) == text


def test_runs_lie_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.home() == home
    monkeypatch.setenv("GROKLAB_HOME", "")
    assert device.home() == Path.home() / "groklab"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert device.cache_folder() == home / "groklab"
