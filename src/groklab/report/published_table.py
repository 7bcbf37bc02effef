"""Published tables of what groks, as plain mappings, and how far a sweep's own table agrees with one.

A table is row -> column -> entry; an entry is True (it grokked), False (it did not), or, for one that did not, its
best test accuracy in percent, as Furuta et al. 2024 print it in table 5 (arXiv 2402.16726).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from groklab.errors import InputError, shown
from groklab.figures.phase_cells import label
from groklab.papers.liu2022.published_maps import cohens_kappa
from groklab.tasks.operations import resolve

#: Values of two axes are the same where they differ by less than this share.
SAME = 1e-6
Place = tuple[int, int]


@dataclass(frozen=True)
class Published:
    """A published table at the places of one's own: (row, column) -> True, False, or percent.

    source: what to call it; about: where it comes from, '' where that is not known.
    """

    source: str
    about: str
    entries: dict[Place, bool | float]

    def at(self, row: int, column: int) -> bool | float | None:
        """What is published there, None where nothing is."""
        return self.entries.get((row, column))

    @classmethod
    def of(
        cls,
        table: Mapping[str, Mapping[str, Any]],
        rows: Sequence[Any],
        columns: Sequence[Any],
        source: str,
        about: str = "",
    ) -> Published:
        """Lay a table over rows and columns of one's own; raises InputError where it is none, or shares no cell."""
        if not isinstance(table, Mapping) or not all(isinstance(line, Mapping) for line in table.values()):
            raise InputError("--published", shown(source), "needs to hold, for each row, an entry for each column")
        found: dict[Place, bool | float] = {}
        for name, line in table.items():
            i = place_of(str(name), rows)
            for heading, entry in line.items():
                j = place_of(str(heading), columns)
                value = _entry(entry, f"{source}, row {name}, column {heading}")
                if i is not None and j is not None and value is not None:
                    found[i, j] = value
        if not found:
            raise InputError("--published", shown(source), "shares no cell with this sweep")
        return cls(source, about, found)


@dataclass(frozen=True)
class Agreement:
    """How many of the cells that both tables hold, and that are decided here, say the same: grokked, or not.

    counts: by published and own verdict, keys 'both', 'published only', 'here only', 'neither'. differ: the places of
    the second and third. kappa: Cohen's, agreement beyond what the two tables' shares would give by chance; None where
    undefined. difference: the median distance of best accuracies in percentage points where neither grokked.
    setting: a sentence on how the two were made differently, '' where no difference is known.
    """

    source: str
    counts: dict[str, int]
    differ: tuple[Place, ...]
    kappa: float | None
    difference: float | None
    setting: str = ""

    @property
    def n(self) -> int:
        """Cells compared."""
        return sum(self.counts.values())

    @property
    def same(self) -> int:
        """Cells that agree."""
        return self.counts["both"] + self.counts["neither"]

    @property
    def said(self) -> str:
        """A few sentences."""
        if not self.n:
            return "No cell that is published is decided here yet."
        told = f"{self.same:,} of {self.n:,} cells agree ({self.same / self.n:.0%})"
        told += f"; Cohen's kappa is {self.kappa:.2f}." if self.kappa is not None else "."
        if self.difference is not None:
            told += (
                f" Where neither grokked, best test accuracies differ by {self.difference:.1f} percentage points in "
                "the median."
            )
        return f"{told} {self.setting}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        share = self.same / self.n if self.n else None
        told = {"source": self.source, "n": self.n, "same": self.same, "share": share, "kappa": self.kappa}
        told |= {"counts": self.counts, "best_accuracy_difference": self.difference, "setting": self.setting}
        return {**told, "said": self.said}


def compare(
    published: Published, measured: Mapping[Place, tuple[bool | None, float | None]], setting: str = ""
) -> Agreement:
    """Compare cell by cell; measured: whether each place grokked, None while undecided, and its best accuracy."""
    counts = dict.fromkeys(("both", "published only", "here only", "neither"), 0)
    differ, distances = [], []
    for place, theirs in published.entries.items():
        own, best = measured.get(place, (None, None))
        if own is None:
            continue
        if theirs is True:
            counts["both" if own else "published only"] += 1
        else:
            counts["here only" if own else "neither"] += 1
        if own is not (theirs is True):
            differ.append(place)
        elif not own and theirs is not False and best is not None:
            distances.append(abs(100 * best - theirs))
    difference = statistics.median(distances) if distances else None
    grokked = {"yes": counts["both"], "no": counts["published only"]}
    confusion = {"yes": grokked, "no": {"yes": counts["here only"], "no": counts["neither"]}}
    return Agreement(published.source, counts, tuple(sorted(differ)), cohens_kappa(confusion), difference, setting)


