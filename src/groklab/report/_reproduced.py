"""The results of a paper's claims as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from groklab.report import _html as html
from groklab.reproduction import ClaimResult, PaperResult, folder, label, provenance, results, shown
from groklab.store import storage
from groklab.text import duration, listed

#: Marks that distinguish verdicts without colour.
MARKS = {"reproduced": "✓", "partly": "◐", "not reproduced": "✗", "not run": "–"}
#: A strip's width and height, in pixels, and the room left at its ends.
WIDTH, HEIGHT, MARGIN = 240, 26, 8
NOTES = (
    "Reproduced: the claim holds in every seed. Partly: in some. Not reproduced: in none.",
    "Not run: there is no trial of this size, or not all of its seeds are measured yet.",
    "Quick trials use the smallest setting that tests the claim; full ones the paper's.",
    "A value is the median over the seeds, with the smallest and the largest in parentheses. In the strips each dot is "
    "a seed, hollow where the claim fails, and the line is the median.",
)


@dataclass(frozen=True)
class Row:
    """One measured value: its name, its spread in words, and its seeds on a line (SVG), if they differ."""

    name: str
    spread: str
    strip: str


@dataclass(frozen=True)
class Side:
    """A claim's evidence of one size."""

    size: str
    result: ClaimResult
    rows: tuple[Row, ...]
    cost: str
    csv: str

    @classmethod
    def of(cls, result: ClaimResult) -> Side:
        """Return what the page shows of a result."""
        holds = [r.holds for r in result.records]
        rows = [Row(label(name), s.text, strip(s.values, holds)) for name, s in result.measured.items()]
        cost = []
        if result.cost_seconds is not None:
            cost.append(f"about {_about(result.cost_seconds)} on two cores by estimate")
        if result.records:
            cost.append(f"{duration(result.seconds)} here, without what other claims had trained")
        return cls(result.size, result, tuple(rows), "; ".join(cost), html.packed_csv(values_frame(result)))


def values_frame(result: ClaimResult) -> pl.DataFrame:
    """Return one row per seed: whether the claim holds, and every measured value."""
    records = result.records
    columns: dict[str, list[Any]] = {"seed": [r.seed for r in records], "holds": [r.holds for r in records]}
    for name, spread in result.measured.items():
        if len(spread.values) == len(records):
            columns[label(name)] = [_cell(value) for value in spread.values]
    return pl.DataFrame([pl.Series(name, values, strict=False) for name, values in columns.items()])


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)


def write_page(
    result: PaperResult, out: str | Path | None = None, *, seeds: int | None = None, home: str | Path | None = None
) -> Path:
    """Write the page of the paper of a result, and return its path.

    The page has all claims of the paper, at the size asked for and, where there are outcomes, at the other.

    Args:
        out: the file, or a folder for it; by default `<home>/reproductions/PAPER.html`.
        seeds: as `reproduce` was asked.
    """
    name, size = result.paper.name, result.size
    path = folder(home) / f"{name}.html"
    if out is not None:
        path = Path(out).expanduser()
        path = path / f"{name}.html" if path.is_dir() else path
    other = results(name, "full" if size == "quick" else "quick", home=home)
    storage.atomic_write(path, render(results(name, size, seeds=seeds, home=home), other).encode())
    return path


def render(result: PaperResult, other: PaperResult) -> str:
    """Return the page of a complete paper; other: the results of the other size."""
    others = {c.claim.id: c for c in other.claims if c.records}
    sides = [(c, others.get(c.claim.id)) for c in result.claims]
    claims = [(c, [Side.of(side) for side in (c, second) if side is not None]) for c, second in sides]
    return html.render(
        "reproduced.html.j2",
        styles=["reproduced.css"],
        scripts=["reproduced.js"],
        contents=[
            html.Entry("summary", "Verdicts"),
            *(html.Entry(c.claim.id, f"{MARKS[c.verdict]} {c.claim.id}", 1) for c, _ in claims),
            *(html.Entry(key, html.TITLES[key]) for key in ("provenance", "notes")),
        ],
        result=result,
        claims=claims,
        summary=_summary(result, other if others else None),
        marks=MARKS,
        several=bool(others),
        notes=NOTES,
        provenance=_provenance(claims),
    )


def _summary(result: PaperResult, other: PaperResult | None) -> str:
    n = len(result.claims)
    summary = f"{n} claim{'s' if n != 1 else ''}, tested at {result.size} size: {_tally(result)}."
    if other is not None:
        summary += f" At {other.size} size: {_tally(other)}."
    if not result.complete:
        summary += f" What is not measured yet would take about {_about(result.seconds_left)} on two cores."
    return summary


def _tally(result: PaperResult) -> str:
    return listed([f"{n} {verdict}" for verdict, n in result.tally.items() if n])


def strip(values: Sequence[Any], holds: Sequence[bool]) -> str:
    """Draw the values of several seeds as dots on a line, in SVG; empty where they do not differ."""
    kept = [
        (float(v), h)
        for v, h in zip(values, holds, strict=True)
        if isinstance(v, int | float) and not isinstance(v, bool)
    ]
    if len(kept) < 2 or len({v for v, _ in kept}) < 2:
        return ""
    ordered = sorted(v for v, _ in kept)
    logarithmic = ordered[0] > 0 and ordered[-1] / ordered[0] > 50
    low, high = ordered[0], ordered[-1]

    def at(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    middle = HEIGHT / 2
    n = len(ordered)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    ends = f"{shown(low)} to {shown(high)}" + (", on a log scale" if logarithmic else "")
    parts = [
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{n} seeds from {ends}"><title>{ends}</title>',
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{middle}" y2="{middle}"/>',
        f'<line class="median" x1="{at(median)}" x2="{at(median)}" y1="3" y2="{HEIGHT - 3}"/>',
    ]
    parts += [f'<circle class="{"holds" if h else "fails"}" cx="{at(v)}" cy="{middle}" r="4"/>' for v, h in kept]
    return "".join([*parts, "</svg>"])


def _provenance(claims: list[tuple[ClaimResult, list[Side]]]) -> list[tuple[str, str]]:
    records = [vars(r) for _, sides in claims for side in sides for r in side.result.records] or [provenance()]

    def each(key: str) -> str:
        return "\n".join(sorted({r[key] for r in records}))

    dates = sorted({r["date"] for r in records})
    measured = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [("measured", measured), ("hardware", each("hardware")), ("groklab", each("groklab"))]


def _about(seconds: float) -> str:
    """Write an estimate without digits that it does not have."""
    return duration(round(seconds)).replace(".0 s", " s").removesuffix(" 00 s")
