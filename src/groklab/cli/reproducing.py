"""The command `reproduce`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    Yes,
    app,
    check_long,
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
    from rich.table import Table

    from groklab.reproduction import Claim, ClaimResult, PaperResult, Size

#: Columns of a terminal in which all columns of the ledger's table fit; in fewer, those of `BELOW` go below it.
WIDE, BELOW = 130, ("checks", "own findings", "measured")


@dataclass(frozen=True)
class _Output:
    """Where results go, and what is printed of them."""

    page: Path | None
    save: Path | None
    quiet: bool
    open_it: bool
    as_json: bool


@app.command(rich_help_panel=TRAIN)
def reproduce(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAPER[/CLAIM]",
            help="A paper or one of its claims, with --hours several or all; without it, what was measured so far.",
        ),
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
    hours: Annotated[
        float | None,
        FloatOption(help="Plan so many hours by what each claim tells per hour, print the plan and work it."),
    ] = None,
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
    list_it: Annotated[bool, typer.Option("--list", help="List the claims with the cost of each.")] = False,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the HTML page goes.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the results to FOLDER/PAPER.json, for publication.")
    ] = None,
    yes: Yes = False,
    open_it: Open = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Test the claims of a paper by training for them, and show which are reproduced.

    Outcomes are saved for each claim and seed: the same command continues where it was stopped.

    Examples:

      groklab reproduce

      groklab reproduce controls

      groklab reproduce controls --list

      groklab reproduce controls/too-few-pairs --full --slice 2

      groklab reproduce nanda2023 liu2022 --full --hours 8

      groklab reproduce furuta2024/table-5 --full --cells '2x_y@*'

      groklab reproduce mine --plugin my_claims.py
    """
    from groklab.plugins import load_plugin

    for file in plugin or ():
        load_plugin(file)
    if quick and full:
        raise InputError("--quick and --full: needs one of them, not both")
    size: Size = "full" if full else "quick"
    names = what or []
    output = _Output(page, save, quiet, open_it, as_json)
    if hours is not None:
        refused = {"--slice": minutes is not None, "--slices": slices != 1, "--again": again, "--list": list_it}
        refused |= {"--cells": cells is not None, "--merge": bool(merge)}
        if not names:
            raise InputError("--hours: needs the name of a paper, or all")
        if name := next((name for name, given in refused.items() if given), ""):
            raise InputError(f"--hours and {name}: needs one of them, not both")
        _work_plan(names, size, hours, seeds, output)
        return
    if list_it:
        _list(names, as_json)
        return
    if not names:
        _overview(as_json)
        return
    if names == ["all"]:
        raise InputError("all: needs --hours, the time for all papers")
    if len(names) > 1:
        raise InputError(f"{' '.join(names)}: several papers need --hours, the time for all of them")
    if merge and cells is not None:
        raise InputError("--merge and --cells: needs one of them, not both")
    result = (
        _merged(names[0], merge, size, seeds)
        if merge
        else _measured(names[0], size, seeds, again, minutes, slices, cells, yes, output)
    )
    more = f" --seeds {seeds}" if seeds is not None else ""
    more += f" --cells '{cells}'" if cells is not None else ""
    more += "".join(f" --plugin {file}" for file in plugin or ())
    _show(result, names[0], seeds, f"groklab reproduce {names[0]} --{size}{more}", output)


def _merged(target: str, files: list[Path], size: Size, seeds: int | None) -> PaperResult:
    """Take in the ledgers of other machines, and return what is measured with them."""
    from groklab.reproduction import merge, results

    merge(target, files, size)
    return results(target, size, seeds=seeds)


