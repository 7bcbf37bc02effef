"""Published results as numbers, and how far one's own sweep agrees with them.

A paper's data folder may hold

- `published_maps.json`: phase diagrams, as steps to a threshold. Those of Liu et al. 2022 (arXiv 2205.10343, figure 6)
  are steps to 90% training and validation accuracy of the toy model, one seed per cell: `data_add_r` and
  `data_add_r_reprlr` are the paper's own panels (10^5 steps), `data_fine` is a detail of the first; `toy_fig5a` and
  `toy_fig5b` are the authors' later runs of the same with 10^4 steps.
- `published_tables.json`: what grokked, as row -> column -> entry. An entry is True (it grokked), False (it did not)
  or, for one that did not, its best test accuracy in percent, as in table 5 of Furuta et al. 2024 (arXiv 2402.16726).
- `measured_table.json`: which operations grokked here, as a list of `rows`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.errors import DamagedError, InputError, check_choice, did_you_mean, shorten, unknown
from groklab.grokking import GAP, LETTERS, PHASES, phase_of_steps
from groklab.papers import _folders
from groklab.text import named_file

#: Two values on an axis are equal where they differ by less than this share.
SAME = 1e-6
#: Row and column of a cell.
Place = tuple[int, int]
GROKKED, NOT = "grokked", "not grokked"


@dataclass(frozen=True)
class Agreement:
    """How far a sweep agrees with published results, over the cells that both hold and that are decided here.

    Args:
        source: name of the published results.
        confusion: number of cells by published and then by own result (phases, or grokked and not).
        differ: the cells that disagree.
        best_accuracy_difference: median distance of best test accuracies in percentage points where neither grokked.
        setting: a sentence on how the two were made differently, '' where no difference is known.
    """

    source: str
    confusion: dict[str, dict[str, int]]
    differ: tuple[Place, ...] = ()
    best_accuracy_difference: float | None = None
    setting: str = ""

    @property
    def n(self) -> int:
        """Number of cells compared."""
        return sum(sum(row.values()) for row in self.confusion.values())

    @property
    def same(self) -> int:
        """Number of cells that agree."""
        return sum(row.get(result, 0) for result, row in self.confusion.items())

    @property
    def share(self) -> float | None:
        """Share of the compared cells that agree, None without any."""
        return self.same / self.n if self.n else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, agreement beyond what the two shares of results give by chance; None where undefined."""
        if not self.n:
            return None
        own = {result: sum(row.get(result, 0) for row in self.confusion.values()) for result in self.confusion}
        chance = sum(sum(row.values()) * own[result] for result, row in self.confusion.items()) / self.n**2
        return (self.same / self.n - chance) / (1 - chance) if chance < 1 else None

    @property
    def counts(self) -> dict[str, int]:
        """Number of cells of a table of what grokked: 'both', 'published only', 'here only' and 'neither'."""
        cells = {"both": (GROKKED, GROKKED), "published only": (GROKKED, NOT), "here only": (NOT, GROKKED)}
        cells["neither"] = (NOT, NOT)
        return {name: self.confusion.get(theirs, {}).get(own, 0) for name, (theirs, own) in cells.items()}

    @property
    def summary(self) -> str:
        """The agreement in a few sentences."""
        if not self.n:
            return "No published cell is decided here."
        sentence = f"{self.same:,} of {self.n:,} cells agree ({self.share:.0%})"
        sentence += f"; Cohen's kappa is {self.kappa:.2f}." if self.kappa is not None else "."
        if self.best_accuracy_difference is not None:
            sentence += (
                f" Where neither grokked, best test accuracies differ by {self.best_accuracy_difference:.1f} "
                "percentage points in the median."
            )
        return f"{sentence} {self.setting}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return the agreement as plain JSON values."""
        summed = {"source": self.source, "n": self.n, "same": self.same, "share": self.share, "kappa": self.kappa}
        if GROKKED not in self.confusion:
            return {**summed, "confusion": self.confusion, "summary": self.summary}
        difference = {"best_accuracy_difference": self.best_accuracy_difference, "setting": self.setting}
        return {**summed, "counts": self.counts, **difference, "summary": self.summary}


