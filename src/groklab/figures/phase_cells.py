"""The cells of a phase diagram: members of a sweep gathered by two settings, with the majority over their seeds.

Nothing is smoothed: a cell says what its own members did, how many of them agree, and what is not known yet.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from groklab.errors import InputError, check_choice, unknown
from groklab.grokking.learning_phases import GAP, PHASES, check, phase_of_steps

#: Numbers are the same value where they differ by less than this share.
SAME = 1e-6
#: Slices that one page shows.
MOST_SLICES = 60
COLUMNS = ("member", "seed", "train_step", "test_step", "phase")


@dataclass(frozen=True)
class Time:
    """A time over the seeds of a cell, in steps: its median, None where that is beyond the budget.

    reached: how many of the `n` seeds that it applies to have reached it; the others are censored.
    """

    median: float | None
    reached: int
    n: int

    @property
    def censored(self) -> int:
        """How many seeds had not reached it when their budget ended."""
        return self.n - self.reached


@dataclass(frozen=True)
class Cell:
    """One cell: column and row are places on the axes, counted from the lowest values.

    members, seeds, phases: one entry a member; a phase is None while the member is still to be trained.
    train_step, test_step: first steps at the threshold; gap: from the first to the second, of those that have fitted.
    """

    column: int
    row: int
    members: tuple[int, ...]
    seeds: tuple[int, ...]
    phases: tuple[str | None, ...]
    train_step: Time
    test_step: Time
    gap: Time

    @property
    def counts(self) -> dict[str, int]:
        """How many members are of each phase, those phases only that occur."""
        seen = Counter(p for p in self.phases if p is not None)
        return {p: seen[p] for p in PHASES if seen[p]}

    @property
    def leading(self) -> list[str]:
        """The phases with the most members: one, several that tie, or none of a cell that is still pending."""
        counts = self.counts
        return [p for p, n in counts.items() if n == max(counts.values())]

    @property
    def majority(self) -> str | None:
        """The phase of the most members; None where several tie and where no member is done."""
        return self.leading[0] if len(self.leading) == 1 else None

    @property
    def agreement(self) -> float | None:
        """The share of the finished members that are of a leading phase, None without any."""
        counts = self.counts
        return max(counts.values()) / sum(counts.values()) if counts else None

    @property
    def pending(self) -> int:
        """Members that are still to be trained."""
        return sum(p is None for p in self.phases)


@dataclass(frozen=True)
class PhaseDiagram:
    """Cells over two settings, the rest of the grid's held `at` one value each.

    y_key is None for a strip over one setting; its `y_values` are then (None,). Cells are in the order of rows, then
    columns; places of the grid for which the sweep has no member have no cell.
    """

    x_key: str
    x_values: tuple[Any, ...]
    y_key: str | None
    y_values: tuple[Any, ...]
    at: dict[str, Any]
    cells: tuple[Cell, ...]

    def table(self) -> pl.DataFrame:
        """A row for each cell that has a majority: its values by key, and `phase`."""
        rows = [{**self.values(c), "phase": c.majority} for c in self.cells if c.majority is not None]
        keys = [self.x_key, *([self.y_key] if self.y_key is not None else [])]
        return pl.DataFrame(rows) if rows else pl.DataFrame(schema=dict.fromkeys([*keys, "phase"], pl.String))

    def values(self, cell: Cell) -> dict[str, Any]:
        """A cell's settings by key, those of the slice too."""
        own = {self.x_key: self.x_values[cell.column]}
        if self.y_key is not None:
            own[self.y_key] = self.y_values[cell.row]
        return {**own, **self.at}


def phase_diagrams(
    table: pl.DataFrame,
    keys: Mapping[str, Sequence[Any]],
    *,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
    gap: float = GAP,
    boundary: str = "grokking",
) -> list[PhaseDiagram]:
    """The diagrams of a sweep: one for each combination of values of the settings that are not an axis.

    table: a row a member, with COLUMNS and a column for each of `keys`; phase None for a member not yet trained,
    'undefined' where a run cannot be judged; the others are decided here from the steps, by `gap` and `boundary`.
    keys: the grid's settings with their values in order. x, y: its axes, by default the first two keys; `y` of a grid
    of one key is nothing. at: values at which other settings are held.
    Raises InputError for keys and values that the grid does not have, and for more slices than can be shorten.
    """
    check(gap=gap, boundary=boundary)
    x, y = _axes(list(keys), x, y, at or {})
    fixed = {key: _value(key, value, keys) for key, value in (at or {}).items()}
    free = [key for key in keys if key not in (x, y) and key not in fixed]
    slices = list(itertools.product(*(keys[key] for key in free)))
    if len(slices) > MOST_SLICES:
        raise InputError(
            f"the sweep has {len(slices):,} combinations of {', '.join(free)} besides {x} and {y}, and a page shows at "
            f"most {MOST_SLICES}; hold some with --at key=value, or name other axes with --x and --y"
        )
    phases = _phases(table, gap, boundary)
    members: dict[tuple[Any, ...], list[tuple[dict[str, Any], str | None]]] = {}
    columns = [_column(table[key], keys[key]) for key in keys]
    for line, phase, *place_values in zip(table.iter_rows(named=True), phases, *columns, strict=True):
        place = tuple(place_values)
        members.setdefault(place, []).append((line, phase))
    found = []
    for values in slices:
        held = {**fixed, **dict(zip(free, values, strict=True))}
        y_values = tuple(keys[y]) if y is not None else (None,)
        cells = []
        for (row, y_value), (column, x_value) in itertools.product(enumerate(y_values), enumerate(keys[x])):
            asked = {**held, x: x_value, **({y: y_value} if y is not None else {})}
            inside = members.get(tuple(_hashable(asked[key]) for key in keys))
            if inside:
                cells.append(_cell(column, row, inside))
        found.append(PhaseDiagram(x, tuple(keys[x]), y, y_values, held, tuple(cells)))
    return found