def read_published(text: str) -> tuple[dict[str, Any], str]:
    """The table that TEXT names, and what its file says of where it comes from, '' for nothing.

    TEXT is FILE.json, or with `/TABLE` after it one of several that a file holds. In place of a file the name of a
    paper means the tables that groklab has of it, as in `furuta2024/grokked`. Rows stand in the file as they are, or
    as `operations` beside what they are `about`. Raises InputError where there is no such table.
    """
    content, name = located(text)
    return _of_file(content, text, name)


def located(text: str) -> tuple[bytes, str]:
    """The file that TEXT means, and the name of the table in it, '' for none; raises as `read_published`."""
    source, _, name = text.rpartition("/")
    if Path(text).expanduser().is_file():
        return Path(text).expanduser().read_bytes(), ""
    if source and Path(source).expanduser().is_file():
        return Path(source).expanduser().read_bytes(), name
    paper = source or name
    if paper.isidentifier():
        file = resources.files("groklab.papers") / "data" / f"{paper}_published.json"
        if file.is_file():
            return file.read_bytes(), name if source else ""
    raise InputError("--published", shown(text), "needs a JSON file, or a paper's table such as furuta2024/grokked")


def _of_file(content: bytes, text: str, name: str) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("--published", shown(text), "is no file of JSON") from None
    if not name and (whole := _rows(found)) is not None:
        return whole, ""
    parts = found.items() if isinstance(found, dict) else ()
    # of a paper's several tables, those that say what grokked
    tables = {
        k: rows for k, v in parts if (rows := _rows(v)) and any(e is True for r in rows.values() for e in r.values())
    }
    if not tables:
        raise InputError("--published", shown(text), "holds no table of rows, columns and entries")
    if not name and len(tables) == 1:
        name = next(iter(tables))
    if name not in tables:
        raise InputError("--published", shown(text), f"needs one of its tables after a slash: {', '.join(tables)}")
    about = [found[name].get("about"), *(found.get(key) for key in ("source", "about"))]
    told = [str(value).rstrip(".") for value in about if isinstance(value, str)]
    told += [f"{key} = {found[key]:,}" for key in ("p", "seeds", "steps") if isinstance(found.get(key), int)]
    return tables[name], "; ".join(told)


def _rows(value: Any) -> dict[str, Any] | None:
    """Rows of columns of plain entries, by themselves or as `operations`; None for anything else."""
    if isinstance(value, dict) and isinstance(value.get("operations"), dict):
        value = value["operations"]
    lines = list(value.values()) if isinstance(value, dict) else []
    entries = [e for line in lines if isinstance(line, dict) for e in line.values()]
    whole = all(isinstance(line, dict) for line in lines) and all(
        isinstance(e, bool | int | float | None) for e in entries
    )
    return dict(value) if entries and whole else None


def _entry(entry: Any, where: str) -> bool | float | None:
    if entry is None or isinstance(entry, bool):
        return entry
    if not isinstance(entry, int | float) or not 0 <= entry <= 100:
        raise InputError(shown(where), entry, "needs true, false, or a best test accuracy in percent, from 0 to 100")
    return float(entry)


def place_of(text: str, values: Sequence[Any]) -> int | None:
    """The place of the value that a text means: as the grid has it, or another spelling of the same operation."""
    for i, value in enumerate(values):
        if text == str(value) or text == label(value) or _near(text, value) or _same_operations(text, value):
            return i
    meant = _operation(text)
    if meant is None:
        return None
    return next((i for i, v in enumerate(values) if isinstance(v, str) and _operation(v) == meant), None)


def _same_operations(text: str, value: Any) -> bool:
    """Whether a text names the operations of a mixture, as JSON has them or between commas."""
    if not isinstance(value, list):
        return False
    names = [name.strip().strip("\"'") for name in text.strip().strip("[]").split(",")]
    if len(names) != len(value):
        return False
    return all(a == b or None is not _operation(a) == _operation(str(b)) for a, b in zip(names, value, strict=True))


def _near(text: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isclose(float(text), value, rel_tol=SAME)
    except ValueError:
        return False


def _operation(text: str) -> tuple[str, str] | None:
    """What tells an operation from others: its name, if it has one, and its formula."""
    try:
        operation, expression = resolve(text)
    except InputError:
        return None
    return (operation.name if operation is not None else "", str(expression))