# -- phase diagrams -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis of a map: the dotted key of the setting that varies, its name in words, its values in order."""

    key: str
    label: str
    values: tuple[float, ...]

    def place(self, value: Any) -> int | None:
        """Return the place of a value, None where the axis does not have it."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        close = (abs(value - own) <= SAME * max(abs(value), abs(own)) for own in self.values)
        return next((i for i, same in enumerate(close) if same), None)


@dataclass(frozen=True, eq=False)
class PublishedMap:
    """A published phase diagram.

    Args:
        train_steps: (rows, columns), NaN where the training accuracy did not reach `threshold` within `budget` steps.
        test_steps: the same of the test accuracy.
        seed: None where its authors do not give it.
        source: where it was released.
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
        """Return the (rows, columns) names of phases; the paper's gap is 1,000 steps."""
        return phase_of_steps(self.train_steps, self.test_steps, gap, boundary)

    def letters(self, gap: float | int = GAP, boundary: str = "grokking") -> list[str]:
        """Return one word per row: C, G, M, X, and ? for what is none of them."""
        return ["".join(LETTERS[name] for name in row) for row in self.phases(gap, boundary).tolist()]

    def place(self, values: Mapping[str, Any]) -> Place | None:
        """Return row and column of the cell with these values by key, None where the map has no such cell."""
        row, column = (axis.place(values.get(axis.key)) for axis in (self.rows, self.columns))
        return None if row is None or column is None else (row, column)

    def agreement(self, table: pl.DataFrame, gap: float | int = GAP, boundary: str = "grokking") -> Agreement:
        """Compare a table with the map, row by row.

        Args:
            table: one row per cell (or per run): columns named by the map's two keys, and `phase`. Rows whose values
                are not on the map, and rows without a phase, are skipped.
            gap: applied to the published steps, as `boundary`.

        Raises:
            InputError: the table lacks a column.
        """
        for name in (self.rows.key, self.columns.key, "phase"):
            if name not in table.columns:
                raise InputError(f"the map {self.name} varies {name}, and this table does not")
        theirs = self.phases(gap, boundary)
        counts: dict[str, dict[str, int]] = {}
        for row in table.iter_rows(named=True):
            place = self.place(row)
            if place is not None and row["phase"] is not None:
                of_phase = counts.setdefault(str(theirs[place]), {})
                of_phase[row["phase"]] = of_phase.get(row["phase"], 0) + 1
        names: tuple[str, ...] = PHASES
        ordered = {a: {b: counts[a][b] for b in names if b in counts[a]} for a in names if a in counts}
        return Agreement(self.source, ordered)


@lru_cache(maxsize=1)
def published_maps() -> dict[str, PublishedMap]:
    """Return the maps of all papers by name."""
    maps: dict[str, PublishedMap] = {}
    for content in _of_all_papers("published_maps.json"):
        maps |= {m["name"]: _map(m, float(content["threshold"])) for m in content["maps"]}
    return maps


def published_map(name: str) -> PublishedMap:
    """Return a map by its name; raises InputError for another name."""
    maps = published_maps()
    check_choice("--published", name, maps)
    return maps[name]


def _map(content: dict[str, Any], threshold: float) -> PublishedMap:
    axes = {k: Axis(content[k]["key"], content[k]["label"], tuple(content[k]["values"])) for k in ("rows", "columns")}
    steps = {k: np.array(content[k], object).astype(float) for k in ("train_steps", "test_steps")}
    return PublishedMap(**{**content, **axes, **steps, "threshold": threshold})


def _of_all_papers(file: str) -> Iterator[dict[str, Any]]:
    for name in _folders.names():
        path = _folders.data(name, file)
        if path is not None:
            yield json.loads(path.read_text("utf-8"))


