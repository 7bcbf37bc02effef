"""A sweep next to published results: cell by cell, how many agree, and how the two were made differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.experiment import PRESETS, preset
from groklab.papers import (
    GROKKED,
    NOT,
    Agreement,
    Place,
    PublishedMap,
    PublishedTable,
    located,
    published_map,
    published_maps,
    read_published,
)
from groklab.sweeps import Cell, Study, Sweep
from groklab.text import flattened, label, listed, short_percent

#: Settings that are compared with those of a published table, and how they are written.
COMPARED = {
    "task.p": "p = {}",
    "network.kind": "the network {}",
    "network.d_model": "d_model = {}",
    "optimiser.learning_rate": "a learning rate of {}",
    "optimiser.weight_decay": "a weight decay of {}",
    "budget.steps": "up to {} steps",
}


@dataclass(frozen=True)
class Entry:
    """A published cell.

    Args:
        result: its phase, or whether it grokked.
        value: the same as it was published: a phase, True, False, or the best test accuracy in percent.
        text: the same in words.
    """

    result: str
    value: Any
    text: str


@dataclass(frozen=True)
class Comparison:
    """A sweep's cells next to published ones.

    Args:
        source: what to call the published results; about: where they come from.
        by_phase: whether phases are compared, else verdicts.
        entries: the published cells by row and column of the study.
        agreements: one for each slice.
    """

    source: str
    about: str
    by_phase: bool
    entries: dict[Place, Entry]
    agreements: tuple[Agreement, ...]

    def own(self, cell: Cell) -> str | None:
        """Return a cell's own result, None where it is open."""
        if self.by_phase:
            return cell.majority
        return {True: GROKKED, False: NOT, None: None}[cell.decided]

    def at(self, cell: Cell) -> Entry | None:
        """Return what is published of a cell, None where nothing is."""
        return self.entries.get((cell.row, cell.column))

    def differs(self, cell: Cell) -> bool:
        """Return whether a cell's own result differs from the published one."""
        entry, own = self.at(cell), self.own(cell)
        return entry is not None and own is not None and own != entry.result


def compare(
    sweep: Sweep, study: Study, published: str | Mapping[str, Mapping[str, Any]], source: str = "the published table"
) -> Comparison:
    """Compare a study with a published map or table.

    Args:
        published: a map's name, a text that `read_published` takes, or a table itself: row -> column -> True
            (grokked), False, or the best test accuracy in percent of one that did not.
        source: what to call a table that is given itself.

    Raises:
        InputError: for an unknown map or table, one that shares no cell with the sweep, or a map over other settings or
            at another threshold.
    """
    if isinstance(published, str) and published in published_maps():
        return _with_map(study, published_map(published), list(sweep.keys))
    table, about = read_published(published) if isinstance(published, str) else (published, "")
    source = published if isinstance(published, str) else source
    axes = study.axes
    laid = PublishedTable.of(table, axes.y_values, axes.x_values, source, about)
    known = made_with(source)
    agreements = tuple(
        laid.agreement({(c.row, c.column): (c.decided, c.best) for c in part.cells}, difference(sweep, part.at, known))
        for part in study.slices
    )
    entries = {place: _entry(value) for place, value in laid.entries.items()}
    return Comparison(source, about, False, entries, agreements)


def _entry(value: bool | float) -> Entry:
    text = ("✔" if value else "✗") if isinstance(value, bool) else short_percent(value / 100)
    return Entry(GROKKED if value is True else NOT, value, text)


def _with_map(study: Study, published: PublishedMap, keys: list[str]) -> Comparison:
    if study.threshold != published.threshold:
        raise InputError("--threshold", study.threshold, f"the map {published.name} is one at {published.threshold}")
    axes, over = study.axes, {published.rows.key, published.columns.key}
    if over != {axes.x, axes.y}:
        own = [key for key in (axes.x, axes.y) if key is not None]
        hint = "; other axes can be chosen" if over <= set(keys) else ""
        allowed = f"is a map over {listed(sorted(over))}, but these cells are over {listed(own)}{hint}"
        raise InputError("--published", published.name, allowed)
    phases = published.phases(study.gap, study.boundary)
    entries: dict[Place, Entry] = {}
    for row, y in enumerate(axes.y_values):
        for column, x in enumerate(axes.x_values):
            place = published.place({axes.x: x, str(axes.y): y})
            if place is not None:
                steps = (published.train_steps[place], published.test_steps[place])
                train, test = ("not reached" if np.isnan(s) else f"{s:,.0f}" for s in steps)
                phase = str(phases[place])
                entries[row, column] = Entry(phase, phase, f"{phase}, training {train}, test {test}")
    if not entries:
        raise InputError("--published", published.name, "shares no cell with this sweep")
    seed = "one seed" if published.seed is None else f"seed {published.seed}"
    about = f"{published.title}; {published.budget:,} steps, {seed}. Source: {published.source} (MIT licence)"
    parts = range(len(study.slices))
    agreements = tuple(published.agreement(study.frame(i), study.gap, study.boundary) for i in parts)
    return Comparison(published.name, about, True, entries, agreements)


def as_json(study: Study, comparison: Comparison | None) -> dict[str, Any]:
    """Return a study as plain JSON values, with what was published of each cell."""
    content = study.to_dict()
    if comparison is None:
        return content
    for part, described, agreement in zip(study.slices, content["slices"], comparison.agreements, strict=True):
        described["published"] = {"name": comparison.source, "about": comparison.about, **agreement.to_dict()}
        for cell, fields in zip(part.cells, described["cells"], strict=True):
            entry = comparison.at(cell)
            fields["published"] = None if entry is None else entry.value
    return content


def made_with(source: str) -> dict[str, Any]:
    """Return what is known of how a published table was made: some of COMPARED, with their values.

    These are a file's own `p` and `steps`, and for a paper the settings of the preset of its name.
    """
    try:
        content, name = located(source)
        file = json.loads(content)
    except (InputError, ValueError, RecursionError):
        return {}
    paper = source.rpartition("/")[0] if name else source
    known = flattened(preset(paper).to_dict()) if paper in PRESETS else {}
    if isinstance(file, dict):
        named = {"task.p": "p", "budget.steps": "steps"}
        known |= {key: file[name] for key, name in named.items() if isinstance(file.get(name), int)}
    return {key: known[key] for key in COMPARED if known.get(key) is not None}


def difference(sweep: Sweep, at: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return in one sentence what differs between a sweep's settings and `theirs`; '' where nothing known does.

    Args:
        at: values at which keys of the grid are held.
    """
    settings = flattened(sweep.recorded(0).to_dict())
    own, published = [], []
    for key, value in theirs.items():
        if any(key.startswith(f"{swept}.") for swept in sweep.keys) or settings.get(key) is None:
            continue
        values = [at[key]] if key in at else sweep.keys.get(key, [settings[key]])
        if values != [value]:
            own.append(COMPARED[key].format(" or ".join(map(_written, values))))
            published.append(COMPARED[key].format(_written(value)))
    if not own:
        return ""
    return f"This sweep has {listed(own)} where the published table has {listed(published)}, so the two need not agree."


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else label(value)
