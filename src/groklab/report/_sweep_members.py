"""The own pages of a sweep's members, in a folder beside the sweep's page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from groklab.errors import check_member
from groklab.report import _html as html
from groklab.report._run_page import run_page
from groklab.store import OneMember, storage
from groklab.sweeps import Cell, Member, Study, Sweep, headings

#: Called before each member's page with its place among those to be written, their number, and its path.
PagesView = Callable[[int, int, Path], None]


def write_members(
    sweep: Sweep, study: Study, path: Path, members: Sequence[int], view: PagesView | None = None, *, plotly: str = ""
) -> list[Path]:
    """Write members' own pages, each with a link back to its cell; those that have not begun have none.

    Args:
        path: the path of the sweep's page.
        plotly: the address of Plotly's script, which the pages then load instead of holding it.

    Raises:
        InputError: for an unknown member.
    """
    places = {
        m.number: (i, cell, m) for i, part in enumerate(study.slices) for cell in part.cells for m in cell.members
    }
    for number in members:
        check_member(number, sweep.n_members, sweep.name)
    begun = [n for n in dict.fromkeys(members) if places[n][2].has_page]
    written = []
    for done, number in enumerate(begun):
        i, cell, member = places[number]
        own = _own_path(sweep, path, number)
        if view is not None:
            view(done, len(begun), own)
        run, place = sweep.run(number)
        page = run_page(OneMember(run, place, _title(study, i, cell, member)))
        back = f"../{quote(path.name)}#{place_name(i, cell)}"
        page = dataclasses.replace(page, part_of=(f"All runs of {study.name}", back))
        storage.atomic_write(own, html.render_page(page, plotly=plotly).encode())
        written.append(own)
    return written


def pages_there(sweep: Sweep, path: Path) -> dict[int, str]:
    """Return the addresses of the members' pages that exist, as seen from the sweep's page."""
    paths = {n: _own_path(sweep, path, n) for n in range(sweep.n_members)}
    return {n: quote(f"{own.parent.name}/{own.name}") for n, own in paths.items() if own.is_file()}


def _own_path(sweep: Sweep, path: Path, number: int) -> Path:
    # with the identity: a folder that another sweep's page has used holds no pages of this one
    identity = sweep.members[number].identity[:8]
    # the page of the phases shares those of the report
    stem = "report" if path == sweep.path / "phase-diagram.html" else path.stem
    return path.with_name(f"{stem}-members") / f"{number:03d}-{identity}.html"


def _title(study: Study, i: int, cell: Cell, member: Member) -> str:
    axes = study.axes
    values = {**({} if axes.y is None else {axes.y: axes.y_values}), axes.x: axes.x_values}
    places = [cell.row, cell.column][-len(values) :]
    parts = []
    for (key, of_key), place in zip(values.items(), places, strict=True):
        text = headings(key, of_key)[place].text
        parts.append(text if key in ("task.expression", "task.expressions") else f"{key} {text}")
    held = [f"{key} {headings(key, [value])[0].text}" for key, value in study.slices[i].at.items()]
    return " · ".join([*parts, *held, f"seed {member.seed}"])


def place_name(i: int, cell: Cell) -> str:
    """Return the name of a cell within its page, where a member's own page links back to."""
    return f"c{i}-{cell.row}-{cell.column}"