def _axes(keys: list[str], x: str | None, y: str | None, at: Mapping[str, Any]) -> tuple[str, str | None]:
    if not keys:
        raise InputError("the sweep varies nothing but seeds, so it has no diagram")
    for option, key in (("--x", x), ("--y", y), *(("--at", k) for k in at)):
        if key is not None:
            check_choice(option, key, keys, known="settings of the sweep")
    left = [key for key in keys if key not in (x, y) and key not in at]
    for option, key in (("--x", x), ("--y", y)):
        if key is not None and key in at:
            raise InputError(option, key, "is an axis, so --at cannot hold it")
    if x is None:
        if not left:
            raise InputError("--at holds every setting of the sweep, so no axis is left")
        x = left.pop(0)
    if y is None:
        y = left[0] if left else None
    if x == y:
        raise InputError("--y", y, "needs to be another setting than --x")
    return x, y


def _value(key: str, asked: Any, keys: Mapping[str, Sequence[Any]]) -> Any:
    """The value of the grid that is meant, told as text or as itself."""
    for value in keys[key]:
        if value == asked or label(value) == str(asked) or str(value) == str(asked):
            return value
        try:
            near = not isinstance(value, bool) and math.isclose(float(value), float(asked), rel_tol=SAME)
        except (TypeError, ValueError):
            continue
        if near:
            return value
    raise unknown(f"--at {key}", asked, [label(v) for v in keys[key]])


def _column(column: pl.Series, values: Sequence[Any]) -> list[Any]:
    """A key's column, hashable. One of texts whose values are none holds JSON: lists, or values of several types."""
    encoded = column.dtype == pl.String and not all(v is None or isinstance(v, str) for v in values)
    return [_hashable(json.loads(v) if encoded and v is not None else v) for v in column]


def _hashable(value: Any) -> Any:
    if isinstance(value, bool | str) or value is None:
        return value
    # a column of a table holds one type: the 0 of a grid 0, 0.5 comes back as 0.0
    return float(f"{value:.9g}") if isinstance(value, int | float) else json.dumps(value, sort_keys=True, default=str)


def _phases(table: pl.DataFrame, gap: float, boundary: str) -> list[str | None]:
    decided = phase_of_steps(table["train_step"].to_list(), table["test_step"].to_list(), gap, boundary)
    known = table["phase"].to_list()
    return [k if k in (None, "undefined") else str(d) for k, d in zip(known, decided.tolist(), strict=True)]


def _cell(column: int, row: int, inside: list[tuple[dict[str, Any], str | None]]) -> Cell:
    # a diverged run's times are no censored ones: they count where they were reached
    done = [line for line, phase in inside if phase is not None and (phase != "undefined" or _reached_one(line))]
    fitted = [line for line in done if line["train_step"] is not None]
    delays = [None if d["test_step"] is None else d["test_step"] - d["train_step"] for d in fitted]
    return Cell(
        column,
        row,
        tuple(int(line["member"]) for line, _ in inside),
        tuple(int(line["seed"]) for line, _ in inside),
        tuple(phase for _, phase in inside),
        _time([line["train_step"] for line in done]),
        _time([line["test_step"] for line in done]),
        _time(delays),
    )


def _reached_one(line: Mapping[str, Any]) -> bool:
    return line["train_step"] is not None or line["test_step"] is not None


def _time(steps: Sequence[float | None]) -> Time:
    """The median with those not reached last, as they are beyond any that were."""
    if not steps:
        return Time(None, 0, 0)
    middle = statistics.median([math.inf if s is None else float(s) for s in steps])
    return Time(middle if math.isfinite(middle) else None, sum(s is not None for s in steps), len(steps))


def label(value: Any, digits: int = 2) -> str:
    """A value as an axis shows it: 1e-5, 3.2e-5, 0.01, 5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, default=str)
    if value == 0 or (value == int(value) and abs(value) < 10_000):
        return str(int(value))
    if 0.01 <= abs(value) < 10_000:
        return f"{value:.{digits + 1}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def labels(values: Sequence[Any]) -> list[str]:
    """An axis's values as it shows them, with as few digits as tell them apart."""
    for digits in range(2, 17):
        found = [label(v, digits) for v in values]
        if len(set(found)) == len(found):
            return found
    return [str(v) for v in values]
