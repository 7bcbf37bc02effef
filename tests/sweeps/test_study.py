"""What a sweep shows: phases and verdicts of its cells, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groklab.errors import InputError
from groklab.store import storage
from groklab.sweeps import phase_counts, phase_summary, study, verdict_counts, verdict_summary
from invented_sweep import EXPRESSION, FRACTION, LR, WD, Outcome, written

LONG = 100_000


def test_everything_is_plain_json(home: Path) -> None:
    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        if point[WD] == 10:
            return Outcome(times=(100, 200 if seed == 2 else None))
        return Outcome(times=(1650, 2076), grokked=2500 + seed)

    found = study(written(home, "json", {LR: [1e-4], WD: [0, 10]}, outcome, 3, LONG))
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["x"]["key"] == LR
    assert content["y"] == {"key": WD, "values": [0, 10]}
    (part,) = content["slices"]
    assert part["counts"]["comprehension"] == part["counts"]["memorisation"] == 1
    assert part["verdicts"] == {v: int(v in ("grokked", "none")) for v in part["verdicts"]}
    whole, split = part["cells"]
    assert (whole[LR], whole[WD], whole["majority"], whole["verdict"]) == (1e-4, 0, "comprehension", "grokked")
    assert whole["train_step"] == {"median": 1650.0, "reached": 3, "censored": 0}
    assert whole["gap"]["median"] == 2076 - 1650
    assert (whole["grokked"], whole["median_step"], whole["best_test_accuracy"]) == (3, 2501, None)
    assert split["phases"] == {"comprehension": 1, "memorisation": 2}
    assert split["agreement"] == pytest.approx(2 / 3)
    assert split["test_step"] == {"median": None, "reached": 1, "censored": 2}
    assert (split["seeds"], split["members"]) == ([0, 1, 2], [3, 4, 5])


def test_gap_and_boundary_decide_again_and_undefined_stays(home: Path) -> None:
    sweep = written(home, "gap", {WD: [0, 1]}, lambda p, _: Outcome(times=(None if p[WD] else 100, 600)), budget=LONG)
    for settings, expected in (
        ({}, "comprehension"),
        ({"gap": 500}, "grokking"),
        ({"gap": 500, "boundary": "comprehension"}, "comprehension"),
        ({"gap": 1}, "grokking"),
    ):
        first, second = study(sweep, **settings).slices[0].cells
        assert (first.majority, second.majority) == (expected, "undefined")


def test_members_that_still_train_are_pending_until_nothing_can_change(home: Path) -> None:
    status = {0: "running", 1: "interrupted", 2: "finished"}
    sweep = written(
        home,
        "open",
        {WD: [0, 1, 2]},
        lambda p, _: Outcome(status[p[WD]], times=(100, None if p[WD] == 1 else 3000)),
        budget=LONG,
    )
    found = study(sweep)
    (part,) = found.slices
    # both thresholds are passed: more training changes nothing
    assert [c.majority for c in part.cells] == ["grokking", None, "grokking"]
    assert (
        "2 of 3 runs trained. Cells, in the phases of Liu et al. (2022) (90%, 1,000 steps): 2 grokking and 1 pending"
        in phase_summary(found, part)
    )
    assert phase_counts(part)["pending"] == 1
    assert verdict_counts(part)["undecided"] == 2
    assert verdict_summary(part) == "Of 3 cells: 1 did not generalise within the budget and 2 undecided so far."


def test_what_is_undefined_says_why(home: Path) -> None:
    sweep = written(
        home,
        "undefined",
        {WD: [0, 1]},
        lambda p, seed: Outcome(times=(None, 700) if p[WD] == seed else (1, 9)),
        2,
        LONG,
    )
    reasons = [cell["undefined"] for cell in study(sweep).to_dict()["slices"][0]["cells"]]
    why = "generalised without fitting: test accuracy reached 90% at step 700, training not by step 100,000"
    assert reasons == [[why], [why]]
    # read off the curves where the threshold is another
    again = study(sweep, threshold=0.89).slices[0].cells
    assert [[m.phase for m in c.members].count("undefined") for c in again] == [1, 1]


def test_another_threshold_is_read_off_the_curves(home: Path) -> None:
    sweep = written(
        home, "threshold", {WD: [0, 1]}, lambda p, _: Outcome(times=(100, None if p[WD] == 0 else 3000)), budget=LONG
    )
    at_half = study(sweep, threshold=0.45)
    # an accuracy that ends at one half, reached late
    assert [c.majority for c in at_half.slices[0].cells] == ["grokking", "grokking"]
    low = study(sweep, threshold=0.3).slices[0].cells[1]
    assert low.train_step.median is not None
    assert 20 <= low.train_step.median <= 40
    assert {c.majority for c in study(sweep, threshold=1.0).slices[0].cells} == {"confusion"}


def test_a_sweep_in_which_nothing_is_evaluated_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"no member of new-.* has been evaluated yet"):
        study(written(home, "new", {LR: [1e-4], WD: [0, 1]}, lambda p, seed: Outcome("pending")))


@pytest.mark.parametrize(("settings", "words"), [({"threshold": 2}, "threshold = 2"), ({"boundary": "no"}, "= 'no'")])
def test_impossible_settings_are_refused(home: Path, settings: dict[str, Any], words: str) -> None:
    sweep = written(home, "refused", {WD: [0, 1]}, lambda p, seed: Outcome())
    with pytest.raises(InputError, match=words):
        study(sweep, **settings)


def test_seeds_of_a_grid_are_pooled_as_others_are(home: Path) -> None:
    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=100 * (seed + 1) if seed < 2 or point[FRACTION] > 0.7 else None)

    keys = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}
    by_seeds = study(written(home, "seeds", keys, outcome, seeds=3))
    by_key = study(
        written(home, "key", {EXPRESSION: keys[EXPRESSION], "seed": [0, 1, 2], FRACTION: keys[FRACTION]}, outcome)
    )
    assert [part.at for part in by_key.slices] == [{}]
    assert [c.verdict for c in by_key.slices[0].cells] == ["some", "grokked"] * 2
    for a, b in zip(by_key.slices[0].cells, by_seeds.slices[0].cells, strict=True):
        assert (a.row, a.column, a.median_step, [m.seed for m in a.members]) == (b.row, b.column, 200, [0, 1, 2])


def test_a_table_that_lacks_a_column_is_built_again(home: Path) -> None:
    sweep = written(home, "old", {WD: [0, 1]}, lambda p, seed: Outcome())
    storage.write_table(sweep.path / "table.parquet", sweep.table.drop("best_test_accuracy"))
    assert "best_test_accuracy" in sweep.table.columns
    # there are no packs to build it from
    assert set(sweep.table["status"]) == {"pending"}
