"""`app`: the dashboard."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Annotated

import typer

from groklab.cli.app import LOOK, IntOption, Json, app, console_for, emit, open_page
from groklab.errors import InputError


@app.command("app", rich_help_panel=LOOK)
def dashboard(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="A folder of runs; by default GROKLAB_HOME.")
    ] = None,
    port: Annotated[int, IntOption(help="The port to listen on; 0 takes any that is free.")] = 8050,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Any other than 127.0.0.1 is open to the network.")
    ] = "127.0.0.1",
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Show all runs and sweeps in the browser, live while they train, and start, stop and resume them there.

    It prints a link with a token, without which it answers nobody. What it starts are commands like any other: they go
    on when it ends.

    Examples:

      groklab app

      groklab app ~/groklab --port 0 --open
    """
    if importlib.util.find_spec("dash") is None:
        raise InputError("the dashboard needs Dash: pip install 'groklab[app]'")
    from groklab.device import home

    runs = folder.expanduser().resolve() if folder is not None else home()
    if folder is not None and not runs.is_dir():
        raise InputError("FOLDER", str(folder), "is not a folder")
    if not 0 <= port < 2**16:
        raise InputError("--port", port, "needs a number from 0 to 65535")
    from groklab.app import Dashboard

    runs.mkdir(parents=True, exist_ok=True)
    served = Dashboard(runs, host, port)
    console = console_for(as_json)
    if host not in ("127.0.0.1", "::1", "localhost"):
        warnings.warn(f"{host} may be reached from other machines, and nothing is encrypted", stacklevel=2)
    console.print(f"groklab app on {runs}; open the link, and stop with Ctrl-C:", soft_wrap=True)
    console.print(served.link, soft_wrap=True, style="bold")
    if as_json:
        emit({"link": served.link, "port": served.port, "folder": str(runs)})
    if browse:
        open_page(served.link, console)
    try:
        served.serve()
    except KeyboardInterrupt:
        going = served.jobs.running
        on = f"; {len(going)} {'trains' if len(going) == 1 else 'train'} on, see `groklab runs`" if going else ""
        console.print(f"stopped{on}", soft_wrap=True)
