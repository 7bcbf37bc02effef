"""Grids: what the command line's words mean, and the order of their product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.sweeps import parse_grid
from groklab.sweeps._plan import as_grid, parse_values, points


def test_values_are_read_as_settings_are() -> None:
    found = parse_grid(["a.b=1,2.5,true,null,'x,y'", "c=[0.9, 0.98],[0.9, 0.999]", "task.expression=x + y,x*y"])
    assert found == {
        "a.b": [1, 2.5, True, None, "x,y"],
        "c": [[0.9, 0.98], [0.9, 0.999]],
        "task.expression": ["x + y", "x*y"],
    }


def test_ranges_include_both_ends() -> None:
    assert parse_values("k", "0.1:0.9:9") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert parse_values("k", "1:9:5") == [1, 3, 5, 7, 9]
    assert all(type(v) is int for v in parse_values("k", "1:9:5"))
    assert parse_values("k", "1:4:3") == [1.0, 2.5, 4.0]
    assert parse_values("k", "1e-5:1e-2:4:log") == [1e-5, 1e-4, 1e-3, 1e-2]
    assert parse_values("k", "1:1000:4:log") == [1, 10, 100, 1000]
    assert parse_values("k", "0,1e-2:1:3:log") == [0, 0.01, 0.1, 1.0]


@given(st.floats(1e-9, 1e3), st.floats(1.001, 1e6), st.integers(2, 60))
def test_logarithmic_ranges_are_those_of_numpy(low: float, factor: float, n: int) -> None:
    high = low * factor
    found = parse_values("k", f"{low!r}:{high!r}:{n}:log")
    np.testing.assert_allclose(found, np.geomspace(low, high, n), rtol=1e-15)
    assert found[0] == pytest.approx(low, rel=1e-15)
    assert found[-1] == pytest.approx(high, rel=1e-15)
    assert (np.diff(found) > 0).all()


@given(st.integers(-50, 50), st.integers(1, 40), st.integers(1, 30))
def test_linear_ranges_over_whole_steps_are_integers(low: int, step: int, count: int) -> None:
    found = parse_values("k", f"{low}:{low + step * count}:{count + 1}")
    assert found == list(range(low, low + step * count + 1, step))
    assert {type(v) for v in found} == {int}


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.integers(), min_size=1, max_size=4), max_size=4))
def test_the_first_key_varies_slowest(grid: dict[str, list[int]]) -> None:
    found = points(grid)
    assert len(found) == np.prod([len(v) for v in grid.values()], dtype=int)
    places = [[grid[key].index(value) for key, value in point.items()] for point in found]
    assert places == sorted(places)
    assert all(list(point) == list(grid) for point in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "before and after each comma"),
        ("1,,2", "before and after each comma"),
        ("1,", "before and after each comma"),
        ("5:1:3", "reversed"),
        ("0:1:1", "the number of values, needs to be an integer from 2"),
        ("1:1:3", "lo and hi are the same"),
        ("1:5:0", "the number of values, needs to be an integer from 2"),
        ("1:5:1", "the number of values, needs to be an integer from 2"),
        ("1:5:-3", "the number of values, needs to be an integer from 2"),
        ("1:5:2.5", "the number of values, needs to be an integer from 2"),
        ("1:5:99999999999999999999", "the number of values, needs to be an integer from 2"),
        ("1:5", "lo:hi:n"),
        ("1:5:3:lin", "lo:hi:n:log"),
        ("1:5:3:log:x", "lo:hi:n:log"),
        (":5:3", "numbers for its ends"),
        ("1::3", "numbers for its ends"),
        ("nan:5:3", "numbers for its ends"),
        ("1:inf:3", "numbers for its ends"),
        ("0:5:3:log", "above 0"),
        ("-1:5:3:log", "above 0"),
    ],
)
def test_bad_values_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_values("task.p", text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["task.p"], "names no values"), (["=1"], "names no values"), (["a=1", "a=2"], "given twice")],
)
def test_bad_arguments_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_grid(arguments)


def test_python_gives_lists_arrays_and_texts() -> None:
    found = as_grid({"a": (1, 2), "b": np.linspace(0, 1, 3), "c": "1:3:3"})
    assert found == {"a": [1, 2], "b": [0.0, 0.5, 1.0], "c": [1, 2, 3]}
    assert type(found["b"][0]) is float


@pytest.mark.parametrize("keys", [{"a": []}, {"a": 5}, {"budget.steps": [1, 2]}, {"name": ["a", "b"]}])
def test_python_grids_are_checked(keys: dict[str, object]) -> None:
    with pytest.raises(InputError):
        as_grid(keys)
