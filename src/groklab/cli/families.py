"""What `report` does of a sweep: the page of a family of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from groklab.cli.output import console_for, emit
from groklab.device import home, readable_bytes
from groklab.errors import InputError, shorten

if TYPE_CHECKING:
    from groklab.sweeps import Sweep


def sweep_meant(names: list[str], options: list[str]) -> Sweep | None:
    """The sweep that is asked for, or None where runs are; a name that both have means the run.

    options: those given that only the page of a sweep has, so that a sweep is meant.
    Raises InputError for a sweep beside anything else, for a beginning that several sweeps share, and for options
    where there is no sweep.
    """
    from groklab.cli.diagrams import find_sweep

    meant = [name for name in names if _is_sweep(name)]
    if meant and len(names) > 1:
        raise InputError(f"a page holds one sweep or several runs, and {shorten(meant[0])!r} is a sweep")
    if options and len(names) > 1:
        raise InputError(f"{options[0]} is of the page of one sweep, and these are {len(names)} runs")
    return find_sweep(names[0]) if meant or options else None


def _is_sweep(name: str) -> bool:
    from groklab import Collection

    if (Path(name).expanduser() / "sweep.json").is_file():
        return True
    collection = Collection()
    if not name or (Path(name).expanduser() / "experiment.json").is_file():
        return False
    if any(path.name.startswith(name) for path in collection.paths()):
        return False
    return any(path.parent.name.startswith(name) for path in (home() / "sweeps").glob("*/sweep.json"))


def report_family(
    sweep: Sweep,
    out: Path | None,
    rows: str | None,
    columns: str | None,
    published: str | None,
    members: list[str],
    as_json: bool,
) -> None:
    """Write the page, and the members' own pages that are asked for, and say what it shows."""
    from groklab.papers.published import read_published
    from groklab.report.family_pages import members_at, page_path, remaking, write_members, write_page
    from groklab.report.family_study import family

    if out is not None and not out.expanduser().is_dir() and out.suffix != ".html":
        raise InputError("--out", str(out), "needs a folder that exists, or a file name that ends in .html")
    theirs: dict[str, Any] = {}
    if published is not None:
        table, about = read_published(published)
        theirs = {"published": table, "source": published, "about": about}
    found = family(sweep, rows=rows, columns=columns, **theirs)
    asked = list(members)
    numbers = list(range(sweep.n_members)) if "all" in asked else [n for text in asked for n in members_at(found, text)]
    console = console_for(as_json)
    path = page_path(sweep, out)
    written = write_members(sweep, found, path, numbers, view=_Said(console))
    write_page(sweep, found, path, remaking(sweep, out, rows, columns, published))
    _say(found, console)
    if written:
        size = readable_bytes(sum(p.stat().st_size for p in written))
        console.print(f"own pages: {len(written):,} in {written[0].parent} ({size})", soft_wrap=True, markup=False)
    elif asked:
        console.print("own pages: none, as none of these members has begun", soft_wrap=True)
    if as_json:
        told = {"report": str(path), "bytes": path.stat().st_size, "members": [str(p) for p in written]}
        emit({**found.to_dict(), **told})
    else:
        console.print(f"report: {path}", soft_wrap=True, markup=False)


class _Said:
    """Says, while many pages are written, which it is at."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, done: int, n: int, path: Path) -> None:
        if n > 1:
            self.console.print(f"page {done + 1:,} of {n:,}: {path.name}", soft_wrap=True, markup=False)


def _say(found: Any, console: Console) -> None:
    from groklab.report.family_study import said, slice_names

    for i, (name, table) in enumerate(zip(slice_names(found), found.tables, strict=True)):
        told = f"{name}: {said(table)}" if name else said(table)
        if found.agreements:
            told += f" {found.agreements[i].source}: {found.agreements[i].summary}"
        console.print(told, soft_wrap=True, markup=False)
