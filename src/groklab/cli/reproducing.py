"""The command `reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groklab.cli.app import (
    TRAIN,
    FloatOption,
    IntOption,
    Json,
    Open,
    Quiet,
    Stopped,
    app,
    console_for,
    emit,
    open_page,
    plain_table,
    titled,
    view_for,
)
from groklab.errors import InputError, Interrupted
from groklab.text import duration

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.reproduction import Claim, PaperResult

#: Seconds of work that begin in a terminal without `--yes`.
LONG = 600


@app.command(rich_help_panel=TRAIN)
def reproduce(
    what: Annotated[
        str | None, typer.Argument(metavar="PAPER[/CLAIM]", help="A paper or one of its claims; without it, a list.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The smallest settings that test the claim (default).")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="The paper's own settings, in slices of time.")] = False,
    seeds: Annotated[int | None, IntOption(help="Use this many seeds instead of each claim's own.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again from the saved runs, without retraining.")
    ] = False,
    minutes: Annotated[
        float | None,
        FloatOption("--slice", metavar="MINUTES", help="Stop, saved, after this long: 7.5 for --full, else no limit."),
    ] = None,
    slices: Annotated[int, IntOption(help="Work this many slices in a row.")] = 1,
    cells: Annotated[
        str | None,
        typer.Option(
            metavar="CELLS",
            help="Of a claim on a table these cells alone, with commas and * for any; the rest another day.",
        ),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Take in reproductions/PAPER.json of another machine's folder of runs; train nothing."
        ),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A Python file with your own claims or components.")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the HTML page goes.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the results to FOLDER/PAPER.json, for publication.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"In a terminal: begin even what takes over {LONG // 60} minutes.")
    ] = False,
    open_it: Open = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Test the claims of a paper by training for them, and show which are reproduced.

    Outcomes are saved for each claim and seed: the same command continues where it was stopped.

    Examples:

      groklab reproduce

      groklab reproduce controls

      groklab reproduce controls/too-few-pairs --full --slice 2

      groklab reproduce furuta2024/table-5 --full --cells '2x_y@*'

      groklab reproduce mine --plugin my_claims.py
    """
    from groklab.plugins import load_plugin
    from groklab.reproduction import Size, results, seconds_ahead, verdict
    from groklab.reproduction import merge as merge_files
    from groklab.reproduction import reproduce as run

    for file in plugin or ():
        load_plugin(file)
    if what is None:
        _list(as_json)
        return
    if quick and full:
        raise InputError("--quick and --full: needs one of them, not both")
    size: Size = "full" if full else "quick"
    from groklab.cli.live import LiveClaims, PlainClaims

    console = console_for(as_json)
    only = None if cells is None else [cell.strip() for cell in cells.split(",") if cell.strip()]
    if merge:
        if only is not None:
            raise InputError("--merge and --cells: needs one of them, not both")
        merge_files(what, merge, size)
    ahead = 0.0 if merge else seconds_ahead(what, size, seeds=seeds, minutes=minutes, slices=slices, cells=only)
    if ahead > LONG and not yes and sys.stdin.isatty():
        raise InputError(f"this takes about {duration(ahead)}; add --yes to begin, or --slice MINUTES for a part of it")
    if ahead and not quiet:
        console.print(f"about {duration(ahead)} of work, by estimate")
    try:
        if merge:
            result = results(what, size, seeds=seeds)
        else:
            with view_for(console, quiet, LiveClaims, PlainClaims) as view:
                result = run(
                    what, size, seeds=seeds, again=again, minutes=minutes, slices=slices, cells=only, view=view
                )
    except (Interrupted, KeyboardInterrupt):
        left = duration(results(what, size, seeds=seeds, cells=only).seconds_left)
        raise Stopped(
            f"everything measured and trained is kept, and the same command continues (by estimate {left} left)"
        ) from None
    from groklab.report import write_page

    path = write_page(result, out=page, seeds=seeds)
    saved = verdict.save(result, save) if save is not None else None
    if not quiet:
        _print(console, result, what, seeds, cells, plugin or [])
        console.print(titled("page:", f" {path}"), soft_wrap=True)
        if saved is not None:
            console.print(titled("saved:", f" {saved}"), soft_wrap=True)
    if open_it:
        open_page(path, console)
    if as_json:
        emit(result.to_dict())


def _print(
    console: Console, result: PaperResult, what: str, seeds: int | None, cells: str | None, plugins: list[Path]
) -> None:
    """Print one line per claim, the tally, and how to continue."""
    from rich.text import Text

    from groklab.cli.live import verdict_text
    from groklab.reproduction import label

    table = plain_table()
    table.add_column("claim", style="bold", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("measured")
    for c in result.claims:
        measured = "\n".join(f"{label(name)} {spread.text}" for name, spread in c.measured.items())
        cost = f"; about {duration(c.cost_seconds)}" if c.verdict == "not run" and c.cost_seconds else ""
        text = Text.assemble(measured, "\n" if measured else "", (f"{c.note}{cost}", "dim"))
        table.add_row(c.claim.id, verdict_text(c.verdict), text)
    console.print(table)
    for counts in result.counts:
        console.print(counts)
    if not result.complete:
        more = f" --seeds {seeds}" if seeds is not None else ""
        more += f" --cells '{cells}'" if cells is not None else ""
        more += "".join(f" --plugin {file}" for file in plugins)
        console.print(
            f"more is left; `groklab reproduce {what} --{result.size}{more}` continues "
            f"(by estimate {duration(result.seconds_left)} left)",
            soft_wrap=True,
        )


def _list(as_json: bool) -> None:
    """List all papers with their claims and their cost in seconds, where there is a trial of that size."""
    from groklab.reproduction import PAPERS, SIZES

    def costs(claim: Claim) -> list[float | None]:
        return [trial.cost if (trial := claim.trial(size)) else None for size in SIZES]

    if as_json:
        names = [f"{size}_seconds" for size in SIZES]
        papers = []
        for paper in PAPERS.values():
            claims = [
                {"id": c.id, "claim": c.claim, "source": c.source, **dict(zip(names, costs(c), strict=True))}
                for c in paper.claims
            ]
            papers.append({"paper": paper.name, "title": paper.title, "claims": claims})
        emit({"papers": papers})
        return
    console = console_for(False)
    for paper in PAPERS.values():
        console.print(titled(paper.name, f"  {paper.title}"))
        table = plain_table(padding=(0, 2))
        table.add_column("", no_wrap=True)
        table.add_column("--quick", justify="right", no_wrap=True)
        table.add_column("--full", justify="right", no_wrap=True)
        table.add_column("claim")
        for c in paper.claims:
            table.add_row(f"  {c.id}", *("–" if s is None else duration(s) for s in costs(c)), c.claim)
        console.print(table)
