from __future__ import annotations

from pathlib import Path

import pytest

import groklab as gl
from corpus import RUNS, Corpus


@pytest.mark.parametrize("name", RUNS)
def test_every_shared_run_is_finished(corpus: Corpus, name: str) -> None:
    run = corpus[name]
    assert run.status.state == "finished"
    assert run.n_members == (RUNS[name][2] or 1)


def test_the_shared_network_has_grokked(corpus: Corpus) -> None:
    assert corpus["mlp"].summary()["grokked_step"] is not None


def test_a_copy_is_found_finished(corpus: Corpus, home: Path) -> None:
    mine = corpus.copy("mlp")
    assert mine.path.parent == home
    again = gl.train(gl.preset("micro-fast"), view=lambda progress: pytest.fail("trains"))
    assert again.path == mine.path


def test_what_is_written_into_a_shared_run_is_noticed(tmp_path: Path) -> None:
    own = Corpus(tmp_path / "corpus")
    run = own.train(gl.preset("micro-fast", {"budget.steps": 10}))
    assert own.changed() == []
    run.tags = ["mine"]
    assert own.changed() == [f"{run.name}/tags.json"]
