"""Writing the page of a family of runs, and the pages of its members beside it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from groklab import device
from groklab.errors import InputError, shorten, unknown
from groklab.papers.published import place_of
from groklab.report.family import place_name, render
from groklab.report.family_cells import Cell, Member, Table
from groklab.report.family_study import Family, family
from groklab.report.family_words import headings
from groklab.report.one_member import OneMember
from groklab.report.page import render as render_run
from groklab.report.single import run_page
from groklab.store import storage
from groklab.sweeps import Sweep

#: Called before each member's page with its place among those to be written, their number, and where it will lie.
PagesView = Callable[[int, int, Path], None]


def write_family(
    sweep: Sweep,
    out: str | Path | None = None,
    *,
    rows: str | None = None,
    columns: str | None = None,
    published: Mapping[str, Mapping[str, Any]] | None = None,
    members: Sequence[int] | Literal["all"] = (),
) -> Path:
    """Write the page of a sweep as a table over two of its keys, and return where it lies.

    out: the file, or a folder for it; by default `report.html` in the sweep's folder. rows, columns: keys of the grid;
    by default task.expression and split.frac_train where they vary, else the first ones. published: a table to
    compare with, row -> column -> True (grokked), False, or the best test accuracy in percent of one that did not.
    members: those whose own pages are written too, each some megabytes, into a folder beside the page; of others the
    page links to those that are there from before.
    Raises InputError for a sweep with fewer than two keys, or of which nothing is evaluated yet, and for keys, members
    and published tables that cannot be.
    """
    found = family(sweep, rows=rows, columns=columns, published=published)
    path = page_path(sweep, out)
    numbers = range(sweep.n_members) if members == "all" else members
    write_members(sweep, found, path, [int(n) for n in numbers])
    return write_page(sweep, found, path, remaking(sweep, out, rows, columns))


def page_path(sweep: Sweep, out: str | Path | None = None) -> Path:
    """Where the page lies: `out`, a file or a folder, or the sweep's own folder."""
    path = sweep.path / "report.html" if out is None else Path(out).expanduser()
    return path / "report.html" if path.is_dir() else path


def write_page(sweep: Sweep, found: Family, path: Path, command: str) -> Path:
    """Write the page, with links to the members' pages that are there; command: what makes it."""
    storage.atomic_write(path, render(found, sweep, pages_there(sweep, path), command).encode())
    return path


def remaking(
    sweep: Sweep,
    out: str | Path | None = None,
    rows: str | None = None,
    columns: str | None = None,
    published: str | None = None,
) -> str:
    """The command that makes a page."""
    at_home = sweep.path.parent == (device.home() / "sweeps").resolve()
    words = ["groklab", "report", sweep.name if at_home else str(sweep.path)]
    options = {
        "--rows": rows,
        "--columns": columns,
        "--published": published,
        "--out": None if out is None else str(out),
    }
    words += [word for option, value in options.items() if value is not None for word in (option, value)]
    return shlex.join(words)


def members_at(found: Family, text: str) -> list[int]:
    """The members that ROW,COLUMN names, in all tables; raises InputError where it names none."""
    if "," not in text.lstrip(","):
        raise InputError("--members", shorten(text), "needs 'all', or ROW,COLUMN such as add,0.3")
    parts = text.split(",")
    # the values of a mixture hold commas themselves
    cuts = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(len(parts) - 1, 0, -1)]
    whole = [
        [
            place_of(given.strip(), values)
            for given, values in zip(cut, (found.row_values, found.column_values), strict=True)
        ]
        for cut in cuts
    ]
    places = next((found_there for found_there in whole if None not in found_there), None)
    if places is None:
        key, given, values = found.row_key, cuts[0][0], found.row_values
        if whole[0][0] is not None:
            key, given, values = found.column_key, cuts[0][1], found.column_values
        raise unknown(f"--members {shorten(text)}", given, [str(v) for v in values], known=f"values of {key}")
    cells = [c for table in found.tables for c in table.cells if [c.row, c.column] == places]
    return [m.number for cell in cells for m in cell.members]


def write_members(
    sweep: Sweep, found: Family, path: Path, numbers: Sequence[int], view: PagesView | None = None
) -> list[Path]:
    """Write members' own pages, each with a link back to its cell; those that have not begun have none.

    path: where the page of the family lies, or will lie. Raises InputError for a member that is not there.
    """
    places = {
        m.number: (i, table, cell, m)
        for i, table in enumerate(found.tables)
        for cell in table.cells
        for m in cell.members
    }
    for number in numbers:
        if number not in places:
            raise InputError("members", number, f"{sweep.name} has members 0 to {sweep.n_members - 1}")
    begun = [n for n in dict.fromkeys(numbers) if places[n][3].has_page]
    written = []
    for done, number in enumerate(begun):
        i, table, cell, member = places[number]
        own = _own_path(sweep, path, number)
        if view is not None:
            view(done, len(begun), own)
        run, place = sweep.run(number)
        page = run_page(OneMember(run, place, _title(found, table, cell, member)))
        back = f"../{quote(path.name)}#{place_name(i, cell)}"
        page = dataclasses.replace(page, part_of=(f"All runs of {found.name}", back))
        storage.atomic_write(own, render_run(page).encode())
        written.append(own)
    return written


def pages_there(sweep: Sweep, path: Path) -> dict[int, str]:
    """Where the members' pages lie that are there, as seen from the page of the family."""
    paths = {n: _own_path(sweep, path, n) for n in range(sweep.n_members)}
    return {n: quote(f"{own.parent.name}/{own.name}") for n, own in paths.items() if own.is_file()}


def _own_path(sweep: Sweep, path: Path, number: int) -> Path:
    # with the identity: a folder that another sweep's page has used holds no pages of this one
    identity = str(sweep.folder.members[number]["identity"])[:8]
    return path.with_name(f"{path.stem}-members") / f"{number:03d}-{identity}.html"


def _title(found: Family, table: Table, cell: Cell, member: Member) -> str:
    row = headings(found.row_key, found.row_values)[cell.row].text
    column = headings(found.column_key, found.column_values)[cell.column].text
    held = [f"{key} {headings(key, [value])[0].text}" for key, value in table.at.items()]
    first = row if found.row_key in ("task.expression", "task.expressions") else f"{found.row_key} {row}"
    return " · ".join([first, f"{found.column_key} {column}", *held, f"seed {member.seed}"])
