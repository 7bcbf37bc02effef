from __future__ import annotations

from collections.abc import Iterator

import pytest

from groklab.figures import figures_of  # noqa: F401
from groklab.measures import MEASURES
from groklab.registry import FAMILIES, unload_plugins
from groklab.reproduction import PAPERS


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What a test registers ends with it."""
    tables = [*FAMILIES.values(), MEASURES, PAPERS]
    before = [dict(table) for table in tables]
    yield
    unload_plugins()
    for table, content in zip(tables, before, strict=True):
        for name in set(table) - set(content):
            del table[name]
        table.update(content)
