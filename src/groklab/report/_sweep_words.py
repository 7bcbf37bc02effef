"""What the page of a sweep says of the sweep in general, and how commands name it, its cells and its members."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Mapping
from typing import Any

import groklab
from groklab import device
from groklab.errors import DamagedError, InputError, shorten, unknown
from groklab.experiment import plain
from groklab.report._settings import remake
from groklab.store import Environment, Run
from groklab.sweeps import Axes, Study, Sweep, place_of, swept
from groklab.text import duration, listed


def opening(study: Study, sweep: Sweep) -> str:
    """Return what was swept, in a sentence."""
    keys = " × ".join(f"{key} ({len(values)} values)" for key, values in swept(sweep.keys).items())
    seeds = sorted({len(c.members) for part in study.slices for c in part.cells})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    plural = "" if seeds == [1] else "s"
    text = f"{keys}, {each} seed{plural} each: {sweep.n_members:,} members of the experiment {experiment_text(sweep)}."
    return text if sweep.status == "finished" else f"{text} The sweep is {sweep.status}, so this may change."


def tiles(sweep: Sweep) -> list[tuple[str, str, str]]:
    """Return the most important numbers: label, value, remark."""
    counts = dict(sweep.table["status"].value_counts().iter_rows())
    ended = counts.get("finished", 0) + counts.get("diverged", 0)
    grokked = len(sweep.table) - sweep.table["grokked_step"].null_count()
    budget = sweep.recorded(0).budget
    return [
        ("Generalised", f"{grokked:,}", f"of {sweep.n_members:,} members"),
        ("Finished", f"{ended:,}", f"{counts['diverged']:,} of them diverged" if counts.get("diverged") else ""),
        *(
            (name.capitalize(), f"{counts[name]:,}", "")
            for name in ("running", "perhaps running", "interrupted", "pending", "failed")
            if counts.get(name)
        ),
        ("Budget", f"{budget.steps:,}", "steps, or until generalised" if budget.retire else "steps"),
    ]


def provenance(sweep: Sweep, elsewhere: bool = False) -> list[tuple[str, str]]:
    """Return where the runs come from: label and value.

    Args:
        elsewhere: it is read on other machines, and names no folder of this one.
    """
    environment = Environment()
    for pack in sweep.packs:
        try:
            environment = Run(pack.path).environment
            break
        except (DamagedError, InputError, OSError):
            continue
    written = [p.stat().st_mtime for p in (sweep.path / "table.parquet", sweep.path / "sweep.json") if p.is_file()]
    return [
        ("sweep", sweep.name if elsewhere else str(sweep.path)),
        ("trained with groklab", environment.groklab or "unknown"),
        ("other versions", environment.versions),
        ("device", environment.device or "unknown"),
        ("page made by groklab", groklab.__version__),
        ("last written", datetime.datetime.fromtimestamp(written[0], datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("time training", duration(float(sweep.table["seconds"].sum()))),
        ("packing", sweep.packing),
    ]


def experiment_given(sweep: Sweep) -> tuple[list[str], str]:
    """Return what all members were trained with: a preset and settings laid over it, or a file and its YAML."""
    first = sweep.recorded(0)
    command, yaml = remake([first])
    words = shlex.split(command)[2:]
    # settings that a sweep gives its members by itself
    own = {"checkpoints.spacing=none", "budget.stop_when_grokked=true", "budget.retire=true"}
    kept = [words[0]]
    for word in words[1:]:
        key = word.split("=")[0]
        varied = key in sweep.keys or any(k.startswith(f"{key}.") or key.startswith(f"{k}.") for k in sweep.keys)
        if word not in own and not varied:
            kept.append(word)
    return kept, yaml


def experiment_text(sweep: Sweep) -> str:
    """Return the experiment's name, with what was laid over its preset."""
    words, yaml = experiment_given(sweep)
    name = sweep.recorded(0).name
    if yaml:
        return f"{name}, whose settings are below"
    given = [word for word in words[1:] if "=" in word and not word.startswith("-")]
    return f"{name} with {listed(given)}" if given else name


def sweep_command(sweep: Sweep) -> tuple[str, str]:
    """Return the command that trains the sweep again, and the YAML file that it reads ('' where a preset serves)."""
    first = sweep.recorded(0)
    kept, yaml = experiment_given(sweep)
    for key, values in sweep.keys.items():
        kept += ["--grid", f"{key}={','.join(plain(v) for v in values)}"]
    per_point = sweep.n_members // max(len(sweep.points), 1)
    kept += ["--seeds", str(per_point)] if per_point > 1 else []
    kept += [] if first.budget.retire else ["--no-retire"]
    name = sweep.name.rpartition("-")[0]
    kept += ["--name", name] if name not in ("", first.name) else []
    return f"groklab sweep {shlex.join(kept)}", yaml


def page_command(
    sweep: Sweep, command: str = "report", options: Mapping[str, Any] | None = None, elsewhere: bool = False
) -> str:
    """Return the command that makes a page of the sweep.

    Args:
        options: values by option; those that are None are left out, lists are options given several times.
        elsewhere: it is read on other machines, and names no folder of this one.
    """
    at_home = sweep.path.parent == (device.home() / "sweeps").resolve()
    words = ["groklab", command, sweep.name if at_home or elsewhere else str(sweep.path)]
    for option, value in (options or {}).items():
        for one in value if isinstance(value, list) else [value]:
            words += [] if one is None else [option, str(one)]
    return shlex.join(words)


def argument(axes: Axes, values: Mapping[str, Any]) -> str:
    """Return how `--members` names the cell with these settings."""
    return ",".join(_plain(values[key]) for key in (axes.y, axes.x) if key is not None)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def members_option(study: Study, pages: dict[int, str]) -> str:
    """Return the options that ask for the members' pages that exist."""
    cells = [cell for part in study.slices for cell in part.cells]
    if pages and all(m.number in pages for cell in cells for m in cell.members if m.has_page):
        return " --members all"
    there = [argument(study.axes, study.axes.values(c, {})) for c in cells if any(m.number in pages for m in c.members)]
    return "".join(f" --members {shlex.quote(text)}" for text in dict.fromkeys(there))


def members_at(study: Study, text: str) -> list[int]:
    """Return the members that ROW,COLUMN names, in all slices; raises InputError where it names none."""
    axes = study.axes
    if axes.y is None:
        values = [(axes.x, axes.x_values)]
        cuts: list[tuple[str, ...]] = [(text,)]
    else:
        if "," not in text.lstrip(","):
            raise InputError("--members", shorten(text), "needs 'all', or ROW,COLUMN such as add,0.3")
        parts = text.split(",")
        # the values of a mixture hold commas themselves
        cuts = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(len(parts) - 1, 0, -1)]
        values = [(axes.y, axes.y_values), (axes.x, axes.x_values)]
    places = [[place_of(given.strip(), v) for given, (_, v) in zip(cut, values, strict=True)] for cut in cuts]
    place = next((p for p in places if None not in p), None)
    if place is None:
        i = places[0].index(None)
        key, known = values[i]
        raise unknown(f"--members {shorten(text)}", cuts[0][i], [str(v) for v in known], known=f"values of {key}")
    cells = [c for part in study.slices for c in part.cells if [c.row, c.column] == [0, *place][-2:]]
    return [m.number for cell in cells for m in cell.members]
