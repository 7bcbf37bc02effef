"""The page of several runs beside each other, and writing the page of one run or several."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from groklab.errors import InputError
from groklab.figures import RunContext, accuracy_overlay
from groklab.report import _settings as settings
from groklab.report import _story as story
from groklab.report._html import Page, Part, Picture, Table, picture, render_page
from groklab.report._run_page import notes, run_page
from groklab.store import OneMember, Run, copies, copies_sentences, storage
from groklab.text import listed, percent


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


def comparison_page(runs: Sequence[Run]) -> Page:
    """Return the page of several runs."""
    contexts = [RunContext.read(run) for run in runs]
    by_name = dict(zip(_names(runs), contexts, strict=True))
    different = settings.differing([run.experiment for run in contexts])
    tables = [_outcomes(by_name)]
    if different:
        rows = [(key, *values) for key, values in different.items()]
        tables.append(Table("Settings that differ", ("setting", *by_name), rows))
    same = [] if different else ["The runs have the same settings."]
    return Page(
        title=f"{len(runs)} runs side by side",
        kind="Comparison",
        summary=[_verdict(by_name), *same, *copies_sentences(copies(runs))],
        problems=[f"{name}: {problem}" for name, run in by_name.items() for problem in run.problems],
        parts=[Part(pictures=[_overlay(by_name)])],
        tables=tables,
        stories=[(name, " ".join(story.summary(run))) for name, run in by_name.items()],
        notes=notes(contexts[0]),
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the runs' names, numbered where two folders have the same."""
    names = [run.name for run in runs]
    return [f"{n} ({i})" if names.count(n) > 1 else n for i, n in enumerate(names, 1)]


def _verdict(runs: Mapping[str, RunContext]) -> str:
    """Return which runs grokked, in order of their (median) steps."""
    steps = {name: run.typical_step("grokked") for name, run in runs.items()}
    grokked = [f"{name} at step {step:,}" for step, name in sorted((s, n) for n, s in steps.items() if s is not None)]
    if not grokked:
        return "None of these runs has generalised."
    half = " (the median member, for an ensemble)" if any(run.several for run in runs.values()) else ""
    rest = [name for name, step in steps.items() if step is None]
    not_yet = f" Not by the end of its steps: {listed(rest)}." if rest else ""
    return f"By first to generalise{half}: {listed(grokked)}.{not_yet}"


def _outcomes(runs: Mapping[str, RunContext]) -> Table:
    head = ("run", "status, step", "memorised", "grokked", "median step", "95% interval", "test accuracy")
    rows = []
    for name, run in runs.items():
        memorised, grokked = run.survival("memorised"), run.survival("grokked")
        status = f"{run.status.state}, {run.step:,}"
        if memorised is None or grokked is None:
            rows.append((name, status, *["–"] * 5))
            continue
        accuracy = [m.test_accuracy for m in run.members if m.test_accuracy is not None]
        ends = list(dict.fromkeys(percent(a) for a in (min(accuracy), max(accuracy)))) if accuracy else ["–"]
        high = f"{grokked.high:,.0f}" if grokked.high is not None else "open"
        rows.append(
            (
                name,
                status,
                f"{memorised.n_grokked} of {memorised.n}",
                f"{grokked.n_grokked} of {grokked.n}",
                f"{grokked.median:,.0f}" if grokked.median is not None else f"not by {run.step:,}",
                f"{grokked.low:,.0f} to {high}" if grokked.low is not None else "–",
                " to ".join(ends),
            )
        )
    return Table("Outcomes", head, rows)


def _overlay(runs: Mapping[str, RunContext]) -> Picture:
    parts = [
        run.metrics.select(pl.lit(name).alias("run"), "member", "step", pl.col("test_accuracy").cast(pl.Float64))
        for name, run in runs.items()
        if run.metrics.filter(pl.col("step") > 0).height
    ]
    title = "Test accuracy"
    if not parts:
        return Picture("overlay", title, "No run has been evaluated after step 0 yet.")
    frame = pl.concat(parts)
    last = frame.filter(pl.col("test_accuracy").is_finite()).sort("step").group_by("run", "member").last()
    means = dict(last.group_by("run").agg(pl.col("test_accuracy").mean()).sort("run").iter_rows())
    ends = [f"{percent(means[name])} ({name})" for name in sorted(means, key=lambda name: -means[name])]
    return picture("overlay", title, f"The final test accuracies are {listed(ends)}.", accuracy_overlay(frame))
