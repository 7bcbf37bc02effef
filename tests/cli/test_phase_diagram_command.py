"""`groklab phase-diagram`, on sweeps that are on disk as any sweep is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groklab.papers import published_map
from groklab.sweeps import Sweep
from invented_sweep import LR, WD, Outcome
from invented_sweep import written as written_sweep

PUBLISHED = published_map("data_add_r")
RATES, DECAYS = PUBLISHED.rows.values[5:9], [0.0, 4.0, 9.0, 10.0]


def outcome(point: dict[str, Any], seed: int) -> Outcome:
    place = PUBLISHED.place(point)
    assert place is not None
    train, test = PUBLISHED.train_steps[place], PUBLISHED.test_steps[place]
    # one cell in which all seeds do otherwise
    if place == (5, 0):
        return Outcome(times=(100, None))
    return Outcome(times=(int(train), int(test) if test == test else None))


def written(home: Path, name: str, keys: dict[str, Any], seeds: int = 2) -> Sweep:
    return written_sweep(home, name, keys, outcome, seeds, 100_000)


COMMAND = "phase-diagram"


@pytest.fixture
def sweep(home: Path) -> Sweep:
    return written(home, "decays", {LR: list(RATES), WD: DECAYS})


def test_it_writes_the_page_and_says_what_it_shows(program: Any, sweep: Sweep) -> None:
    out, err = program("decays", "--published", "data_add_r")
    lines = out.splitlines()
    # the map of letters, one per cell
    assert lines[0] == f"{LR} across, {WD} upwards"
    assert [line.split() for line in lines[1:5]] == [
        ["10", "M", "M", "M", "M"],
        ["9", "G", "G", "G", "M"],
        ["4", "G", "C", "C", "M"],
        ["0", "M", "C", "C", "M"],
    ]
    words = " ".join(out.split())
    assert (
        "4 × 4 cells of 2 seeds, 32 of 32 runs trained. Cells by the majority of their seeds, in the phases of "
        in words
    )
    assert "Liu et al. (2022) (90%, 1,000 steps): " in words
    assert "data_add_r: 15 of 16 cells agree (94%); " in words
    page = sweep.path / "phase-diagram.html"
    assert f"page: {page}" in words
    assert page.stat().st_size < 1_000_000
    assert err == ""


def test_json_is_one_object_and_the_words_go_elsewhere(program: Any, sweep: Sweep, tmp_path: Path) -> None:
    out, err = program(str(sweep.path), "--published", "data_add_r", "--out", str(tmp_path / "d.html"), "--json")
    assert out.count("\n") == 1
    found = json.loads(out, parse_constant=pytest.fail)
    assert found["sweep"] == sweep.name
    assert found["page"] == str(tmp_path / "d.html")
    (diagram,) = found["slices"]
    assert (diagram["published"]["same"], diagram["published"]["n"]) == (15, 16)
    assert diagram["published"]["confusion"]["comprehension"]["memorisation"] == 1
    differs = [c for c in diagram["cells"] if c["majority"] != c["published"]]
    assert [(c[LR], c[WD]) for c in differs] == [(1e-4, 0.0)]
    assert "15 of 16 cells agree" in err


def test_axes_gap_and_slices_are_options(program: Any, home: Path, sweep: Sweep) -> None:
    out, _ = program("decays", "--x", WD, "--y", LR, "--gap", "100000", "--json")
    found = json.loads(out)
    assert (found["x"]["key"], found["y"]["key"], found["gap"]) == (WD, LR, 100_000)
    assert found["slices"][0]["counts"]["grokking"] == 0
    written(home, "larger", {LR: list(RATES[:2]), WD: DECAYS[:2], "split.frac_train": [0.3, 0.5, 0.7]})
    out, _ = program("larger")
    assert [line.split(":")[0] for line in out.splitlines()[:-1]] == [
        f"split.frac_train = {f}" for f in (0.3, 0.5, 0.7)
    ]
    out, _ = program("larger", "--at", "split.frac_train=0.5", "--at", f"{WD}=0", "--json")
    found = json.loads(out)
    assert found["y"] is None
    assert found["slices"][0]["at"] == {"split.frac_train": 0.5, WD: 0.0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no sweep is named 'nothing'; there are decays-"),
        ([""], "SWEEP has no value"),
        (["decays", "--x", "task.p"], "--x = 'task.p': unknown; settings of the sweep: "),
        (["decays", "--at", "task.p"], "--at = 'task.p': needs key=value"),
        (["decays", "--at", "a=1", "--at", "a=2"], "--at a is given twice"),
        (
            ["decays", "--published", "x"],
            "= 'x': needs a JSON file or a paper's table, such as furuta2024/grokked, or",
        ),
        (["decays", "--published", "toy_fig5a"], "--published = 'toy_fig5a': is a map over"),
        (["decays", "--threshold", "90"], "threshold = 90.0: needs to be above 0 and at most 1"),
        (["decays", "--gap", "-5"], "gap = -5.0: needs to be 0 or above"),
        (["decays", "--boundary", "both"], "boundary = 'both': unknown; allowed: "),
        (["decays", "--out", "map.pdf"], "--out = 'map.pdf': needs a folder that exists, or a file name that ends"),
    ],
)
def test_refusals_are_one_sentence(program: Any, sweep: Sweep, arguments: list[str], words: str) -> None:
    out, err = program(*arguments, code=2)
    assert out == ""
    assert err.startswith("groklab: ")
    assert words in err
    assert err.count("\n") == 1


def test_a_beginning_of_a_name_that_several_share_is_refused(program: Any, home: Path) -> None:
    keys = {LR: list(RATES[:1]), WD: DECAYS[:2]}
    for name in ("first", "fit"):
        written(home, name, keys, seeds=1)
    _, err = program("fi", code=2)
    assert "'fi' could be first-" in err
    out, _ = program("fir")
    assert "2 × 1" not in out
    assert "1 × 2 cells of 1 seed, 2 of 2 runs trained. Cells, in the phases of Liu " in " ".join(out.split())
