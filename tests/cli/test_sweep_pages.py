"""`groklab report` of a sweep, on sweeps that are on disk as any sweep is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab.cli.sweep_pages import sweep_meant
from groklab.store import Environment, RunWriter
from groklab.sweeps import Sweep
from invented_sweep import EXPRESSION, FRACTION, Outcome, trained, written

KEYS = {EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5]}


def outcome(point: dict[str, Any], seed: int) -> Outcome:
    return Outcome(grokked=400 + seed if point[FRACTION] == 0.5 else None, best=0.034)


COMMAND = "report"


@pytest.fixture
def sweep(home: Path) -> Sweep:
    return written(home, "operations", KEYS, outcome, seeds=2)


def test_it_writes_the_page_of_a_sweep_and_says_what_it_shows(program: Any, sweep: Sweep) -> None:
    out, err = program("operations")
    page = sweep.path / "report.html"
    assert out.splitlines() == [
        "Of 4 cells: 2 generalised in every seed and 2 did not generalise within the budget. Of 8 runs, 4 generalised "
        "(test accuracy at least 99% for five evaluations in a row, or to the end of the run), and 4 reached 90% once, "
        "as comprehension and grokking of Liu et al. (2022) ask.",
        f"report: {page}",
    ]
    assert err == ""
    assert page.stat().st_size < 200_000
    # by its folder too
    assert program(str(sweep.path)) == (out, err)


def test_json_is_one_object_and_the_words_go_elsewhere(program: Any, sweep: Sweep, tmp_path: Path) -> None:
    table = tmp_path / "published.json"
    table.write_text(json.dumps({"add": {"0.3": 3.1, "0.5": True}, "multiply": {"0.3": True}}))
    out, err = program("operations", "--published", str(table), "--out", str(tmp_path / "f.html"), "--json")
    assert out.count("\n") == 1
    found = json.loads(out, parse_constant=pytest.fail)
    assert found["report"] == str(tmp_path / "f.html")
    assert found["bytes"] == (tmp_path / "f.html").stat().st_size
    assert found["members"] == []
    assert found["y"] == {"key": EXPRESSION, "values": ["add", "x*y"]}
    (only,) = found["slices"]
    assert [(c["verdict"], c["median_step"], c["published"]) for c in only["cells"]] == [
        ("none", None, 3.1),
        ("grokked", 400.0, True),
        ("none", None, True),
        ("grokked", 400.0, None),
    ]
    assert (only["published"]["same"], only["published"]["n"]) == (2, 3)
    assert only["published"]["best_accuracy_difference"] == pytest.approx(0.3)
    assert "2 of 3 cells agree (67%)" in err
    # the page says how it was made
    assert f"groklab report {sweep.name} --published {table} --out {tmp_path / 'f.html'}" in (
        (tmp_path / "f.html").read_text()
    )


def test_rows_and_columns_are_options(program: Any, home: Path) -> None:
    keys = {"optimiser.weight_decay": [0.0, 1.0], **KEYS}
    written(home, "three", keys, outcome)
    out, _ = program("three")
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "optimiser.weight_decay = 0",
        "optimiser.weight_decay = 1",
        "report",
    ]
    out, _ = program("three", "--rows", "optimiser.weight_decay", "--json")
    found = json.loads(out)
    assert (found["y"]["key"], found["x"]["key"]) == ("optimiser.weight_decay", FRACTION)
    assert [table["at"] for table in found["slices"]] == [{EXPRESSION: "add"}, {EXPRESSION: "x*y"}]


def test_own_pages_are_written_for_the_cells_asked_for(program: Any, corpus: Corpus, home: Path) -> None:
    sweep = trained(corpus, home)
    out, err = program(sweep.name, "--members", "multiply,0.8", "--json")
    own = [Path(p) for p in json.loads(out)["members"]]
    assert [p.parent for p in own] == [sweep.path / "report-members"] * 2
    assert "page 2 of 2: 007-" in err
    page = (sweep.path / "report.html").read_text()
    for path in own:
        assert f'"report-members/{path.name}"' in page
        assert 'href="../report.html#c0-1-1"' in path.read_text()


def test_cells_without_a_run_have_no_pages(program: Any, home: Path) -> None:
    written(home, "begun", KEYS, lambda p, _: Outcome("pending" if p[FRACTION] == 0.3 else "finished"))
    out, _ = program("begun", "--members", "add,0.3")
    assert "own pages: none, as none of these members has begun" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no run is named 'nothing'"),
        (["nothing", "--members", "all"], "no sweep is named 'nothing'; there are operations-"),
        (["operations", "operations"], "a page holds one sweep or several runs, and 'operations' is a sweep"),
        (["a", "b", "--rows", "x"], "--rows is of the page of one sweep, and these are 2 runs"),
        (["operations", "--rows", "task.p"], "--rows = 'task.p': unknown; settings of the sweep: "),
        (["operations", "--columns", EXPRESSION, "--rows", EXPRESSION], "needs to be another setting than --columns"),
        (["operations", "--published", "x.json"], "--published = 'x.json': needs a JSON file or a paper's table"),
        (["operations", "--members", "add"], "--members = 'add': needs 'all', or ROW,COLUMN such as add,0.3"),
        (["operations", "--members", "add,0.9"], "values of split.frac_train: 0.3, 0.5"),
        (["operations", "--out", "page.pdf"], "--out = 'page.pdf': needs a folder that exists, or a file name"),
    ],
)
def test_refusals_are_one_sentence(program: Any, sweep: Sweep, arguments: list[str], words: str) -> None:
    out, err = program(*arguments, code=2)
    assert out == ""
    assert err.startswith("groklab: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (sweep.path / "report.html").exists()


@pytest.mark.parametrize(
    ("keys", "status", "words"),
    [
        ({}, "finished", "the sweep varies nothing but seeds, so it has no cells"),
        (KEYS, "pending", "has been evaluated yet, so there are no cells"),
    ],
)
def test_a_sweep_without_cells_is_refused(
    program: Any, home: Path, keys: dict[str, Any], status: str, words: str
) -> None:
    written(home, "poor", keys, lambda p, _: Outcome(status))
    out, err = program("poor", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_a_name_that_a_run_has_means_the_run(program: Any, home: Path) -> None:
    sweep = written(home, "micro-fast", KEYS, outcome)
    assert found_of(["micro-fast"]) == sweep.name
    RunWriter.create(home / "micro-fast-00000000", [gl.preset("micro-fast")], Environment())
    assert found_of(["micro-fast"]) is None
    assert found_of([str(home / "micro-fast-00000000")]) is None
    # its whole name, its folder, and an option that only a sweep's page has mean the sweep
    for names, options in (([sweep.name], []), ([str(sweep.path)], []), (["micro-fast"], ["--rows"])):
        assert found_of(names, options) == sweep.name
    out, _ = program("micro-fast", "--rows", FRACTION)
    assert out.startswith("Of 4 cells: ")


def found_of(names: list[str], options: list[str] | None = None) -> str | None:
    """The name of the sweep that is meant, if one is."""
    found = sweep_meant(names, options or [])
    return None if found is None else found.name
