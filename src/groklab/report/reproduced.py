"""How a paper's claims stand, as one self-contained HTML page."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from groklab.reproduction import standing
from groklab.reproduction.findings import folder
from groklab.reproduction.measured import VERDICTS, label, shown, spread
from groklab.store import storage
from groklab.text import duration, listed

#: Marks that tell verdicts apart without colour.
MARKS = {"reproduced": "✓", "partly": "◐", "not reproduced": "✗", "not run": "–"}
#: A strip's width and height, in pixels, and the room left at its ends.
WIDTH, HEIGHT, MARGIN = 240, 26, 8
NOTES = (
    "Reproduced: the claim holds in every seed. Partly: in some. Not reproduced: in none.",
    "Not run: there is no trial of this size, or not all of its seeds are measured yet.",
    "Quick trials use the smallest honest setting; full ones the paper's.",
    "A value is the median over the seeds, with the smallest and the largest in parentheses. In the strips each dot is "
    "a seed, hollow where the claim fails, and the line is the median.",
)


@dataclass(frozen=True)
class Row:
    """One measured value: its name, its spread in words, and its seeds on a line (SVG), if they differ."""

    name: str
    spread: str
    strip: str


def write_page(
    stated: dict[str, Any], out: str | Path | None = None, *, seeds: int | None = None, home: str | Path | None = None
) -> Path:
    """Write the page of the paper that `reproduce` was asked for, and return where it lies.

    out: the file, or a folder for it; by default `<home>/reproductions/PAPER.html`. seeds: as `reproduce` was asked.
    The page has all claims of the paper, at the size asked for and, where something was found, at the other.
    """
    name, size = stated["paper"], stated["size"]
    path = folder(home) / f"{name}.html"
    if out is not None:
        path = Path(out).expanduser()
        path = path / f"{name}.html" if path.is_dir() else path
    whole = standing(name, size, seeds=seeds, home=home)
    other = standing(name, "full" if size == "quick" else "quick", home=home)
    storage.atomic_write(path, render(whole, other).encode())
    return path


def render(stated: dict[str, Any], other: dict[str, Any] | None = None) -> str:
    """The page of what `reproduce` returned for a whole paper; other: the same of the other size."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    others = {c["id"]: c for c in other["claims"] if c["findings"]} if other is not None else {}
    claims = []
    for claim in stated["claims"]:
        sides = [(stated["size"], claim)]
        if other is not None and claim["id"] in others:
            sides.append((other["size"], others[claim["id"]]))
        claims.append({**claim, "sides": [_side(size, c) for size, c in sides]})
    return environment.from_string(_file("reproduced.html.j2")).render(
        stated=stated,
        claims=claims,
        summary=_summary(stated, other if others else None),
        tally=stated["tally"],
        marks=MARKS,
        several=len({s["size"] for c in claims for s in c["sides"]}) > 1,
        notes=NOTES,
        provenance=_provenance(stated, claims),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=_file("page.css") + _file("reproduced.css"),
    )


def _summary(stated: dict[str, Any], other: dict[str, Any] | None) -> str:
    n = len(stated["claims"])
    said = f"{n} claim{'s' if n != 1 else ''}, tested at {stated['size']} size: {_tally(stated)}."
    if other is not None:
        said += f" At {other['size']} size: {_tally(other)}."
    if not stated["complete"]:
        said += f" What is not measured yet would take about {_about(stated['seconds_left'])} on two cores."
    return said


def _tally(stated: dict[str, Any]) -> str:
    return listed([f"{stated['tally'][v]} {v}" for v in VERDICTS if stated["tally"][v]])


def _side(size: str, claim: dict[str, Any]) -> dict[str, Any]:
    """A claim's evidence of one size, made ready for the template."""
    holds = [f["holds"] for f in claim["findings"]]
    rows = [Row(label(name), spread(e), strip(e["values"], holds)) for name, e in claim["measured"].items()]
    cost = []
    if claim["cost_seconds"] is not None:
        cost.append(f"about {_about(claim['cost_seconds'])} on two cores by estimate")
    if claim["findings"]:
        cost.append(f"{duration(claim['seconds'])} here, less what other claims had trained")
    return {**claim, "size": size, "rows": rows, "strips": any(r.strip for r in rows), "cost": "; ".join(cost)}


def strip(values: list[Any], holds: list[bool]) -> str:
    """Numbers of several seeds as dots on a line, in SVG; empty where there is nothing to tell apart."""
    kept = [
        (float(v), h)
        for v, h in zip(values, holds, strict=True)
        if isinstance(v, int | float) and not isinstance(v, bool)
    ]
    if len(kept) < 2 or len({v for v, _ in kept}) < 2:
        return ""
    numbers = sorted(v for v, _ in kept)
    logarithmic = numbers[0] > 0 and numbers[-1] / numbers[0] > 50
    low, high = numbers[0], numbers[-1]

    def at(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    middle = HEIGHT / 2
    n = len(numbers)
    median = (numbers[(n - 1) // 2] + numbers[n // 2]) / 2
    ends = f"{shown(low)} to {shown(high)}" + (", on a log scale" if logarithmic else "")
    parts = [
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{n} seeds from {ends}"><title>{ends}</title>',
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{middle}" y2="{middle}"/>',
        f'<line class="median" x1="{at(median)}" x2="{at(median)}" y1="3" y2="{HEIGHT - 3}"/>',
    ]
    parts += [f'<circle class="{"holds" if h else "fails"}" cx="{at(v)}" cy="{middle}" r="4"/>' for v, h in kept]
    return "".join([*parts, "</svg>"])


def _provenance(stated: dict[str, Any], claims: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = [f for c in claims for side in c["sides"] for f in side["findings"]] or [stated]

    def each(key: str) -> str:
        return "\n".join(sorted({str(f[key]) for f in found}))

    dates = sorted({str(f["date"]) for f in found})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [("measured", when), ("hardware", each("hardware")), ("groklab", each("groklab"))]


def _file(name: str) -> str:
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")


def _about(seconds: float) -> str:
    """An estimate, without figures that it does not have."""
    return duration(round(seconds)).replace(".0 s", " s").removesuffix(" 00 s")
