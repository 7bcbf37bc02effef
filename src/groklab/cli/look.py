"""`runs`, `show`, `compare`, `report`: looking at what has been trained."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import (
    HELP,
    LOOK,
    Commands,
    Json,
    Open,
    TrustPlugin,
    app,
    console_for,
    emit,
    number,
    open_page,
    titled,
)
from groklab.cli.completing import one_of
from groklab.cli.sweep_lists import compare_sweeps, matching_sweeps, print_sweeps, show_sweep, sweeps_meant
from groklab.errors import check_choice
from groklab.text import date_of, duration, percents, steps_of

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.store import Run

STATUSES = ("finished", "interrupted", "running", "perhaps running", "diverged", "failed", "damaged")
runs_app = Commands(invoke_without_command=True, **HELP)
app.add_typer(runs_app, name="runs", rich_help_panel=LOOK)


@runs_app.callback()
def runs(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only names that match, such as 'micro*'.")] = None,
    status: Annotated[
        str | None, typer.Option(autocompletion=one_of(STATUSES), help=f"Only this status: {', '.join(STATUSES)}.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    grokked: Annotated[bool, typer.Option("--grokked", help="Only runs with a member that has grokked.")] = False,
    as_json: Json = False,
) -> None:
    """List the saved runs, with their results and disk usage, and the saved sweeps.

    Examples:

      groklab runs --name 'micro*' --grokked

      groklab runs tag micro-1a2b3c4d baseline

      groklab runs rm micro-1a2b3c4d
    """
    from groklab.store import Collection

    if context.invoked_subcommand is not None:
        return
    if status is not None:
        check_choice("--status", status, STATUSES)
    collection = Collection()
    listed = [s for s in collection.summaries() if _matches(s, name, status, tag, grokked)]
    of_sweeps = [] if tag is not None else matching_sweeps(name, status, grokked)
    total = sum(s["bytes"] for s in listed)
    if as_json:
        emit({"runs": listed, "bytes": total, "sweeps": of_sweeps})
        return
    console = console_for(False)
    if listed:
        _print_runs(listed, console)
    else:
        matching = " match" if name or status or tag or grokked else ""
        console.print(f"no runs in {collection.folder}{matching}", soft_wrap=True)
    if of_sweeps:
        console.print()
        print_sweeps(of_sweeps, console)


def _print_runs(listed: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table of runs, and what they take on the disk."""
    from groklab.cli.tables import Column, print_table
    from groklab.device import home, readable_bytes

    columns = (
        Column("run", left=True),
        Column("task", left=True),
        Column("members"),
        Column("status", left=True),
        Column("memorised", rank=2),
        Column("generalised"),
        Column("test", rank=1),
        Column("date", left=True),
        Column("steps", rank=4),
        Column("time", rank=5),
        Column("disk", rank=6),
        Column("tags", left=True, rank=7),
    )
    rows = [
        (
            s["run"],
            s["task"] or "–",
            number(s["members"] or None),
            s["status"],
            steps_of(s.get("memorised_step")),
            steps_of(s.get("grokked_step")),
            percents(s.get("test_accuracy")),
            date_of(s["changed"]),
            number(s.get("steps")),
            duration(s["seconds"]) if "seconds" in s else "–",
            readable_bytes(s["bytes"]),
            " ".join(s["tags"]),
        )
        for s in listed
    ]
    left_out = print_table(console, columns, rows)
    more = f"; a wider window shows {', '.join(left_out)}" if left_out else ""
    count = "1 run" if len(listed) == 1 else f"{len(listed)} runs"
    size = readable_bytes(sum(s["bytes"] for s in listed))
    console.print(f"{count}, {size} in {home()}{more}", style="dim", soft_wrap=True)


@runs_app.command("rm")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Runs to delete, by name.")],
    as_json: Json = False,
) -> None:
    """Delete runs and everything in them."""
    from groklab.device import readable_bytes
    from groklab.store import Collection

    freed = Collection().remove(*names)
    if as_json:
        emit({"removed": list(freed), "bytes": sum(freed.values())})
    else:
        console_for(False).print(f"removed {', '.join(freed)}: {readable_bytes(sum(freed.values()))} freed")


