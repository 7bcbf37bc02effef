"""`phase-diagram`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit
from groklab.errors import InputError, did_you_mean, shorten
from groklab.grokking.learning_phases import GAP, THRESHOLD

if TYPE_CHECKING:
    from groklab.sweeps import Sweep

if TYPE_CHECKING:
    from groklab.report.phase_study import PhaseStudy

GROUP = "Look"
#: Slices that are told one by one.
MOST_TOLD = 12


def find_sweep(name: str) -> Sweep:
    """The sweep in that folder, of that name, or the only one whose name begins so; raises InputError otherwise."""
    from groklab import device
    from groklab.sweeps import Sweep

    if (Path(name).expanduser() / "sweep.json").is_file():
        return Sweep(Path(name).expanduser())
    folder = device.home() / "sweeps"
    known = sorted(path.parent.name for path in folder.glob("*/sweep.json"))
    found = [name] if name in known else [k for k in known if name and k.startswith(name)]
    if len(found) > 1:
        raise InputError(f"{len(found)} sweeps begin with {shorten(name)!r}: {', '.join(found)}")
    if not found:
        hint, there = did_you_mean(name, known), ", ".join(known) or "none"
        raise InputError(f"no sweep is called {shorten(name)!r}{hint}; there are {there} in {folder}")
    return Sweep(folder / found[0])


@app.command("phase-diagram", rich_help_panel=GROUP)
def phase_diagram(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's name, the beginning of it, or its folder.")],
    x: Annotated[
        str | None, typer.Option("--x", metavar="KEY", help="The setting to the right; by default the grid's first.")
    ] = None,
    y: Annotated[
        str | None, typer.Option("--y", metavar="KEY", help="The setting upwards; by default the grid's second.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="KEY=VALUE", help="Hold another setting of the grid at a value.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Accuracy from which training and test count as reached.")] = (
        THRESHOLD
    ),
    gap: Annotated[float, typer.Option(help="Steps between the two from which on it is grokking.")] = GAP,
    boundary: Annotated[
        str, typer.Option(help="What a delay of exactly --gap is: 'grokking', as the paper says, or 'comprehension'.")
    ] = "grokking",
    published: Annotated[
        str | None, typer.Option(metavar="MAP", help="Compare cell by cell with a published map, such as data_add_r.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write; by default in the sweep.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a sweep's learning phases as one self-contained page: a square a cell, majority over seeds, no smoothing.

    Comprehension, grokking, memorisation and confusion (Liu et al. 2022), with maps of the times they rest on, and
    each cell's curves where the pointer is. Settings of the grid beyond two can be chosen on the page.

    Examples:

      groklab phase-diagram decays

      groklab phase-diagram toy --x optimiser.learning_rate --y optimiser.weight_decay --published data_add_r --json
    """
    from groklab.report.phase_diagram import write_page
    from groklab.report.phase_study import study

    held: dict[str, Any] = {}
    for text in at or []:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise InputError("--at", shorten(text), "needs key=value, such as split.frac_train=0.5")
        if key in held:
            raise InputError(f"--at {shorten(key)} is given twice")
        held[key] = value
    if out is not None and not out.is_dir() and out.suffix != ".html":
        raise InputError("--out", str(out), "needs a folder that exists, or a file name that ends in .html")
    found = find_sweep(sweep)
    asked: dict[str, Any] = {"x": x, "y": y, "at": held, "threshold": threshold, "gap": gap, "boundary": boundary}
    studied = study(found, **asked, published=published)
    path = write_page(studied, found, out)
    _say(studied, console_for(as_json))
    if as_json:
        emit({**studied.to_dict(), "page": str(path)})
    else:
        console_for(False).print(f"page: {path}", soft_wrap=True, markup=False)


def _say(studied: PhaseStudy, console: Console) -> None:
    from groklab.report.phase_study import said, slice_name

    for i, diagram in enumerate(studied.diagrams[:MOST_TOLD]):
        if len(studied.diagrams) > 1:
            console.print(f"{slice_name(diagram)}:", markup=False, soft_wrap=True)
        console.print(said(diagram), soft_wrap=True)
        if studied.published is not None:
            console.print(f"{studied.published.name}: {studied.agreements[i].summary}", soft_wrap=True)
    if len(studied.diagrams) > MOST_TOLD:
        console.print(f"and {len(studied.diagrams) - MOST_TOLD} slices more, on the page")
