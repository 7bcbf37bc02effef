from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from groklab.reproduction import PAPERS, Claim, Paper, publish


@pytest.fixture
def paper() -> Iterator[Callable[..., Paper]]:
    """Publishes a paper of the test's own, which ends with the test."""

    def make(*claims: Claim) -> Paper:
        return publish("mine", "A paper of the test's own", claims)

    yield make
    PAPERS.pop("mine", None)
