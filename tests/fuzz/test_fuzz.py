"""The first cases of `make fuzz`; `make test-long` runs all of them."""

from __future__ import annotations

import pytest

from amounts import amount
from fuzz import fuzz

CASES = amount(200, full=10_000)


@pytest.mark.long
def test_random_text_is_read_or_refused() -> None:
    fuzz(0, CASES)
