"""A family of runs: the members of a sweep as a table over two settings, each cell its verdict over the seeds."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from groklab.errors import InputError, check_choice
from groklab.papers.published import Agreement, PublishedTable
from groklab.report.family_cells import VERDICTS, Cell, Member, Table
from groklab.report.family_words import value_names
from groklab.report.published_setting import difference, made_with
from groklab.store.run import Run
from groklab.sweeps import Sweep
from groklab.text import listed

#: What rows and columns are, where the grid holds it and nothing else is asked for.
ROWS, COLUMNS = "task.expression", "split.frac_train"
#: The key of a grid that is none of a table: its values are the seeds of a cell.
SEED = "seed"
#: Cells of one page.
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Family:
    """A sweep's members as tables over two of its keys.

    tables: one for each combination of values of the other keys. agreements: one a table, where there is a published
    one. problems: what could not be read.
    """

    name: str
    row_key: str
    row_values: tuple[Any, ...]
    column_key: str
    column_values: tuple[Any, ...]
    tables: tuple[Table, ...]
    published: PublishedTable | None
    agreements: tuple[Agreement, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: every cell with its values by key, verdict, counts, and what was published there."""
        found: dict[str, Any] = {
            "sweep": self.name,
            "rows": {"key": self.row_key, "values": list(self.row_values)},
            "columns": {"key": self.column_key, "values": list(self.column_values)},
            "tables": [],
            "problems": list(self.problems),
        }
        for i, table in enumerate(self.tables):
            told = {"at": table.at, "cells": [self._cell(table, cell) for cell in table.cells]}
            found["tables"].append(told | ({"published": self.agreements[i].to_dict()} if self.agreements else {}))
        return found

    def _cell(self, table: Table, cell: Cell) -> dict[str, Any]:
        values = {self.row_key: self.row_values[cell.row], self.column_key: self.column_values[cell.column], **table.at}
        told = {"verdict": cell.verdict, "grokked": cell.count("grokked"), "seeds": len(cell.members)}
        told |= {"median_step": cell.median_step, "best_test_accuracy": cell.best}
        if self.published is not None:
            told["published"] = self.published.at(cell.row, cell.column)
        return {**values, **told, "members": [m.number for m in cell.members]}


def family(
    sweep: Sweep,
    *,
    rows: str | None = None,
    columns: str | None = None,
    published: Mapping[str, Mapping[str, Any]] | None = None,
    source: str = "the published table",
    about: str = "",
) -> Family:
    """Gather a sweep's members into tables.

    rows, columns: keys of the grid; by default the operation and the training fraction where they vary, else the
    first keys; the values of a key `seed` are the seeds of a cell. published: row -> column -> True (grokked), False,
    or the best test accuracy in percent of one that did not; rows and columns as the grid has them, or as text,
    operations in any spelling. source, about: what to call it, and where it comes from.
    Raises InputError for a sweep with fewer than two keys, one of which nothing is recorded yet, keys it does not
    have, too many cells, and a published table that is none or shares no cell.
    """
    row_key, column_key = axes(sweep, rows, columns)
    others = [key for key in settings(sweep) if key not in (row_key, column_key)]
    n_cells = math.prod(len(values) for values in settings(sweep).values())
    if n_cells > MOST_CELLS:
        raise InputError(f"{sweep.name} has {n_cells:,} cells, and a page shows at most {MOST_CELLS:,}")
    members, problems = members_of(sweep)
    if all(m.outcome == "pending" or (m.test_accuracy is None and m.outcome == "undecided") for m in members):
        raise InputError(f"no member of {sweep.name} has been evaluated yet, so there is no table")
    places: dict[str, list[Member]] = {}
    for member in members:
        point = sweep.folder.points[sweep.folder.members[member.number]["point"]]
        places.setdefault(json.dumps([point[key] for key in (*others, row_key, column_key)]), []).append(member)
    row_values, column_values = tuple(sweep.keys[row_key]), tuple(sweep.keys[column_key])
    tables = []
    for held in itertools.product(*(sweep.keys[key] for key in others)):
        cells = []
        for (i, row), (j, column) in itertools.product(enumerate(row_values), enumerate(column_values)):
            inside = places.get(json.dumps([*held, row, column]))
            if inside:
                cells.append(Cell(i, j, tuple(inside)))
        tables.append(Table(dict(zip(others, held, strict=True)), tuple(cells)))
    theirs = None if published is None else PublishedTable.of(published, row_values, column_values, source, about)
    known = {} if theirs is None else made_with(source)
    agreements = (
        [] if theirs is None else [theirs.agreement(_measured(t), difference(sweep, t.at, known)) for t in tables]
    )
    whole = (sweep.name, row_key, row_values, column_key, column_values, tuple(tables))
    return Family(*whole, theirs, tuple(agreements), tuple(problems))