def _measured(
    target: str,
    size: Size,
    seeds: int | None,
    again: bool,
    minutes: float | None,
    slices: int,
    cells: str | None,
    yes: bool,
    output: _Output,
) -> PaperResult:
    """Measure what is not measured yet of a paper or a claim, and return all of it."""
    from groklab.cli.live import LiveClaims, PlainClaims
    from groklab.reproduction import reproduce as run
    from groklab.reproduction import results, seconds_ahead

    console = console_for(output.as_json)
    only = None if cells is None else [cell.strip() for cell in cells.split(",") if cell.strip()]
    ahead = seconds_ahead(target, size, seeds=seeds, minutes=minutes, slices=slices, cells=only)
    check_long(ahead, yes)
    if ahead and not output.quiet:
        console.print(f"about {duration(ahead)} of work, by estimate")
    try:
        with view_for(console, output.quiet, LiveClaims, PlainClaims) as view:
            return run(target, size, seeds=seeds, again=again, minutes=minutes, slices=slices, cells=only, view=view)
    except (Interrupted, KeyboardInterrupt):
        left = duration(results(target, size, seeds=seeds, cells=only).seconds_left)
        raise Stopped(
            f"everything measured and trained is kept, and the same command continues (by estimate {left} left)"
        ) from None


def _show(result: PaperResult, target: str, seeds: int | None, command: str, output: _Output) -> None:
    """Write the page and the file of a result, and print it; command: what continues it."""
    from groklab.report import write_page
    from groklab.reproduction import verdict

    console = console_for(output.as_json)
    path = write_page(result, out=output.page, seeds=seeds)
    saved = verdict.save(result, output.save) if output.save is not None else None
    if not output.quiet:
        _print(console, result, target)
        if not result.complete:
            left = duration(result.seconds_left)
            console.print(f"more is left; `{command}` continues (by estimate {left} left)", soft_wrap=True)
        console.print(titled("page:", f" {path}"), soft_wrap=True)
        if saved is not None:
            console.print(titled("saved:", f" {saved}"), soft_wrap=True)
    if output.open_it:
        open_page(path, console)
    if output.as_json:
        emit(result.to_dict())


def _print(console: Console, result: PaperResult, what: str) -> None:
    """Print each claim with its verdicts and its bars, and the tally."""
    from rich.text import Text

    from groklab.cli.live import verdict_text
    from groklab.reproduction import results

    other: Size = "full" if result.size == "quick" else "quick"
    others = results(what, other, home=result.home).claims
    for one, second in zip(result.claims, others, strict=True):
        sides = [one, second] if result.size == "quick" else [second, one]
        verdicts = [piece for s in sides for piece in (f"  {s.size} ", verdict_text(s.verdict))]
        console.print(Text.assemble((one.claim.id, "bold"), *verdicts))
        cost = f"; about {duration(one.cost_seconds)}" if one.verdict == "not run" and one.cost_seconds else ""
        console.print(Text(f"  {one.note}{cost}", "dim"), soft_wrap=True)
        console.print(_bars(sides))
    for counts in result.counts:
        console.print(counts)


