"""Tables that modules fill are complete for all who look."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from groklab.errors import InputError
from groklab.registry import Discovered


def test_threads_that_look_at_the_same_time_all_see_a_complete_table() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load() -> None:
        table["first"] = 1
        begun.set()
        assert go_on.wait(60)
        # a module that is being imported sees what others have put there before
        assert list(table) == ["first"]
        table["second"] = 2

    table: Discovered[int] = Discovered(load)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: dict(table))
        assert begun.wait(60)
        second = pool.submit(lambda: dict(table))
        # time in which a table that does not wait answers with half of it
        threading.Timer(0.2, go_on.set).start()
        assert second.result() == first.result() == {"first": 1, "second": 2}


def test_a_table_that_failed_to_load_is_loaded_again() -> None:
    failures = iter([InputError("not now")])

    def load() -> None:
        for failure in failures:
            raise failure
        table["only"] = 1

    table: Discovered[int] = Discovered(load)
    with pytest.raises(InputError, match="not now"):
        len(table)
    assert dict(table) == {"only": 1}
