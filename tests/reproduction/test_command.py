"""`groklab reproduce`, as one types it."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invented import Counted, claim, trained
from rich.console import Console

import processes
from groklab.cli.live import LiveClaims
from groklab.reproduction import OVERVIEW, Bar, Paper, load, overview, overview_of, reproduce, results
from groklab.reproduction.verdict import save

FIELDS = {
    *("paper", "title", "size", "date", "hardware", "groklab", "complete", "seconds_left", "tallies", "claims"),
}
CLAIM = {
    *("id", "kind", "claim", "source", "command", "expected", "bars", "control_is", "measured", "control", "seeds"),
    *("holds", "interval", "verdict", "note", "setting", "counter", "cost_seconds", "seconds", "digest", "outcomes"),
}
Program = Callable[..., tuple[int, str, str]]


def test_long_work_in_a_terminal_is_asked_for(
    program: Program, paper: Callable[..., Paper], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper(claim(Counted()))
    monkeypatch.setattr(sys.modules["groklab.cli.app"], "LONG", 1e-9)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    code, _, err = program("reproduce", "mine")
    assert code == 2
    assert "this takes about" in err
    assert "--yes" in err
    code, out, _ = program("reproduce", "mine", "--yes")
    assert code == 0
    assert "of work, by estimate" in out
    # measured: nothing is left to ask for
    code, out, _ = program("reproduce", "mine")
    assert code == 0
    assert "by estimate" not in out


def test_one_object_on_one_line(program: Program, paper: Callable[..., Paper], home: Path, tmp_path: Path) -> None:
    paper(claim(Counted()))
    page = tmp_path / "here.html"
    code, out, err = program("reproduce", "mine", "--json", "--page", str(page))
    assert code == 0
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
    assert set(found) == FIELDS
    assert set(found["claims"][0]) == CLAIM
    assert found["claims"][0]["command"] == "groklab reproduce mine/one --quick"
    assert found == reproduce("mine").to_dict()
    assert "one seed 0: holds: seed 0" in err
    assert "1 reproduced" in err
    assert page.is_file()
    assert not (home / "reproductions" / "mine.html").exists()
    assert program("reproduce", "mine", "--quiet")[1:] == ("", "")
    assert (home / "reproductions" / "mine.html").is_file()


def test_how_to_go_on_is_said(program: Program, paper: Callable[..., Paper]) -> None:
    def slow(trainer: Any, seed: int) -> Any:
        time.sleep(0.05)
        return Counted()(trainer, seed)

    paper(claim(slow))
    code, out, _ = program("reproduce", "mine/one", "--seeds", "2", "--slice", "0.0002")
    assert code == 0
    assert "`groklab reproduce mine/one --quick --seeds 2` continues (by estimate 2 s left)" in out
    assert "not run" in out
    code, out, _ = program("reproduce", "mine/one", "--quick", "--seeds", "2")
    assert "continues" not in out


def test_without_a_paper_the_ledger_is_shown(program: Program, paper: Callable[..., Paper], tmp_path: Path) -> None:
    bars = (Bar("value", ">", 1, "here"),)
    paper(
        claim(Counted(), bars=bars),
        claim(Counted({"value": 0}), id="two", bars=bars, seeds=5),
        claim(Counted(), id="check", kind="check", bars=bars),
        claim(Counted(), id="own", kind="own", bars=bars),
    )
    for name in ("one", "two", "check"):
        program("reproduce", f"mine/{name}", "--quiet")
    code, out, _ = program("reproduce", "--json")
    assert code == 0
    quick, full = (row for row in json.loads(out)["papers"] if row["paper"] == "mine")
    assert quick["tallies"]["claim"] == {"reproduced": 1, "partly": 0, "not reproduced": 1, "not run": 0}
    assert quick["tallies"]["check"]["holds"] == quick["tallies"]["own"]["not run"] == 1
    assert (quick["seeds"], quick["cost"], len(quick["dates"]), len(quick["hardware"])) == ([3, 5, 3], 24, 1, 1)
    assert (full["size"], full["tallies"]["claim"]["not run"], full["seeds"], full["cost"]) == ("full", 2, [], 0)
    row = overview(["mine"])[0].texts
    assert tuple(row) == OVERVIEW
    assert [row[heading] for heading in ("reproduced", "partly", "not", "not run")] == ["1", "0", "1", "0"]
    assert (row["checks"], row["own findings"], row["seeds"]) == ("1 holds", "1 not run", "3 to 5")
    code, out, _ = program("reproduce")
    assert code == 0
    assert "mine quick: checks: 1 holds; own findings: 1 not run; measured: 20" in out
    assert "measured on" in out
    # what is published gives the same table
    content = load(save(results("mine"), tmp_path))
    assert [replace(r, seconds=0) for r in overview_of(content)] == [replace(r, seconds=0) for r in overview(["mine"])]


def test_papers_and_claims_are_listed(program: Program) -> None:
    code, out, _ = program("reproduce", "--list")
    assert code == 0
    assert "too-few-pairs" in out
    assert "key-frequencies" in out
    code, out, _ = program("reproduce", "controls/micro-groks", "--list", "--json")
    (controls,) = json.loads(out)["papers"]
    (micro,) = controls["claims"]
    assert set(micro) == {"id", "kind", "claim", "source", "quick_seconds", "full_seconds"}


def test_bars_are_printed_with_quick_and_full_beside_each_other(program: Program, paper: Callable[..., Paper]) -> None:
    bars = (Bar("value", ">", 1, "the paper: 'more'"),)
    paper(claim(Counted(), bars=bars, full=claim(Counted({"value": 0.5}), bars=bars).quick), claim(Counted(), id="two"))
    program("reproduce", "mine/one", "--full")
    code, out, _ = program("reproduce", "mine/one")
    words = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "one quick reproduced full not reproduced" in words
    assert "quantity bar quick control full control origin of the bar" in words
    assert "value > 1 1.5 none 0.5 none the paper: 'more'" in words


def test_hours_are_planned_and_worked(program: Program, paper: Callable[..., Paper], tmp_path: Path) -> None:
    def runs(holds: bool) -> Any:
        return claim(Counted(holds=holds), cost=7200).quick

    paper(claim(Counted(), full=runs(True)), claim(Counted(), id="two", full=runs(False)))
    saved = tmp_path / "saved"
    code, out, _ = program("reproduce", "mine", "--full", "--hours", "3", "--save", str(saved))
    assert code == 0
    assert "3 h 00 min for full trials: 1 claim fits, by estimate in 2 h 00 min; 1 more would take 2 h 00 min" in out
    assert out.index("mine/two") < out.index("at work")
    assert "1 reproduced, 1 not reproduced" in out
    assert [c["full"]["verdict"] for c in load(saved / "mine.json")["claims"]] == ["reproduced", "not reproduced"]
    code, out, _ = program("reproduce", "mine", "controls/micro-groks", "--hours", "0.00001", "--json")
    assert code == 0
    content = json.loads(out)
    assert [r["paper"] for r in content["results"]] == ["mine", "controls"]
    assert content["plan"]["what"] == ["mine", "controls/micro-groks"]
    assert content["plan"]["steps"][-1]["place"] == "left out"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["controlls"], "did you mean controls?"),
        (["controls/micro-grok"], "did you mean micro-groks?"),
        (["controls", "--quick", "--full"], "one of them"),
        (["controls", "--seeds", "0"], "seeds = 0"),
        (["controls", "--slice", "-1"], "slice = -1"),
        (["controls", "--slices", "0"], "slices = 0"),
        (["controls", "--full", "--hours", "0"], "hours = 0"),
        (["controls", "--full", "--hours", "nan"], "hours"),
        (["controls", "--full", "--hours", "1e9"], "at most 8,760"),
        (["controlls", "--full", "--hours", "1"], "did you mean controls?"),
        (["--full", "--hours", "1"], "needs the name of a paper"),
        (["controls", "--hours", "1", "--slice", "1"], "--hours and --slice"),
        (["controls", "--hours", "1", "--again"], "--hours and --again"),
        (["controls", "nanda2023", "--hours", "1", "--page", "x.html"], "needs to be a folder"),
        (["controls", "nanda2023"], "need --hours"),
        (["all"], "needs --hours"),
        (["controlls", "--list"], "did you mean controls?"),
    ],
)
def test_refusals(program: Program, home: Path, arguments: list[str], words: str) -> None:
    code, out, err = program("reproduce", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not home.exists()


def test_a_terminal_shows_what_is_going_on(paper: Callable[..., Paper]) -> None:
    paper(claim(trained, id="trains"))
    console = Console(file=io.StringIO(), force_terminal=True, width=90, height=24)
    with LiveClaims(console) as view:
        reproduce("mine/trains", seeds=1, view=view)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("trains", "seed 0 at work", "1 of 1", "steps/s", "left"):
        assert words in shown


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_stopped_by_others_and_gone_on(home: Path, sign: signal.Signals, code: int) -> None:
    arguments = ("reproduce", "controls/too-few-pairs", "--seeds", "2", "--json")
    # thousands of steps: programs as users have them, which are four times as quick as those of other tests
    process = processes.Program(*arguments, environment={"XLA_FLAGS": ""})
    path = home / "reproductions" / "controls.json"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (path.is_file() and "holds" in path.read_text()):
        time.sleep(0.02)
    # in the middle of the second seed's training
    time.sleep(0.3)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    if sign == signal.SIGTERM:
        assert "the same command continues" in err
    done = json.loads(path.read_text())["outcomes"]["too-few-pairs/quick/0"]
    again = processes.Program(*arguments, environment={"XLA_FLAGS": ""})
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    found = json.loads(out)["claims"][0]
    assert found["verdict"] == "reproduced"
    assert found["outcomes"][0] == {"seed": 0, **done}
