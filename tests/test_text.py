"""How numbers are written for people."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.text import duration, first_of, flattened, jsonable, listed, loss_of, percent, visible


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.25, "0.25 s"),
        (2, "2 s"),
        (9.44, "9.4 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (61, "1 min 01 s"),
        (119.7, "2 min 00 s"),
        (3599.8, "1 h 00 min"),
        (7260, "2 h 01 min"),
        (math.inf, "–"),
    ],
)
def test_durations_have_the_digits_that_matter(seconds: float, written: str) -> None:
    assert duration(seconds) == written
    assert duration(math.inf) == "–"


def test_nearly_all_is_not_all() -> None:
    assert [percent(x) for x in (1.0, 0.99999, 0.5, None, math.nan)] == ["100.0%", "over 99.9%", "50.0%", "–", "–"]


def test_losses_have_three_figures_and_powers_of_ten() -> None:
    assert [loss_of(x) for x in (1.2345, 1.5e-7, None)] == ["1.23", "1.5\u00a0×\u00a010⁻⁷", "–"]


def test_lists_are_joined_as_in_a_sentence() -> None:
    assert [listed(x) for x in ([], [1], [1, 2], [1, 2, 3])] == ["none", "1", "1 and 2", "1, 2 and 3"]


def test_a_long_list_is_cut_and_counted() -> None:
    assert [first_of(range(n), 2) for n in (1, 2, 5)] == ["0", "0, 1", "0, 1 and 3 more"]


def test_plain_json_has_lists_for_arrays_and_null_for_what_is_not_finite() -> None:
    values = {"a": np.array([[1.5, np.nan]]), 2: (np.float32(0.5), math.inf), "flag": np.bool_(True), "n": np.int64(3)}
    assert jsonable(values) == {"a": [[1.5, None]], "2": [0.5, None], "flag": True, "n": 3}
    with pytest.raises(TypeError, match="not <object"):
        jsonable({"a": [object()]})


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left_of_a_text(text: str) -> None:
    shown = visible(text)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert visible(shown) == shown
    assert visible("α \x1b[31m\x9b\r\u202e\udcff ✓\n") == "α \\x1b[31m\\x9b\\r\\u202e\\udcff ✓\n"


def test_json_holds_no_halves_of_surrogate_pairs() -> None:
    assert jsonable({"a\udcff": ["\ud800", "😀", "\x1b"]}) == {"a\\udcff": ["\\ud800", "😀", "\x1b"]}


def test_nested_settings_are_flattened_to_dotted_names() -> None:
    assert flattened({"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}]}
