"""The page of several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from groklab import figures
from groklab.analysis.facts import Facts, gather
from groklab.report import settings, story
from groklab.report.page import Page, Table
from groklab.report.pictures import Picture, picture
from groklab.report.single import notes
from groklab.store.run import Run
from groklab.text import listed, percent


def compare_page(runs: Sequence[Run]) -> Page:
    """Everything on the page of several runs."""
    found = [gather(run) for run in runs]
    names = _names(found)
    different = settings.differing([f.experiment for f in found])
    rows = [(key, *values) for key, values in different.items()]
    tables = [_outcomes(found, names)]
    if rows:
        tables.append(Table("Settings that differ", ("setting", *names), rows))
    same = [] if rows else ["The runs were asked for with the same settings."]
    stories = [(name, " ".join(story.summary(f))) for name, f in zip(names, found, strict=True)]
    return Page(
        title=f"{len(found)} runs side by side",
        kind="Comparison",
        tags=[],
        summary=[_verdict(found, names), *same],
        tiles=[],
        problems=[f"{name}: {p}" for name, f in zip(names, found, strict=True) for p in f.problems],
        pictures=[_overlay(found, names)],
        tables=tables,
        provenance=[],
        remake={},
        notes=notes(found[0]),
        stories=stories,
    )


def _names(found: Sequence[Facts]) -> list[str]:
    """The runs' names, numbered where two folders of one name are compared."""
    names = [f.run.name for f in found]
    return [f"{n} ({i})" if names.count(n) > 1 else n for i, n in enumerate(names, 1)]


def _verdict(found: Sequence[Facts], names: Sequence[str]) -> str:
    """Which runs grokked, in order of their (median) steps."""
    reached = [(step, name) for name, f in zip(names, found, strict=True) if (step := f.typical("grokked")) is not None]
    rest = [name for name, f in zip(names, found, strict=True) if f.typical("grokked") is None]
    told = [f"{name} at step {step:,}" for step, name in sorted(reached)]
    half = " (the median member, for an ensemble)" if any(f.several for f in found) else ""
    said = f"By first to generalise{half}: {listed(told)}." if told else "None of these runs has generalised."
    return f"{said} Not by the end of its steps: {listed(rest)}." if told and rest else said


def _outcomes(found: Sequence[Facts], names: Sequence[str]) -> Table:
    head = ("run", "status, step", "memorised", "grokked", "median step", "95% interval", "test accuracy")
    rows = []
    for name, f in zip(names, found, strict=True):
        memorised, grokked = f.estimate("memorised"), f.estimate("grokked")
        ended = f"{f.status['status']}, {f.step:,}"
        if memorised is None or grokked is None:
            rows.append((name, ended, *["–"] * 5))
            continue
        accuracy = [m["test_accuracy"] for m in f.members if m.get("test_accuracy") is not None]
        span = list(dict.fromkeys(percent(a) for a in (min(accuracy), max(accuracy)))) if accuracy else ["–"]
        low = f"{grokked.low:,.0f}" if grokked.low is not None else ""
        high = f"{grokked.high:,.0f}" if grokked.high is not None else "open"
        rows.append(
            (
                name,
                ended,
                f"{memorised.n_grokked} of {memorised.n}",
                f"{grokked.n_grokked} of {grokked.n}",
                f"{grokked.median:,.0f}" if grokked.median is not None else f"not by {f.step:,}",
                f"{low} to {high}" if low else "–",
                " to ".join(span),
            )
        )
    return Table("Outcomes", head, rows)


def _overlay(found: Sequence[Facts], names: Sequence[str]) -> Picture:
    parts = [
        f.metrics.select(pl.lit(name).alias("run"), "member", "step", pl.col("test_accuracy").cast(pl.Float64))
        for name, f in zip(names, found, strict=True)
        if f.metrics.filter(pl.col("step") > 0).height
    ]
    title = "Test accuracy"
    if not parts:
        return Picture("overlay", title, "No run has been evaluated after step 0 yet.")
    frame = pl.concat(parts)
    last = frame.filter(pl.col("test_accuracy").is_finite()).sort("step").group_by("run", "member").last()
    means = {str(run): float(rows["test_accuracy"].mean() or 0) for (run,), rows in last.group_by("run")}  # type: ignore[arg-type]
    order = sorted(means, key=lambda name: -means[name])
    sentence = f"At their ends the runs stand at {listed([f'{percent(means[n])} ({n})' for n in order])}."
    return picture("overlay", title, sentence, figures.accuracy_overlay(frame))
