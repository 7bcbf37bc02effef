"""The command `gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groklab.cli.app import LOOK, Json, Open, TrustPlugin, app, console_for, emit, open_page
from groklab.cli.look import readable_run
from groklab.cli.sweep_pages import is_sweep
from groklab.device import readable_bytes

if TYPE_CHECKING:
    from groklab.store import Run
    from groklab.sweeps import Sweep


@app.command(rich_help_panel=LOOK)
def gallery(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or empty folder, or one with a gallery to replace.")
    ],
    names: Annotated[
        list[str], typer.Argument(metavar="RUN|SWEEP…", help="Runs and sweeps, in the order of the index.")
    ],
    title: Annotated[str, typer.Option(help="The heading of the index.")] = "Runs of groklab",
    members: Annotated[
        bool, typer.Option("--members", help="Also write the pages of all members of the sweeps, about 1 MB each.")
    ] = False,
    trust_plugin: TrustPlugin = False,
    open_it: Open = False,
    as_json: Json = False,
) -> None:
    """Write the pages of runs and sweeps with an index into a folder that any web server can show.

    All links are relative and nothing is loaded from elsewhere. The pages name no folder of this machine. Called again,
    it replaces the gallery in the folder.

    Example:

      groklab gallery site demo operations --title 'Grokking at p = 59'
    """
    from groklab.report import write_gallery
    from groklab.sweeps import find_sweep

    subjects: list[Run | Sweep] = []
    for name in names:
        if is_sweep(name):
            sweep = find_sweep(name)
            sweep.trust_plugin = trust_plugin
            subjects.append(sweep)
        else:
            subjects.append(readable_run(name, trust_plugin))
    console = console_for(as_json)

    def announce(done: int, n: int, name: str) -> None:
        console.print(f"page {done + 1:,} of {n:,}: {name}", soft_wrap=True)

    made = write_gallery(folder, subjects, title=title, members=members, view=announce)
    if as_json:
        cards = [{"name": card.name, "kind": card.kind, "page": card.page} for card in made.cards]
        emit({"gallery": str(made.path), "bytes": made.n_bytes, "pages": cards})
    else:
        n = len(made.pages)
        size = readable_bytes(made.n_bytes)
        console.print(f"gallery: {made.path} ({n:,} page{'s' if n != 1 else ''}, {size})", soft_wrap=True)
    if open_it:
        open_page(made.path, console)
