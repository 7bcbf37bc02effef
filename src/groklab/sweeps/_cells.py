"""The cells of a sweep: its members by two settings, and what the seeds of a cell say together.

Nothing is smoothed: a cell holds its own members' results, how many of them agree, and what is not known yet.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from groklab.errors import InputError, check_choice
from groklab.grokking import PHASES
from groklab.tasks import resolve
from groklab.text import label, labels, number_in, superscript

#: Outcomes of a member, in the order in which a page names them. 'censored': its budget ended before it grokked;
#: 'undecided': training may still change it; 'failed': it could not be trained.
OUTCOMES = ("grokked", "censored", "diverged", "undecided", "failed", "pending")
#: Verdicts of a cell: `some` of its seeds grokked, or `none`, where they have all ended.
VERDICTS = ("grokked", "some", "none", "diverged", "undecided", "failed", "pending")
#: Settings whose values are operations: rows of a table, as their names are long, with the fraction as its columns.
OPERATIONS, FRACTION = ("task.expression", "task.expressions"), "split.frac_train"
#: The key of a grid that is never an axis: its values are the seeds of a cell.
SEED = "seed"
#: Cells of one page, and slices of one page.
MOST_CELLS, MOST_SLICES = 10_000, 60
#: Numbers are equal where they differ by less than this share.
SAME = 1e-6


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Args:
        outcome: one of OUTCOMES.
        reason: why its training ended or failed.
        steps: how far it is, None before it begins.
        train_step: the first step at which training accuracy reaches the phases' threshold; test_step likewise.
        phase: its learning phase so far, None before its first evaluation.
        phase_final: whether more training could not change the phase.
        phase_reason: why the phase is undefined, censored or doubtful.
        best_test_accuracy: the highest of all evaluations; the other accuracies are the last.
    """

    number: int
    seed: int
    outcome: str = "pending"
    reason: str | None = None
    steps: int | None = None
    memorised_step: int | None = None
    grokked_step: int | None = None
    train_step: int | None = None
    test_step: int | None = None
    phase: str | None = None
    phase_final: bool = False
    phase_reason: str | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    best_test_accuracy: float | None = None

    @property
    def ended(self) -> bool:
        """Whether training is over, or could not begin."""
        return self.outcome not in ("undecided", "pending")

    @property
    def has_page(self) -> bool:
        """Whether there is anything for a page of its own: it has begun, and could be trained."""
        return self.steps is not None and self.outcome != "failed"


def members_of(table: pl.DataFrame) -> list[Member]:
    """Return the members of a sweep's table, with their phases at the sweep's own threshold and gap."""
    names = [name for name in Member.__dataclass_fields__ if name in table.columns]
    members = []
    for row in table.iter_rows(named=True):
        status = row["status"]
        # a member that has grokked stays so, however its training ends
        outcome = "grokked" if row["grokked_step"] is not None else {"finished": "censored"}.get(status, status)
        outcome = "undecided" if outcome in ("running", "perhaps running", "interrupted") else outcome
        reached = row["train_step"] is not None and row["test_step"] is not None
        final = row["phase"] is not None and (status in ("finished", "diverged") or reached)
        values = {name: row[name] for name in names}
        members.append(Member(number=row["member"], outcome=outcome, phase_final=final, **values))
    return members


@dataclass(frozen=True)
class Time:
    """Steps over the seeds of a cell.

    Args:
        median: None where it is beyond the budget.
        reached: how many of the `n` seeds have reached it; the others are censored.
    """

    median: float | None
    reached: int
    n: int

    @property
    def censored(self) -> int:
        """How many seeds had not reached it when their budget ended."""
        return self.n - self.reached

    @classmethod
    def of(cls, steps: Sequence[float | None]) -> Time:
        """Return the first step by which half of the members are there, as Kaplan–Meier medians are; None is later."""
        if not steps:
            return cls(None, 0, 0)
        middle = statistics.median_low([math.inf if s is None else float(s) for s in steps])
        return cls(middle if math.isfinite(middle) else None, sum(s is not None for s in steps), len(steps))

    def to_dict(self) -> dict[str, Any]:
        """Return the time as plain JSON values."""
        return {"median": self.median, "reached": self.reached, "censored": self.censored}


