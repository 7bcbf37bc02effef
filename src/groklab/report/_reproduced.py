"""The results of a paper's claims as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from groklab.report import _html as html
from groklab.reproduction import (
    KIND_HEADINGS,
    SIZES,
    VERDICTS,
    BarRow,
    Claim,
    ClaimResult,
    PaperResult,
    Size,
    Spread,
    bar_rows,
    folder,
    label,
    provenance,
    results,
    shown,
)
from groklab.store import storage
from groklab.text import duration

#: Marks that distinguish verdicts without colour.
MARKS = {"reproduced": "✓", "holds": "✓", "partly": "◐", "not reproduced": "✗", "fails": "✗", "not run": "–"}
#: A strip's width and height, in pixels, and the room left at its ends.
WIDTH, HEIGHT, MARGIN = 168, 26, 8
NOTES = (
    "A claim has bars, fixed before anything is measured: what its values must be, and the origin of each threshold. A "
    "seed supports it if its values pass every bar and those of the control, measured in the same trial, do not.",
    "Reproduced: every seed supports the claim. Partly: some do. Not reproduced: none does. Not run: there is no trial "
    "of this size, or not all of its seeds are measured yet.",
    "Checks are identities and properties of the code, which hold or fail; findings of groklab's own are not the "
    "paper's. Both are counted apart.",
    "Quick trials use the smallest setting that tests the claim; full ones the paper's. Neither replaces the other.",
    "Intervals are Wilson's, of the share of seeds that support the claim, at 95%.",
    "A value is the median over the seeds, with the smallest and the largest in parentheses. In the strips each dot is "
    "a seed, hollow where it fails the bar, which is the dashed line; the crosses are the control.",
)


@dataclass(frozen=True)
class Cell:
    """One measured value at one size, beside the control's: in words, and as a strip (SVG) where there is one."""

    measured: str
    control: str
    strip: str


@dataclass(frozen=True)
class Row:
    """A quantity with its bar, and what was measured of it at each size, None where it was not."""

    quantity: str
    bar: str
    origin: str
    cells: tuple[Cell | None, ...]

    @property
    def name(self) -> str:
        """The quantity with its bar."""
        return f"{self.quantity} {self.bar}".rstrip()


@dataclass(frozen=True)
class Side:
    """A claim's evidence of one size."""

    size: Size
    result: ClaimResult
    cost: str
    csv: str

    @classmethod
    def of(cls, result: ClaimResult) -> Side:
        """Return what the page shows of a result."""
        cost = []
        if result.cost_seconds is not None:
            cost.append(f"about {_about(result.cost_seconds)} on two cores by estimate")
        if result.records:
            cost.append(f"{duration(result.seconds)} here, without what other claims had trained")
        return cls(result.size, result, "; ".join(cost), html.packed_csv(values_frame(result)))


@dataclass(frozen=True)
class Section:
    """A claim on the page.

    Args:
        sides: its evidence of each size.
        rows: the table of its bars.
        others: what was measured beside them.
    """

    claim: Claim
    sides: tuple[Side, ...]
    rows: tuple[Row, ...]
    others: tuple[Row, ...]

    @classmethod
    def of(cls, sides: Sequence[ClaimResult]) -> Section:
        """Return the section of the results of each size."""
        table = bar_rows([side.judged for side in sides])
        rows = [_row(row) for row in table]
        named = {row.bar.value for row in table}
        values = dict.fromkeys(name for side in sides for name in side.measured if name not in named)
        others = [Row(label(name), "", "", tuple(_other(name, side) for side in sides)) for name in values]
        return cls(sides[0].claim, tuple(Side.of(side) for side in sides), tuple(rows), tuple(others))


def _row(row: BarRow) -> Row:
    cells = [_cell(j.measured, j.control, j.passed, row.bar.threshold) if j is not None else None for j in row.sides]
    return Row(label(row.bar.value), row.bar.condition, row.bar.origin, tuple(cells))


def _other(name: str, side: ClaimResult) -> Cell | None:
    if name not in side.measured:
        return None
    return _cell(side.measured[name], side.control.get(name), [True] * len(side.records), None)


def _cell(measured: Spread, control: Spread | None, passed: Sequence[bool], threshold: Any) -> Cell:
    kept = control.values if control is not None else ()
    drawn = strip(measured.values, passed, kept, threshold)
    return Cell(measured.text, control.text if control is not None else "", drawn)


def values_frame(result: ClaimResult) -> pl.DataFrame:
    """Return one row per seed: whether it passes the bars, and every value, measured and of the control."""
    records = result.records
    columns: dict[str, list[Any]] = {"seed": [r.seed for r in records], "holds": [r.holds for r in records]}
    if any(r.control is not None for r in records):
        columns["control holds"] = [r.control_holds for r in records]
    for mark, spreads in (("", result.measured), ("control: ", result.control)):
        for name, spread in spreads.items():
            if len(spread.values) == len(records):
                columns[f"{mark}{label(name)}"] = [_plain(value) for value in spread.values]
    return pl.DataFrame([pl.Series(name, values, strict=False) for name, values in columns.items()])


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)


