"""The page of a sweep: its cells, coloured by phase, verdict, time or accuracy, with the curves of every cell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from groklab.figures import COLOURS as PHASE_COLOURS
from groklab.figures import (
    DARK,
    FAINT,
    GREEN,
    GREY,
    INK,
    MUTED,
    OLIVE,
    ON,
    PAPER,
    PINK,
    SOFT,
    TEST,
    TIED,
    TRAIN,
    spark_lines,
)
from groklab.grokking import GAP, LETTERS, PHASES, THRESHOLD, rule_sentence
from groklab.laws import Kept, kept
from groklab.papers import GROKKED
from groklab.report import _html as html
from groklab.report._run_page import definitions
from groklab.report._sweep_members import PagesView, pages_there, write_members
from groklab.report._sweep_published import Comparison, as_json, compare
from groklab.report._sweep_words import (
    argument,
    members_at,
    members_option,
    opening,
    page_command,
    provenance,
    sweep_command,
    tiles,
)
from groklab.store import storage
from groklab.sweeps import (
    VERDICTS,
    Cell,
    Member,
    Study,
    Sweep,
    Time,
    choose_axes,
    curves_of,
    headings,
    phase_counts,
    phase_sentence,
    phase_summary,
    runs_summary,
    study,
    value_names,
    verdict_counts,
    verdict_sentence,
    verdict_summary,
)
from groklab.text import label, percent, short_percent

#: Points of a member's curve, and of all curves of a page together.
MOST_POINTS, ALL_POINTS, FEWEST_POINTS = 40, 80_000, 8
#: Cells up to which the page also has them as a table.
MOST_ROWS = 2000
COLOURS = {"grokked": GREEN, "some": OLIVE, "failed": PINK, "stripe": GREY, "train": TRAIN, "test": TEST}
#: What the cells can be coloured by: its name, and the summary that goes with it.
Colouring = Literal["phase", "verdict", "grokked", "train", "test", "gap", "accuracy", "published", "difference"]
NOTES = (
    "Phases: a cell has the phase of most of its seeds; where several phases share the first place it shows both, and "
    "has no majority. Undefined: what the four phases leave open, such as test accuracy that reaches the threshold "
    "where training accuracy does not, or a run that diverged.",
    "Verdicts: ✔ and a step: every seed generalised, half of them by that step. k/n: k of n seeds did, with the step "
    "if half did. A percentage: no seed generalised within the budget; the highest test accuracy of each seed, "
    "in the mean over the seeds. Undecided: training may still change it; its percentage is the best so far. Diverged: "
    "the loss became infinite or not a number. Failed: it could not be trained. Pending: it has not begun.",
    "Times are medians, the first step by which half of the seeds were there (Kaplan–Meier), on logarithmic colour "
    "scales. A seed that did not get there within its budget counts as later than every one that did; a cell whose "
    "median is not reached is hatched.",
    "In the curves, test accuracy of every seed, and fainter training accuracy, from 0 to 100% over the logarithm of "
    "steps, from the first evaluation after step 0 to the budget; the curves are thinned. Nothing between cells is "
    "drawn in, and nothing is smoothed.",
)
AGREE = {
    True: "With the published map a cell is compared where most of its seeds are of one phase.",
    False: "With the published table a cell agrees where most of its seeds generalised and it is published as grokked, "
    "or where most did not and it is published as not. Cells in which that is open are not compared.",
}


@dataclass(frozen=True)
class SweepPage:
    """A page that was written: its path, what it shows, and the paths of the members' own pages written with it."""

    path: Path
    study: Study
    comparison: Comparison | None
    own_pages: list[Path]

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain JSON values, with what was published of each cell."""
        return as_json(self.study, self.comparison)


def write_sweep(
    sweep: Sweep,
    out: str | Path | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
    threshold: float = THRESHOLD,
    gap: float = GAP,
    boundary: str = "grokking",
    published: str | Mapping[str, Mapping[str, Any]] | None = None,
    members: Sequence[int] | Literal["all"] = (),
    colouring: Colouring = "verdict",
) -> Path:
    """Write the page of a sweep as cells over two of its settings, and return its path.

    Args:
        out: the file, or a folder for it; by default `report.html` in the sweep's folder.
        x: the setting to the right; y: that of the rows. By default operations are rows and fractions columns, else
            the first setting runs to the right.
        at: values at which other settings are held; all others can be chosen on the page.
        threshold: accuracy that the learning phases rest on, as gap and boundary (see `learning_phase`).
        published: results to compare with: the name of a map, a file or paper's table such as 'furuta2024/grokked', or
            a table itself: row -> column -> True (grokked), False, or the best test accuracy in percent.
        members: those whose own pages are written too, some megabytes each, into a folder beside the page.
        colouring: what the cells are coloured by at first.

    Raises:
        InputError: nothing is evaluated yet, or settings, members or published results do not fit the sweep.
    """
    phases: dict[str, Any] = {"at": at, "threshold": threshold, "gap": gap, "boundary": boundary}
    return make_page(sweep, out, x=x, y=y, published=published, members=members, colouring=colouring, **phases).path


def make_page(
    sweep: Sweep,
    out: str | Path | None = None,
    *,
    command: Literal["report", "phase-diagram"] = "report",
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
    published: str | Mapping[str, Mapping[str, Any]] | None = None,
    members: Sequence[int | str] | Literal["all"] = (),
    colouring: Colouring = "verdict",
    view: PagesView | None = None,
    **phases: Any,
) -> SweepPage:
    """Write the page of a sweep as `write_sweep` does, and return what it shows.

    Args:
        command: the command that this is for, after which the page is named.
        members: numbers, or ROW,COLUMN.
        view: called before each member's own page.
        phases: threshold, gap and boundary.
    """
    names = ("--columns", "--rows") if command == "report" else ("--x", "--y")
    result = study(sweep, x=x, y=y, at=at, options=names, **phases)
    comparison = None if published is None else compare(sweep, result, published)
    path = sweep.path / f"{command}.html" if out is None else Path(out).expanduser()
    path = path / f"{command}.html" if path.is_dir() else path
    everyone = range(sweep.n_members)
    texts = everyone if "all" in (members, *members) else members
    chosen = [n for text in texts for n in (members_at(result, text) if isinstance(text, str) else [int(text)])]
    own = write_members(sweep, result, path, chosen, view)
    usual = {"threshold": THRESHOLD, "gap": GAP, "boundary": "grokking"}
    options = {f"--{name}": value for name, value in phases.items() if value != usual[name]}
    if at or options:
        # what `report` cannot be asked for
        command, names = "phase-diagram", ("--x", "--y")
    options |= {names[0]: x, names[1]: y, "--at": [f"{key}={value}" for key, value in (at or {}).items()]}
    options |= {"--published": published if isinstance(published, str) else None, "--out": out}
    remake = page_command(sweep, command, options)
    pages = pages_there(sweep, path)
    remake += members_option(result, pages) if command == "report" else ""
    storage.atomic_write(path, render(sweep, result, pages, remake, comparison, colouring).encode())
    return SweepPage(path, result, comparison, own)


def render(
    sweep: Sweep,
    study: Study,
    pages: dict[int, str],
    command: str,
    comparison: Comparison | None = None,
    colouring: Colouring = "verdict",
    *,
    part_of: tuple[str, str] | None = None,
    elsewhere: bool = False,
) -> str:
    """Return the page as one HTML document that loads nothing.

    Args:
        pages: addresses of the members' own pages, as seen from this one.
        part_of: the page that this one belongs to, by name and address.
        elsewhere: it is read on other machines, and names no folder of this one.
    """
    bar = f"{100 * study.threshold:g}%"
    free = _free(study)
    chosen = {setting["key"] for setting in free}
    modes = _modes(bar, comparison)
    criterion = sweep.recorded(0).evaluation.criterion
    remake, yaml = sweep_command(sweep)
    n_cells = sum(len(part.cells) for part in study.slices)
    rows = n_cells <= MOST_ROWS
    fits = _fits(sweep)
    phases = "".join(f"--{p}: {PHASE_COLOURS[p]}; --on-{p}: {ON[p]}; " for p in PHASES)
    return html.render(
        "sweep.html.j2",
        styles=["sweep.css"],
        scripts=["sweep.js"],
        contents=_contents(comparison, rows, bool(fits)),
        contents_above=True,
        name=study.name,
        study=study,
        modes=modes,
        free=free,
        fits=fits,
        plots=bool(fits),
        held=", ".join(f"{k} = {label(v)}" for k, v in study.slices[0].at.items() if k not in chosen),
        slices=[_slice(study, i, comparison, rows) for i in range(len(study.slices))],
        axes=[key for key in (study.axes.x, study.axes.y) if key is not None],
        comparison=comparison,
        results=[p for p in PHASES if p != "undefined"]
        if comparison and comparison.by_phase
        else ["grokked", "not grokked"],
        bar=bar,
        has_pages=bool(pages),
        several=any(len(c.members) > 1 for part in study.slices for c in part.cells),
        tiles=tiles(sweep),
        opening=opening(study, sweep),
        csv="data:text/csv;charset=utf-8," + quote(table_csv(study, comparison)),
        part_of=part_of,
        parquet=None if elsewhere else sweep.path / "table.parquet",
        command=command,
        remake=remake,
        yaml=yaml,
        provenance=provenance(sweep, elsewhere),
        notes=(
            rule_sentence(study.threshold, study.gap, study.boundary),
            *definitions(criterion),
            "Step s is the state after s updates.",
            *NOTES,
            *([] if comparison is None else [AGREE[comparison.by_phase]]),
        ),
        colours=_colours(COLOURS) + phases + f"--tied: {TIED};",
        dark=_colours({name: DARK[colour] for name, colour in COLOURS.items()}),
        data=_embedded(_data(sweep, study, pages, comparison, [m for m, _, _ in modes], colouring, elsewhere)),
    )


def _fits(sweep: Sweep) -> list[tuple[Kept, html.Picture]]:
    """Return the laws that were fitted to the sweep, each with its figure."""
    pictures = []
    for each in kept(sweep):
        sentence = " ".join(each.sentences)
        table = html.Table("The parameters", ("parameter", "value", "95% interval", "source"), each.rows)
        title = f"{each.law}: {each.formula}"
        pictures.append((each, html.picture(f"law-{each.law}", title, sentence, each.figure(), tables=[table])))
    return pictures


def _contents(comparison: Comparison | None, rows: bool, fits: bool) -> list[html.Entry]:
    """Return the table of contents; rows: whether the page has the cells as a table, too; fits: whether it has laws."""
    sections = {
        "summary": "What was swept",
        "cells": "Cells",
        **({"laws": "Laws"} if fits else {}),
        **({} if comparison is None else {"published": f"Next to {comparison.source}"}),
        **({"rows": "Every cell"} if rows else {}),
        "remake": "Make it again",
        "provenance": html.TITLES["provenance"],
        "notes": html.TITLES["notes"],
    }
    return [html.Entry(key, title) for key, title in sections.items()]


def _slice(study: Study, i: int, comparison: Comparison | None, rows: bool) -> dict[str, Any]:
    """Return what the page says of a slice; rows: with a row for each of its cells."""
    part = study.slices[i]
    return {
        "name": study.slice_name(i),
        "phase": phase_summary(study, part),
        "verdict": verdict_summary(part),
        "runs": runs_summary(study, part),
        "agreement": None if comparison is None else comparison.agreements[i],
        "rows": [_row(study, c) for c in part.cells] if rows else [],
    }


def _modes(bar: str, comparison: Comparison | None) -> list[tuple[Colouring, str, str]]:
    """Return what the cells can be coloured by: key, name, and the summary that goes with it."""
    modes: list[tuple[Colouring, str, str]] = [
        ("phase", "Phases of Liu et al.", "phase"),
        ("verdict", "Verdicts", "verdict"),
        ("grokked", "Step of generalising", "verdict"),
        ("train", f"Training {bar} step", "phase"),
        ("test", f"Test {bar} step", "phase"),
        ("gap", "Gap", "phase"),
        ("accuracy", "Test accuracy", "verdict"),
    ]
    if comparison is not None:
        modes += [("published", "Published", "published"), ("difference", "Differences", "published")]
    return modes


# -- what the script draws ----------------------------------------------------------------------------------------


def _data(
    sweep: Sweep,
    study: Study,
    pages: dict[int, str],
    comparison: Comparison | None,
    modes: Sequence[str],
    colouring: str,
    elsewhere: bool,
) -> dict[str, Any]:
    axes = study.axes
    curves = curves_of(sweep)
    points = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(2 * len(curves), 1)))
    longest = sweep.table["steps"].max()
    last = max(sweep.recorded(0).budget.steps, int(longest or 0))  # type: ignore[arg-type]
    # the page that asks for members' own pages holds no setting at a value
    report = choose_axes(sweep.keys, axes.x, axes.y)
    asking = page_command(sweep, options={"--rows": report.y, "--columns": report.x}, elsewhere=elsewhere)
    return {
        "name": study.name,
        "modes": modes,
        "colouring": colouring,
        "threshold": study.threshold,
        "last": last,
        "phases": [[p, LETTERS[p]] for p in PHASES],
        "verdicts": VERDICTS,
        "light": _light(),
        "x": {"key": axes.x, "heads": [h.text for h in headings(axes.x, axes.x_values)]},
        "y": None
        if axes.y is None
        else {"key": axes.y, "heads": [[h.text, h.name, h.group] for h in headings(axes.y, axes.y_values)]},
        "rows": len(axes.y_values),
        "upwards": axes.upwards and axes.y is not None,
        "free": [len(f["labels"]) for f in _free(study)],
        "byPhase": comparison is not None and comparison.by_phase,
        "command": asking,
        "slices": [
            {
                "counts": phase_counts(part),
                "verdicts": verdict_counts(part),
                "cells": [
                    {
                        **_cell(c, comparison),
                        "name": argument(report, axes.values(c, part.at)),
                        "spark": spark_lines(
                            [curves[m.number] for m in c.members],
                            last,
                            points,
                            [(m.train_step, m.test_step) for m in c.members],
                        ),
                    }
                    for c in part.cells
                ],
            }
            for part in study.slices
        ],
        "members": {m.number: _member(m, pages) for part in study.slices for cell in part.cells for m in cell.members},
    }


def _cell(cell: Cell, comparison: Comparison | None) -> dict[str, Any]:
    mark, small = _marks(cell)
    times = {"grokked": cell.grokked_step, "train": cell.train_step, "test": cell.test_step, "gap": cell.gap}
    content: dict[str, Any] = {
        "at": [cell.row, cell.column],
        "m": [m.number for m in cell.members],
        "lead": [PHASES.index(p) for p in cell.leading],
        "agree": [max(cell.counts.values(), default=0), len(cell.members) - cell.pending],
        "v": VERDICTS.index(cell.verdict),
        "mark": mark,
        "small": small,
        "others": [
            f"{cell.count(o)} {o}" for o in ("diverged", "failed", "pending") if 0 < cell.count(o) < len(cell.members)
        ],
        "times": {name: [t.median, t.reached, t.n] for name, t in times.items() if t.n},
        "acc": None if cell.test_accuracy is None else round(cell.test_accuracy, 4),
        "says": [phase_sentence(cell), verdict_sentence(cell)],
    }
    entry = None if comparison is None else comparison.at(cell)
    if comparison is not None and entry is not None:
        content["pub"] = [
            PHASES.index(entry.result) if comparison.by_phase else int(entry.result == GROKKED),
            entry.text,
            # open, the same, or different
            0 if comparison.own(cell) is None else 1 + comparison.differs(cell),
        ]
    return content


def _marks(cell: Cell) -> tuple[str, str]:
    """Return a cell's verdict as two short texts."""
    n, k = len(cell.members), cell.count("grokked")
    step = "" if cell.median_step is None else f"{cell.median_step:,.0f}"
    best = "" if cell.best is None else short_percent(cell.best)
    return {
        "grokked": ("✔", step),
        "some": (f"{k}/{n}", step),
        "none": (best or f"0/{n}", ""),
        "undecided": (best or "…", "so far" if best else "begun"),
    }.get(cell.verdict, ("", cell.verdict))


