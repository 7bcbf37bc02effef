"""`sweeps`, and what `show` and `compare` do of sweeps."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import LOOK, Json, app, console_for, emit, interval_text, number, step_text, titled
from groklab.cli.completing import one_of
from groklab.device import home, readable_bytes
from groklab.errors import InputError, check_choice, shorten
from groklab.text import date_of, duration, label, percents

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.sweeps import Sweep

STATUSES = ("finished", "interrupted", "running", "perhaps running", "failed", "damaged")


@app.command(rich_help_panel=LOOK)
def sweeps(
    name: Annotated[str | None, typer.Option(help="Only names that match, such as 'micro*'.")] = None,
    status: Annotated[
        str | None, typer.Option(autocompletion=one_of(STATUSES), help=f"Only this status: {', '.join(STATUSES)}.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the saved sweeps, with their grids and results. `groklab runs` lists them below the runs.

    Examples:

      groklab sweeps

      groklab sweeps --name 'decay*' --json
    """
    if status is not None:
        check_choice("--status", status, STATUSES)
    listed = matching_sweeps(name, status)
    if as_json:
        emit({"sweeps": listed, "bytes": sum(s["bytes"] for s in listed)})
        return
    console = console_for(False)
    if not listed:
        console.print(f"no sweeps in {home() / 'sweeps'}" + (" match" if name or status else ""), soft_wrap=True)
        return
    print_sweeps(listed, console)


def matching_sweeps(name: str | None, status: str | None, grokked: bool = False) -> list[dict[str, Any]]:
    """Return the summaries of the sweeps that match, newest last."""
    from groklab.sweeps import sweep_paths, sweep_summaries

    if not sweep_paths():
        return []  # reading tables takes a second
    return [
        s
        for s in sweep_summaries()
        if (name is None or fnmatch.fnmatch(s["sweep"], name))
        and (status is None or s["status"] == status)
        and (not grokked or s.get("generalised"))
    ]


def print_sweeps(listed: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table of sweeps, and their number."""
    from groklab.cli.tables import Column, print_table

    columns = (
        Column("sweep", left=True),
        Column("task", left=True),
        Column("status", left=True),
        Column("trained"),
        Column("generalised"),
        Column("date", left=True),
        Column("grid", left=True, rank=3),
        Column("time", rank=4),
        Column("disk", rank=5),
    )
    rows = [_row(s) for s in listed]
    left_out = print_table(console, columns, rows)
    count = f"{len(listed)} sweep{'s' if len(listed) != 1 else ''}"
    more = f"; a wider window shows {', '.join(left_out)}" if left_out else ""
    console.print(f"{count} in {home() / 'sweeps'}{more}", style="dim", soft_wrap=True)


def _row(s: dict[str, Any]) -> tuple[str, ...]:
    known = "members" in s
    grid = " × ".join(f"{key.rpartition('.')[2]} {len(values)}" for key, values in s.get("keys", {}).items())
    return (
        s["sweep"],
        s.get("task", "–"),
        s["status"],
        f"{s['finished']:,} of {s['members']:,}" if known else "–",
        number(s["generalised"]) if known else "–",
        date_of(s["changed"]),
        grid,
        duration(s["seconds"]) if known else "–",
        readable_bytes(s["bytes"]),
    )


def next_commands(sweep: Sweep) -> str:
    """Return what one types next, after a sweep has been trained."""
    name = sweep.name
    return f"next: `groklab report {name}`, `groklab phase-diagram {name}`, `groklab compare {name}`"


def show_sweep(sweep: Sweep, as_json: bool, every: bool) -> None:
    """Show a sweep's grid, settings and results; every: its settings at their defaults, too."""
    from groklab.cli.phase_map import map_of
    from groklab.cli.tables import print_settings, shown_settings

    summary = sweep.summary()
    if as_json:
        emit(summary)
        return
    console = console_for(False)
    print_sweep_result(sweep, summary, console)
    console.print(map_of(sweep, console.width))
    for reason in summary["failures"]:
        console.print(f"failed: {reason}", soft_wrap=True)
    for key, values in sweep.keys.items():
        console.print(f"{key}: {', '.join(map(label, values))}", soft_wrap=True)
    settings = shown_settings(sweep.recorded(0), every)
    print_settings(console, {k: v for k, v in settings.items() if k not in sweep.keys and k not in ("seed", "name")})
    console.print(f"one row per member in {sweep.path / 'table.parquet'}", soft_wrap=True)
    console.print(next_commands(sweep), soft_wrap=True)


def print_sweep_result(sweep: Sweep, summary: dict[str, Any], console: Console) -> None:
    """Print how many members of a sweep have been trained, memorised and generalised, and their phases."""
    from groklab.grokking import OWNER

    trained = f"{summary['finished']:,} of {summary['members']:,} members trained"
    headline = f"{summary['memorised']:,} memorised, {summary['generalised']:,} generalised"
    others = "".join(f", {summary[k]:,} {k}" for k in ("diverged", "failed") if summary[k])
    console.print(titled(sweep.name, f" {summary['status']}: {trained}; {headline}{others}"), soft_wrap=True)
    if phases := ", ".join(f"{n} {phase}" for phase, n in summary["phases"].items() if n):
        console.print(f"by the phases of {OWNER}: {phases}", soft_wrap=True)


def compare_sweeps(sweeps: Sequence[Sweep], as_json: bool) -> None:
    """Compare the points of sweeps by censored medians of the grokking step over the seeds of each."""
    from groklab.cli.tables import Column, print_table
    from groklab.sweeps import compare_points

    points = [compare_points(sweep) for sweep in sweeps]
    if as_json:
        emit({"sweeps": [{"sweep": s.name, "points": rows} for s, rows in zip(sweeps, points, strict=True)]})
        return
    console = console_for(False)
    headings = ("memorised", "generalised", "median step", "95% interval", "test")
    columns = (Column("point", left=True), *map(Column, headings))
    for number_, (sweep, rows) in enumerate(zip(sweeps, points, strict=True)):
        if number_:
            console.print()
        console.print(titled(sweep.name, f": {sweep.task_label}, {len(rows):,} points"), soft_wrap=True)
        print_table(console, columns, [_of_point(row) for row in rows])
    note = "the median step is the first by which half of the seeds had generalised (Kaplan–Meier)"
    console.print(note, style="dim")


def _of_point(row: dict[str, Any]) -> tuple[str, ...]:
    g, memorising = row["grokking"], row["memorising"]
    pending = "" if row["trained"] == row["members"] else f" ({row['members'] - row['trained']} not trained)"
    if g is None:
        return (row["name"] + pending, *["–"] * 5)
    return (
        row["name"] + pending,
        f"{memorising['n_grokked']} of {memorising['n']}",
        f"{g['n_grokked']} of {g['n']}",
        step_text(g["median"]),
        interval_text(g) if g["n"] > 1 and g["n_grokked"] else "–",
        percents(row["test_accuracy"]),
    )


def sweeps_meant(names: Sequence[str]) -> list[Sweep]:
    """Return the sweeps that are named, none where runs are.

    Raises:
        InputError: sweeps beside runs.
    """
    from groklab.cli.sweep_pages import is_sweep
    from groklab.sweeps import find_sweep

    meant = [name for name in names if is_sweep(name)]
    if meant and len(meant) < len(names):
        other = next(name for name in names if name not in meant)
        raise InputError(f"{shorten(meant[0])!r} is a sweep and {shorten(other)!r} is not: compare one kind at a time")
    return [find_sweep(name) for name in meant]