@dataclass(frozen=True)
class Cell:
    """The members, one per seed, at one value of each setting; column and row count from 0 in the grid's order."""

    column: int
    row: int
    members: tuple[Member, ...]

    # -- learning phases ----------------------------------------------------------------------------------------

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many members are of each phase that occurs; members whose phase may still change do not count."""
        seen = Counter(m.phase for m in self.members if m.phase_final)
        return {p: seen[p] for p in PHASES if seen[p]}

    @property
    def leading(self) -> list[str]:
        """The phases with the most members: one, several that tie, or none in a cell that is still pending."""
        return [p for p, n in self.counts.items() if n == max(self.counts.values())]

    @property
    def majority(self) -> str | None:
        """The phase of the most members; None where several tie, and before a member is done."""
        return self.leading[0] if len(self.leading) == 1 else None

    @property
    def agreement(self) -> float | None:
        """The share of the finished members that are of a leading phase, None without any."""
        return max(self.counts.values()) / sum(self.counts.values()) if self.counts else None

    @property
    def pending(self) -> int:
        """Members whose phase is not final yet."""
        return len(self.members) - sum(self.counts.values())

    @cached_property
    def _timed(self) -> list[Member]:
        # the steps of a diverged run are not censored: they count where they were reached
        reached = [m for m in self.members if m.phase_final]
        return [m for m in reached if m.phase != "undefined" or m.train_step is not None or m.test_step is not None]

    @cached_property
    def train_step(self) -> Time:
        """When training accuracy reaches the threshold."""
        return Time.of([m.train_step for m in self._timed])

    @cached_property
    def test_step(self) -> Time:
        """When test accuracy reaches the threshold."""
        return Time.of([m.test_step for m in self._timed])

    @cached_property
    def gap(self) -> Time:
        """Steps from the first to the second, over the members whose training accuracy has reached the threshold."""
        pairs = [(m.train_step, m.test_step) for m in self._timed]
        return Time.of([None if test is None else test - train for train, test in pairs if train is not None])

    # -- verdicts on grokking -----------------------------------------------------------------------------------

    def count(self, outcome: str) -> int:
        """Return how many members have that outcome."""
        return sum(m.outcome == outcome for m in self.members)

    @cached_property
    def verdict(self) -> str:
        """One of VERDICTS: all seeds, some, or what holds where none has grokked."""
        n = len(self.members)
        if self.count("grokked"):
            return "grokked" if self.count("grokked") == n else "some"
        for kind in ("diverged", "failed", "pending"):
            if self.count(kind) == n:
                return kind
        return "undecided" if self.count("undecided") or self.count("pending") else "none"

    @cached_property
    def grokked_step(self) -> Time:
        """When its members grok, over those that have ended; censored ones count as later."""
        return Time.of([m.grokked_step for m in self.members if m.outcome in ("grokked", "censored", "diverged")])

    @property
    def median_step(self) -> float | None:
        """The median grokking step; None where that seed did not grok, and while members are open."""
        return None if self.count("undecided") or self.count("pending") else self.grokked_step.median

    @property
    def best(self) -> float | None:
        """The highest test accuracy of each seed that did not grok, in the mean over these seeds."""
        values = [m.best_test_accuracy for m in self.members if m.outcome != "grokked"]
        known = [v for v in values if v is not None]
        return statistics.fmean(known) if known else None

    @property
    def test_accuracy(self) -> float | None:
        """The highest test accuracy of each seed, in the mean over the seeds."""
        known = [m.best_test_accuracy for m in self.members if m.best_test_accuracy is not None]
        return statistics.fmean(known) if known else None

    @property
    def decided(self) -> bool | None:
        """Whether most seeds grokked; None while that is open, where as many did as did not, and for failures."""
        yes, no = self.count("grokked"), self.count("censored") + self.count("diverged")
        return yes > no if 2 * max(yes, no) > len(self.members) else None


@dataclass(frozen=True)
class Slice:
    """The cells in the order of rows, then columns, with the grid's other settings held `at` one value each."""

    at: dict[str, Any]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Axes:
    """Two settings of a grid; y is None for a strip over one setting, whose y_values are then (None,)."""

    x: str
    x_values: tuple[Any, ...]
    y: str | None
    y_values: tuple[Any, ...]

    @property
    def upwards(self) -> bool:
        """Whether rows are drawn upwards, as those of a diagram: where their values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.y_values)

    def values(self, cell: Cell, at: Mapping[str, Any]) -> dict[str, Any]:
        """Return a cell's settings by key, those of its slice too."""
        own = {self.x: self.x_values[cell.column]}
        if self.y is not None:
            own[self.y] = self.y_values[cell.row]
        return {**own, **at}


