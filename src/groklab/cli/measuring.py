"""`measure` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit
from groklab.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from groklab.analysis.measuring import Told
    from groklab.measures.registry import NamedTable
    from groklab.store.run import Run

GROUP = "Take apart"


@app.command(rich_help_panel=GROUP)
def measure(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    name: Annotated[
        str | None, typer.Option("--measure", help="Only this measure, over all checkpoints; `measures` lists them.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How key frequencies are found: neuron_logit_map, embedding, neurons, logits, furuta, furuta_union."
        ),
    ] = None,
    frequencies: Annotated[
        str | None, typer.Option(metavar="K,K,…", help="Take these key frequencies instead of the final model's own.")
    ] = None,
    member: Annotated[int | None, typer.Option(help="With --measure: which model of an ensemble.")] = None,
    step: Annotated[
        int | None,
        typer.Option(help="With --measure: only this checkpoint; without it tables are of the last."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the progress measures of a run over all of its checkpoints; of a kernel machine those of its features.

    Key frequencies are those of the final model, applied backwards. The restricted loss is over all pairs, the excluded
    loss over the training set. Of a mixture of operations each has its own.

    Examples:

      groklab measure demo

      groklab measure demo --measure logit_parts

      groklab measure demo --measure neurons --json
    """
    from groklab.analysis.measuring import analyse, take
    from groklab.cli.looking import find_whole
    from groklab.cli.measured import say

    found = find_whole(run)
    keys = _frequencies(frequencies)
    console = console_for(as_json)
    if rule is not None and (keys is not None or name is not None):
        other = "--frequencies" if keys is not None else "--measure"
        raise InputError(
            "--rule", rule, f"cannot go with {other}: the frequencies of a rule are those of `measure RUN`"
        )
    if member is not None and name is None:
        raise InputError("--member", member, "goes with --measure only: without it all members are measured")
    if step is not None and name is None:
        raise InputError("--step", step, "goes with --measure only: without it all checkpoints are measured")
    member = member or 0
    if name is not None:
        if not 0 <= member < found.n_members:
            raise InputError("--member", member, f"{found.name} has members 0 to {found.n_members - 1}")
        asked = None if step is None else [step]
        if as_json:
            frame = take(found, name, member, keys, asked)
            emit({"run": found.name, "measure": name, "member": member, **frame.to_dict(as_series=False)})
        elif not _print_tables(found, name, member, keys, step, console):
            _print_frame(take(found, name, member, keys, asked), console)
        return
    with bar(console, "measuring checkpoints") as told:
        result = analyse(found, rule=rule, frequencies=keys, told=told)
    if as_json:
        emit(result)
        return
    for one in members_of(result, found.n_members):
        say(one, console)


def _print_tables(run: Run, name: str, member: int, keys: list[int] | None, step: int | None, console: Console) -> bool:
    """The tables in which a measure tells what it gave of one checkpoint; whether it has any."""
    from groklab.analysis.checkpoints import last_complete_step
    from groklab.analysis.measuring import take
    from groklab.measures import MEASURES

    telling = MEASURES[name].tables if name in MEASURES else None
    if telling is None:
        return False
    at = last_complete_step(run, member) if step is None else step
    told = telling(take(run, name, member, keys, [at]).drop("step").row(0, named=True))
    if not told:
        return False
    console.print(f"[bold]{run.name}[/bold]: {name}, step {at:,}")
    for table in told:
        console.print(f"\n{table.title}", markup=False)
        _print_told(table, console)
    console.print("\n--step takes another checkpoint, --json prints every one, and arrays in full", style="dim")
    return True


def _print_told(table: NamedTable, console: Console) -> None:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, heading in enumerate(table.head):
        numbers = place > 0 and all(row[place][:1] in "-0123456789–" and ", " not in row[place] for row in table.rows)
        drawn.add_column(Text(heading), justify="right" if numbers else "left")
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def _print_frame(frame: pl.DataFrame, console: Console) -> None:
    """Numbers by name at the first, the middle and the last checkpoint; arrays by their length."""
    steps = frame["step"].to_list()
    places = sorted({0, len(steps) // 2, len(steps) - 1})
    table = Table(box=None, padding=(0, 1))
    table.add_column("step")
    for place in places:
        table.add_column(f"{steps[place]:,}", justify="right")
    for name in frame.columns[1:]:
        values = [frame[name][place] for place in places]
        table.add_row(name, *(_cell(v) for v in values))
    console.print(table)
    console.print("--json prints every checkpoint, and arrays in full", style="dim")


def _cell(value: Any) -> str:
    import polars as pl

    if isinstance(value, pl.Series):
        if value.dtype == pl.String:
            return ", ".join(value) if len(value) <= 3 else f"{len(value)} names"
        return f"{len(value)} rows" if len(value) and isinstance(value[0], pl.Series) else f"{len(value)} numbers"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@app.command(rich_help_panel=GROUP)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    member: Annotated[int, typer.Option(help="Which model of an ensemble.")] = 0,
    as_json: Json = False,
) -> None:
    """Say what algorithm a trained model has found, in words and numbers of that model.

    Example:

      groklab explain demo
    """
    from groklab.analysis.explaining import explain as explained
    from groklab.cli.looking import find_whole

    console = console_for(as_json)
    run_found = find_whole(run)
    with bar(console, "measuring checkpoints") as told:
        found = explained(run_found, member, told)
    if as_json:
        emit(found)
        return
    whose = f", member {member} (seed {found['seed']})" if run_found.n_members > 1 else ""
    console.print(f"[bold]{found['run']}[/bold]{whose}: {found['task']}, step {found['step']:,}")
    console.print(found["verdict"], style="bold", markup=False)
    for section in found["sections"]:
        console.print(f"\n[underline]{section['title']}[/underline]")
        for line in section["lines"]:
            console.print(Padding(Text(f"· {line}"), (0, 0, 0, 2)))


def members_of(result: dict[str, Any], n_members: int) -> list[dict[str, Any]]:
    """One object a member, from what `analyse` gives."""
    if n_members == 1:
        return [result]
    shared = {k: result[k] for k in ("run", "step", "task")}
    return [
        {**shared, **{k: v[m] for k, v in result.items() if k not in shared and v[m] is not None}}
        for m in range(n_members)
    ]


@contextmanager
def bar(console: Console, what: str) -> Iterator[Told]:
    """A bar with the time left, that goes away when all is done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _frequencies(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError("--frequencies", text, "needs integers with commas between them, such as 14,35") from None
