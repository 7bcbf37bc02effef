"""Networks computed by tables, as on a CPU, or densely, as on a graphics card, whatever this machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

#: The ways of `groklab.device.WAYS`, which a fast pass can take, and the reference.
FAST = ("tables", "dense")


@contextmanager
def forced(way: str) -> Iterator[None]:
    """Make programs that are traced inside in this way."""
    with mock.patch.dict(os.environ, {"GROKLAB_WAY": way}):
        yield
