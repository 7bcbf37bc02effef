"""What a sweep's phase diagrams say, and the page of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from groklab.errors import InputError
from groklab.papers.published import published_map
from groklab.report.phase_diagram import MOST_POINTS, render, write_page
from groklab.report.phase_study import counts, said, study
from invented_sweep import LR, WD, InventedSweep, Times

PUBLISHED = published_map("data_add_r")


def as_published(point: dict[str, Any], seed: int) -> Times:
    place = PUBLISHED.place(point)
    assert place is not None
    found = (PUBLISHED.train_steps[place], PUBLISHED.test_steps[place])
    train, test = (None if np.isnan(t) else int(t) for t in found)
    return train, test


@pytest.fixture
def remade(tmp_path: Path) -> InventedSweep:
    """The published regression as a sweep of three seeds, one of which sees every cell of decay 10 differently."""

    def times(point: dict[str, Any], seed: int) -> Times:
        return (100, 200) if seed == 2 and point[WD] == 10 else as_published(point, seed)

    return InventedSweep(tmp_path / "remade", {LR: PUBLISHED.rows.values, WD: PUBLISHED.columns.values}, times, 3)


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_sweep_that_does_as_published_agrees_cell_by_cell(remade: InventedSweep) -> None:
    found = study(remade, published="data_add_r")
    assert found.agreements[0].summary == "176 of 176 cells agree (100%); Cohen's kappa is 1.00."
    (diagram,) = found.diagrams
    assert [counts(diagram)[p] for p in ("comprehension", "grokking", "memorisation", "confusion")] == [17, 60, 60, 39]
    assert said(diagram).endswith("All seeds agree in 160 of 176 cells (91%).")
    # letter by letter: rows of the published map are learning rates, here to the right
    table = diagram.table()
    for i, lr in enumerate(PUBLISHED.rows.values):
        phases = [p[0] for p in table.filter(pl.col(LR) == lr).sort(WD).select("phase").iter_rows()]
        letters = {"comprehension": "C", "grokking": "G", "memorisation": "M", "confusion": "X"}
        assert "".join(letters[p] for p in phases) == PUBLISHED.letters()[i]


def test_everything_is_plain_json(remade: InventedSweep) -> None:
    found = json.loads(json.dumps(study(remade, published="data_add_r").to_dict(), allow_nan=False))
    assert found["x"]["key"] == LR
    assert found["y"] == {"key": WD, "values": list(PUBLISHED.columns.values)}
    (diagram,) = found["diagrams"]
    assert (diagram["published"]["same"], diagram["published"]["n"], diagram["published"]["share"]) == (176, 176, 1.0)
    cell = next(c for c in diagram["cells"] if c[LR] == 1e-4 and c[WD] == 0)
    assert cell["majority"] == cell["published"] == "comprehension"
    assert cell["train_step"] == {"median": 1650.0, "reached": 3, "censored": 0}
    assert cell["gap"]["median"] == 2076 - 1650
    split = next(c for c in diagram["cells"] if c[LR] == 1e-4 and c[WD] == 10)
    assert split["phases"] == {"comprehension": 1, "memorisation": 2}
    assert split["agreement"] == pytest.approx(2 / 3)
    assert split["test_step"] == {"median": None, "reached": 1, "censored": 2}


def test_a_gap_moves_the_published_map_too(remade: InventedSweep) -> None:
    found = study(remade, published="data_add_r", gap=300)
    assert found.agreements[0].same == 176
    assert counts(found.diagrams[0])["grokking"] > 60


def test_members_that_still_train_are_pending_until_nothing_can_change(tmp_path: Path) -> None:
    sweep = InventedSweep(tmp_path / "s", {WD: [0, 1, 2]}, lambda p, seed: (100, None if p[WD] == 1 else 3000))
    sweep.table = sweep.table.with_columns(pl.Series("status", ["running", "interrupted", "finished"]))
    (found,) = study(sweep).diagrams
    # both thresholds are passed: more training changes nothing
    assert [c.majority for c in found.cells] == ["grokking", None, "grokking"]
    assert "2 of 3 runs trained. Cells: 2 grokking and 1 pending" in said(found)


def test_what_is_undefined_says_why(tmp_path: Path) -> None:
    sweep = InventedSweep(tmp_path / "s", {WD: [0, 1]}, lambda p, seed: (None, 700) if p[WD] == seed else (1, 9), 2)
    found = study(sweep)
    told = [cell["undefined"] for cell in found.to_dict()["diagrams"][0]["cells"]]
    why = "generalised without fitting: test accuracy reached 90% at step 700, training not by step 100,000"
    assert told == [[why], [why]]
    assert data_of(render(found, sweep))["reasons"] == {"0": why, "3": why}
    # read off the curves where the threshold is another
    assert set(study(sweep, threshold=0.89).reasons) == {0, 3}


def test_another_threshold_is_read_off_the_curves(tmp_path: Path) -> None:
    sweep = InventedSweep(tmp_path / "s", {WD: [0, 1]}, lambda p, seed: (100, None if p[WD] == 0 else 3000))
    at_half = study(sweep, threshold=0.45)
    # an accuracy that ends at one half, reached late
    assert [c.majority for c in at_half.diagrams[0].cells] == ["grokking", "grokking"]
    low = study(sweep, threshold=0.3).diagrams[0].cells[1]
    assert low.train_step.median is not None
    assert 20 <= low.train_step.median <= 40
    never = study(sweep, threshold=1.0).diagrams[0]
    assert {c.majority for c in never.cells} == {"confusion"}
    page = data_of(render(at_half, sweep))
    assert page["steps"]["0"] == list(at_half.steps[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"published": "data_add_q"},
            "--published = 'data_add_q': unknown (did you mean data_add_r?)",
        ),
        (
            {"published": "data_add_r_reprlr"},
            "is a map over optimiser.groups.embed.*.learning_rate and optimiser.learning_rate, but this diagram is one "
            "over optimiser.learning_rate and optimiser.weight_decay",
        ),
        ({"published": "data_add_r", "threshold": 0.95}, "--threshold = 0.95: the map data_add_r is one at 0.9"),
        ({"threshold": 2}, "threshold = 2: needs to be above 0"),
        ({"boundary": "none"}, "boundary = 'none'"),
    ],
)
def test_refusals(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    sweep = InventedSweep(tmp_path / "s", {LR: [1e-4], WD: [0, 1]}, as_published)
    with pytest.raises(InputError) as refused:
        study(sweep, **settings)
    assert words in str(refused.value)


def test_a_sweep_that_has_trained_nothing_has_no_diagram(tmp_path: Path) -> None:
    sweep = InventedSweep(tmp_path / "untrained", {LR: [1e-4], WD: [0, 1]}, lambda point, seed: None)
    with pytest.raises(InputError, match="no member of untrained is trained yet"):
        study(sweep)


def test_the_page_holds_all_it_shows(remade: InventedSweep) -> None:
    path = write_page(study(remade, published="data_add_r"), remade)
    assert path == remade.path / "phase-diagram.html"
    page = path.read_text("utf-8")
    assert len(page) < 2_000_000
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "176 of 176 cells agree (100%); " in page
    assert "github.com/ejmichaud/grokking-squared at 0229df9" in page
    data = data_of(page)
    assert len(data["curves"]) == 528
    assert all(len(steps) <= MOST_POINTS + 4 for steps, _, _ in data["curves"].values())
    assert data["x"]["labels"][:3] == ["1e-5", "1.6e-5", "2.5e-5"]
    # thinned curves keep the points that the phase rests on
    for member, (train, test) in data["steps"].items():
        steps, train_accuracy, test_accuracy = data["curves"][member]
        for step, curve in ((train, train_accuracy), (test, test_accuracy)):
            assert step is None or curve[steps.index(step)] == 900


def test_the_page_of_slices_has_a_choice_for_each_further_setting(tmp_path: Path) -> None:
    keys = {LR: [1e-4, 1e-3], WD: [0, 1], "split.frac_train": [0.3, 0.5, 0.7], "task.p": [5, 7]}
    sweep = InventedSweep(tmp_path / "<b>s", keys, lambda p, seed: (10, None if p["split.frac_train"] < 0.4 else 3000))
    page = render(study(sweep, at={"task.p": "7"}), sweep)
    assert re.findall(r"<label>(\S+) <select", page) == ["split.frac_train"]
    assert "4 grokking" in page
    assert "4 memorisation" in page
    data = data_of(page)
    assert (len(data["slices"]), data["free"]) == (3, [3])
    # half of the members are at the other p
    assert len(data["curves"]) == 12
    assert "<b>s" not in page


def test_out_is_a_file_or_a_folder(remade: InventedSweep, tmp_path: Path) -> None:
    found = study(remade)
    assert write_page(found, remade, tmp_path / "own.html") == tmp_path / "own.html"
    assert write_page(found, remade, tmp_path) == tmp_path / "phase-diagram.html"
    page = (tmp_path / "phase-diagram.html").read_text("utf-8")
    assert "Next to the published map" not in page
