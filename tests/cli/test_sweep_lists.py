"""Sweeps in lists, and in `show` and `compare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from corpus import Corpus
from groklab.cli import main
from groklab.sweeps import Sweep
from invented_sweep import LR, WD, Outcome, written

COMMAND = "sweeps"


def outcome(point: dict[str, Any], seed: int) -> Outcome:
    if point[LR] == 1e-4:
        return Outcome("pending")
    return Outcome(grokked=None if point[WD] == 0 else 1000 + 100 * seed, best=0.82 if point[WD] == 0 else 1.0)


@pytest.fixture
def sweep(home: Path) -> Sweep:
    return written(home, "decays", {LR: [1e-3, 1e-4], WD: [0.0, 1.0]}, outcome, 2, 2000)


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out + err  # type: ignore[return-value]


def test_sweeps_are_listed_with_and_without_runs(
    sweep: Sweep, program: Any, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = program()
    assert out.splitlines()[0].split() == ["sweep", "task", "status", "trained", "generalised", "date"]
    row = out.splitlines()[1]
    assert row.startswith(sweep.name)
    assert "x + y mod 23" in row
    assert "4 of 8            2" in row
    copied = corpus.copy("mlp")
    _, listed = run(["runs"], monkeypatch, capsys)
    assert "x + y mod 23" in next(line for line in listed.splitlines() if line.startswith(copied.name))
    assert row in listed
    _, others = run(["runs", "--name", "nothing*", "--json"], monkeypatch, capsys)
    assert json.loads(others) == {"runs": [], "bytes": 0, "sweeps": []}
    found = json.loads(program("--status", "interrupted", "--json")[0])["sweeps"]
    assert [(s["sweep"], s["generalised"], s["memorised"]) for s in found] == [(sweep.name, 2, 4)]
    assert "no sweeps" in program("--status", "failed")[0]


def test_a_damaged_sweep_is_listed_beside_the_others(sweep: Sweep, program: Any, home: Path) -> None:
    (home / "sweeps" / "broken").mkdir()
    (home / "sweeps" / "broken" / "sweep.json").write_text("{")
    out, _ = program()
    assert any(line.startswith("broken") and "damaged" in line for line in out.splitlines())
    assert sweep.name in out


def test_show_takes_a_sweep(sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(["show", "decays"], monkeypatch, capsys)
    assert code == 0
    assert "4 of 8 members trained; 4 memorised, 2 generalised" in out
    assert f"{WD}: 0, 1" in out
    assert "  task.p=23\n" in out
    assert f"groklab compare {sweep.name}" in out
    _, printed = run(["show", "decays", "--json"], monkeypatch, capsys)
    assert json.loads(printed)["sweep"] == sweep.name


def test_compare_takes_sweeps_point_by_point(
    sweep: Sweep, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, printed = run(["compare", "decays", "--json"], monkeypatch, capsys)
    (one,) = json.loads(printed)["sweeps"]
    grokking = {(row["point"][LR], row["point"][WD]): row["grokking"] for row in one["points"]}
    assert grokking[1e-3, 1.0] == {"n": 2, "n_grokked": 2, "median": 1000.0, "low": 1000.0, "high": None}
    assert grokking[1e-3, 0.0]["n_grokked"] == 0
    assert grokking[1e-4, 0.0] is None
    _, out = run(["compare", "decays"], monkeypatch, capsys)
    assert "learning_rate 1e-3, weight_decay 1" in out
    assert "(2 not trained)" in out
    assert "half of the seeds" in out
    corpus.copy("mlp")
    code, refused = run(["compare", "decays", "micro-fast"], monkeypatch, capsys)
    assert (code, "is a sweep and 'micro-fast' is not" in refused) == (2, True)