def _member(m: Member, pages: dict[int, str]) -> list[Any]:
    accuracies = [None if a is None else percent(a) for a in (m.train_accuracy, m.test_accuracy, m.best_test_accuracy)]
    phase = m.phase if m.phase_final else None if m.phase is None else f"{m.phase} so far"
    steps = [m.steps, m.memorised_step, m.grokked_step, m.train_step, m.test_step]
    reason = m.reason if m.outcome == "failed" else None
    return [m.seed, m.outcome, phase, *steps, *accuracies, reason, pages.get(m.number)]


def _free(study: Study) -> list[dict[str, Any]]:
    """Return the settings of the slices that take several values, with those values in the order of the slices."""
    free = []
    for key in study.slices[0].at:
        values = list({json.dumps(part.at[key]): part.at[key] for part in study.slices}.values())
        if len(values) > 1:
            free.append({"key": key, "labels": value_names(key, values)})
    return free


def _row(study: Study, cell: Cell) -> dict[str, Any]:
    """Return a cell as a row of the page's table."""
    values = study.axes.values(cell, {})
    done = len(cell.members) - cell.pending
    times = (cell.train_step, cell.test_step, cell.gap)
    return {
        "values": [value_names(key, [value])[0] for key, value in values.items()],
        "phase": " or ".join(cell.leading) or "pending",
        "agree": f"{max(cell.counts.values())} of {done}" if done else "–",
        "times": [_time(t) for t in times],
        "verdict": verdict_sentence(cell),
    }


