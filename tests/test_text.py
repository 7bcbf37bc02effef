"""How numbers are written for people, what texts mean, and what is read from files."""

from __future__ import annotations

import math
import os
import socket
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.text import (
    LARGEST,
    duration,
    first_of,
    flattened,
    integer_in,
    jsonable,
    listed,
    loss_of,
    number_in,
    percent,
    percents,
    read_file,
    scalar,
    steps_of,
    visible,
)


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
    assert [loss_of(x) for x in (-1.5e-7, -2.0, -1.97e-17)] == ["−1.5\u00a0×\u00a010⁻⁷", "−2", "0 up to rounding"]
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


@pytest.fixture
def irregular(tmp_path: Path) -> dict[str, Path]:
    """What is not a regular file, and links to it."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    paths = {"device": Path("/dev/zero"), "pipe": tmp_path / "pipe", "socket": tmp_path / "socket", "folder": tmp_path}
    for name, path in list(paths.items()):
        paths[f"link to {name}"] = tmp_path / f"to-{name}.csv"
        paths[f"link to {name}"].symlink_to(path)
    return paths


@pytest.mark.parametrize("kind", LARGEST)
def test_what_is_not_a_regular_file_is_not_read(kind: str, irregular: dict[str, Path]) -> None:
    for name, path in irregular.items():
        with pytest.raises(OSError, match="it is a folder" if "folder" in name else "it is not a regular file"):
            read_file(path, kind)


def test_a_pipe_in_the_place_of_a_file_that_was_checked_does_not_block(
    tmp_path: Path, irregular: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "stat", lambda _: os.lstat(tmp_path / "file"))
    with pytest.raises(OSError, match="it is not a regular file"):
        read_file(irregular["pipe"], "table")


def test_files_are_read_up_to_the_size_of_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LARGEST, "settings", 100)
    file = tmp_path / "file"
    for size in (0, 1, 100):
        file.write_bytes(b"x" * size)
        assert len(read_file(file, "settings")) == size
    file.write_bytes(b"x" * 101)
    with pytest.raises(OSError, match="it has 101 bytes, and at most 100 are read"):
        read_file(file, "settings")
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", "settings")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("010", 10), ("+3", 3), ("-0", 0), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), (" 7\n", 7), ("1E-2", 0.01)),
        *((".inf", math.inf), ("-.INF", -math.inf), ("1e400", math.inf), ("9" * 300, int("9" * 300))),
        *((text, None) for text in ("", ".", "e5", "1e", "1_0", "0x1", "0o7", "1:30", "1,5", "1 0", "nan", "inf", "٣")),
        *((text, None) for text in ("--1", "1.5.2", "9" * 301, "1e5j", "½", "true", "1\n2", "2020-01-01")),
    ],
)
def test_numbers_are_decimal(text: str, number: float | None) -> None:
    assert (number_in(text), type(number_in(text))) == (number, type(number))
    whole = number is not None and math.isfinite(number) and number == int(number)
    assert integer_in(text) == (number if whole else None)


def test_integers_are_exact_beyond_those_of_floats() -> None:
    texts = ("9007199254740993.0", "12345678901234567e1", "9007199254740993.5", "1e22")
    assert [integer_in(text) for text in texts] == [2**53 + 1, 123456789012345670, None, 10**22]


@given(st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_python_prints_is_read(number: float) -> None:
    assert (number_in(repr(number)), scalar(repr(number))) == (number, number)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        *(([], "–"), ([None], "–"), (None, "–"), (0.25, "25.0%"), (0.9999, "over 99.9%"), ([math.nan, 1.0], "100.0%")),
        *(([0.5, None, 0.25], "25.0% to 50.0%"), ([1.0, 1.0], "100.0%"), ([0.1, 0.1001], "10.0%")),
    ],
)
def test_a_range_of_shares_is_written_once_where_both_ends_read_alike(values: Any, text: str) -> None:
    assert percents(values) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0, "0"), (1410, "1,410"), ([0, None, 20], "2 of 3")])
def test_steps_of_an_ensemble_are_counted(value: Any, text: str) -> None:
    assert steps_of(value) == text
