"""The claims of Furuta et al. 2024: the exact ones as they are, and the machinery of the others on tiny settings."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import groklab as gl
from groklab.errors import OutOfTime
from groklab.papers import MeasuredOperation, measured_rows, published_tables
from groklab.papers.furuta2024 import measured_table
from groklab.papers.furuta2024.claims import combinations, operations, runs, spectra
from groklab.reproduction import Claim, Outcome, Trainer, find, reproduce
from groklab.reproduction._ledger import Record
from groklab.sweeps import _executors as executors
from groklab.sweeps._executors import Workers
from groklab.training import interrupts

CLAIMS: dict[str, Claim] = {c.id: c for c in find("furuta2024")[1]}
#: At p = 7 the networks are there, and learn little: verdicts say nothing, values are all there.
TINY = {"task.p": 7, "network.d_model": 16, "network.d_mlp": 8, "evaluation.every": 10}
SEEDS = (0, 1)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that claims ask for is made tiny."""
    for size in ("quick", "full"):
        monkeypatch.setitem(runs.SIZE_SETTINGS, size, TINY)
        monkeypatch.setitem(runs.STEPS, size, 30)
        monkeypatch.setitem(runs.CLEAN_UP, size, 0)
        monkeypatch.setitem(runs.FRACTION, size, 0.6)
        monkeypatch.setitem(runs.MORE, size, 0.6)
    # shown with '=', multiplication shares the program of all operations without a sign of their own
    monkeypatch.setattr(runs, "OWN", {"multiply": {"task__op_token": "="}})


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps are trained by a worker in this process, as on a GPU: no processes to start."""

    @contextlib.contextmanager
    def connected(*_: Any) -> Iterator[Workers]:
        with executors._inside() as client:
            yield Workers(client, 1, "cpu", None, "1 worker")

    monkeypatch.setattr(importlib.import_module("groklab.sweeps._scheduler"), "connected", connected)


def measured(claim: str, size: str = "quick") -> list[Outcome]:
    trial = CLAIMS[claim].trial(size)  # type: ignore[arg-type]
    assert trial is not None
    outcomes = trial.outcomes(Trainer(), SEEDS if trial.together else (0,))
    for outcome in outcomes:
        assert outcome.sentence
        record = Record.of(0, "", outcome, 0.0)
        assert isinstance(record.holds, bool)
        for name, value in record.values.items():
            for one in value if isinstance(value, list) else [value]:
                assert not isinstance(one, float) or math.isfinite(one), (claim, name)
    return outcomes


@pytest.mark.parametrize(
    "claim", ["size-and-start", "initial-spectra", "published-split", "powers", "factors", "identical-histograms"]
)
def test_exact_claims_hold(claim: str) -> None:
    assert all(outcome.holds for outcome in measured(claim))
    assert not gl.runs()


def test_spectra_of_addition_serve_its_parts_and_unused_tokens_too(tiny: None) -> None:
    assert {f.values["ffs_W_E"] > 0 for f in measured("addition-spectrum")} == {True}
    parts = measured("logit-parts-addition")[0].values
    assert parts["uniform_loss"] == pytest.approx(math.log(7))
    unused = measured("unused-tokens")
    # whatever is learnt, nothing but decay acts on the rows of the other signs
    assert all(f.holds for f in unused)
    assert unused[0].values["unused_rows"] == 4
    assert len(gl.runs()) == 1


def test_other_spectra_give_their_values(tiny: None) -> None:
    measured("progress-measures")
    before = len(gl.runs())
    measured("multiplication-spectrum")
    assert len(gl.runs()) == before == 2
    shifted = measured("shifted-product")[0].values
    assert shifted["singular_ratio_W_E_changes_by"] < 1e-9
    assert shifted["fcr_W_E"] != shifted["fcr_W_E_renamed"]


def test_renaming_residues_turns_sines_into_cosines() -> None:
    t = np.arange(11)
    waves = np.stack([np.cos(2 * np.pi * k * (t + 1) / 11) for k in range(1, 6)], axis=1)
    assert spectra.cosine_led(np.roll(waves, 1, axis=0)) == 1
    assert spectra.cosine_led(waves) < 1


def test_half_way_of_a_falling_curve() -> None:
    assert spectra.half_way(np.array([0, 10, 20, 30]), np.array([1.0, 0.9, 0.4, 0.2])) == 20
    assert spectra.half_way(np.array([0, 10]), np.array([1.0, 1.0])) is None


def test_families_are_judged_by_their_published_difficulty() -> None:
    for family in (operations.FACTORIZABLE, operations.POWERS):
        for names, groks in ((family.easy, True), (family.hard, False)):
            for operation in names:
                published = operations.published_of(operation)
                assert published is not None
                assert (published.by_fraction["0.3"] is True) == groks, operation


def test_verdicts_and_embeddings_come_from_the_same_runs(tiny: None) -> None:
    measured("factorizable")
    measured("sums-of-powers")
    before = {r.name for r in gl.runs()}
    assert set(measured("sparse-embeddings")[0].values) == {
        f"{o}_ffs_W_E" for o in ("x_plus_y_power_2", "x_plus_y_power_3", "x2_xy_y2", "x2_xy_y2_x")
    }
    assert {r.name for r in gl.runs()} == before
    assert len(before) == 2


def test_what_is_transferred_stays_as_it_is(tiny: None) -> None:
    outcome = measured("embedding-of-addition")[1]
    assert set(outcome.values) == {
        f"{what}_{value}"
        for what in ("transferred", "from_scratch")
        for value in ("grokked_step", "best_test_accuracy")
    }
    source = runs.cleaned_up(Trainer(), "quick", "add", SEEDS)
    taken = combinations.EMBEDDING_OF_SUM.trained(Trainer(), "quick", SEEDS)
    for seed in SEEDS:
        own, given = (t.weights(o, seed)["embed.W_E"] for t, o in ((taken, "2x_y"), (source, "add")))
        np.testing.assert_array_equal(own[:7], given[:7])
    # the same run, judged the other way round
    assert [f.holds for f in combinations._fails(combinations.EMBEDDING_OF_SUM, Trainer(), "quick", SEEDS)] == [
        taken.grokked("2x_y", seed) is None for seed in SEEDS
    ]


def test_mixtures_are_compared_with_the_operation_alone(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # three operations, as below, and one share instead of two, so that there is one program to compile
    values = measured("mixture-rescues-quadratic-form", "full")[0].values
    assert {"x2_y2_grokked_step", "x2_xy_y2_best_test_accuracy", "alone_best_test_accuracy"} <= set(values)
    monkeypatch.setattr(combinations, "TOGETHER", 0.6)
    assert len(measured("elementary-mixture", "full")[0].values) == 6
    before = len(gl.runs())
    assert set(measured("multiplication-groks-last", "full")[0].values) == {
        f"{o}_grokked_step" for o in ("add", "subtract", "multiply")
    }
    assert len(gl.runs()) == before


def test_whole_tables_stop_and_go_on(tiny: None, inside: None, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(operations, "OPERATIONS", ("add", "2x_y"))
    monkeypatch.setattr(operations, "FRACTIONS", (0.6,))
    with interrupts.deadline(time.monotonic()), pytest.raises(OutOfTime):
        measured("table-5", "full")
    found = reproduce("furuta2024/table-5", "full", seeds=2, minutes=5).claims[0]
    assert found.verdict != "not run"
    assert found.measured["cells"].values == (2, 2)
    assert len(list((home / "sweeps").iterdir())) == 1
    json.dumps(found.to_dict())


def test_table_6_starts_each_seed_from_its_own_source(
    tiny: None, inside: None, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(operations, "DOWNSTREAM", ("2x_y",))
    monkeypatch.setattr(operations, "FRACTIONS", (0.6,))
    monkeypatch.setattr(operations, "SOURCES", ("add",))
    monkeypatch.setattr(operations, "PARTS", {"embedding": "embedding"})
    found = measured("table-6", "full")
    assert [f.values["cells"] for f in found] == [1, 1]
    starts = {gl.Sweep(p).experiment(0).start.member for p in (home / "sweeps").iterdir()}  # type: ignore[union-attr]
    assert starts == {0, 1}


def test_the_smallest_share_of_an_operation() -> None:
    rows: list[dict[str, Any]] = [
        {"task.expression": "add", "seed": s, "split.frac_train": f, "grokked_step": g}
        for s, f, g in ((0, 0.3, None), (0, 0.4, 500), (0, 0.5, 300), (1, 0.3, None))
    ]
    table = pl.DataFrame(rows)
    assert operations.smallest(table, "add", 0) == 0.4
    assert operations.smallest(table, "add", 1) is None


def test_published_cells_of_table_6_are_all_there() -> None:
    smallest = published_tables("furuta2024")["smallest_fraction"]["operations"]
    parts = [f"{source}_{part}" for source in operations.SOURCES for part in operations.PARTS.values()]
    cells = [smallest[operation][part] for operation in operations.DOWNSTREAM for part in parts]
    assert len(cells) == 96


def test_the_packaged_table_is_made_of_saved_results_and_sweeps(tmp_path: Path, inside: None) -> None:
    values = {"add_grokked_step": [900, None], "add_best_test_accuracy": [1.0, 0.5]}
    values |= {"2x_y_grokked_step": [None, None], "2x_y_best_test_accuracy": [0.03, 0.02]}
    both = values, {"grokked_step": [9]}
    linear, squares = ({"measured": {name: {"values": of} for name, of in one.items()}} for one in both)
    claims = [{"id": "linear", "quick": linear}, {"id": "powers", "quick": {}}, {"id": "cross-terms"}]
    saved = {"claims": [*claims, {"id": "squares-spectrum", "quick": squares}]}
    (tmp_path / "saved.json").write_text(json.dumps(saved))
    keys = {"task.expression": ["add", "x2_y2"], "split.frac_train": [0.6]}
    swept = gl.sweep(gl.preset("furuta2024"), keys, overrides={**TINY, "budget.steps": 20, "measures.names": []})
    measured_table.main([str(tmp_path / "saved.json"), str(swept.path), "--out", str(tmp_path / "table.json")])
    rows = measured_rows(tmp_path / "table.json")
    assert rows[:3] == [
        MeasuredOperation("add", 0.6, p=37, seeds=2, grokked=1, best_test_accuracy=1.0),
        MeasuredOperation("2x_y", 0.75, p=37, seeds=2, grokked=0, best_test_accuracy=0.03),
        MeasuredOperation("x2_y2", 0.35, p=73, seeds=1, grokked=1, best_test_accuracy=None),
    ]
    assert [(r.operation, r.p, r.frac_train, r.seeds) for r in rows[3:]] == [
        ("add", 7, 0.6, 1),
        ("x2_y2", 7, 0.6, 1),
    ]
    assert rows[3].best_test_accuracy == swept.curves(0)["test_accuracy"].max()
