from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

# One cache of compiled programs for all tests and processes, kept between calls; it holds the quickest ones, too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".venv" / "xla-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Programs that compile in a third of the time, and run more slowly; `XLA_FLAGS=` tests those of users.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

import hypothesis
import jax

import groklab.training._ensemble
from clusters import cluster_of
from corpus import Corpus
from groklab import lazy

if TYPE_CHECKING:
    from shared_pages import Pages

hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

lazy.configure()
jax.config.update("jax_numpy_dtype_promotion", "standard")


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what is imported by now: JAX's caches make each of its rounds long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


REFERENCE = Path(__file__).parent.parent.parent / "shared" / "reference"
#: Bytes that a process may hold before it forgets its compiled programs; two of them fit into 8 GiB.
MEMORY = 3 * 2**30


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a folder of runs, and remembers plug-ins, of its own."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GROKLAB_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files reach the disk when it likes: only a power cut could show. A wrong handle is still an error."""
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture(autouse=True, scope="module")
def compiled() -> Iterator[None]:
    """Compiled programs stay in memory for the tests that follow, as long as there is room."""
    yield
    if psutil.Process().memory_info().rss > MEMORY:
        jax.clear_caches()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """Trained runs that all tests share, and none writes into: see corpus.py."""
    base = tmp_path_factory.getbasetemp()
    shared = Corpus((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "corpus")
    yield shared
    assert not shared.changed(), "a test wrote into a shared run: let it take a copy (corpus.copy)"


@pytest.fixture(scope="session")
def pages(corpus: Corpus) -> Pages:
    """Pages of shared runs: see shared_pages.py."""
    from shared_pages import Pages  # which loads Plotly

    return Pages(corpus)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a dask cluster: two workers of one thread each, shared by all tests that kill none.

    Sweeps take thousands of steps: its programs are those of users, which are three times as quick as other tests'.
    """
    with cluster_of(2, XLA_FLAGS="") as address:
        yield address


@pytest.fixture
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensembles train member by member, by the compiled program of single runs: for tests of what is measured."""
    monkeypatch.setattr(groklab.training._ensemble, "CPU_LANES", 1)


@pytest.fixture
def reference() -> Path:
    """The released files, which are not part of the project."""
    if not REFERENCE.is_dir():
        pytest.skip("the released reference files are not here")
    return REFERENCE
