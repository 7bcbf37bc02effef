"""A sweep's phase diagram as one self-contained HTML page: raw cells, their times, and the curves of each cell."""

from __future__ import annotations

import datetime
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl

from groklab.figures.phase_cells import Cell, PhaseDiagram, Time, label, labels
from groklab.figures.phase_diagram import COLOURS, ON, TIED
from groklab.grokking.learning_phases import LETTERS, PHASES, RULE
from groklab.report.phase_study import PhaseStudy, SweepLike, counts, curves_of, said, slice_name
from groklab.store import storage
from groklab.store.thinning import thin

#: Points of one curve, and of all curves of a page together.
MOST_POINTS, ALL_POINTS = 90, 250_000
FEWEST_POINTS = 8
#: Cells up to which the page also has them as a table.
MOST_ROWS = 2000
NOTES = (
    "A cell has the phase of most of its seeds; where several phases share the first place it shows both, and has no "
    "majority. Nothing between cells is drawn in, and nothing is smoothed.",
    "Times are medians over the seeds. A seed that did not reach the threshold within its budget counts as later than "
    "every one that did; a cell whose median is not reached is hatched.",
    "Undefined: what the four phases leave open, such as test accuracy that reaches the threshold where training "
    "accuracy does not, or a run that diverged.",
)


def write_page(study: PhaseStudy, sweep: SweepLike, out: str | Path | None = None) -> Path:
    """Write the page and return where it lies: `out`, a file or a folder, or the sweep's own folder."""
    path = sweep.path / "phase-diagram.html"
    if out is not None:
        path = Path(out).expanduser()
        path = path / "phase-diagram.html" if path.is_dir() else path
    storage.atomic_write(path, render(study, sweep).encode())
    return path


def render(study: PhaseStudy, sweep: SweepLike) -> str:
    """The page as one HTML document that loads nothing."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    first = study.diagrams[0]
    rows = sum(len(d.cells) for d in study.diagrams)
    bar = f"{100 * study.threshold:g}%"
    theirs = study.published
    return environment.from_string(_file("phase_diagram.html.j2")).render(
        name=study.name,
        axes=[key for key in (first.x_key, first.y_key) if key is not None],
        free=_free(study),
        slices=[
            {
                "name": slice_name(d),
                "said": said(d),
                "counts": counts(d),
                "agreement": study.agreements[i] if study.agreements else None,
                "rows": [_row(d, c) for c in d.cells] if rows <= MOST_ROWS else [],
            }
            for i, d in enumerate(study.diagrams)
        ],
        has_rows=rows <= MOST_ROWS,
        several=any(len(c.members) > 1 for d in study.diagrams for c in d.cells),
        phases=PHASES,
        letters=LETTERS,
        published=theirs,
        notes=(
            f"{RULE[0].upper()}{RULE[1:]}. Here the threshold is {bar}, first reached at an evaluation, and the gap is "
            f"{study.gap:,g} steps; exactly that counts as {study.boundary}.",
            *NOTES,
        ),
        bar=bar,
        colours="".join(f"--{p}: {COLOURS[p]}; --on-{p}: {ON[p]}; " for p in PHASES) + f"--tied: {TIED};",
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        style=_file("page.css") + _file("panel.css") + _file("phase_diagram.css"),
        script=_file("phase_diagram.js"),
        data=_embedded(_data(study, sweep)),
    )


def _data(study: PhaseStudy, sweep: SweepLike) -> dict[str, Any]:
    """What the script draws: places, phases and times of the cells, and a thinned pair of curves a member."""
    first = study.diagrams[0]
    members = sorted(
        {m for d in study.diagrams for c in d.cells for m, p in zip(c.members, c.phases, strict=True) if p}
    )
    points = int(np.clip(ALL_POINTS / max(len(members), 1), FEWEST_POINTS, MOST_POINTS))
    curves = curves_of(sweep)
    return {
        "phases": [{"name": p, "letter": LETTERS[p]} for p in PHASES],
        "threshold": study.threshold,
        "x": {"key": first.x_key, "labels": labels(first.x_values)},
        "y": None if first.y_key is None else {"key": first.y_key, "labels": labels(first.y_values)},
        "free": [len(f["labels"]) for f in _free(study)],
        "slices": [[_packed(study, d, c) for c in d.cells] for d in study.diagrams],
        "curves": {m: _curves(curves[m], points, study.steps[m]) for m in members},
        "steps": {m: study.steps[m] for m in members},
        "reasons": study.reasons,
    }


def _packed(study: PhaseStudy, diagram: PhaseDiagram, cell: Cell) -> dict[str, Any]:
    found: dict[str, Any] = {
        "c": cell.column,
        "r": cell.row,
        "lead": [PHASES.index(p) for p in cell.leading],
        "m": cell.members,
        "s": cell.seeds,
        "p": [None if p is None else PHASES.index(p) for p in cell.phases],
        "train": _time(cell.train_step),
        "test": _time(cell.test_step),
        "gap": _time(cell.gap),
    }
    if study.published is not None:
        place = study.published.place(diagram.values(cell))
        if place is not None:
            phase = str(study.published.phases(study.gap, study.boundary)[place])
            times = (study.published.train_steps[place], study.published.test_steps[place])
            found["pub"] = [PHASES.index(phase), *(None if np.isnan(t) else int(t) for t in times)]
    return found


def _time(time: Time) -> list[float | None]:
    return [time.median, time.reached, time.n]


def _curves(frame: pl.DataFrame, points: int, keep: tuple[int | None, int | None]) -> list[list[int | None]]:
    """Steps, training and test accuracy in thousandths, thinned; None where an accuracy is no number."""
    steps = frame["step"].to_numpy()
    places = np.searchsorted(steps, thin(steps, points, keep)) if len(steps) else np.array([], int)
    accuracies = [frame[name].to_numpy()[places] for name in ("train_accuracy", "test_accuracy")]
    return [
        [int(s) for s in steps[places]],
        *([None if np.isnan(a) else round(1000 * float(a)) for a in curve] for curve in accuracies),
    ]


def _free(study: PhaseStudy) -> list[dict[str, Any]]:
    """The settings of the slices that take several values, each with those values in the slices' own order."""
    found = []
    for key in study.diagrams[0].at:
        values: list[Any] = []
        for d in study.diagrams:
            if d.at[key] not in values:
                values.append(d.at[key])
        if len(values) > 1:
            found.append({"key": key, "labels": labels(values)})
    return found


def _row(diagram: PhaseDiagram, cell: Cell) -> dict[str, Any]:
    done = len(cell.members) - cell.pending
    times = (cell.train_step, cell.test_step, cell.gap)
    keys = [key for key in (diagram.x_key, diagram.y_key) if key is not None]
    return {
        "values": [label(diagram.values(cell)[key], 4) for key in keys],
        "phase": " or ".join(cell.leading) or "pending",
        "agree": f"{max(cell.counts.values())} of {done}" if done else "–",
        "times": ["–" if not t.n else "not reached" if t.median is None else f"{t.median:,.0f}" for t in times],
    }


def _embedded(data: dict[str, Any]) -> str:
    # inside a script element only '<' could end it
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _file(name: str) -> str:
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")
