"""The page, its figures and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from groklab.figures import entry_curves, entry_medians
from groklab.leaderboard import COLUMNS, Board
from groklab.report import board_page, write_board

Program = Callable[..., tuple[int, str, str]]


def test_the_page_has_every_entry_and_loads_nothing(measured: tuple[Board, Path], tmp_path: Path) -> None:
    board, _ = measured
    page = write_board(board, tmp_path)
    text = page.read_text("utf-8")
    assert page.name == "tiny-reduced.html"
    for score in board.scores:
        assert f'<th scope="row">{score.name}</th>' in text
    for words in ("log-rank", "Holm", "Kaplan", "2 cores" if "2 cores" in text else "core", *COLUMNS):
        assert words in text
    assert 'src="http' not in text


def test_names_are_escaped(measured: tuple[Board, Path]) -> None:
    from dataclasses import replace

    board, _ = measured
    hostile = replace(board.scores[0], entry=replace(board.scores[0].entry, name="<b>bold</b>", about="<script>x"))
    text = board_page(replace(board, scores=(hostile, *board.scores[1:])))
    assert "<b>bold" not in text
    assert "<script>x" not in text


def test_curves_are_those_of_kaplan_and_meier() -> None:
    frame = pl.DataFrame(
        {
            "entry": ["a"] * 4 + ["base"] * 2,
            "seed": [0, 1, 2, 3, 0, 1],
            "step": [10, 20, 15, 40, 50, 60],
            "grokked": [True, True, False, False, True, True],
        }
    )
    plot = entry_curves(frame, "base")
    (line,) = [t for t in plot.data if t.name == "the entry"]
    # 1 of 4 by 10; then 2 of 4 left at 20, one of whom groks: 1 - 3/4 · 1/2
    assert dict(zip(line.x, line.y, strict=True))[10] == pytest.approx(0.25)
    assert dict(zip(line.x, line.y, strict=True))[20] == pytest.approx(0.625)
    assert [t.name for t in plot.data if t.name] == ["baseline", "the entry"]
    assert plot.data_frame.equals(frame)


def test_medians_show_intervals_and_what_is_beyond_the_budget() -> None:
    frame = pl.DataFrame(
        {
            "entry": ["a", "<i>b"],
            "verdict": ["sooner", "undecided"],
            "median": [20.0, None],
            "low": [10.0, None],
            "high": [None, None],
            "budget": [100, 100],
            "seeds": [[10, 20, 30], []],
        },
        schema_overrides={"seeds": pl.List(pl.Int64)},
    )
    plot = entry_medians(frame)
    (bar,) = [t for t in plot.data if t.mode == "lines"]
    assert bar.x[0] == 10
    assert bar.x[1] > 100
    assert "beyond the budget" in bar.hovertemplate
    (missing,) = [t for t in plot.data if t.name == "no median within the budget"]
    assert (list(missing.x), list(missing.y)) == ([100], [1])
    assert {a.text for a in plot.layout.annotations} == {"a", "&lt;i&gt;b"}


def test_the_command_lists_tracks_and_entries(program: Program) -> None:
    code, out, _ = program("leaderboard")
    assert code == 0
    for name in ("addition", "product", "one-hot", "micro", "s5"):
        assert name in out
    code, out, _ = program("leaderboard", "tiny", "--list", "--only", "lion", "--json")
    assert code == 0
    listed = json.loads(out)
    assert [entry["name"] for entry in listed["entries"]] == ["adamw-tuned", "lion"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tinny"], "track = 'tinny'"),
        (["tiny", "--only", "adamw-tund"], "did you mean adamw-tuned?"),
        (["tiny", "--reduced", "--full"], "--reduced and --full"),
        (["tiny", "--hours", "1", "--slice", "2"], "--hours and --slice"),
        (["tiny", "--slice", "0"], "slice = 0"),
        (["tiny", "--entry", "nowhere.yaml"], "no such file"),
        (["--only", "lion"], "TRACK is missing"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(program: Program, arguments: list[str], says: str) -> None:
    code, _, err = program("leaderboard", *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_the_command_shows_what_is_measured(
    measured: tuple[Board, Path], program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, done = measured
    monkeypatch.setenv("GROKLAB_HOME", str(done))
    code, out, _ = program("leaderboard", "tiny", "--only", "adamw", "--save", str(tmp_path))
    assert code == 0
    assert "adamw-tuned" in out
    assert "by estimate" not in out
    assert (tmp_path / "tiny.json").exists()
    code, out, _ = program("leaderboard", "tiny", "--only", "adamw", "--json", "--quiet")
    assert json.loads(out)["complete"] is True
    code, out, _ = program("leaderboard")
    (line,) = [line for line in out.splitlines() if line.split()[:2] == ["tiny", "reduced"]]
    assert line.split()[2:4] == ["2", "of"]
