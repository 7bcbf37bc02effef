"""Runs in a notebook: one with its results and curves, or a table of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from groklab import grokking, notebook
from groklab.lazy import np, pl
from groklab.text import duration, label, percents, steps_of, visible

if TYPE_CHECKING:
    from groklab.store._run import Run

#: What a run offers, as its last line says.
OFFERS = "plot() · scrub() · explain() · analysis() · report() · metrics · weights() · task"
HEADINGS = ("run", "status", "steps", "memorised", "generalised", "test accuracy")


def html_of(run: Run) -> str:
    """Return a run's results, curves and settings as HTML; raises DamagedError where they cannot be read."""
    status = run.status
    members = f" · {run.n_members} members" if run.n_members > 1 else ""
    settings = {name: label(value) for name, value in run.recorded[0].chosen().items()}
    return notebook.block(
        notebook.title(run.name, f"{status.state} at step {status.step:,} after {duration(status.seconds)}{members}"),
        notebook.line(grokking.headline_sentence(run.headlines) or "nothing is evaluated yet"),
        _curves(run.metrics),
        notebook.details("settings", notebook.pairs(settings)),
        notebook.line(OFFERS, faint=True),
    )


def _curves(metrics: pl.DataFrame) -> str:
    """Return loss and accuracy, of several members their median."""
    if metrics["step"].n_unique() < 2:
        return ""
    middle = metrics.group_by("step").median().sort("step")

    def of(what: str) -> dict[str, np.ndarray]:
        return {split: middle[f"{split}_{what}"].cast(pl.Float64).to_numpy() for split in ("train", "test")}

    # a kernel machine has a training loss of zero
    log = "grad_norm" in metrics.columns
    return notebook.curves(middle["step"].to_numpy(), of("loss"), of("accuracy"), log=log)


def rows_of(summaries: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return what a table shows of runs, the last changed first."""
    return [
        (
            s["run"],
            s["status"],
            steps_of(s.get("steps")),
            steps_of(s.get("memorised_step")),
            steps_of(s.get("grokked_step")),
            percents(s.get("test_accuracy")),
        )
        for s in reversed(summaries)
    ]


def table_of(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of runs as HTML."""
    more = len(rows) - notebook.ROWS
    return notebook.block(
        notebook.title(title),
        notebook.table(HEADINGS, rows[: notebook.ROWS], HEADINGS[2:]),
        notebook.line(f"and {more:,} more", faint=True) if more > 0 else "",
    )


def lines_of(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of runs as text."""
    shown = [HEADINGS, *rows[: notebook.ROWS]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(HEADINGS))]
    aligned = [str.ljust, str.ljust, *[str.rjust] * (len(HEADINGS) - 2)]
    lines = ["  ".join(a(cell, w) for a, cell, w in zip(aligned, row, widths, strict=True)) for row in shown]
    more = len(rows) - notebook.ROWS
    return visible("\n".join([title, *lines, *([f"and {more:,} more"] if more > 0 else [])]))