def axes(sweep: Sweep, rows: str | None = None, columns: str | None = None) -> tuple[str, str]:
    """The keys of rows and of columns; raises InputError where the sweep lacks them."""
    keys = list(settings(sweep))
    if len(keys) < 2:
        varied = f"varies {keys[0]} alone" if keys else "varies nothing but seeds"
        raise InputError(f"a table needs two keys of a grid, and {sweep.name} {varied}")
    for option, key in (("--rows", rows), ("--columns", columns)):
        if key is not None:
            check_choice(option, key, keys, known="settings of the sweep")
    if rows is not None and rows == columns:
        raise InputError("--columns", columns, "needs to be another setting than --rows")
    if rows is None:
        left = [key for key in keys if key != columns]
        rows = ROWS if ROWS in left else next((key for key in left if key != COLUMNS), left[0])
    if columns is None:
        left = [key for key in keys if key != rows]
        columns = COLUMNS if COLUMNS in left else left[0]
    return rows, columns


def settings(sweep: Sweep) -> dict[str, list[Any]]:
    """The keys of the grid with their values, without the seeds, which are pooled in a cell however they are given."""
    return {key: values for key, values in sweep.keys.items() if key != SEED}


def members_of(sweep: Sweep) -> tuple[list[Member], list[str]]:
    """Every member of a sweep, and what could not be read, in sentences."""
    best, problems = _best(sweep)
    return [_member(line, best.get(line["member"])) for line in sweep.table.iter_rows(named=True)], problems


def slice_names(found: Family) -> list[str]:
    """What each table is held at, in words; '' where the grid has two keys only."""
    by_key = {key: [table.at[key] for table in found.tables] for key in found.tables[0].at}
    words = {key: dict(zip(map(json.dumps, v), value_names(key, v), strict=True)) for key, v in unique(by_key)}
    return [", ".join(f"{key} = {words[key][json.dumps(v)]}" for key, v in t.at.items()) for t in found.tables]


def unique(values: Mapping[str, Sequence[Any]]) -> list[tuple[str, list[Any]]]:
    """Each key's values without repetition, in order."""
    return [(key, list({json.dumps(v): v for v in seen}.values())) for key, seen in values.items()]


def said(table: Table) -> str:
    """One or two sentences: cells by verdict, and how far the seeds agree."""
    counts = {v: sum(c.verdict == v for c in table.cells) for v in VERDICTS}
    words = {
        "grokked": "grokked in every seed",
        "some": "in some",
        "none": "in none within the budget",
        "diverged": "diverged",
        "undecided": "undecided as yet",
        "failed": "failed",
        "pending": "pending",
    }
    told = listed([f"{counts[v]:,} {words[v]}" for v in VERDICTS if counts[v]])
    n = len(table.cells)
    return f"Of {n:,} cell{'s' if n != 1 else ''}: {told}."


def _measured(table: Table) -> dict[tuple[int, int], tuple[bool | None, float | None]]:
    return {(c.row, c.column): (c.decided, c.best) for c in table.cells}


def _best(sweep: Sweep) -> tuple[dict[int, float], list[str]]:
    """Each member's highest test accuracy: of all its evaluations, or where its pack is unreadable of those kept."""
    found: dict[int, float] = {}
    problems: list[str] = []
    # the thinned curves miss the one evaluation that was highest
    thinned = _highest(sweep.curves())
    for pack in sweep.folder.packs:
        whole: dict[int, float] = {}
        if (pack.path / "experiment.json").is_file():
            try:
                whole = _highest(Run(pack.path).metrics)
            except (InputError, OSError) as error:
                problems.append(f"best accuracies of {pack.path.name} are those of thinned curves: {error}")
        for place, number in enumerate(pack.members):
            value = whole.get(place, thinned.get(number))
            if value is not None:
                found[number] = value
    return found, problems


def _highest(curves: pl.DataFrame) -> dict[int, float]:
    known = curves.filter(pl.col("test_accuracy").is_finite())
    return dict(known.group_by("member").agg(pl.col("test_accuracy").cast(pl.Float64).max()).iter_rows())


def _member(line: Mapping[str, Any], best: float | None) -> Member:
    status = line["status"]
    # what has grokked for good stays so, however its training ends
    outcome = "grokked" if line["grokked_step"] is not None else {"finished": "censored"}.get(status, status)
    outcome = "undecided" if outcome in ("running", "interrupted") else outcome
    names = ("steps", "memorised_step", "grokked_step", "train_accuracy", "test_accuracy")
    steps, memorised, grokked, train, test = (line[name] for name in names)
    number, seed = int(line["member"]), int(line["seed"])
    return Member(number, seed, outcome, steps, memorised, grokked, train, test, best, line["reason"])
