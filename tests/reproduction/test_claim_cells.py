"""Trials over tables: slices of cells, kept one by one, from several machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented import Counted, claim

from groklab.errors import InputError, OutOfTime
from groklab.reproduction import (
    Bar,
    Cells,
    CellValues,
    Claim,
    Outcome,
    Paper,
    Trainer,
    Trial,
    merge,
    reproduce,
    results,
)

NAMES = ("add@0.3", "add@0.5", "2x_y@0.3", "2x_y@0.5")
Publish = Callable[..., Paper]
Program = Callable[..., tuple[int, str, str]]


class Measured:
    """Gives each cell a value of its own, and keeps which were asked for."""

    def __init__(self, stop_after: int = 100) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after

    def __call__(self, trainer: Trainer, name: str, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        if len(self.asked) == self.stop_after:
            raise OutOfTime
        self.asked.append(name)
        return [{"place": NAMES.index(name) + 10 * seed} for seed in seeds]


def table(measure: Measured, **changes: Any) -> Claim:
    def combine(cells: CellValues, seed: int) -> Outcome:
        return Outcome({"sum": sum(cell["place"] for cell in cells.values())}, sentence="summed")

    about = {"claim": "The sum is so.", "source": "table 1", "expected": "6", "kind": "check", "full": None}
    bars = changes.pop("bars", (Bar("sum", "<", 20, "of seed 0 alone"),))
    own = {"setting": "nothing", "seeds": 2, "cost": 8.0, "together": True, **changes}
    return Claim(id="table", **about, quick=Trial(bars=bars, cells=Cells(NAMES, measure, combine), **own))


def test_slices_add_up_to_the_table(paper: Publish) -> None:
    measure = Measured()
    paper(table(measure))
    part = reproduce("mine/table", cells=["2x_y@*", "2x_y@0.3"])
    assert measure.asked == ["2x_y@0.3", "2x_y@0.5"]
    assert part.complete
    assert (part.claims[0].verdict, part.claims[0].note) == ("not run", "2 of 4 cells measured so far")
    assert results("mine/table").seconds_left == pytest.approx(4)
    done = reproduce("mine/table").claims[0]
    assert sorted(measure.asked) == sorted(NAMES)
    # 0 + 1 + 2 + 3, and ten more for each cell of seed 1
    assert done.measured["sum"].values == (6, 46)
    assert [r.supports for r in done.records] == [True, False]
    reproduce("mine/table")
    assert len(measure.asked) == 4
    reproduce("mine/table", cells=["add@0.5"], again=True)
    assert measure.asked[4:] == ["add@0.5"]


def test_slices_of_other_machines_are_merged(paper: Publish, tmp_path: Path) -> None:
    paper(table(measure := Measured()))
    homes = [tmp_path / name for name in ("here", "there", "yonder")]
    for home, cells in zip(homes, (["add@0.3"], ["add@*"], ["2x_y@*"]), strict=True):
        reproduce("mine/table", cells=cells, home=home)
    here, there, yonder = (home / "reproductions" / "mine.json" for home in homes)
    first = merge("mine/table", [there], home=homes[0])
    assert first.claims[0].note == "2 of 4 cells measured so far"
    asked = len(measure.asked)
    merged = merge("mine/table", [there, yonder], home=homes[0]).claims[0]
    assert merged.measured["sum"].values == (6, 46)
    assert len(measure.asked) == asked
    assert "table/quick/1/add@0.5" in here.read_text()
    # one machine alone comes to the same
    alone = reproduce("mine/table", home=tmp_path / "alone").claims[0]
    assert alone.measured == merged.measured


def test_other_outcomes_are_merged_but_not_over_present_ones(paper: Publish, tmp_path: Path) -> None:
    paper(claim(Counted({"value": 1})))
    reproduce("mine", home=tmp_path / "here", seeds=1)
    paper(claim(Counted({"value": 2})))
    reproduce("mine", home=tmp_path / "there", seeds=3)
    merged = merge("mine", [tmp_path / "there" / "reproductions" / "mine.json"], home=tmp_path / "here")
    assert merged.claims[0].measured["value"].values == (1, 2, 2)


def test_what_is_measured_stays_when_time_is_over(paper: Publish) -> None:
    measure = Measured(stop_after=3)
    paper(table(measure))
    assert not reproduce("mine").complete
    assert results("mine").claims[0].note == "3 of 4 cells measured so far"
    measure.stop_after = 100
    assert reproduce("mine").claims[0].verdict == "partly"
    assert measure.asked == list(NAMES)


def test_a_bar_that_is_moved_asks_no_cell_again(paper: Publish) -> None:
    measure = Measured()
    paper(table(measure))
    reproduce("mine")
    paper(table(measure, bars=(Bar("sum", "<", 100, "of both seeds"),)))
    assert reproduce("mine").claims[0].verdict == "holds"
    assert measure.asked == list(NAMES)
    paper(table(measure, setting="another"))
    reproduce("mine")
    assert len(measure.asked) == 8


@pytest.mark.parametrize(
    ("what", "cells", "words"),
    [
        ("mine/one", ["add@0.3"], "mine/one --quick has no cells; of mine these have: mine/table"),
        ("mine", ["add@0.3"], "mine is not one claim with cells; of mine these have: mine/table"),
        ("mine/table", ["add@0.4"], "did you mean add@0.5"),
        ("mine/table", ["x*"], "unknown"),
        ("mine/table", [], "needs the names of cells"),
        ("controls/micro-groks", ["add"], "no claim of controls has cells"),
    ],
)
def test_refusals(paper: Publish, what: str, cells: list[str], words: str) -> None:
    paper(claim(Counted()), table(Measured()))
    with pytest.raises(InputError, match=r"^cells = ") as refused:
        reproduce(what, cells=cells)
    assert words in str(refused.value)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_no_ledger_is_refused(paper: Publish, tmp_path: Path, content: str) -> None:
    paper(table(Measured()))
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(InputError, match=r"mine\.json"):
        merge("mine", [tmp_path / "mine.json"])
    with pytest.raises(InputError, match="no such file"):
        merge("mine", [tmp_path / "absent.json"])


def test_a_trial_has_a_function_or_cells() -> None:
    with pytest.raises(ValueError, match="`run` or cells"):
        Trial(setting="nothing", seeds=1, cost=1)


def test_the_command(program: Program, paper: Publish, home: Path, tmp_path: Path) -> None:
    paper(claim(Counted()), table(measure := Measured()))
    code, out, _ = program("reproduce", "mine/table", "--cells", "add@0.3, 2x_y@*")
    assert code == 0
    assert "3 of 4 cells measured so far" in out
    assert "more is left" not in out
    reproduce("mine/table", cells=["add@0.5"], home=tmp_path / "there")
    file = tmp_path / "there" / "reproductions" / "mine.json"
    code, out, _ = program("reproduce", "mine/table", "--merge", str(file))
    assert code == 0
    assert "holds in 1 of 2 seeds" in out
    assert len(measure.asked) == 4
    code, _, err = program("reproduce", "mine/one", "--cells", "add@0.3")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no cells" in err
    assert program("reproduce", "mine/table", "--merge", str(file), "--cells", "add@0.3")[0] == 2
