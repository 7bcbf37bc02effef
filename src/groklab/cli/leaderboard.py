"""The command `leaderboard`."""

from __future__ import annotations

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

    from groklab.leaderboard import Board, Size

#: Columns of a terminal in which the whole table fits; in fewer, the page alone has those of `BELOW`.
WIDE, BELOW = 100, ("stays", "seconds", "TFLOP")


@dataclass(frozen=True)
class _Request:
    """What the command is for."""

    track: str
    size: Size
    only: list[str]
    own: list[Path]


@app.command("leaderboard", rich_help_panel=TRAIN)
def leaderboard(
    track: Annotated[
        str | None,
        typer.Argument(metavar="TRACK", help="A track; without it, all tracks and what was measured so far."),
    ] = None,
    entry: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An entry of your own beside groklab's: a YAML file or a preset's name."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ENTRY", help="Of groklab's entries this one, and the tuned AdamW, alone."),
    ] = None,
    reduced: Annotated[bool, typer.Option("--reduced", help="The size for two cores (default).")] = False,
    full: Annotated[bool, typer.Option("--full", help="The track's own size, in slices of time.")] = False,
    minutes: Annotated[
        float | None,
        FloatOption("--slice", metavar="MINUTES", help="Stop, saved, after this long: 7.5 for --full, else no limit."),
    ] = None,
    slices: Annotated[int, IntOption(help="Work this many slices in a row.")] = 1,
    hours: Annotated[float | None, FloatOption(help="Work so many hours, and stop, saved.")] = None,
    list_it: Annotated[
        bool, typer.Option("--list", help="List the entries with what tuning may try; train nothing.")
    ] = False,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the HTML page goes.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the results to FOLDER/TRACK.json, for publication.")
    ] = None,
    yes: Yes = False,
    open_it: Open = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Tune and score the methods that shall make grokking come sooner, under equal rules.

    What is measured is saved: the same command continues where it was stopped.

    Examples:

      groklab leaderboard

      groklab leaderboard micro --list

      groklab leaderboard micro

      groklab leaderboard micro --entry mine.yaml --only adamw

      groklab leaderboard addition --full --hours 8
    """
    if reduced and full:
        raise InputError("--reduced and --full: needs one of them, not both")
    if hours is not None and (minutes is not None or slices != 1):
        raise InputError("--hours and --slice: needs one of them, not both")
    size: Size = "full" if full else "reduced"
    if track is None:
        if entry or only or save is not None or list_it:
            raise InputError("TRACK is missing; `groklab leaderboard` lists the tracks")
        _overview(as_json)
        return
    request = _Request(track, size, only or [], entry or [])
    if list_it:
        _list(request, as_json)
        return
    limit = 60 * hours if hours is not None else minutes
    board = _measured(request, limit, slices, yes, quiet, as_json)
    _show(board, request, page, save, open_it, quiet, as_json)


def _measured(request: _Request, minutes: float | None, slices: int, yes: bool, quiet: bool, as_json: bool) -> Board:
    """Measure what is not measured yet, and return the leaderboard."""
    from groklab.cli.live import LiveSteps, PlainSteps
    from groklab.leaderboard import results, run, seconds_ahead

    target, console = (request.track, request.size), console_for(as_json)
    ahead = seconds_ahead(*target, only=request.only, own=request.own, minutes=minutes, slices=slices)
    check_long(ahead, yes, at_most=True)
    if ahead and not quiet:
        console.print(f"at most about {duration(ahead)} of work, by estimate")
    try:
        with view_for(console, quiet, LiveSteps, PlainSteps) as view:
            return run(*target, only=request.only, own=request.own, minutes=minutes, slices=slices, view=view)
    except (Interrupted, KeyboardInterrupt):
        left = duration(results(*target, only=request.only, own=request.own).seconds_left)
        raise Stopped(
            f"everything measured and trained is kept, and the same command continues (at most about {left} left)"
        ) from None


def _show(
    board: Board, request: _Request, page: Path | None, save: Path | None, open_it: bool, quiet: bool, as_json: bool
) -> None:
    """Write the page and the file of a leaderboard, and print it."""
    from groklab.leaderboard import results
    from groklab.leaderboard import save as save_board
    from groklab.report import write_board

    console = console_for(as_json)
    path = write_board(board, page)
    # with what other calls have measured on this machine
    saved = None
    if save is not None:
        saved = save_board(results(request.track, request.size, own=request.own), save)
    if not quiet:
        _print(console, board)
        if not board.complete:
            left = duration(board.seconds_left)
            console.print(f"more is left; `{board.command}` continues (at most about {left} left)", soft_wrap=True)
        console.print(titled("page:", f" {path}"), soft_wrap=True)
        if saved is not None:
            console.print(titled("saved:", f" {saved}"), soft_wrap=True)
    if open_it:
        open_page(path, console)
    if as_json:
        emit(board.to_dict())


def _print(console: Console, board: Board) -> None:
    """Print the table of a leaderboard, and what it says."""
    from groklab.leaderboard import COLUMNS

    console.print(titled(f"{board.track.name}, {board.size}", f"  {board.track.title}"), soft_wrap=True)
    kept = [i for i, name in enumerate(COLUMNS) if console.width >= WIDE or name not in BELOW]
    table = plain_table([COLUMNS[i] for i in kept], left=("entry", "verdict"), padding=(0, 2, 0, 0))
    for row in board.rows:
        table.add_row(*(row[i] for i in kept))
    console.print(table)
    console.print(board.summary, soft_wrap=True)


def _overview(as_json: bool) -> None:
    """Print all tracks with how far they are measured."""
    from groklab.leaderboard import overview

    rows = overview()
    if as_json:
        emit({"tracks": [row.to_dict() for row in rows]})
        return
    console = console_for(False)
    table = plain_table(("track", "size", "scored", "fastest"), left=("track", "size", "fastest"), padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(row.track.name, row.size, f"{row.measured} of {row.entries}", row.best or "–")
    console.print(table)
    for track in dict.fromkeys(row.track.name for row in rows):
        title = next(row.track.title for row in rows if row.track.name == track)
        console.print(titled(track, f"  {title}"), soft_wrap=True)
    console.print(
        "`groklab leaderboard TRACK --list` lists the entries, and `groklab leaderboard TRACK` measures them",
        soft_wrap=True,
    )


def _list(request: _Request, as_json: bool) -> None:
    """List the entries of a track, with the grids of tuning."""
    from groklab.leaderboard import entries_of, find_track, read_entry, seconds_ahead

    track = find_track(request.track)
    scale = track.scale(request.size)
    entries = [*entries_of(track, request.only), *(read_entry(file, track) for file in request.own)]
    for entry in entries:
        entry.check(track, request.size)
    if as_json:
        listed = [
            {key: getattr(e, key) for key in ("name", "about", "source", "settings", "tuning", "weak")} for e in entries
        ]
        emit({"track": track.name, "size": request.size, "entries": listed})
        return
    console = console_for(False)
    console.print(titled(f"{track.name}, {request.size}", f"  {track.title}"), soft_wrap=True)
    if scale.why:
        console.print(f"reduced: {scale.why}", soft_wrap=True)
    console.print(
        f"{scale.steps:,} steps at most; {scale.trials} trials with {scale.tuning_seeds} seeds each, then "
        f"{scale.seeds} fresh seeds",
        soft_wrap=True,
    )
    for entry in entries:
        console.print(titled(entry.name, f"  {entry.about}"), soft_wrap=True)
        for name, values in entry.tuning.items():
            console.print(f"    {name}: {', '.join(map(str, values))}", soft_wrap=True, highlight=False)
    ahead = seconds_ahead(request.track, request.size, only=request.only, own=request.own, minutes=1e9)
    if ahead:
        console.print(f"at most about {duration(ahead)} of work is left, by estimate")
