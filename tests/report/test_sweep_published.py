"""A sweep next to published maps and tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from groklab.errors import InputError
from groklab.papers import PublishedTable, published_map, read_published
from groklab.report import write_sweep
from groklab.report._sweep_published import as_json, compare, made_with
from groklab.sweeps import Sweep, phase_counts, phase_summary, study
from invented_sweep import BUDGET, EXPRESSION, FRACTION, LR, WD, Outcome, written

KEYS = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}
PUBLISHED = published_map("data_add_r")


def data_of(page: Path) -> Any:
    (data,) = re.findall(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    return json.loads(data)


def as_published(point: dict[str, Any], seed: int) -> Outcome:
    place = PUBLISHED.place(point)
    assert place is not None
    steps = (PUBLISHED.train_steps[place], PUBLISHED.test_steps[place])
    train, test = (None if np.isnan(s) else int(s) for s in steps)
    # one of three seeds sees every cell of decay 10 differently
    return Outcome(times=(100, 200) if seed == 2 and point[WD] == 10 else (train, test))


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    keys = {LR: PUBLISHED.rows.values, WD: PUBLISHED.columns.values}
    return written(tmp_path_factory.mktemp("home"), "remade", keys, as_published, 3, 100_000)


def test_a_sweep_that_does_as_published_agrees_cell_by_cell(remade: Sweep) -> None:
    found = study(remade)
    compared = compare(remade, found, "data_add_r")
    assert compared.agreements[0].summary.startswith("176 of 176 cells agree (100%)")
    (part,) = found.slices
    counts = phase_counts(part)
    assert [counts[p] for p in ("comprehension", "grokking", "memorisation", "confusion")] == [17, 60, 60, 39]
    assert phase_summary(found, part).endswith("All seeds agree in 160 of 176 cells (91%).")
    assert not any(compared.differs(c) for c in part.cells)
    # letter by letter: rows of the published map are learning rates, here to the right
    table = found.frame()
    for i, lr in enumerate(PUBLISHED.rows.values):
        phases = [p[0] for p in table.filter(pl.col(LR) == lr).sort(WD).select("phase").iter_rows()]
        letters = {"comprehension": "C", "grokking": "G", "memorisation": "M", "confusion": "X"}
        assert "".join(letters[p] for p in phases) == PUBLISHED.letters()[i]
    content = json.loads(json.dumps(as_json(found, compared), allow_nan=False))["slices"][0]
    assert (content["published"]["same"], content["published"]["n"], content["published"]["share"]) == (176, 176, 1.0)
    assert all(c["majority"] == c["published"] for c in content["cells"])


def test_a_gap_moves_the_published_map_too(remade: Sweep) -> None:
    found = study(remade, gap=300)
    assert compare(remade, found, "data_add_r").agreements[0].same == 176
    assert phase_counts(found.slices[0])["grokking"] > 60


def test_the_page_names_the_map_and_its_source(remade: Sweep) -> None:
    page = write_sweep(remade, published="data_add_r", colouring="phase").read_text("utf-8")
    assert len(page) < 1_000_000
    assert "176 of 176 cells agree (100%)" in page
    assert "github.com/ejmichaud/grokking-squared at 0229df9" in page
    assert "grokking, training 14,262, test 21,295" in page


@pytest.mark.parametrize(
    ("settings", "published", "words"),
    [
        (
            {},
            "data_add_q",
            "= 'data_add_q': needs a JSON file or a paper's table, such as furuta2024/grokked, or a map",
        ),
        (
            {},
            "data_add_r_reprlr",
            "is a map over optimiser.groups.embed.*.learning_rate and optimiser.learning_rate, but these cells are "
            "over optimiser.learning_rate and optimiser.weight_decay",
        ),
        ({"threshold": 0.95}, "data_add_r", "--threshold = 0.95: the map data_add_r is one at 0.9"),
    ],
)
def test_maps_that_do_not_fit_are_refused(remade: Sweep, settings: Any, published: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        compare(remade, study(remade, **settings), published)
    assert words in str(refused.value)


def test_a_map_without_a_cell_of_the_sweep_is_refused(home: Path) -> None:
    sweep = written(home, "apart", {LR: [0.5], WD: [0.25]}, lambda p, _: Outcome(times=(1, 2)))
    with pytest.raises(InputError, match="shares no cell with this sweep"):
        compare(sweep, study(sweep), "data_add_r")


# -- published tables -------------------------------------------------------------------------------------------------


def test_agreement_is_counted_cell_by_cell(home: Path) -> None:
    keys = {EXPRESSION: ["add", "x*y", "2*x + y"], FRACTION: [0.3, 0.5]}
    groks = {("add", 0.3), ("add", 0.5), ("x*y", 0.5)}
    sweep = written(
        home, "p", keys, lambda p, _: Outcome(grokked=99 if (p[EXPRESSION], p[FRACTION]) in groks else None, best=0.1)
    )
    published = {
        "addition is not one of ours": {"0.3": True},
        "x + y": {"0.3": True, "0.50": 40},
        "multiply": {"0.3": 13.5, "0.5": True, "0.9": True},
        "x_x_y_short": {"0.3": True, "0.5": False},
    }
    found = study(sweep)
    compared = compare(sweep, found, published)
    (agreement,) = compared.agreements
    assert agreement.counts == {"both": 2, "published only": 1, "here only": 1, "neither": 2}
    assert [(c.row, c.column) for c in found.slices[0].cells if compared.differs(c)] == [(0, 1), (2, 0)]
    assert (agreement.same, agreement.n) == (4, 6)
    # expected by chance: each side says 'grokked' in 3 of 6
    assert agreement.kappa == pytest.approx((4 / 6 - 0.5) / 0.5)
    assert agreement.best_accuracy_difference == pytest.approx(3.5, abs=1e-4)
    assert agreement.summary.startswith("4 of 6 cells agree (67%); Cohen's kappa is 0.33. Where neither grokked, ")
    cells = data_of(write_sweep(sweep, published=published))["slices"][0]["cells"]
    # what is published, in words, and whether it is open, the same or different here
    assert [c.get("pub") for c in cells] == [
        [1, "✔", 1],
        [0, "40%", 2],
        [0, "14%", 1],
        [1, "✔", 1],
        [1, "✔", 2],
        [0, "✗", 1],
    ]
    assert as_json(found, compared)["slices"][0]["cells"][3]["published"] is True


def test_what_differs_from_how_a_paper_made_its_table_is_said(home: Path) -> None:
    keys = {"task.p": [7, 97], EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5]}
    sweep = written(home, "paper", keys, lambda p, _: Outcome(grokked=99))
    found = compare(sweep, study(sweep), "furuta2024/grokked")
    assert "2402.16726" in found.about
    preset = sweep.experiment(0)
    ours = f"the network {preset.network.kind}, a learning rate of {preset.optimiser.learning_rate:g}"  # type: ignore[union-attr]
    for agreement, p in zip(found.agreements, (7, 97), strict=True):
        assert ("p = 7" in agreement.setting) == (p == 7)
        assert ours in agreement.setting
        assert f"up to {BUDGET:,} steps where the published table has" in agreement.setting
        assert "up to 300,000 steps, so the two need not agree." in agreement.setting
        assert agreement.summary.endswith(agreement.setting)
        assert agreement.to_dict()["setting"] == agreement.setting
    assert "p = 97" in found.agreements[0].setting.split("where")[1]
    assert "p = 97" not in found.agreements[1].setting
    # nothing is known of a table of one's own
    own = written(home, "own", KEYS, lambda p, _: Outcome())
    assert compare(own, study(own), {"add": {"0.65": True}}).agreements[0].setting == ""


def test_what_a_paper_made_its_table_with(tmp_path: Path) -> None:
    known = made_with("furuta2024")
    assert known == made_with("furuta2024/grokked")
    assert known == {
        "task.p": 97,
        "network.kind": "transformer",
        "network.d_model": 128,
        "optimiser.learning_rate": 1e-3,
        "optimiser.weight_decay": 1.0,
        "budget.steps": 300_000,
    }
    file = tmp_path / "mine.json"
    file.write_text('{"p": 11, "steps": 500, "grokked": {"operations": {"add": {"0.3": true}}}}')
    assert made_with(str(file)) == {"task.p": 11, "budget.steps": 500}
    assert made_with("the published table") == {}


def test_undecided_cells_are_not_compared() -> None:
    published = PublishedTable.of({"a": {"1": True, "2": True}}, ["a"], [1, 2], "mine")
    found = published.agreement({(0, 0): (None, 0.5), (0, 1): (None, None)})
    assert (found.n, found.kappa, found.summary) == (0, None, "No published cell is decided here.")


def test_the_papers_own_table_can_be_named() -> None:
    table, about = read_published("furuta2024/grokked")
    assert table["2x_y"]["0.3"] == 3.1
    assert table["add"]["0.3"] is True
    assert "2402.16726" in about
    whole = PublishedTable.of(table, list(table), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "theirs")
    assert len(whole.entries) == 245
    assert sum(entry is True for entry in whole.entries.values()) == 245 - 41


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2", "is not a JSON file"),
        ("[1, 2]", "holds no table of rows, columns and entries"),
        ('{"a": {"b": {"0.3": "yes"}}}', "holds no table"),
        ('{"a": {"b": {"0.3": true}}, "c": {"b": {"0.3": true}}}', "give one of its tables after a slash: a, c"),
    ],
)
def test_files_that_hold_no_table_are_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "table.json"
    file.write_text(content)
    with pytest.raises(InputError, match=words):
        read_published(str(file))


def test_a_table_of_several_is_named_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text('{"a": {"b": {"0.3": true}}, "c": {"b": {"0.3": false, "1": true}}}')
    assert read_published(f"{file}/c") == ({"b": {"0.3": False, "1": True}}, "")
    for text in ("nothing.json", "furuta2024/none", "", "/"):
        with pytest.raises(InputError, match="--published"):
            read_published(text)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"add": {"0.3": 250}}, "needs true, false, or a best test accuracy in percent"),
        ({"add": {"0.3": "yes"}}, "needs true, false"),
        ({"add": [True]}, "needs to hold, for each row, an entry for each column"),
        ({"x^9": {"0.3": True}}, "shares no cell with this sweep"),
        ({"add": {"0.35": True}}, "shares no cell"),
    ],
)
def test_entries_that_mean_nothing_are_refused(table: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PublishedTable.of(table, ["add"], [0.3], "mine")
