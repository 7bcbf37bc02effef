"""`runs`, `presets`, `measures`, `doctor`."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Any

import typer
from rich.table import Table

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit, number
from groklab.device import readable_bytes
from groklab.errors import check_choice
from groklab.experiment.presets import PRESETS, find_preset
from groklab.text import duration

GROUP = "Find"
STATUSES = ("finished", "interrupted", "running", "diverged", "damaged")
#: Columns of a window from which time, disk use and tags are listed, too.
WIDE = 110
runs_app = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(runs_app, name="runs", rich_help_panel="Look")


@runs_app.callback()
def runs(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only names that match, such as 'micro*'.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only this status: finished, interrupted, running, diverged.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    grokked: Annotated[bool, typer.Option("--grokked", help="Only runs of which a member has grokked.")] = False,
    as_json: Json = False,
) -> None:
    """List the runs that are kept, with what they reached and the disk they use.

    Examples:

      groklab runs --name 'micro*' --grokked

      groklab runs tag micro-1a2b3c4d baseline

      groklab runs rm micro-1a2b3c4d
    """
    from groklab import Collection

    if context.invoked_subcommand is not None:
        return
    if status is not None:
        check_choice("--status", status, STATUSES)
    found = [s for s in Collection().summaries() if _matches(s, name, status, tag, grokked)]
    if as_json:
        emit({"runs": found, "bytes": sum(s["bytes"] for s in found)})
        return
    console = console_for(False)
    if not found:
        console.print(f"no runs in {Collection().folder}" + (" match" if name or status or tag or grokked else ""))
        return
    table = Table(box=None, pad_edge=False)
    headings = ("run", "status", "steps", "memorised", "grokked", "test", "time", "disk", "tags")
    shown = headings if console.width >= WIDE else headings[: headings.index("time")]
    for heading in shown:
        # names may be long: where there is little room they are folded, and the numbers stay readable
        named = heading in ("run", "tags")
        left = named or heading == "status"
        table.add_column(heading, no_wrap=not named, overflow="fold", justify="left" if left else "right")
    for s in found:
        cells = (
            s["run"],
            s["status"],
            number(s.get("steps")),
            _members(s.get("memorised_step")),
            _members(s.get("grokked_step")),
            _members(s.get("test_accuracy"), ".1%"),
            duration(s["seconds"]) if "seconds" in s else "–",
            readable_bytes(s["bytes"]),
            " ".join(s["tags"]),
        )
        table.add_row(*cells[: len(shown)])
    console.print(table)
    console.print(
        f"{len(found)} runs, {readable_bytes(sum(s['bytes'] for s in found))} in {Collection().folder}", style="dim"
    )


@runs_app.command("rm")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="RUN…", help="Runs to delete, by name.")],
    as_json: Json = False,
) -> None:
    """Delete runs and everything in them."""
    from groklab import Collection

    collection = Collection()
    found = [collection.find(name).name for name in names]
    freed = {name: collection.remove(name) for name in found}
    if as_json:
        emit({"removed": list(freed), "bytes": sum(freed.values())})
    else:
        console_for(False).print(f"removed {', '.join(freed)}: {readable_bytes(sum(freed.values()))} freed")


@runs_app.command("tag")
def tag_run(
    name: Annotated[str, typer.Argument(metavar="RUN")],
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="Tags to add; -TAG (after --) takes one away.")],
    as_json: Json = False,
) -> None:
    """Add tags to a run, or take them away."""
    from groklab import Collection

    run = Collection().find(name)
    kept = set(run.tags)
    for tag in tags:
        if tag.startswith("-"):
            kept.discard(tag[1:])
        else:
            kept.add(tag)
    run.set_tags(sorted(kept))
    if as_json:
        emit({"run": run.name, "tags": run.tags})
    else:
        console_for(False).print(f"{run.name}: {' '.join(run.tags) or 'no tags'}")


@app.command(rich_help_panel=GROUP)
def presets(
    name: Annotated[str | None, typer.Argument(help="Show this preset's page.")] = None, as_json: Json = False
) -> None:
    """List the named experiments, or show one's page: what it shows, costs, should give, and its source."""
    if name is not None:
        p = find_preset(name)
        page = {"shows": p.shows, "costs": p.costs, "expect": p.expect, "source": p.source}
        if as_json:
            emit({"preset": p.name, **page, "settings": p.settings})
            return
        console = console_for(False)
        console.print(f"[bold]{p.name}[/bold]")
        for key, text in page.items():
            console.print(f"{key:>8}  {text}")
        for key, value in p.settings.items():
            console.print(f"          {key}={value}", style="dim")
        return
    if as_json:
        emit({"presets": [{"preset": p.name, "shows": p.shows, "costs": p.costs} for p in PRESETS.values()]})
        return
    _two_columns((p.name, p.shows) for p in PRESETS.values())


@app.command(rich_help_panel=GROUP)
def measures(as_json: Json = False) -> None:
    """List the measures that can be taken of a model's weights."""
    from groklab import measures as all_measures

    found = all_measures.MEASURES.values()
    if as_json:
        emit({"measures": [{"measure": m.name, "about": m.about, "online": m.online} for m in found]})
        return
    _two_columns((m.name, m.about) for m in found)


@app.command(rich_help_panel=GROUP)
def doctor(as_json: Json = False) -> None:
    """Say what the machine offers, what is installed, whether a GPU is used, and what training costs here."""
    from groklab.cli import doctor as examination

    found = examination.examine()
    if as_json:
        emit(found)
        return
    console = console_for(False)
    for key, value in found.items():
        label = key.replace("_", " ")
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, list):
            value = "; ".join(value) or "none"
        console.print(f"{label:>18}  {value}")


def _matches(s: dict[str, Any], name: str | None, status: str | None, tag: str | None, grokked: bool) -> bool:
    reached = s.get("grokked_step")
    any_grokked = any(g is not None for g in reached) if isinstance(reached, list) else reached is not None
    return (
        (name is None or fnmatch.fnmatch(s["run"], name))
        and (status is None or s["status"] == status)
        and (tag is None or tag in s["tags"])
        and (not grokked or any_grokked)
    )


def _members(value: Any, form: str = ",") -> str:
    if isinstance(value, list):
        seen = [v for v in value if v is not None]
        if form != ",":
            return f"{min(seen):{form}}–{max(seen):{form}}" if seen else "–"
        return f"{len(seen)} of {len(value)}"
    return number(value, form)


def _two_columns(rows: Any) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for left, right in rows:
        table.add_row(left, right)
    console_for(False).print(table)
