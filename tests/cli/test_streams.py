from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from groklab.cli import streams


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_what_nobody_reads_is_dropped(closed_pipe: int) -> None:
    output = streams._Output(closed_pipe, "w", closefd=False)
    for _ in range(2):
        assert output.write(b"step 10") == 7
    assert output.lost is None


def test_a_full_disk_under_the_output_is_remembered() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        output = streams._Output(full.fileno(), "w", closefd=False)
        for _ in range(2):
            assert output.write(b"step 10") == 7
    assert output.lost is not None
    assert output.lost.errno == errno.ENOSPC
