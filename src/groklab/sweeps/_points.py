"""A sweep's points side by side, with grokking steps summarised as censored data over the seeds of each."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from groklab import grokking
from groklab.errors import InputError
from groklab.sweeps._cells import swept, value_names
from groklab.sweeps._folder import ENDED, Sweep


def compare_points(sweep: Sweep) -> list[dict[str, Any]]:
    """Return one row per point, seeds pooled, as `groklab.store.compare` has one per run.

    Returns:
        Plain JSON values: `point` (its settings by dotted name), `name` (those that vary, in words), `members`,
        `trained` (how many have ended), `grokking` and `memorising` (Kaplan–Meier over the members that were evaluated:
        n, n_grokked, median, low, high; None where none was), `test_accuracy` of each member.

    Raises:
        InputError: no member has been evaluated yet.
    """
    table = sweep.table
    if table["steps"].fill_null(0).max() == 0:
        raise InputError(f"no member of {sweep.name} has been evaluated yet, so there is nothing to compare")
    names = {key: value_names(key, values) for key, values in swept(sweep.keys).items()}
    groups: dict[str, list[int]] = {}
    for number, point in enumerate(sweep.points):
        groups.setdefault(json.dumps([point[key] for key in names]), []).append(number)
    return [_row(sweep, table.filter(pl.col("point").is_in(places)), names, places[0]) for places in groups.values()]


def _row(sweep: Sweep, part: pl.DataFrame, names: dict[str, list[str]], number: int) -> dict[str, Any]:
    point = {key: sweep.points[number][key] for key in names}
    evaluated = part.filter(pl.col("steps") > 0)
    ended = evaluated["steps"].to_list()
    varying = [f"{key.rpartition('.')[2]} {n[sweep.keys[key].index(point[key])]}" for key, n in names.items()]
    statistics = {
        what: grokking.survival(evaluated[key].to_list(), ended).to_dict() if ended else None
        for what, key in (("grokking", "grokked_step"), ("memorising", "memorised_step"))
    }
    return {
        "point": point,
        "name": ", ".join(varying) or sweep.name,
        "members": len(part),
        "trained": int(part["status"].is_in(ENDED).sum()),
        **statistics,
        "test_accuracy": part["test_accuracy"].to_list(),
    }
