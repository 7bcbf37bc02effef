"""The first cases of `make fuzz`; `make test-long` runs all of them."""

from __future__ import annotations

import os

from fuzz import fuzz

CASES = 10_000 if os.environ.get("GROKLAB_TEST_LONG") == "full" else 200


def test_random_text_is_read_or_refused() -> None:
    fuzz(0, CASES)