def swept(keys: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the settings of a grid without the seeds, which are pooled in a cell however they are given."""
    return {key: values for key, values in keys.items() if key != SEED}


def choose_axes(
    keys: Mapping[str, Sequence[Any]],
    x: str | None = None,
    y: str | None = None,
    at: Iterable[str] = (),
    options: tuple[str, str] = ("--x", "--y"),
) -> Axes:
    """Return the axes over two settings of a grid.

    By default operations are the rows with the training fraction as columns; else the first setting runs to the right
    and the second is the rows.

    Args:
        at: settings that are held at a value, so no axes.
        options: what errors call the two.

    Raises:
        InputError: the grid does not have a setting, or no axis is left.
    """
    names, held = list(swept(keys)), list(at)
    if not names:
        raise InputError("the sweep varies nothing but seeds, so it has no cells")
    for option, key in ((options[0], x), (options[1], y), *(("--at", k) for k in held)):
        if key is not None:
            check_choice(option, key, names, known="settings of the sweep")
    for option, key in ((options[0], x), (options[1], y)):
        if key is not None and key in held:
            raise InputError(option, key, "is an axis, so --at cannot hold it")
    if x is not None and x == y:
        raise InputError(options[1], y, f"needs to be another setting than {options[0]}")
    left = [key for key in names if key not in (x, y) and key not in held]
    operations = [key for key in OPERATIONS if key in left]
    if y is None and operations and len(left) + (x is not None) > 1:
        y = operations[0]
        left.remove(y)
    if x is None:
        if not left:
            raise InputError("--at holds every setting of the sweep, so no axis is left")
        x = FRACTION if FRACTION in left and (operations or y in OPERATIONS) else left[0]
        left.remove(x)
    if y is None and left:
        y = left[0]
    return Axes(x, tuple(keys[x]), y, tuple(keys[y]) if y is not None else (None,))


def arrange(
    keys: Mapping[str, Sequence[Any]],
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    members: Iterable[tuple[int, Member]],
    at: Mapping[str, Any] | None = None,
) -> list[Slice]:
    """Return the members' cells, in one slice for each combination of values of the settings that are not an axis.

    Args:
        points: the settings of each point of the grid.
        members: pairs of a member's point and the member.
        at: values at which other settings are held; None pools all other settings in the cells of one slice.
    """
    free = [key for key in swept(keys) if key not in (axes.x, axes.y)]
    choices = [()] if at is None else itertools.product(*([at[key]] if key in at else keys[key] for key in free))
    sorted_by = (*([] if at is None else free), axes.x, *([axes.y] if axes.y is not None else []))
    inside: dict[str, list[Member]] = {}
    for point, member in members:
        inside.setdefault(json.dumps([points[point][key] for key in sorted_by]), []).append(member)
    slices = []
    for held in choices:
        cells = []
        for (row, y_value), (column, x_value) in itertools.product(enumerate(axes.y_values), enumerate(axes.x_values)):
            place = json.dumps([*held, x_value, *([y_value] if axes.y is not None else [])])
            if place in inside:
                cells.append(Cell(column, row, tuple(inside[place])))
        slices.append(Slice({} if at is None else dict(zip(free, held, strict=True)), tuple(cells)))
    return slices


# -- values of settings in words ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heading:
    """A value as a heading: its text, the operation's name where it has one, and its group of operations, or ''."""

    text: str
    name: str = ""
    group: str = ""


def headings(key: str | None, values: Sequence[Any]) -> list[Heading]:
    """Return a setting's values as headings: operations by formula, numbers in as few digits as tell them apart."""
    if key is None or key not in OPERATIONS:
        return [Heading(text) for text in labels(values)]
    return [_heading(value) for value in values]


def value_names(key: str, values: Sequence[Any]) -> list[str]:
    """Return a setting's values in a few words: mixtures by formula, everything else as it is given."""
    return [h.text for h in headings(key, values)] if key == OPERATIONS[1] else labels(values)


def _heading(value: Any) -> Heading:
    if isinstance(value, str):
        return _operation_heading(value)
    if not (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
        return Heading(label(value))
    parts = [_operation_heading(one) for one in value]
    return Heading(", ".join(h.text for h in parts), ", ".join(h.name or h.text for h in parts))


def _operation_heading(text: str) -> Heading:
    try:
        operation, expression = resolve(text)
    except InputError:  # of a plug-in's task, whose expressions are its own
        return Heading(text)
    if operation is None:
        return Heading(formula(str(expression)))
    return Heading(formula(operation.expression), operation.name, str(getattr(operation, "group", "") or ""))


def formula(expression: str) -> str:
    """Return an expression as one writes it by hand: `x^2 + 3*x*y` is x² + 3xy."""
    raised = re.sub(r"\^(-?\d+)", lambda match: superscript(match[1]), expression)
    return re.sub(r"\s*\*\s*(?=[a-z(])", "", raised).replace("*", " · ").replace("-", "−")


def place_of(text: Any, values: Sequence[Any]) -> int | None:
    """Return the place of the value that a text means: as the grid has it, or another spelling of its operation."""
    for i, value in enumerate(values):
        if value == text or str(text) in (str(value), label(value)) or _near(text, value):
            return i
        if isinstance(value, list) and _same_operations(str(text), value):
            return i
    meant = _operation(str(text))
    if meant is None:
        return None
    return next((i for i, v in enumerate(values) if isinstance(v, str) and _operation(v) == meant), None)


def _same_operations(text: str, value: list[Any]) -> bool:
    """Return whether a text names the operations of a mixture, as JSON has them or between commas."""
    names = [name.strip().strip("\"'") for name in text.strip().strip("[]").split(",")]
    if len(names) != len(value):
        return False
    return all(a == b or None is not _operation(a) == _operation(str(b)) for a, b in zip(names, value, strict=True))


def _near(text: Any, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    number = number_in(text) if isinstance(text, str) else text
    return isinstance(number, int | float) and math.isclose(number, value, rel_tol=SAME)


def _operation(text: str) -> tuple[str, str] | None:
    """Return what tells an operation from others: its name, if it has one, and its formula."""
    try:
        operation, expression = resolve(text)
    except InputError:
        return None
    return (operation.name if operation is not None else "", str(expression))
