"""The page of a family of runs: a row an operation, a column a fraction, each cell its verdict and a spark line."""

from __future__ import annotations

import csv
import datetime
import io
import json
import shlex
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2

from groklab import grokking
from groklab.figures.theme import DARK, GREEN, GREY, OLIVE, PINK, TEST, TRAIN
from groklab.report.family_cells import OUTCOMES, VERDICTS, Cell, Member
from groklab.report.family_facts import opening, provenance, tiles
from groklab.report.family_study import Family, said, slice_names, unique
from groklab.report.family_words import Heading, headings, sweep_command, value_names
from groklab.report.phase_study import curves_of
from groklab.report.spark_lines import spark_line
from groklab.report.story import CRITERIA
from groklab.sweeps import Sweep
from groklab.text import percent

#: Points of one spark line, and of all of a page together.
MOST_POINTS, ALL_POINTS, FEWEST_POINTS = 40, 80_000, 8
COLOURS = {"grokked": GREEN, "some": OLIVE, "failed": PINK, "stripe": GREY, "train": TRAIN, "test": TEST}
NOTES = (
    "✔ and a step: every seed grokked, the median of their steps. k/n: k of n seeds did, with the median where that "
    "seed did. A percentage: no seed grokked within the budget; the highest test accuracy of each seed, in the mean "
    "over the seeds.",
    "Undecided: training has begun and may still change it; its percentage is the best so far. Diverged: the loss "
    "ended in what is no number. Failed: it could not be trained. Pending: it has not begun.",
    "In the small drawings, test accuracy of every seed, and fainter training accuracy, from 0 to 100% over the "
    "logarithm of steps, from the first evaluation after step 0 to the budget; the curves are thinned.",
)
AGREE = (
    "With the published table a cell agrees where most of its seeds grokked and it is published as grokked, or where "
    "most did not and it is published as not. Cells in which that is open are not compared."
)


def render(family: Family, sweep: Sweep, pages: dict[int, str], command: str) -> str:
    """The page as one HTML document that loads nothing.

    pages: where each member's own page lies, as seen from this one. command: what makes this page.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    experiment = sweep.experiment(0)
    several = any(len(c.members) > 1 for t in family.tables for c in t.cells)
    rows, columns = headings(family.row_key, family.row_values), headings(family.column_key, family.column_values)
    remake, yaml = sweep_command(sweep)
    names = slice_names(family)
    return environment.from_string(_file("family.html.j2")).render(
        family=family,
        rows=rows,
        grouped=any(r.group for r in rows),
        columns=columns,
        free=_free(family),
        slices=[
            {
                "name": name,
                "said": said(table),
                "seen": [v for v in VERDICTS if any(c.verdict == v for c in table.cells)],
                "cells": {(c.row, c.column): _shown(family, i, c, rows, columns) for c in table.cells},
                "agreement": family.agreements[i] if family.agreements else None,
            }
            for i, (name, table) in enumerate(zip(names, family.tables, strict=True))
        ],
        several=several,
        sparks=_sparks(family, sweep),
        pages=pages,
        has_pages=bool(pages),
        tiles=tiles(sweep),
        opening=opening(family, sweep),
        csv="data:text/csv;charset=utf-8," + quote(table_csv(family)),
        parquet=sweep.path / "table.parquet",
        command=command + _members_asked(family, pages),
        remake=remake,
        yaml=yaml,
        provenance=provenance(sweep),
        notes=(
            f"Grokked, by test accuracy: {CRITERIA[experiment.evaluation.criterion]} (definition "
            f"{grokking.DEFINITION}, criterion {experiment.evaluation.criterion}). Memorised, by training accuracy: "
            f"{CRITERIA['sustained_99']}. Step s is the state after s updates.",
            *NOTES,
            *([AGREE] if family.published is not None else []),
        ),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        colours=_colours(COLOURS),
        dark=_colours({name: DARK[colour] for name, colour in COLOURS.items()}),
        style=_file("page.css") + _file("panel.css") + _file("family.css"),
        script=_file("family.js"),
        data=_embedded(_data(family, sweep, pages, command)),
    )


def place_name(table: int, cell: Cell) -> str:
    """What a cell is called within its page, where a member's own page links back to."""
    return f"c{table}-{cell.row}-{cell.column}"


def argument(family: Family, cell: Cell) -> str:
    """How `--members` names a cell."""
    return ",".join(map(_plain, (family.row_values[cell.row], family.column_values[cell.column])))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def _members_asked(family: Family, pages: dict[int, str]) -> str:
    """The options that ask for the members' pages that are there."""
    cells = [cell for table in family.tables for cell in table.cells]
    if pages and all(m.number in pages for cell in cells for m in cell.members if m.has_page):
        return " --members all"
    there = [argument(family, cell) for cell in cells if any(m.number in pages for m in cell.members)]
    return "".join(f" --members {shlex.quote(text)}" for text in dict.fromkeys(there))


def table_csv(family: Family) -> str:
    """A line a cell: its values by key, verdict, counts, median step, best accuracy, and what was published there."""
    out = io.StringIO()
    told = [cell for table in family.to_dict()["tables"] for cell in table["cells"]]
    names = [name for name in told[0] if name != "members"]
    writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    plain = (str, int, float, type(None))
    writer.writerows({k: v if isinstance(v, plain) else json.dumps(v) for k, v in cell.items()} for cell in told)
    return out.getvalue()


