"""`groklab reproduce`, as one types it."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented import Counted, claim, trained
from rich.console import Console

import processes
from groklab.cli.live import LiveClaims
from groklab.reproduction import Paper, reproduce

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
    monkeypatch.setattr("groklab.cli.reproducing.LONG", 1e-9)
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


def test_papers_and_claims_are_listed(program: Program) -> None:
    code, out, _ = program("reproduce")
    assert code == 0
    assert "too-few-pairs" in out
    code, out, _ = program("reproduce", "--json")
    papers = {p["paper"]: p for p in json.loads(out)["papers"]}
    assert set(papers["controls"]["claims"][0]) == {"id", "claim", "source", "quick_seconds", "full_seconds"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["controlls"], "did you mean controls?"),
        (["controls/micro-grok"], "did you mean micro-groks?"),
        (["controls", "--quick", "--full"], "one of them"),
        (["controls", "--seeds", "0"], "seeds = 0"),
        (["controls", "--slice", "-1"], "slice = -1"),
        (["controls", "--slices", "0"], "slices = 0"),
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
