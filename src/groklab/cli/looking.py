"""`show`, `compare`, `report`."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit, number

if TYPE_CHECKING:
    from groklab import Run

GROUP = "Look"


def find_whole(name: str) -> Run:
    """A run whose description, status and metrics can be read; raises DamagedError otherwise."""
    from groklab import Collection

    run = Collection().find(name)
    for part in ("experiments", "status", "metrics"):
        getattr(run, part)
    return run


@app.command(rich_help_panel=GROUP)
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    as_json: Json = False,
) -> None:
    """Show what a run was asked for and what it reached."""
    from groklab.cli.running import say_result
    from groklab.grokking.learning_phases import phase_of

    found = find_whole(run)
    phases = [phase_of(found, member) for member in range(found.n_members)]
    if as_json:
        told = [p.to_dict() for p in phases]
        emit({**found.summary(), "learning_phase": told if found.n_members > 1 else told[0]})
        return
    console = console_for(False)
    say_result(found, console)
    if found.n_members == 1:
        said = f": {phases[0].reason}" if phases[0].reason else ""
        console.print(f"{'phase':>12}  {phases[0].phase}{said}", highlight=False)
    else:
        counts = Counter(p.phase for p in phases)
        console.print(f"{'phases':>12}  {', '.join(f'{k} {n}' for k, n in counts.most_common())}", highlight=False)
    e = found.experiment
    settings = {
        "task": f"{e.to_dict()['task']}",
        **{k: f"{v}" for k, v in e.to_dict().items() if k in ("network", "optimiser") and v},
        **({} if e.network is not None else {"learner": f"{e.to_dict()['learner']}"}),
        "checkpoints": f"{len(found.checkpoints)} kept, the last at step {max(found.checkpoints, default=0):,}",
    }
    for key, value in settings.items():
        console.print(f"{key:>12}  {value}", style="dim", markup=False)


@app.command(rich_help_panel=GROUP)
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Two or more runs; ensembles of seeds are best.")],
    as_json: Json = False,
) -> None:
    """Compare runs: settings that differ, and the grokking step as a censored (Kaplan–Meier) median over members.

    Example:

      groklab compare micro-x10-1a2b3c4d micro-x10-5e6f7a8b
    """
    from groklab import compare as compared
    from groklab.cli.listings import _members

    found = compared(runs)
    if as_json:
        emit(found)
        return
    console = console_for(False)
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "members", "memorised", "grokked", "median grokking step", "95% interval", "test accuracy"):
        table.add_column(heading, no_wrap=heading == "run", justify="left" if heading == "run" else "right")
    for row in found["runs"]:
        g = row["grokking"]
        memorising = row["memorising"]
        table.add_row(
            row["run"],
            str(g["n"]) if g else "–",
            f"{memorising['n_grokked']} of {memorising['n']}" if memorising else "–",
            f"{g['n_grokked']} of {g['n']}" if g else "–",
            _reached(g["median"]) if g else "–",
            f"{number(g['low'], ',.0f')} to {_reached(g['high'])}" if g and g["n"] > 1 and g["n_grokked"] else "–",
            _members(row["test_accuracy"], ".1%"),
        )
    console.print(table)
    for group in found["pooled"]:
        g = group["grokking"]
        if g:
            console.print(
                f"pooled over {len(group['runs'])} runs that differ in seeds: {g['n_grokked']} of {g['n']} grokked, "
                f"median step {_reached(g['median'])}, 95% interval {number(g['low'], ',.0f')} to {_reached(g['high'])}"
            )
    for key, values in found["differences"].items():
        console.print(f"  {key}: {' | '.join(map(str, values))}", markup=False)


@app.command(rich_help_panel=GROUP)
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…|SWEEP", help="Runs to put on the page, or one sweep: name or folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write; by default into the run's or sweep's folder.")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Of a sweep: the setting of the rows; by default task.expression if swept."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Of a sweep: the setting of the columns; by default split.frac_train beside operations."
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE", help="Of a sweep: compare with a table, FILE.json or such as furuta2024/grokked, or a map."
        ),
    ] = None,
    members: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW,COLUMN|all",
            help="Of a sweep: write the own pages of that cell's runs too, some megabytes each. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page of runs, or of a sweep, and say where it lies.

    The page of a sweep has cells over two of its settings, coloured by verdict, phase, time or accuracy, with the
    curves of every cell.

    Examples:

      groklab report first

      groklab report operations --members add,0.3 --members 2x_y,0.3

      groklab report operations --published furuta2024/grokked
    """
    from groklab.cli.sweep_pages import report_sweep, sweep_meant
    from groklab.report import write_report

    of_sweep = {"--rows": rows, "--columns": columns, "--published": published, "--members": members}
    sweep = sweep_meant(runs, [option for option, value in of_sweep.items() if value])
    if sweep is not None:
        report_sweep(sweep, out, rows, columns, published, members or [], as_json)
        return
    found = [find_whole(name) for name in runs]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        path = write_report(found, out)
    if as_json:
        emit({"report": str(path), "bytes": path.stat().st_size, "runs": [run.name for run in found]})
    else:
        console_for(False).print(f"report: {path}", soft_wrap=True)


def _reached(step: float | None) -> str:
    return "not reached" if step is None else f"{step:,.0f}"