def verdict_words(cell: Cell) -> str:
    """A cell's verdict in words."""
    n, k = len(cell.members), cell.count("grokked")
    best = f", best test accuracy {_percent(cell.best)}" if cell.best is not None else ""
    step = "" if cell.median_step is None else f", {'median ' if n > 1 else ''}step {cell.median_step:,.0f}"
    seeds = f"in each of {n} seeds" if n > 1 else ""
    others = [f"{cell.count(o)} {o}" for o in OUTCOMES if o not in ("grokked", "censored") and cell.count(o)]
    return {
        "grokked": f"grokked {seeds}".strip() + step,
        "some": f"grokked in {k} of {n} seeds{step}" + (f", {', '.join(others)}" if others else ""),
        "none": f"did not grok within the budget{best}" + (f", {', '.join(others)}" if others else ""),
        "undecided": f"undecided as yet{best}" + (f", {', '.join(others)}" if n > 1 else ""),
        "diverged": f"diverged{best}",
    }.get(cell.verdict, cell.verdict)


def _shown(
    family: Family, table: int, cell: Cell, rows: Sequence[Heading], columns: Sequence[Heading]
) -> dict[str, Any]:
    """A cell made ready for the template: two short texts, the long one, and whether it differs from the published."""
    n, k, v = len(cell.members), cell.count("grokked"), cell.verdict
    step = "" if cell.median_step is None else f"{cell.median_step:,.0f}"
    best = "" if cell.best is None else _percent(cell.best)
    short = {
        "grokked": ("✔", step),
        "some": (f"{k}/{n}", step),
        "none": (best or "0/" + str(n), ""),
        "undecided": (best or "…", "so far" if best else "begun"),
    }.get(v, ("", v))
    others = [f"{cell.count(o)} {o}" for o in ("diverged", "failed", "pending") if 0 < cell.count(o) < n]
    theirs = family.published.at(cell.row, cell.column) if family.published is not None else None
    differs = bool(family.agreements) and (cell.row, cell.column) in family.agreements[table].differ
    what = f"{rows[cell.row].text}, {columns[cell.column].text}: {verdict_words(cell)}"
    return {
        "name": place_name(table, cell),
        "verdict": v,
        "mark": short[0],
        "small": short[1],
        "others": others,
        "what": what + (f"; published: {_entry(theirs)}" if theirs is not None else ""),
        "theirs": None if theirs is None else _entry(theirs),
        "differs": differs,
        "members": cell.members,
    }


def _entry(entry: bool | float) -> str:
    return ("✔" if entry else "✗") if isinstance(entry, bool) else _percent(entry / 100)


def _percent(share: float | None) -> str:
    """As tables of the field print it: 3.1%, 34%."""
    return percent(share, 1 if share is not None and share < 0.0995 else 0)


def _sparks(family: Family, sweep: Sweep) -> dict[str, str]:
    """Each cell's drawing by its name."""
    curves = curves_of(sweep)
    points = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(2 * len(curves), 1)))
    last = _last_step(sweep)
    return {
        place_name(i, cell): spark_line([curves[m.number] for m in cell.members], last, points)
        for i, table in enumerate(family.tables)
        for cell in table.cells
    }


def _last_step(sweep: Sweep) -> int:
    longest = sweep.table["steps"].max()
    return max(sweep.experiment(0).budget.steps, int(longest or 0))  # type: ignore[arg-type]


def _data(family: Family, sweep: Sweep, pages: dict[int, str], command: str) -> dict[str, Any]:
    """What the script tells of a chosen cell: its members, and how to ask for their pages."""
    cells = {
        place_name(i, c): {
            "members": [_member(m, pages) for m in c.members],
            "argument": shlex.quote(argument(family, c)),
        }
        for i, table in enumerate(family.tables)
        for c in table.cells
    }
    return {"last": _last_step(sweep), "command": command, "free": [len(f["labels"]) for f in _free(family)]} | {
        "cells": cells
    }


def _member(m: Member, pages: dict[int, str]) -> dict[str, Any]:
    told = {"seed": m.seed, "outcome": m.outcome, "memorised": m.memorised, "grokked": m.grokked, "steps": m.steps}
    accuracies = {"train": m.train_accuracy, "test": m.test_accuracy, "best": m.best}
    told |= {name: None if value is None else percent(value) for name, value in accuracies.items()}
    told |= {"reason": m.reason} if m.outcome == "failed" else {}
    return told | ({"page": pages[m.number]} if m.number in pages else {})


def _free(family: Family) -> list[dict[str, Any]]:
    """The keys that are neither rows nor columns, with their values in the order of the tables."""
    by_key = {key: [table.at[key] for table in family.tables] for key in family.tables[0].at}
    return [{"key": key, "labels": value_names(key, values)} for key, values in unique(by_key) if len(values) > 1]


def _colours(named: dict[str, str]) -> str:
    # the tint of a cell is its colour, mostly clear
    return "".join(f"--{name}: {colour}; --{name}-tint: {colour}2b; " for name, colour in named.items())


def _embedded(data: dict[str, Any]) -> str:
    # inside a script element only '<' could end it
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _file(name: str) -> str:
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")
