"""The first cases of `make fuzz` on folders; `make test-long` runs more of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import fuzz

from amounts import amount
from corpus import Corpus

CASES = amount(20, full=1000)


@pytest.mark.long
def test_altered_folders_are_read_or_refused(corpus: Corpus, tmp_path: Path) -> None:
    folders = fuzz(corpus, tmp_path, 0, range(CASES), commands=4)
    assert not folders.failures, "\n".join(folders.failures)
    # neither everything is refused, nor nothing
    assert 0.1 < folders.seen["refused"] / folders.seen["all"] < 0.7
