"""`sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import TRAIN, IntOption, Json, Overrides, Quiet, Stopped, app, console_for, emit, titled, view_for
from groklab.errors import InputError, Interrupted
from groklab.experiment import check_name

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.sweeps import Sweep


@app.command(rich_help_panel=TRAIN)
def sweep(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="A preset's name, or a YAML file.")],
    overrides: Overrides = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="A setting with its values: v1,v2,… or lo:hi:n (n values, both ends included) or lo:hi:n:log. "
            "Once for each setting; the first varies slowest.",
        ),
    ] = None,
    seeds: Annotated[int, IntOption(help="Members at each point, with consecutive seeds.")] = 1,
    workers: Annotated[
        int | None, IntOption(help="Worker processes on this machine.", show_default="one per core")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on this dask cluster, such as tcp://host:8786.")
    ] = None,
    max_members: Annotated[int, IntOption(help="Refuse a sweep with more members.")] = 10_000,
    no_retire: Annotated[
        bool, typer.Option("--no-retire", help="Train every member to the end of its budget, even after grokking.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the folder, instead of the experiment's.")] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with your own components.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how it would be packed, without training.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an experiment over a grid of settings, with several seeds at each point.

    Members of one shape train together; each stops once it has grokked. A sweep that was stopped continues when the
    same command is given again. Everything is kept in GROKLAB_HOME/sweeps, one row per member in table.parquet.

    Examples:

      groklab sweep micro --grid optimiser.weight_decay=0.5,1,2 --grid split.frac_train=0.4:0.7:4 --seeds 3

      groklab sweep micro budget.steps=2000 --grid optimiser.learning_rate=1e-4:1e-2:8:log --workers 2

      groklab sweep micro --grid task.p=11:31:6 --dry-run
    """
    check_name(what)  # before JAX is imported: a refusal should not take a second
    from groklab.cli.phase_map import LiveSweep, PlainSweep
    from groklab.experiment import parse_overrides
    from groklab.sweeps import parse_grid
    from groklab.sweeps import sweep as run_sweep

    settings = parse_overrides(overrides or [])
    if plugin:
        settings["plugins"] = list(plugin)
    keys = parse_grid(grid or [])
    options: dict[str, Any] = {
        "overrides": settings,
        "seeds": seeds,
        "retire": not no_retire,
        "name": name,
        "max_members": max_members,
    }
    base = Path(what) if what.endswith((".yaml", ".yml")) else what
    console = console_for(as_json)
    if dry_run:
        _show_plan(base, keys, options, workers, console, as_json)
        return
    try:
        with view_for(console, quiet, LiveSweep, PlainSweep) as view:
            result = run_sweep(base, keys, **options, workers=workers, scheduler=scheduler, view=view)
    except Interrupted as stop:
        raise Stopped(f"the same command continues {stop} from here") from None
    _finish(result, console, quiet, as_json, drawn=isinstance(view, LiveSweep) and view.drawn > 0)


def _show_plan(
    what: str | Path,
    keys: dict[str, list[Any]],
    options: dict[str, Any],
    workers: int | None,
    console: Console,
    as_json: bool,
) -> None:
    from groklab.device import cores
    from groklab.sweeps import make_plan, pack
    from groklab.text import label

    plan = make_plan(what, keys, **options)
    packing = pack(plan.experiments, workers=workers or cores())
    if as_json:
        emit(
            {
                "members": len(plan.experiments),
                "packs": len(packing.packs),
                "packing": packing.description,
                "keys": plan.keys,
            }
        )
        return
    console.print(titled(plan.name, f": {len(plan.points):,} points"), soft_wrap=True)
    for key, values in plan.keys.items():
        console.print(f"  {key}: {', '.join(map(label, values))}", soft_wrap=True)
    console.print(packing.description, soft_wrap=True)


def _finish(result: Sweep, console: Console, quiet: bool, as_json: bool, drawn: bool) -> None:
    from groklab.cli.phase_map import map_of
    from groklab.cli.sweep_lists import next_commands, print_sweep_result

    summary = result.summary()
    if not quiet:
        if not drawn:
            console.print(map_of(result, console.width))
        print_sweep_result(result, summary, console)
        for reason in summary["failures"]:
            console.print(f"failed: {reason}", soft_wrap=True)
        console.print(f"one row per member in {result.path / 'table.parquet'}", soft_wrap=True)
        console.print(next_commands(result), soft_wrap=True)
    if as_json:
        emit(summary)
    if summary["failed"] == summary["members"]:
        raise InputError(f"no member of {result.name} could be trained: {summary['failures'][0]}")
