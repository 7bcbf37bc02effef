from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from corpus import Corpus
from groklab.errors import DamagedError
from groklab.store import locks, storage
from groklab.sweeps import Sweep
from groklab.sweeps._folder import SweepRecords, empty_rows, table_of
from invented_sweep import trained


@pytest.fixture
def swept(corpus: Corpus, home: Path) -> Sweep:
    return trained(corpus, home)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("members.0.pack", 7, "members and packs do not fit each other"),
        ("members.0.point", 70, "a member is of a point that does not exist"),
        ("members.0.seed", True, r"members\.0\.seed = True: "),
        ("members.1.identity", None, r"members\.1\.identity = None: "),
        ("packs.0.name", "../../elsewhere", r"packs\.0\.name = '\.\./\.\./elsewhere': "),
        ("packs.0.members", [0, 0], "members and packs do not fit each other"),
        ("points.0", {}, "point 0 is not of the grid"),
        ("points.1", {"task.expression": "add", "split.frac_train": math.nan}, "NaN is not a finite number"),
        ("keys", [], r"keys = \[\]: "),
        ("format", 2, r"format = 2: "),
    ],
)
def test_a_field_of_the_plan_that_does_not_fit_is_named(swept: Sweep, key: str, value: Any, sentence: str) -> None:
    file = swept.path / "sweep.json"
    content = json.loads(file.read_text())
    *above, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    node = content
    for part in above:
        node = node[part]
    node[last] = value
    file.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=rf"sweep\.json is damaged: .*{sentence}"):
        Sweep(swept.path)


@pytest.mark.parametrize(
    "change",
    [
        pl.lit("asleep").alias("status"),
        pl.lit(None, pl.String).alias("status"),
        pl.lit("x").alias("phase"),
        pl.lit(3).alias("phase"),
        pl.lit(-1, pl.Int64).alias("steps"),
        pl.lit(math.inf, pl.Float32).alias("test_accuracy"),
        pl.lit(0, pl.Int32).alias("member"),
        pl.lit("add").alias("task.expression"),
        pl.lit(1.5).alias("seed"),
        pl.lit("x").alias("reason").repeat_by(2),
    ],
)
def test_a_table_that_is_not_of_the_plan_is_built_again(swept: Sweep, change: pl.Expr) -> None:
    SweepRecords(swept).write()
    expected = swept.table
    storage.write_table(swept.path / "table.parquet", expected.with_columns(change))
    assert Sweep(swept.path).table.equals(expected)
    assert Sweep(swept.path).summary() == swept.summary()


def test_a_pack_that_holds_other_members_counts_as_pending(swept: Sweep) -> None:
    packs = [pack.path for pack in swept.packs]
    if len(packs) > 1:
        shutil.rmtree(packs[0])
        shutil.copytree(packs[1], packs[0])
    else:
        content = json.loads((packs[0] / "experiment.json").read_text())
        content["members"][0]["identity"] = "0" * 64
        (packs[0] / "experiment.json").write_text(json.dumps(content))
    rows = Sweep(swept.path).table
    assert set(rows.filter(pl.col("pack") == packs[0].name)["status"]) == {"pending"}


def test_a_sweep_that_trains_has_what_its_packs_have_recorded(swept: Sweep) -> None:
    whole = swept.table
    storage.write_table(swept.path / "table.parquet", table_of(swept, empty_rows(swept)))
    assert set(swept.table["status"]) == {"pending"}
    # nobody trains it
    assert swept.table_so_far().equals(swept.table)
    with locks.locked(swept.path):
        assert swept.table_so_far().equals(whole)