@runs_app.command("tag")
def tag_run(
    name: Annotated[str, typer.Argument(metavar="RUN")],
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="Tags to add; -TAG (after --) removes one.")],
    as_json: Json = False,
) -> None:
    """Add tags to a run, or remove them."""
    from groklab.store import Collection

    run = Collection().find(name)
    kept = set(run.tags)
    for tag in tags:
        if tag.startswith("-"):
            kept.discard(tag[1:])
        else:
            kept.add(tag)
    run.tags = sorted(kept)
    if as_json:
        emit({"run": run.name, "tags": run.tags})
    else:
        console_for(False).print(f"{run.name}: {' '.join(run.tags) or 'no tags'}")


@app.command(rich_help_panel=LOOK)
def show(
    run: Annotated[
        str, typer.Argument(metavar="RUN|SWEEP", help="A run's or sweep's name, the beginning of it, or its folder.")
    ],
    every: Annotated[bool, typer.Option("--all", help="Show every setting, those at their defaults, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show the settings and results of a run or a sweep; settings as other commands take them."""
    if sweeps := sweeps_meant([run]):
        show_sweep(sweeps[0], as_json, every)
        return
    opened = readable_run(run)
    from groklab.grokking import OWNER, phase_of, phases_sentence

    phases, changes = [phase_of(opened, member) for member in range(opened.n_members)], opened.changes
    if as_json:
        dicts = [p.to_dict() for p in phases]
        learning_phase = dicts if opened.n_members > 1 else dicts[0]
        emit({**opened.summary(), "learning_phase": learning_phase, "changes": changes})
        return
    console = console_for(False)
    print_result(opened, console)
    if opened.n_members == 1:
        console.print(f"phase of {OWNER}: {phases[0].sentence()}")
    else:
        console.print(phases_sentence(phases))
    kept = f"{len(opened.checkpoints)} kept, the last at step {max(opened.checkpoints, default=0):,}"
    console.print(f"{'checkpoints':>12}  {kept}")
    if opened.recorded[0].plugins:
        console.print(f"{'plug-ins':>12}  {', '.join(opened.recorded[0].plugins)}", soft_wrap=True)
    for sentence in changes:
        console.print(f"{'note':>12}  {sentence}", soft_wrap=True)
    from groklab.cli.tables import print_settings, shown_settings

    settings = {k: v for k, v in shown_settings(opened.recorded[0], every).items() if k != "plugins"}
    if opened.n_members > 1:
        settings.pop("seed")
    print_settings(console, settings)


@app.command(rich_help_panel=LOOK)
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…|SWEEP…", help="Two or more runs, or members such as RUN#2, by name; or sweeps."),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what needs the weights.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs: outcomes, settings that differ, key frequencies, stages of training, ablations and verdicts.

    Over the members of an ensemble, steps are censored (Kaplan–Meier) medians; its model is the first member.
    Of a sweep the points of the grid are compared.

    Examples:

      groklab compare micro-x10-1a2b3c4d micro-x10-5e6f7a8b --quick

      groklab compare micro-x10-1a2b3c4d#0 micro-x10-1a2b3c4d#3

      groklab compare first-map
    """
    if sweeps := sweeps_meant(runs):
        compare_sweeps(sweeps, as_json)
        return
    from groklab.cli.comparing import compare_runs

    compare_runs(runs, as_json, quick)


@app.command(rich_help_panel=LOOK)
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…|SWEEP", help="Runs to put on the page, or one sweep: name or folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write; by default in the run's or sweep's folder.")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="For a sweep: the setting of the rows; by default task.expression if swept."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="For a sweep: the setting of the columns; by default split.frac_train with operations."
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="For a sweep: compare with a table (FILE.json, or a name like furuta2024/grokked) or a map.",
        ),
    ] = None,
    members: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW,COLUMN|all",
            help="For a sweep: also write the pages of this cell's runs, a few megabytes each. May be repeated.",
        ),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A Python file with your own figures.")
    ] = None,
    trust_plugin: TrustPlugin = False,
    open_it: Open = False,
    as_json: Json = False,
) -> None:
    """Write a self-contained HTML page for runs or a sweep, and print its path.

    The page of a sweep has cells over two of its settings, coloured by verdict, phase, time or accuracy, with the
    curves of every cell.

    Examples:

      groklab report first

      groklab report operations --members add,0.3 --members 2x_y,0.3

      groklab report operations --published furuta2024/grokked

      groklab report first --plugin my_figure.py
    """
    from groklab.cli.sweep_pages import report_sweep, sweep_meant

    if plugin:
        from groklab.plugins import load_plugin

        for file in plugin:
            load_plugin(file)
    of_sweep = {"--rows": rows, "--columns": columns, "--published": published, "--members": members}
    sweep = sweep_meant(runs, [option for option, value in of_sweep.items() if value])
    if sweep is not None:
        sweep.trust_plugin = trust_plugin
        report_sweep(sweep, out, rows, columns, published, members or [], open_it, as_json)
        return
    opened = [readable_run(name, trust_plugin) for name in runs]
    from groklab.report import write_report
    from groklab.store import storage

    if out is not None:
        storage.check_writable(out)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        path = write_report(opened, out)
    if as_json:
        emit({"report": str(path), "bytes": path.stat().st_size, "runs": [run.name for run in opened]})
    else:
        console_for(False).print(f"report: {path}", soft_wrap=True)
    if open_it:
        open_page(path, console_for(as_json))


# -- shared with other commands -----------------------------------------------------------------------------------


def readable_run(name: str, trust_plugin: bool = False, *, computing: bool = False) -> Run:
    """Return a run whose description, status and metrics can be read; raises DamagedError otherwise.

    Args:
        trust_plugin: import plug-ins that may be another's, too.
        computing: also import its plug-ins, as what they register may be named; raises InputError as `run.experiments`.
    """
    from groklab.store import Collection

    run = Collection().look_up(name, trust_plugin=trust_plugin)
    for part in ("recorded", "status", "metrics", *(["experiments"] if computing else [])):
        getattr(run, part)
    return run


def print_result(run: Run, console: Console) -> None:
    """Print a run's results in a few lines."""
    from groklab.grokking import Headline, headline_sentence
    from groklab.store import OperationResult

    s = run.summary()
    reason = f" ({'generalised' if s['reason'] == 'grokked' else s['reason']})" if s["reason"] else ""
    ended = f" {s['status']} at step {s['steps']:,} after {duration(s['seconds'])}{reason}"
    console.print(titled(s["run"], ended))
    headlines = run.headlines
    console.print(headline_sentence(headlines) or "nothing is evaluated yet", soft_wrap=True)
    from groklab.store import marks_of

    for mark in marks_of(run.recorded, run.status.members):
        console.print(mark.sentence(), soft_wrap=True, markup=False)
    for one in s.get("operations", ()) if run.n_members == 1 else ():
        result = Headline.of(OperationResult.model_validate(one), s["steps"], ended=headlines[0].ended)
        console.print(f"  {one['operation']}: {result.sentence()}", soft_wrap=True)
    if run.n_members == 1 and run.checkpoints:
        _print_frequencies(run, console)
    console.print(f"kept in {s['path']}; `groklab report {s['run']}` makes its page", soft_wrap=True)


def _print_frequencies(run: Run, console: Console) -> None:
    """Print which Fourier frequencies carry the embedding at the end, where the network has learnt any."""
    from groklab.analysis import carrying_frequencies, strong_frequencies
    from groklab.errors import InputError
    from groklab.measures import MEASURES
    from groklab.training import build_task

    if run.changes:
        return
    try:
        task = build_task(run.recorded[0])
        result = MEASURES["embedding_frequencies"](run.weights(), task)
    except InputError:
        return  # without a modulus or an embedding, or a plug-in's, which looking does not import
    # the measure names those alone that carry much
    others = dict.fromkeys(range(1, int(task.algebra.p or 0) // 2 + 1), 0.0)
    shares = others | dict(zip(result["frequencies"], result["share"], strict=True))
    if strong_frequencies(shares):
        named = [f"{k} ({shares[k]:.0%})" for k in carrying_frequencies(shares)]
        console.print(f"frequencies that carry the embedding: {', '.join(named)}")


def _matches(s: dict[str, Any], name: str | None, status: str | None, tag: str | None, grokked: bool) -> bool:
    steps = s.get("grokked_step")
    any_grokked = any(g is not None for g in steps) if isinstance(steps, list) else steps is not None
    return (
        (name is None or fnmatch.fnmatch(s["run"], name))
        and (status is None or s["status"] == status)
        and (tag is None or tag in s["tags"])
        and (not grokked or any_grokked)
    )
