"""The page of several runs beside each other, and writing the page of one run or several."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from groklab.analysis import Comparison
from groklab.errors import InputError
from groklab.figures import RunContext, comparison_drawings
from groklab.report import _story as story
from groklab.report._html import Page, Part, Picture, Table, pictures_of, render_page
from groklab.report._run_page import notes, run_page
from groklab.store import OneMember, Run, storage
from groklab.text import percent

#: Runs up to which each has a number at the top of the page.
MOST_TILES = 6


def write_report(runs: Sequence[Run], out: str | Path | None = None) -> Path:
    """Write the page of one run, or of several beside each other, and return its path.

    The page needs no network and no other file.

    Args:
        runs: one run, or those to compare.
        out: the file, or a folder for it; by default `report.html` in the run's folder (`report-member-2.html` for a
            member), or, for several runs, `compare-….html` beside their folders.

    Raises:
        InputError: for no runs.
        DamagedError: for a run that cannot be read at all.
    """
    if not runs:
        raise InputError("a report needs at least one run")
    several = len(runs) > 1
    key = hashlib.sha256(os.fsencode("\n".join(run.name for run in runs))).hexdigest()[:8]
    one = runs[0]
    own = f"report-member-{one.place}.html" if isinstance(one, OneMember) else "report.html"
    name = f"compare-{key}.html" if several else own
    path = (runs[0].path.parent if several else runs[0].path) / name
    if out is not None:
        path = Path(out).expanduser()
        path = path / name if path.is_dir() else path
    page = comparison_page(runs) if several else run_page(runs[0])
    storage.atomic_write(path, render_page(page).encode())
    return path


def comparison_page(runs: Sequence[Run] | Comparison) -> Page:
    """Return the page of several runs, or of members of one, beside each other.

    Args:
        runs: those compared, or their comparison, whose models may have been taken apart.
    """
    comparison = runs if isinstance(runs, Comparison) else Comparison(tuple(runs))
    runs = comparison.runs
    contexts = [RunContext.read(run) for run in runs]
    names = comparison.names
    problems = [f"{name}: {problem}" for name, run in zip(names, contexts, strict=True) for problem in run.problems]
    # a run whose results are damaged has its story alone
    readable = [run for run, context in zip(runs, contexts, strict=True) if context.status.state != "damaged"]
    if len(readable) < len(runs):
        comparison = Comparison(tuple(readable))
    happened, computes = (_pictures(comparison, part) for part in ("happened", "computes"))
    several = comparison.models if readable else ()
    return Page(
        title=f"{len(runs)} {'members' if _of_one(runs) else 'runs'} side by side",
        kind="Comparison",
        summary=comparison.sentences() if readable else [],
        tiles=_tiles(comparison),
        problems=problems,
        parts=[
            Part("curves", "Curves", pictures=happened),
            Part("computes", "What they compute", comparison.model_sentences() if several else []),
            Part("evidence", "Evidence", pictures=computes),
        ],
        tables=[Table(t.title, t.head, t.rows) for t in comparison.tables()] if readable else [],
        stories=[(name, " ".join(story.summary(run))) for name, run in zip(names, contexts, strict=True)],
        notes=[*notes(contexts[0]), *comparison.notes],
    )


def _of_one(runs: Sequence[Run]) -> bool:
    """Return whether all are members of ensembles."""
    return all(isinstance(run, OneMember) for run in runs)


def _tiles(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return when each run generalised: its name, the step, the delay."""
    if len(comparison.runs) > MOST_TILES:
        return []
    tiles = []
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        headlines = run.headlines
        if len(headlines) == 1:
            (one,) = headlines
            value = "not yet" if one.generalised is None else f"{one.generalised:,}"
            remark = one.delay_text() or f"{one.open}, test accuracy {percent(one.test_accuracy)}"
            tiles.append((name, value, f"step of generalising; {remark}" if one.generalised is not None else remark))
        elif headlines:
            n = sum(h.generalised is not None for h in headlines)
            tiles.append((name, f"{n} of {len(headlines)}", "members generalised"))
    return tiles


def _pictures(comparison: Comparison, part: str) -> list[Picture]:
    drawings = comparison_drawings(comparison, part) if comparison.runs else []
    return [picture for figure, drawing in drawings for picture in pictures_of(figure, [drawing])]