def _time(time: Time) -> str:
    return "–" if not time.n else "not reached" if time.median is None else f"{time.median:,.0f}"


def table_csv(study: Study, comparison: Comparison | None = None) -> str:
    """Return one line per cell: its settings, phase, verdict, counts, times, accuracy, and what was published there."""
    out = io.StringIO()
    writer = None
    for part in as_json(study, comparison)["slices"]:
        for cell in part["cells"]:
            row = {k: v for k, v in cell.items() if k not in ("members", "seeds", "phases", "undefined", "tied")}
            row |= {"tied": " or ".join(cell["tied"]), "seeds": len(cell["seeds"])}
            row |= {k: row[k]["median"] for k in ("train_step", "test_step", "gap")}
            if writer is None:
                writer = csv.DictWriter(out, list(row), lineterminator="\n")
                writer.writeheader()
            plain = (str, int, float, type(None))
            writer.writerow({k: v if isinstance(v, plain) else json.dumps(v) for k, v in row.items()})
    return out.getvalue()


def _light() -> dict[str, list[str]]:
    """Return what saved pictures are filled with, and the colour of letters on it; a second fill is a stripe's."""
    tints = {name: mixed(COLOURS[name]) for name in ("grokked", "some", "failed", "stripe")}
    return {
        **{p: [PHASE_COLOURS[p], ON[p]] for p in PHASES},
        "undefined": [PHASE_COLOURS["undefined"], ON["undefined"], PAPER],
        "tied": [TIED, ON["undefined"]],
        "grokked": [tints["grokked"], COLOURS["grokked"]],
        "some": [tints["some"], COLOURS["some"]],
        "failed": [tints["failed"], INK],
        "diverged": [PAPER, INK, tints["stripe"]],
        "late": [PAPER, INK, SOFT],
        **{kind: [PAPER, INK] for kind in ("none", "waiting", "undecided", "pending")},
        "lines": [COLOURS["test"], COLOURS["train"]],
        "ink": [INK, MUTED, FAINT],
    }


def mixed(colour: str, share: float = 0.17) -> str:
    """Return a colour on white, mostly clear."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in parts)


def _colours(named: Mapping[str, str]) -> str:
    # the tint of a cell is its colour, mostly clear
    return "".join(f"--{name}: {colour}; --{name}-tint: {colour}2b; " for name, colour in named.items())


def _embedded(data: dict[str, Any]) -> str:
    return html.in_script(json.dumps(data, separators=(",", ":"), allow_nan=False))
