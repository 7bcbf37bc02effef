"""Training watched in a terminal: curves of braille dots that follow the run."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import groklab as gl
from groklab.cli.live import LiveView, braille

#: Bits of a braille character by (row, column) of its eight dots.
DOTS = [[0, 3], [1, 4], [2, 5], [6, 7]]


def dots(text: str) -> np.ndarray:
    """(4 height, 2 width) bool, the dots of a block of braille characters."""
    cells = np.array([[ord(c) - 0x2800 for c in line] for line in text.split("\n")])
    return np.block([[np.array([[c >> b & 1 for b in row] for row in DOTS], bool) for c in line] for line in cells])


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 10),
    level=st.floats(0, 1),
    points=st.integers(2, 50),
)
def test_a_constant_curve_is_one_unbroken_row_of_dots(width: int, height: int, level: float, points: int) -> None:
    x = np.linspace(0, 1, points)
    drawn = braille([(x, np.full(points, level), "red")], width, height, (0, 1), (0, 1))
    found = dots(drawn.plain)
    assert found.shape == (4 * height, 2 * width)
    (rows,) = np.nonzero(found.any(axis=1))
    assert len(rows) == 1
    assert abs(rows[0] - (1 - level) * (4 * height - 1)) <= 0.5 + 1e-9
    assert found[rows[0]].all()


def test_a_rising_curve_goes_from_the_lower_left_to_the_upper_right_without_a_gap() -> None:
    x = np.linspace(0, 1, 20)
    found = dots(braille([(x, x**3, "red")], 12, 5, (0, 1), (0, 1)).plain)
    assert found[-1, 0]
    assert found[0, -1]
    columns = [np.flatnonzero(column) for column in found.T]
    assert all(len(rows) for rows in columns)
    for left, right in pairwise(columns):
        # each column of dots reaches the one before it
        assert right.min() <= left.min()
        assert right.max() >= left.min() - 1


def test_what_is_not_finite_is_not_drawn() -> None:
    nothing = np.full(5, np.nan)
    assert not dots(braille([(np.arange(5.0), nothing, "red")], 4, 2, (0, 4), (0, 1)).plain).any()


def test_the_live_view_follows_a_training_to_its_end(home: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=40, color_system=None)
    with LiveView(console) as view:
        run = gl.train(gl.preset("micro-fast", {"budget.steps": 300}), view=view)
    shown = file.getvalue()
    last = shown[shown.rindex(run.name) :]
    assert "300" in last
    assert any(0x2800 < ord(c) < 0x2900 for c in last)
    accuracy = run.curves()["train_accuracy"][-1]
    assert f"{accuracy:.1%}" in last
