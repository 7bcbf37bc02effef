from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Small programs on a shared machine: one compilation cache for all tests and processes, kept between calls.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".venv" / "xla-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import hypothesis
import jax

import groklab  # noqa: F401  (switches 64-bit mode on)

hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

jax.config.update("jax_numpy_dtype_promotion", "standard")

REFERENCE = Path(__file__).parent.parent.parent / "shared" / "reference"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a folder of runs of its own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("GROKLAB_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="module")
def compiled() -> Iterator[None]:
    """Programs of one module's tests do not pile up in memory; those that come again are in the cache on disk."""
    yield
    jax.clear_caches()


@pytest.fixture
def reference() -> Path:
    """The released files, which are not part of the project."""
    if not REFERENCE.is_dir():
        pytest.skip("the released reference files are not here")
    return REFERENCE


def groklab_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "groklab", *arguments]
