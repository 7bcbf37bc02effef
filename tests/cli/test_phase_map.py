"""The map of a sweep's phases in a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, Group

from groklab.cli.phase_map import LiveSweep, PlainSweep, draw_map, map_of
from groklab.sweeps import Axes, Cell, Member, SweepProgress
from invented_sweep import LR, WD, Outcome, written


def progress(
    phases: list[str | None], *, rows: int = 2, columns: int = 2, ended: bool = True, failed: int = 0
) -> SweepProgress:
    keys = {"a.b": [float(i) for i in range(rows)], "c.d": list(range(columns))}
    points = [{"a.b": a, "c.d": c} for a in keys["a.b"] for c in keys["c.d"]]
    members = len(phases)
    each = members // len(points)

    def outcome(i: int, phase: str | None) -> str:
        return "failed" if i < failed else "censored" if ended and phase is not None else "undecided"

    return SweepProgress(
        name="name-01234567",
        description="4 members share one program and shape: 1 pack of 4 lanes, as a core is busy with 8; 1 worker",
        keys=keys,
        points=points,
        members=[(i // each, Member(i, 0, outcome(i, p), phase=p)) for i, p in enumerate(phases)],
        shares=[float(ended and p is not None) for p in phases],
        seconds=10.0,
        done_before=0.0,
        workers=1,
    )


def drawn(seen: SweepProgress, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(LiveSweep(console).picture(seen))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def cells(lines: list[str]) -> list[str]:
    begin = next(i for i, line in enumerate(lines) if line.endswith("across, c.d upwards")) + 1
    end = next(i for i, line in enumerate(lines) if line.startswith("C comprehension"))
    return lines[begin : end - 1]


def test_one_letter_per_cell() -> None:
    lines = drawn(progress(["comprehension", "grokking", "memorisation", "confusion"]))
    assert cells(lines) == ["1 G X", "0 C M"]
    assert any("4 of 4 members, 100%" in line for line in lines)


def test_cells_hold_the_majority_over_seeds() -> None:
    seen = progress(
        [*["grokking"] * 2, "memorisation", *["memorisation"] * 2, "grokking", *[None] * 3, *["undefined"] * 3]
    )
    assert cells(drawn(seen)) == ["1 M ?", "0 G ·"]


def test_small_letters_until_all_have_ended() -> None:
    assert cells(drawn(progress(["memorisation"] * 4, ended=False))) == ["1 m m", "0 m m"]
    assert cells(drawn(progress([None] * 4, failed=1))) == ["1 · ·", "0 ! ·"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_large_maps_fit_the_screen(width: int) -> None:
    seen = progress(["grokking"] * 6000, rows=60, columns=100)
    lines = drawn(seen, width)
    assert max(map(len, lines)) <= width
    assert len(lines) < 36
    assert any("of 100 rows and" in line for line in lines)


def test_lines_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    view = PlainSweep(console)
    view(progress([None] * 4))
    view(progress([None] * 4))
    view(progress(["grokking", None, None, None]))
    view(progress(["grokking", None, None, None]))
    view(progress(["grokking"] * 4))
    view(progress(["grokking"] * 4))
    file = console.file
    assert isinstance(file, io.StringIO)
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("name-01234567: 4 members")
    assert lines[1].startswith("1 of 4 members, 25%, 30 s left")
    assert lines[2] == "4 of 4 members, 100%  G 4"


def printed(drawn: Group, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_map_of_a_sweep_pools_all_settings_but_two(home: Path) -> None:
    keys = {WD: [0, 0.5], "network.activation": ["relu", "gelu"], LR: [1e-3, 1e-2]}

    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        if point["network.activation"] == "gelu":
            return Outcome("failed" if point[WD] else "diverged", times=(100, None))
        return Outcome(times=(100, 5000 if point[WD] else 200))

    lines = [line.split() for line in printed(map_of(written(home, "map", keys, outcome, 2, 100_000)))]
    assert lines[0] == [WD, "across,", "network.activation", "downwards"]
    assert lines[1:4] == [["relu", "C", "G"], ["gelu", "M", "!"], ["0", "0.5"]]


def test_a_sweep_of_seeds_alone_is_one_letter(home: Path) -> None:
    sweep = written(home, "seeds", {}, lambda p, seed: Outcome(times=(100, 200)), 3)
    assert printed(map_of(sweep))[0].split() == ["C"]


def test_every_column_is_labelled_where_there_is_room() -> None:
    axes = Axes("a", (0.25, 0.5, 1000), "b", ("up",))
    cells = [Cell(i, 0, (Member(i, 0, "censored", phase="grokking"),)) for i in range(3)]
    for width, expected in ((18, ["up  G    G    G", "   0.25 0.5  1000"]), (17, ["up G G G", "   0.25 1000"])):
        assert printed(draw_map(axes, cells, width))[1:3] == expected


@pytest.mark.parametrize(("width", "height"), [(50, 16), (80, 24), (120, 60)])
def test_a_large_map_fills_the_window_and_wraps_nothing(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(LiveSweep(console).picture(progress(["grokking"] * 60 * 60, rows=60, columns=60)))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == height - 1
    assert max(map(len, lines)) <= width
    assert "a gap of 1,000 steps" in lines[-1] or width < 60, "by the rule, however wide the map"
