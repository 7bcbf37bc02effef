from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from groklab import papers
from groklab.errors import InputError
from groklab.papers import published_map, published_maps

LR, WD, REPRESENTATION = (
    "optimiser.learning_rate",
    "optimiser.weight_decay",
    "optimiser.groups.embed.*.learning_rate",
)
#: Found apart from this package; a word for each learning rate from 1e-5 to 1e-2, a letter for each decay from 0 to 10.
REGRESSION = (
    "GGGGGGGGMMM GGGGGGGGGMM GGGGGGGGGMM GGGGGGGGGMM GGGGGGGGGMM CCCCGGGGGGM CCCCCGGGGGM CCCCCCGGGGM "
    "MMMMMCCGMMM MMMMMMXXMMM MMMMMMXXXMX MMMMMMXXXXX MMMMMXXXXXX MMMMXXXXXXX MMMMXXXXXXX MMMXXXXXXXX"
)


def counts(name: str) -> tuple[int, ...]:
    letters = "".join(published_map(name).letters())
    return tuple(letters.count(letter) for letter in "CGMX?")


def test_the_map_of_the_regression_is_the_released_one_letter_by_letter() -> None:
    assert published_map("data_add_r").letters() == REGRESSION.split(" ")


@pytest.mark.parametrize(
    ("name", "expected", "shape"),
    [
        ("data_add_r", (17, 60, 60, 39, 0), (16, 11)),
        ("data_add_r_reprlr", (29, 31, 109, 0, 0), (13, 13)),
        ("data_fine", (4, 97, 10, 10, 0), (11, 11)),
        ("toy_fig5a", (14, 10, 64, 12, 0), (10, 10)),
        ("toy_fig5b", (12, 18, 49, 31, 0), (11, 10)),
    ],
)
def test_counts_of_phases(name: str, expected: tuple[int, ...], shape: tuple[int, int]) -> None:
    found = published_map(name)
    assert counts(name) == expected
    assert found.train_steps.shape == found.test_steps.shape == shape
    assert (len(found.rows.values), len(found.columns.values)) == shape
    assert sum(expected) == found.train_steps.size


def test_axes_are_settings_and_cells_are_where_their_runs_were() -> None:
    assert (published_map("data_add_r").rows.key, published_map("data_add_r").columns.key) == (LR, WD)
    assert {m.rows.key for m in published_maps().values()} == {LR, WD, REPRESENTATION}
    # the run with seed 58, learning rates 1e-4 and 1e-3 and no decay is in both of the later maps
    for name, values in (("toy_fig5b", {LR: 1e-4, WD: 0}), ("toy_fig5a", {LR: 1e-4, REPRESENTATION: 1e-3})):
        found = published_map(name)
        place = found.place(values)
        assert place is not None
        assert (found.train_steps[place], found.test_steps[place]) == (1130, 1529)
    # and one run of the earlier is shared by two maps
    a, b = published_map("data_add_r"), published_map("data_add_r_reprlr")
    at, other = a.place({LR: 1e-5, WD: 0.0}), b.place({LR: 1e-5, REPRESENTATION: 1e-3})
    assert at is not None
    assert other is not None
    assert a.train_steps[at] == b.train_steps[other] == 14262


def test_the_numbers_are_the_released_ones(reference: Path) -> None:
    released = json.loads((reference / "liu2022_golden.json").read_text())
    names = {
        "data_add_r": ("train_steps", "test_steps", 99999),
        "data_add_r_reprlr": ("train_steps", "test_steps", 99999),
        "data_fine": ("train_fine", "test_fine", 99999),
        "toy_fig5a": ("train", "test", 9999),
        "toy_fig5b": ("train", "test", 9999),
    }
    assert set(names) == set(published_maps())
    for name, (train, test, never) in names.items():
        found = published_map(name)
        for ours, theirs in ((found.train_steps, train), (found.test_steps, test)):
            expected = np.array(released[name][theirs], float)
            assert np.array_equal(np.where(np.isnan(ours), never, ours), expected)


def test_the_licence_travels_with_the_numbers() -> None:
    file = papers.data("liu2022", "published_maps.LICENSE.txt")
    assert file is not None
    licence = file.read_text("utf-8")
    assert "Copyright (c) 2022 Ziming Liu" in licence
    assert "The above copyright notice and this permission notice shall be included" in licence


def own(changes: dict[tuple[int, int], str | None] | None = None) -> pl.DataFrame:
    """The published regression as a table of one's own, with some cells changed."""
    found = published_map("data_add_r")
    phases = found.phases()
    rows = []
    for i, lr in enumerate(found.rows.values):
        for j, wd in enumerate(found.columns.values):
            phase = (changes or {}).get((i, j), str(phases[i, j]))
            rows.append({LR: lr * (1 + 1e-9), WD: wd, "phase": phase})
    return pl.DataFrame(rows)


def test_a_map_agrees_with_itself() -> None:
    found = published_map("data_add_r").agreement(own())
    assert (found.n, found.same, found.share, found.kappa) == (176, 176, 1.0, 1.0)
    assert found.summary == "176 of 176 cells agree (100%); Cohen's kappa is 1.00."
    assert found.confusion["grokking"] == {"grokking": 60}


def test_cells_that_differ_are_counted_and_cells_without_a_phase_are_not() -> None:
    changes: dict[tuple[int, int], str | None] = {(0, 0): "comprehension", (0, 1): "undefined", (15, 10): None}
    found = published_map("data_add_r").agreement(own(changes))
    assert (found.n, found.same) == (175, 173)
    assert found.confusion["grokking"] == {"comprehension": 1, "grokking": 58, "undefined": 1}
    assert found.summary == "173 of 175 cells agree (99%); Cohen's kappa is 0.98."


def test_kappa_is_nothing_beyond_chance_for_a_map_of_one_phase() -> None:
    published = published_map("data_add_r")
    table = own().with_columns(pl.lit("memorisation").alias("phase"))
    found = published.agreement(table)
    assert (found.same, found.n) == (60, 176)
    assert found.kappa == pytest.approx(0, abs=1e-12)
    # by hand: two phases, 3 of 4 agree, chance (2*3 + 2*1)/16 = 1/2
    four = pl.DataFrame(
        {
            LR: [1e-5] * 2 + [1e-2] * 2,
            WD: [0.0, 1.0, 9.0, 10.0],
            "phase": ["grokking", "grokking", "grokking", "confusion"],
        }
    )
    assert published.agreement(four).kappa == pytest.approx((0.75 - 0.5) / 0.5)


def test_only_cells_of_both_are_compared() -> None:
    table = pl.DataFrame({LR: [1e-4, 1.1e-4, 1e-4], WD: [0.0, 0.0, 0.5], "phase": ["comprehension"] * 3})
    found = published_map("data_add_r").agreement(table)
    assert (found.n, found.same) == (1, 1)
    nothing = published_map("data_add_r").agreement(table.filter(pl.col(WD) == 0.5))
    assert (nothing.n, nothing.share, nothing.kappa) == (0, None, None)
    assert "No published cell" in nothing.summary


def test_refusals() -> None:
    with pytest.raises(
        InputError,
        match=r"'data_add_x': unknown \(did you mean data_add_r\?\); allowed: data_add_r",
    ):
        published_map("data_add_x")
    with pytest.raises(InputError, match=r"varies optimiser.weight_decay, and this table does not"):
        published_map("data_add_r").agreement(pl.DataFrame({LR: [1e-4], "phase": ["grokking"]}))