# -- tables of what grokked ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedTable:
    """A published table at the places of one's own.

    Args:
        source: what to call it.
        about: where it comes from, '' where that is not known.
        entries: (row, column) -> True, False, or best test accuracy in percent.
    """

    source: str
    about: str
    entries: dict[Place, bool | float]

    def at(self, row: int, column: int) -> bool | float | None:
        """Return the published entry of a place, None where there is none."""
        return self.entries.get((row, column))

    @classmethod
    def of(
        cls,
        table: Mapping[str, Mapping[str, Any]],
        rows: Sequence[Any],
        columns: Sequence[Any],
        source: str,
        about: str = "",
    ) -> PublishedTable:
        """Lay a table over rows and columns of one's own; raises InputError where it is not one or shares no cell."""
        if not isinstance(table, Mapping) or not all(isinstance(row, Mapping) for row in table.values()):
            raise InputError("--published", shorten(source), "needs to hold, for each row, an entry for each column")
        # imported here, as explaining a task needs no sweeps
        from groklab.sweeps import place_of

        entries: dict[Place, bool | float] = {}
        for name, row in table.items():
            i = place_of(str(name), rows)
            for heading, entry in row.items():
                j = place_of(str(heading), columns)
                value = _entry(entry, f"{source}, row {name}, column {heading}")
                if i is not None and j is not None and value is not None:
                    entries[i, j] = value
        if not entries:
            raise InputError("--published", shorten(source), "shares no cell with this sweep")
        return cls(source, about, entries)

    def agreement(self, measured: Mapping[Place, tuple[bool | None, float | None]], setting: str = "") -> Agreement:
        """Compare cell by cell; measured: whether each place grokked, None while undecided, and its best accuracy."""
        confusion = {theirs: {own: 0 for own in (GROKKED, NOT)} for theirs in (GROKKED, NOT)}
        differ, distances = [], []
        for place, theirs in self.entries.items():
            own, best = measured.get(place, (None, None))
            if own is None:
                continue
            confusion[GROKKED if theirs is True else NOT][GROKKED if own else NOT] += 1
            if own is not (theirs is True):
                differ.append(place)
            elif not own and theirs is not False and best is not None:
                distances.append(abs(100 * best - theirs))
        difference = statistics.median(distances) if distances else None
        return Agreement(self.source, confusion, tuple(sorted(differ)), difference, setting)


def read_published(text: str) -> tuple[dict[str, Any], str]:
    """Read the table that a text names, and what its file says of its origin, '' for nothing.

    The text is FILE.json, or FILE.json/TABLE for one of several in a file. In place of a file the name of a paper means
    the tables that groklab has of it, as in `furuta2024/grokked`. Rows are in the file as they are, or as `operations`
    beside an `about`. Raises InputError for an unknown table.
    """
    content, name = located(text)
    try:
        loaded = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("--published", shorten(text), "is not a JSON file") from None
    rows = _rows(loaded)
    if not name and rows is not None:
        return rows, ""
    parts = loaded.items() if isinstance(loaded, dict) else ()
    # of a paper's several tables, those that say what grokked
    tables = {
        k: rows for k, v in parts if (rows := _rows(v)) and any(e is True for r in rows.values() for e in r.values())
    }
    if not tables:
        raise InputError("--published", shorten(text), "holds no table of rows, columns and entries")
    if not name and len(tables) == 1:
        name = next(iter(tables))
    if name not in tables:
        raise unknown("--published", text, tables, known="give one of its tables after a slash")
    about = [loaded[name].get("about"), *(loaded.get(key) for key in ("source", "about"))]
    origin = [str(value).rstrip(".") for value in about if isinstance(value, str)]
    origin += [f"{key} = {loaded[key]:,}" for key in ("p", "seeds", "steps") if isinstance(loaded.get(key), int)]
    return tables[name], "; ".join(origin)


