"""A sweep in a notebook."""

from __future__ import annotations

from groklab import notebook
from groklab.sweeps._cells import members_of
from groklab.sweeps._folder import Sweep
from groklab.sweeps._watching import map_of, pooled_cells
from groklab.text import labels

#: What a sweep offers, as its last line says.
OFFERS = "plot() · table · curves() · run(member) · experiment(member) · report()"


def html_of(sweep: Sweep, words: str) -> str:
    """Return a sweep's grid and the map of its phases as HTML; words: its status and counts."""
    points = [member.point for member in sweep.members]
    members = list(zip(points, members_of(sweep.table), strict=True))
    return notebook.block(
        notebook.title(sweep.name, words),
        notebook.pairs({key: ", ".join(labels(values)) for key, values in sweep.keys.items()}),
        map_of(*pooled_cells(sweep.keys, sweep.points, members)),
        notebook.line(OFFERS, faint=True),
    )
