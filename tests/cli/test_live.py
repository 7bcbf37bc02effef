"""Training watched in a terminal: curves of braille dots that follow the run."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import groklab as gl
from groklab.cli.live import LiveView, braille, panel
from groklab.training import Progress

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


@pytest.mark.parametrize("height", [10, 24, 60])
@pytest.mark.parametrize("width", [30, 59, 60, 80, 200])
@pytest.mark.parametrize("name", ["first-1a2b3c4d", "a-name-as-long-as-it-may-be" * 3 + "-1a2b3c4d"])
def test_the_live_view_fills_the_window_and_wraps_nothing(width: int, height: int, name: str) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, color_system=None)
    steps = np.arange(0, 1510, 10)
    rising = np.linspace(0, 1, len(steps))[:, None]
    values = {"train_loss": 10.0 ** (1 - 8 * rising), "test_loss": 10.0 ** (2 - 3 * rising)}
    metrics = {**values, "train_accuracy": rising, "test_accuracy": rising**2}
    progress = Progress(
        run=name,
        step=1500,
        budget=4000,
        seconds=3.0,
        steps_per_second=1234.5,
        compiling=False,
        steps=steps,
        metrics=metrics,
        memorised=[60],
        grokked=[None],
    )
    console.print(LiveView(console).picture(progress))
    lines = file.getvalue().rstrip("\n").split("\n")
    assert max(map(len, lines)) <= width
    assert len(lines) < height
    assert len(lines) >= height - 2, "all of the height is used"
    ticks = [line.split() for line in lines if line.strip().startswith("1 ")]
    panels = 2 if width >= 60 or height >= 24 else 1
    assert [tick for line in ticks for tick in line] == ["1", "10", "100", "1k"] * panels


@pytest.mark.parametrize("n", [1, 2, 7, 12])
@pytest.mark.parametrize("rows", [3, 10, 40])
def test_labels_of_an_axis_are_evenly_spaced_with_free_rows_between(n: int, rows: int) -> None:
    ticks = {float(i): f"1e{i:+d}" for i in range(-n, 1)}
    drawn = panel("loss", [], 40, rows, 3.0, ticks)[1:-2]
    marked = [i for i, line in enumerate(drawn) if "┤" in line.plain]
    assert marked[-1] == rows - 1
    assert f"1e-{n}" in drawn[-1].plain
    gaps = np.diff(marked)
    assert not len(gaps) or (gaps.min() >= 2 and np.ptp(gaps) <= 1)


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
