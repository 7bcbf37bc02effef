"""How much tests do of what has no end: little in `make test`, much in `make test-long`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def amount(quick: T, full: T) -> T:
    """The amount of the suite that runs; a test that asks for one carries the mark `long`."""
    return full if os.environ.get("GROKLAB_TEST_LONG") == "full" else quick
