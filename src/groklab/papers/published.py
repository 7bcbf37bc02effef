"""Phase diagrams that papers have published, as numbers, and how far a diagram of one's own agrees with them.

The maps are those of the toy model of Liu et al. 2022 (arXiv 2205.10343, figure 6): steps to 90% training and
validation accuracy, one seed a cell, released by its authors under the MIT licence. `data_add_r` and
`data_add_r_reprlr` are the paper's own panels (10^5 steps), `data_fine` a detail of the first; `toy_fig5a` and
`toy_fig5b` are the authors' later runs of the same with 10^4 steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import polars as pl

from groklab.errors import InputError, shown
from groklab.grokking.learning_phases import GAP, LETTERS, PHASES, phase_of_steps

#: Values of two axes are the same where they differ by less than this share.
SAME = 1e-6


@dataclass(frozen=True)
class Axis:
    """One axis of a map: the dotted key of the setting that varies, its name in words, its values in order."""

    key: str
    label: str
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class PublishedMap:
    """A published phase diagram.

    train_steps, test_steps: (rows, columns), NaN where `threshold` was not reached within `budget` steps.
    seed: the one that it was made with, None where its authors do not say. source: where it was released.
    """

    name: str
    title: str
    source: str
    rows: Axis
    columns: Axis
    train_steps: np.ndarray
    test_steps: np.ndarray
    budget: int
    threshold: float
    seed: int | None

    def phases(self, gap: float | int = GAP, boundary: str = "grokking") -> np.ndarray:
        """(rows, columns) names of phases; the paper's gap is 1,000 steps."""
        return phase_of_steps(self.train_steps, self.test_steps, gap, boundary)

    def letters(self, gap: float | int = GAP, boundary: str = "grokking") -> list[str]:
        """The map as one word a row: C, G, M, X, and ? for what is none of them."""
        return ["".join(LETTERS[name] for name in row) for row in self.phases(gap, boundary).tolist()]

    def place(self, values: dict[str, Any]) -> tuple[int, int] | None:
        """Row and column of the cell with these values by key, or None where the map has no such cell."""
        found = [_nearest(axis, values.get(axis.key)) for axis in (self.rows, self.columns)]
        row, column = found
        return None if row is None or column is None else (row, column)


@dataclass(frozen=True)
class Agreement:
    """How many of the cells that two maps share are of the same phase.

    n: cells compared. same: those of one phase. confusion: for each published phase, how often each of one's own
    stands in its place. kappa: Cohen's, agreement beyond what the two maps' shares of phases would give by chance;
    None where that is undefined.
    """

    n: int
    same: int
    confusion: dict[str, dict[str, int]]
    kappa: float | None

    @property
    def share(self) -> float | None:
        """The share of the compared cells that are of the same phase, None without any."""
        return self.same / self.n if self.n else None

    @property
    def said(self) -> str:
        """One sentence."""
        if not self.n:
            return "No cell of the sweep has the values of a published one."
        return f"{self.same} of {self.n} cells agree ({self.same / self.n:.0%})."

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "share": self.share, "said": self.said}


@lru_cache(maxsize=1)
def published_maps() -> dict[str, PublishedMap]:
    """All maps by name."""
    raw = (resources.files("groklab.papers") / "data" / "liu2022_published.json").read_text("utf-8")
    content = json.loads(raw)
    return {m["name"]: _read(m, float(content["threshold"])) for m in content["maps"]}


def published_map(name: str) -> PublishedMap:
    """The map of that name; raises InputError for another, naming those there are."""
    maps = published_maps()
    if name not in maps:
        raise InputError("--published", shown(name), f"needs to be one of {', '.join(maps)}")
    return maps[name]


def agreement(
    published: PublishedMap, table: pl.DataFrame, gap: float | int = GAP, boundary: str = "grokking"
) -> Agreement:
    """Compare a table with a published map, row by row.

    table: a row for each cell (or each run): columns named by the map's two keys, and `phase`. Rows whose values are
    not on the map, and rows without a phase, are passed over. gap, boundary: applied to the published steps.
    Raises InputError where the table lacks a column.
    """
    for name in (published.rows.key, published.columns.key, "phase"):
        if name not in table.columns:
            raise InputError(f"the map {published.name} varies {name}, and this table does not")
    theirs = published.phases(gap, boundary)
    counts: dict[str, dict[str, int]] = {}
    for row in table.iter_rows(named=True):
        place = published.place(row)
        if place is None or row["phase"] is None:
            continue
        line = counts.setdefault(str(theirs[place]), {})
        line[row["phase"]] = line.get(row["phase"], 0) + 1
    names: tuple[str, ...] = PHASES
    confusion = {a: {b: counts[a][b] for b in names if b in counts[a]} for a in names if a in counts}
    n = sum(sum(line.values()) for line in confusion.values())
    same = sum(line.get(a, 0) for a, line in confusion.items())
    return Agreement(n, same, confusion, cohens_kappa(confusion))


def cohens_kappa(confusion: Mapping[str, Mapping[str, int]]) -> float | None:
    """Cohen's kappa of counts by one verdict and the other: agreement beyond chance; None where that is undefined."""
    n = sum(sum(line.values()) for line in confusion.values())
    if not n:
        return None
    same = sum(line.get(a, 0) for a, line in confusion.items())
    others = {a: sum(line.get(a, 0) for line in confusion.values()) for a in confusion}
    chance = sum(sum(line.values()) * others[a] for a, line in confusion.items()) / n**2
    return (same / n - chance) / (1 - chance) if chance < 1 else None


def _nearest(axis: Axis, value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for i, known in enumerate(axis.values):
        if abs(value - known) <= SAME * max(abs(value), abs(known)):
            return i
    return None


def _read(m: dict[str, Any], threshold: float) -> PublishedMap:
    axes = {k: Axis(m[k]["key"], m[k]["label"], tuple(m[k]["values"])) for k in ("rows", "columns")}
    steps = {k: np.array(m[k], object).astype(float) for k in ("train_steps", "test_steps")}
    return PublishedMap(**{**m, **axes, **steps, "threshold": threshold})
