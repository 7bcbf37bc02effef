"""`reproduce`: the claims of a paper, tested while one watches."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from groklab.cli.main import Stopped, app
from groklab.cli.output import Json, console_for, emit
from groklab.errors import InputError, Interrupted
from groklab.text import duration


@app.command(rich_help_panel="Train")
def reproduce(
    what: Annotated[
        str | None, typer.Argument(metavar="PAPER[/CLAIM]", help="A paper or one of its claims; without it, a list.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The smallest honest settings; this is the default.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The paper's own settings, a slice of time at a time.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Take this many seeds instead of each claim's own.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again what is found already, of the runs that are kept.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--slice", metavar="MINUTES", help="Stop, saved, after this long: 7.5 for --full, else no limit."),
    ] = None,
    slices: Annotated[int, typer.Option(help="Work this many slices in a row.")] = 1,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the HTML page goes.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Lay the results into FOLDER/PAPER.json, to be published.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing while working.")] = False,
    as_json: Json = False,
) -> None:
    """Test the claims of a paper by training for them, and say which are reproduced.

    What has been found is kept, claim by claim and seed by seed: the same command goes on where it was stopped.

    Examples:

      groklab reproduce

      groklab reproduce controls

      groklab reproduce controls/too-few-pairs --full --slice 2
    """
    from groklab import reproduction
    from groklab.reproduction.claim import Size
    from groklab.reproduction.saved import save as save_results

    if what is None:
        _list(as_json)
        return
    if quick and full:
        raise InputError("--quick and --full: needs one of them, not both")
    size: Size = "full" if full else "quick"
    console = console_for(as_json)
    try:
        with _view(console, quiet) as view:
            stated = reproduction.reproduce(
                what, size, seeds=seeds, again=again, minutes=minutes, slices=slices, view=view
            )
    except (Interrupted, KeyboardInterrupt):
        left = duration(reproduction.standing(what, size, seeds=seeds)["seconds_left"])
        raise Stopped(
            f"what has been found and trained is kept, and the same command goes on (by estimate {left} left)"
        ) from None
    from groklab.report.reproduced import write_page

    path = write_page(stated, out=page, seeds=seeds)
    saved = save_results(stated, save) if save is not None else None
    if not quiet:
        _say(console, stated, what, seeds)
        console.print(f"[bold]page:[/bold] {path}", soft_wrap=True)
        if saved is not None:
            console.print(f"[bold]saved:[/bold] {saved}", soft_wrap=True)
    if as_json:
        emit(stated)


def _view(console: Console, quiet: bool) -> Any:
    from groklab.cli.watching import LiveClaims, PlainClaims

    if quiet:
        return nullcontext(None)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveClaims(console)
    return nullcontext(PlainClaims(console))


def _say(console: Console, stated: dict[str, Any], what: str, seeds: int | None) -> None:
    """One line a claim, the tally, and how to go on."""
    from groklab.cli.watching import verdict_text
    from groklab.reproduction.measured import label, spread

    table = Table(box=None, pad_edge=False)
    table.add_column("claim", style="bold", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured")
    for c in stated["claims"]:
        seen = "\n".join(f"{label(name)} {spread(entry)}" for name, entry in c["measured"].items())
        cost = f"; about {duration(c['cost_seconds'])}" if c["verdict"] == "not run" and c["cost_seconds"] else ""
        said = Text.assemble(seen, "\n" if seen else "", (f"{c['note']}{cost}", "dim"))
        table.add_row(c["id"], verdict_text(c["verdict"]), said)
    console.print(table)
    console.print(", ".join(f"{n} {verdict}" for verdict, n in stated["tally"].items() if n))
    if not stated["complete"]:
        more = f" --seeds {seeds}" if seeds is not None else ""
        console.print(
            f"the slice is over; `groklab reproduce {what} --{stated['size']}{more}` goes on "
            f"(by estimate {duration(stated['seconds_left'])} left)",
            soft_wrap=True,
        )


def _list(as_json: bool) -> None:
    from groklab import reproduction

    found = reproduction.listed()
    if as_json:
        emit(found)
        return
    console = console_for(False)
    for paper in found["papers"]:
        console.print(f"[bold]{paper['paper']}[/bold]  {paper['title']}")
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("", no_wrap=True)
        table.add_column("--quick", justify="right", no_wrap=True)
        table.add_column("--full", justify="right", no_wrap=True)
        table.add_column("claim")
        for c in paper["claims"]:
            costs = ("–" if (s := c[f"{size}_seconds"]) is None else duration(s) for size in ("quick", "full"))
            table.add_row(f"  {c['id']}", *costs, c["claim"])
        console.print(table)