def located(text: str) -> tuple[bytes, str]:
    """Return the content of the file that a text means, and the name of the table in it; raises as `read_published`."""
    source, _, name = text.rpartition("/")
    if Path(text).expanduser().is_file():
        return named_file("--published", text, "record"), ""
    if source and Path(source).expanduser().is_file():
        return named_file("--published", source, "record"), name
    file = _folders.data(source or name, "published_tables.json")
    if file is None:
        maps = list(published_maps())
        allowed = f"needs a JSON file or a paper's table, such as furuta2024/grokked, or a map: {', '.join(maps)}"
        allowed += did_you_mean(text, maps)
        raise InputError("--published", shorten(text), allowed)
    return file.read_bytes(), name if source else ""


def published_tables(paper: str) -> dict[str, Any]:
    """Return the published tables of a paper by name, each with its `about` and its rows by `operations`."""
    file = _folders.data(paper, "published_tables.json")
    tables: dict[str, Any] = {} if file is None else json.loads(file.read_text("utf-8"))
    return tables


@dataclass(frozen=True)
class PublishedOperation:
    """What a paper publishes of an operation.

    Attributes:
        by_fraction: for '0.3', ..., '0.9' True where it grokked, otherwise its best test accuracy in percent.
        smallest_fraction: with parts of other models frozen, where the paper tried, otherwise None.
    """

    source: str
    p: int
    seeds: int
    by_fraction: dict[str, bool | float]
    smallest_fraction: dict[str, Any] | None


@dataclass(frozen=True)
class MeasuredOperation:
    """What was measured here of an operation.

    Attributes:
        grokked: how many of the seeds.
        best_test_accuracy: from 0 to 1, None where it was not kept.
    """

    operation: str
    frac_train: float
    p: int
    seeds: int
    grokked: int
    best_test_accuracy: float | None


def published_of(operation: str) -> PublishedOperation | None:
    """Return what a paper publishes of an operation, or None."""
    for tables in _of_all_papers("published_tables.json"):
        if operation in tables["grokked"]["operations"]:
            smallest = tables.get("smallest_fraction", {"operations": {}})["operations"].get(operation)
            by_fraction = tables["grokked"]["operations"][operation]
            return PublishedOperation(tables["source"], tables["p"], tables["seeds"], by_fraction, smallest)
    return None


def measured_rows(file: Path | None = None) -> list[MeasuredOperation]:
    """Return the rows of the tables of what was measured here, or of another file, which may be absent.

    A file is a JSON list of rows, or an object that holds it as `rows`. Raises DamagedError if it is not.
    """
    if file is None:
        return [MeasuredOperation(**row) for table in _of_all_papers("measured_table.json") for row in table["rows"]]
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise DamagedError(str(file), file.name, f"cannot be read as a table ({error})") from None
    rows = rows.get("rows") if isinstance(rows, dict) else rows
    keys = [field.name for field in fields(MeasuredOperation)]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(keys) <= set(row) for row in rows):
        raise DamagedError(str(file), file.name, f"needs rows that hold {', '.join(keys)}")
    return [MeasuredOperation(**{key: row[key] for key in keys}) for row in rows]


def measured_of(operation: str, file: Path | None = None) -> list[MeasuredOperation]:
    """Return the measured rows of one operation, by modulus and fraction; raises as `measured_rows`."""
    rows = [row for row in measured_rows(file) if row.operation == operation]
    return sorted(rows, key=lambda row: (row.p, row.frac_train))


def _rows(value: Any) -> dict[str, Any] | None:
    """Return rows of columns of plain entries, by themselves or as `operations`; None for anything else."""
    if isinstance(value, dict) and isinstance(value.get("operations"), dict):
        value = value["operations"]
    rows = list(value.values()) if isinstance(value, dict) else []
    entries = [e for row in rows if isinstance(row, dict) for e in row.values()]
    plain = all(isinstance(row, dict) for row in rows) and all(
        isinstance(e, bool | int | float | None) for e in entries
    )
    return dict(value) if entries and plain else None


def _entry(entry: Any, where: str) -> bool | float | None:
    if entry is None or isinstance(entry, bool):
        return entry
    if not isinstance(entry, int | float) or not 0 <= entry <= 100:
        raise InputError(shorten(where), entry, "needs true, false, or a best test accuracy in percent, from 0 to 100")
    return float(entry)
