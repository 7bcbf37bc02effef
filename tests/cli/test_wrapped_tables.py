"""Tables in windows of any width: no cell is ever wrapped or cut."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len

import groklab as gl
from groklab.cli.tables import Column, print_settings, print_table, shown_settings
from groklab.cli.terminal import Terminal
from groklab.experiment import parse_overrides

COLUMNS = (Column("name", left=True), Column("task", left=True), Column("steps"), Column("disk", rank=1))
ROWS = [("first", "x + y mod 59", "3,740", "31 MiB"), ("素数", "x\x1b[2J y", "10", "2 MiB")]


def printed(width: int, rows: list[tuple[str, ...]] = ROWS) -> tuple[list[str], list[str]]:
    file = io.StringIO()
    left_out = print_table(Terminal(file=file, width=width), COLUMNS, rows)
    return file.getvalue().splitlines(), left_out


def test_a_wide_window_has_all_columns_in_line() -> None:
    lines, left_out = printed(80)
    assert not left_out
    assert lines[0].split() == ["name", "task", "steps", "disk"]
    assert len({cell_len(line) for line in lines}) == 1, "all columns end at the same place"
    assert "\\x1b[2J" in lines[2]


def test_a_narrower_window_leaves_out_what_matters_least() -> None:
    lines, left_out = printed(30)
    assert left_out == ["disk"]
    assert max(map(cell_len, lines)) <= 30


def test_a_narrow_window_has_further_columns_below_and_wraps_no_cell() -> None:
    lines, left_out = printed(20)
    assert left_out == ["disk"]
    assert [line.split() for line in lines if line.startswith("name")] == [["name", "task"], ["name", "steps"]]
    assert sum("x + y mod 59" in line for line in lines) == 1


def test_a_long_name_has_a_line_of_its_own() -> None:
    lines, _ = printed(40, [("a-name-that-takes-half-of-the-window", *ROWS[0][1:])])
    assert lines[1] == "a-name-that-takes-half-of-the-window"
    assert lines[2].split() == ["x", "+", "y", "mod", "59", "3,740", "31", "MiB"]


@pytest.mark.parametrize("name", ["demo", "rfm-small", "furuta2024/mixture-add-multiply", "omnigrok/mnist-small"])
def test_settings_are_printed_as_commands_take_them(name: str) -> None:
    experiment = gl.preset(name, {"seed": 3})
    file = io.StringIO()
    print_settings(Terminal(file=file, width=40), shown_settings(experiment, every=True))
    given = [line.strip() for line in file.getvalue().splitlines()]
    assert gl.read({}, parse_overrides(given)) == experiment
    shown = shown_settings(experiment)
    assert shown.items() <= shown_settings(experiment, every=True).items()
    assert {"seed", "task.kind", "budget.steps"} <= set(shown)