def write_page(
    result: PaperResult, out: str | Path | None = None, *, seeds: int | None = None, home: str | Path | None = None
) -> Path:
    """Write the page of the paper of a result, and return its path.

    The page has all claims of the paper, at both sizes.

    Args:
        out: the file, or a folder for it; by default `<home>/reproductions/PAPER.html`.
        seeds: as `reproduce` was asked.
    """
    name = result.paper.name
    path = folder(home) / f"{name}.html"
    if out is not None:
        path = Path(out).expanduser()
        path = path / f"{name}.html" if path.is_dir() else path
    sizes = [results(name, size, seeds=seeds if size == result.size else None, home=home) for size in SIZES]
    storage.atomic_write(path, render(sizes).encode())
    return path


def render(sizes: Sequence[PaperResult]) -> str:
    """Return the page of a complete paper from its results at each size."""
    sections = [Section.of(sides) for sides in zip(*(r.claims for r in sizes), strict=True)]
    groups = {kind: [s for s in sections if s.claim.kind == kind] for kind in KIND_HEADINGS}
    kept = [(kind, heading, groups[kind]) for kind, heading in KIND_HEADINGS.items() if groups[kind]]
    return html.render(
        "reproduced.html.j2",
        styles=["verdicts.css", "reproduced.css"],
        scripts=["reproduced.js"],
        contents=[
            html.Entry("summary", "Verdicts"),
            *(entry for kind, heading, of in kept for entry in _entries(kind, heading, of)),
            *(html.Entry(key, html.TITLES[key]) for key in ("provenance", "notes")),
        ],
        paper=sizes[0].paper,
        sizes=sizes,
        groups=kept,
        verdicts=VERDICTS,
        left=[(r.size, _about(r.seconds_left)) for r in sizes if not r.complete],
        marks=MARKS,
        notes=NOTES,
        provenance=_provenance(sections),
    )


def _entries(kind: str, heading: str, sections: Sequence[Section]) -> list[html.Entry]:
    marks = [" ".join(MARKS[side.result.verdict] for side in s.sides) for s in sections]
    return [
        html.Entry(f"of-{kind}", heading),
        *(html.Entry(s.claim.id, f"{mark} {s.claim.id}", 1) for s, mark in zip(sections, marks, strict=True)),
    ]


def strip(values: Sequence[Any], passed: Sequence[bool], control: Sequence[Any] = (), threshold: Any = None) -> str:
    """Draw the values of several seeds as dots on a line, in SVG, with the control's as crosses and the bar.

    Returns:
        The SVG; empty where nothing differs.
    """
    dots = [(float(v), p) for v, p in zip(values, passed, strict=True) if _is_number(v)]
    crosses = [float(v) for v in control if _is_number(v)]
    bar = [float(threshold)] if _is_number(threshold) else []
    places = sorted({*(v for v, _ in dots), *crosses, *bar})
    if not dots or len(places) < 2:
        return ""
    low, high = places[0], places[-1]
    logarithmic = low > 0 and high / low > 50

    def at(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    middle, ordered = HEIGHT / 2, sorted(v for v, _ in dots)
    n = len(ordered)
    ends = f"{shown(ordered[0])} to {shown(ordered[-1])}" if n > 1 else shown(ordered[0])
    words = f"{n} seed{'s' if n > 1 else ''}, {ends}" + (", on a log scale" if logarithmic else "")
    words += f"; bar at {shown(threshold)}" if bar else ""
    words += f"; control {shown(min(crosses))} to {shown(max(crosses))}" if crosses else ""
    parts = [
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}"><title>{words}</title>',
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{middle}" y2="{middle}"/>',
    ]
    parts += [f'<line class="bar" x1="{at(v)}" x2="{at(v)}" y1="1" y2="{HEIGHT - 1}"/>' for v in bar]
    parts += [f'<path class="control" d="M{at(v) - 3:.1f} {middle - 3}l6 6m0-6l-6 6"/>' for v in crosses]
    parts += [f'<circle class="{"holds" if p else "fails"}" cx="{at(v)}" cy="{middle}" r="4"/>' for v, p in dots]
    return "".join([*parts, "</svg>"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _provenance(sections: Sequence[Section]) -> list[tuple[str, str]]:
    records = [vars(r) for s in sections for side in s.sides for r in side.result.records] or [provenance()]

    def each(key: str) -> str:
        return "\n".join(sorted({r[key] for r in records}))

    dates = sorted({r["date"] for r in records})
    measured = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [("measured", measured), ("hardware", each("hardware")), ("groklab", each("groklab"))]


def _about(seconds: float) -> str:
    """Write an estimate without digits that it does not have."""
    return duration(round(seconds)).replace(".0 s", " s").removesuffix(" 00 s")
