"""`phase-diagram`, and what `report` does for a sweep: both write the sweep's page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import LOOK, FloatOption, Json, Open, app, console_for, emit, open_page
from groklab.cli.completing import one_of
from groklab.device import readable_bytes
from groklab.errors import InputError, shorten
from groklab.grokking import GAP, THRESHOLD

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.report import SweepPage
    from groklab.sweeps import Slice, Sweep

#: Slices that are described one by one.
MOST_SLICES = 12


def sweep_meant(names: list[str], options: list[str]) -> Sweep | None:
    """Return the sweep that is meant, or None for runs; a name that both have means the run.

    Args:
        options: those given that only a sweep's page has, so that a sweep is meant.

    Raises:
        InputError: a sweep beside anything else, a beginning that several sweeps share, or options without a sweep.
    """
    meant = [name for name in names if is_sweep(name)]
    if meant and len(names) > 1:
        raise InputError(f"a page holds one sweep or several runs, and {shorten(meant[0])!r} is a sweep")
    if options and len(names) > 1:
        raise InputError(f"{options[0]} is of the page of one sweep, and these are {len(names)} runs")
    from groklab.sweeps import find_sweep

    return find_sweep(names[0]) if meant or options else None


def is_sweep(name: str) -> bool:
    """Return whether a name or folder is that of a sweep and not of a run."""
    from groklab import Collection
    from groklab.sweeps import sweep_paths

    if (Path(name).expanduser() / "sweep.json").is_file():
        return True
    collection = Collection()
    if not name or (Path(name).expanduser() / "experiment.json").is_file():
        return False
    if any(path.name.startswith(name) for path in collection.paths()):
        return False
    return any(path.name.startswith(name) for path in sweep_paths())


@app.command("phase-diagram", rich_help_panel=LOOK)
def phase_diagram(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, the beginning of it, or its folder.")],
    x: Annotated[
        str | None, typer.Option("--x", metavar="KEY", help="The setting of the x axis; by default the grid's first.")
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y", metavar="KEY", help="The setting of the y axis; by default operations, or the grid's next."
        ),
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="KEY=VALUE", help="Fix another setting of the grid at a value.")
    ] = None,
    threshold: Annotated[float, FloatOption(help="Accuracy that training and test must reach.")] = (THRESHOLD),
    gap: Annotated[float, FloatOption(help="Delay in steps from which it counts as grokking.")] = GAP,
    boundary: Annotated[
        str,
        typer.Option(
            autocompletion=one_of(("grokking", "comprehension")),
            help="What a delay of exactly --gap is: 'grokking', as in the paper, or 'comprehension'.",
        ),
    ] = "grokking",
    published: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compare cell by cell with a published map, such as data_add_r, or a table."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="Where to write; by default in the sweep's folder."),
    ] = None,
    open_it: Open = False,
    as_json: Json = False,
) -> None:
    """Draw a sweep's learning phases: a map of letters here, and a page with the curves of every cell.

    Comprehension, grokking, memorisation and confusion (Liu et al. 2022), by the majority over the seeds, without
    smoothing. The page is that of `groklab report SWEEP`, first coloured by phase. Settings of the grid beyond two
    can be chosen on the page.

    Examples:

      groklab phase-diagram decays

      groklab phase-diagram toy --x optimiser.learning_rate --y optimiser.weight_decay --published data_add_r --json
    """
    held: dict[str, Any] = {}
    for text in at or []:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise InputError("--at", shorten(text), "needs key=value, such as split.frac_train=0.5")
        if key in held:
            raise InputError(f"--at {shorten(key)} is given twice")
        held[key] = value
    _check_out(out)
    from groklab.sweeps import find_sweep

    target = find_sweep(sweep)
    # imported after what can be refused at once
    from groklab.report import make_page
    from groklab.sweeps import phase_summary

    phases: dict[str, Any] = {"threshold": threshold, "gap": gap, "boundary": boundary}
    settings: dict[str, Any] = {"x": x, "y": y, "at": held, "published": published, **phases}
    page = make_page(target, out, command="phase-diagram", colouring="phase", **settings)
    console = console_for(as_json)
    if len(page.study.slices) == 1:
        from groklab.cli.phase_map import draw_map

        console.print(draw_map(page.study.axes, page.study.slices[0].cells, console.width, threshold, gap))
    _describe(page, console, lambda part: phase_summary(page.study, part))
    if as_json:
        emit({**page.to_dict(), "page": str(page.path)})
    else:
        console.print(f"page: {page.path}", soft_wrap=True)
    if open_it:
        open_page(page.path, console)


def report_sweep(
    sweep: Sweep,
    out: Path | None,
    rows: str | None,
    columns: str | None,
    published: str | None,
    members: list[str],
    open_it: bool,
    as_json: bool,
) -> None:
    """Write the page of a sweep, and the members' own pages, and say what it shows."""
    from groklab.report import make_page
    from groklab.sweeps import verdict_summary

    _check_out(out)
    console = console_for(as_json)

    def announce(done: int, n: int, path: Path) -> None:
        if n > 1:
            console.print(f"page {done + 1:,} of {n:,}: {path.name}", soft_wrap=True)

    page = make_page(sweep, out, x=columns, y=rows, published=published, members=members, view=announce)
    _describe(page, console, verdict_summary)
    if page.own_pages:
        size = readable_bytes(sum(p.stat().st_size for p in page.own_pages))
        folder = page.own_pages[0].parent
        console.print(f"own pages: {len(page.own_pages):,} in {folder} ({size})", soft_wrap=True)
    elif members:
        console.print("own pages: none, as none of these members has begun", soft_wrap=True)
    if as_json:
        own = [str(p) for p in page.own_pages]
        emit({**page.to_dict(), "report": str(page.path), "bytes": page.path.stat().st_size, "members": own})
    else:
        console.print(f"report: {page.path}", soft_wrap=True)
    if open_it:
        open_page(page.path, console)


def _check_out(out: Path | None) -> None:
    if out is not None and not out.expanduser().is_dir() and out.suffix != ".html":
        raise InputError("--out", str(out), "needs a folder that exists, or a file name that ends in .html")


def _describe(page: SweepPage, console: Console, summary: Callable[[Slice], str]) -> None:
    """Print each slice's summary, how runs count by both definitions, and how far it agrees with what is published."""
    from groklab.sweeps import runs_summary

    slices = page.study.slices
    for i, part in enumerate(slices[:MOST_SLICES]):
        name = page.study.slice_name(i)
        text = f"{name}: {summary(part)}" if name else summary(part)
        text += f" {runs_summary(page.study, part)}"
        if page.comparison is not None:
            text += f" {page.comparison.source}: {page.comparison.agreements[i].summary}"
        console.print(text, soft_wrap=True)
    if len(slices) > MOST_SLICES:
        console.print(f"and {len(slices) - MOST_SLICES} more slices, on the page")