def _bars(sides: Sequence[ClaimResult]) -> Table:
    """Return the table of a claim's bars, with what was measured at each size, and what else was measured."""
    from groklab.reproduction import bar_rows, label

    measured = [side for side in sides if side.records]
    rows = bar_rows([side.judged for side in sides])
    table = plain_table(padding=(0, 2, 0, 0))
    headings = [heading for side in measured for heading in (side.size, "control")]
    for heading in ("  quantity", "bar", *headings, "origin of the bar"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        quantity, *rest = row.cells([bool(side.records) for side in sides])
        table.add_row(f"  {quantity}", *rest)
    named = {row.bar.value for row in rows}
    for name in dict.fromkeys(name for side in measured for name in side.measured if name not in named):
        pairs = [(side.measured.get(name), side.control.get(name)) for side in measured]
        table.add_row(f"  {label(name)}", "", *(s.text if s is not None else "–" for pair in pairs for s in pair), "")
    return table


def _work_plan(names: list[str], size: Size, hours: float, seeds: int | None, output: _Output) -> None:
    """Print a plan of some hours, and work it."""
    from groklab.cli.live import LiveClaims, PlainClaims
    from groklab.report import write_page
    from groklab.reproduction import PLANNED, plan, verdict

    planned = plan(names, size, hours=hours, seeds=seeds)
    several = "all" in names or len({name.partition("/")[0] for name in names}) > 1
    page = output.page
    if page is not None and several and not page.expanduser().is_dir():
        raise InputError("--page", str(page), "needs to be a folder for several papers")
    console = console_for(output.as_json)
    if not output.quiet:
        console.print(planned.summary, soft_wrap=True)
        table = plain_table()
        for heading in PLANNED:
            table.add_column(heading, no_wrap=heading == "claim")
        for row in planned.rows:
            table.add_row(*row)
        console.print(table)
        for note in planned.notes:
            console.print(note, soft_wrap=True)
    try:
        with view_for(console, output.quiet, LiveClaims, PlainClaims) as view:
            done = planned.work(view)
    except (Interrupted, KeyboardInterrupt):
        left = duration(plan(names, size, hours=hours, seeds=seeds).seconds_left)
        raise Stopped(
            f"everything is kept, and the same command continues the plan ({left} of its hours left)"
        ) from None
    by_paper = {result.paper.name: result for result in done}
    pages = [write_page(result, out=page, seeds=seeds) for result in by_paper.values()]
    saved = [verdict.save(result, output.save) for result in done] if output.save is not None else []
    if not output.quiet:
        if len(done) == 1:
            _print(console, done[0], names[0])
        else:
            _print_overview(console, sorted(by_paper))
        for path in pages:
            console.print(titled("page:", f" {path}"), soft_wrap=True)
        for path in dict.fromkeys(saved):
            console.print(titled("saved:", f" {path}"), soft_wrap=True)
        if ahead := sum(result.seconds_left for result in done):
            console.print(
                f"by estimate {duration(ahead)} are left; the same command makes the next plan", soft_wrap=True
            )
    if output.open_it and pages:
        open_page(pages[0], console)
    if output.as_json:
        emit({"plan": planned.to_dict(), "results": [result.to_dict() for result in done]})


def _overview(as_json: bool) -> None:
    """Print what was measured of each paper, at each size."""
    from groklab.reproduction import overview

    if as_json:
        emit({"papers": [row.to_dict() for row in overview()]})
        return
    console = console_for(False)
    _print_overview(console, None)
    console.print(
        "`groklab reproduce PAPER --list` lists the claims, and `groklab reproduce PAPER` tests them", soft_wrap=True
    )


def _print_overview(console: Console, papers: list[str] | None) -> None:
    from groklab.reproduction import OVERVIEW, overview

    rows = overview(papers)
    below = () if console.width >= WIDE else BELOW
    kept = [heading for heading in OVERVIEW if heading not in (*below, "hardware")]
    table = plain_table()
    for heading in kept:
        table.add_column(heading, no_wrap=heading not in (*BELOW, "seeds", "time"))
    for row in rows:
        table.add_row(*(row.texts[heading] for heading in kept))
    console.print(table)
    for row in rows:
        if rest := [f"{heading}: {row.texts[heading]}" for heading in below if row.texts[heading] != "–"]:
            console.print(f"{row.paper} {row.size}: {'; '.join(rest)}", soft_wrap=True)
    for machine in sorted({machine for row in rows for machine in row.hardware}):
        console.print(titled("measured on", f" {machine}"), soft_wrap=True)


def _list(names: list[str], as_json: bool) -> None:
    """List claims with their cost in seconds, where there is a trial of that size; of all papers without names."""
    from groklab.reproduction import PAPERS, SIZES, find

    listed = [find(name) for name in names or PAPERS]

    def costs(claim: Claim) -> list[float | None]:
        return [trial.cost if (trial := claim.trial(size)) else None for size in SIZES]

    if as_json:
        keys = [f"{size}_seconds" for size in SIZES]
        papers = [
            {
                "paper": paper.name,
                "title": paper.title,
                "claims": [
                    {"id": c.id, "kind": c.kind, "claim": c.claim, "source": c.source}
                    | dict(zip(keys, costs(c), strict=True))
                    for c in claims
                ],
            }
            for paper, claims in listed
        ]
        emit({"papers": papers})
        return
    console = console_for(False)
    for paper, claims in listed:
        console.print(titled(paper.name, f"  {paper.title}"))
        table = plain_table(padding=(0, 2))
        table.add_column("", no_wrap=True)
        table.add_column("--quick", justify="right", no_wrap=True)
        table.add_column("--full", justify="right", no_wrap=True)
        table.add_column("claim")
        for c in claims:
            table.add_row(f"  {c.id}", *("–" if s is None else duration(s) for s in costs(c)), c.claim)
        console.print(table)
