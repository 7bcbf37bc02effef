"""The times of a sweep's members, some of them censored, with the values of a law's variables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.components import as_json
from groklab.errors import InputError, check_choice, unknown
from groklab.laws._law import Law, Variable
from groklab.sweeps import Sweep, place_of, swept
from groklab.text import first_of, flattened, label, listed, number_in

#: Cells of which at least one member has an observed time; from fewer, no law can be told from another.
FEWEST_CELLS = 3
#: Settings that say how long and how often, which no law is about.
FREE = ("budget.", "evaluation.", "checkpoints.")


@dataclass(frozen=True)
class Times:
    """One row per member that a law speaks of.

    Args:
        frame: columns member, seed, cell, one per variable, `time` and `observed`. A time that is not observed is a
            bound: from below for what had not happened by the end, from above (`early`) for what happened within the
            first evaluation after memorising.
        left_out: how many members are left out, by reason.
        units: by variable, the setting and what it is divided by.
        held: settings held at a value.
    """

    frame: pl.DataFrame
    left_out: dict[str, int]
    units: dict[str, tuple[str, float]]
    held: dict[str, Any]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The values of the variables."""
        return {name: self.frame[name].to_numpy() for name in self.units}

    @property
    def log_time(self) -> np.ndarray:
        """(n,) logarithms of times and bounds."""
        return np.asarray(np.log(self.frame["time"].to_numpy()))

    @property
    def observed(self) -> np.ndarray:
        """(n,) whether the time is observed."""
        return self.frame["observed"].to_numpy()

    @property
    def early(self) -> np.ndarray:
        """(n,) whether the bound is from above."""
        return self.frame["early"].to_numpy()

    @property
    def cells(self) -> np.ndarray:
        """(n,) the cell of each."""
        return self.frame["cell"].to_numpy()


def times_of(sweep: Sweep, law: Law, axes: Mapping[str, str], at: Mapping[str, Any]) -> Times:
    """Return the times of a sweep that a law is fitted to.

    Args:
        axes: by variable, the setting that it is, with a unit as in `optimiser.clamp_norm/25`, in place of the law's.
        at: values at which other settings of the grid are held.

    Raises:
        InputError: the sweep lacks an axis that the law needs, varies a setting that the law has not, or has fewer than
            three cells with an observed time.
    """
    units = _units(sweep, law, axes)
    table, held = _held(sweep, law, units, at)
    rows, left_out = [], Counter[str]()
    recorded = flattened(as_json(sweep.recorded(0)))
    for row in table.iter_rows(named=True):
        own, reason = _row(sweep, law, row, units, recorded)
        if own is None:
            left_out[reason] += 1
        else:
            rows.append(own)
    schema: dict[str, Any] = {"member": pl.Int64, "seed": pl.Int64, **dict.fromkeys(units, pl.Float64)}
    schema |= {"time": pl.Float64, "observed": pl.Boolean, "early": pl.Boolean, "cell": pl.Int64}
    keys = [[row[v.name] for v in law.variables if not v.measured] for row in rows]
    numbered = {text: i for i, text in enumerate(dict.fromkeys(map(json.dumps, keys)))}
    rows = [{**row, "cell": numbered[json.dumps(key)]} for row, key in zip(rows, keys, strict=True)]
    frame = pl.DataFrame(rows, schema=schema)
    n_cells = frame.filter("observed")["cell"].n_unique()
    if n_cells < max(FEWEST_CELLS, law.n_parameters - 1):
        raise InputError(_too_few(sweep, law, n_cells, left_out))
    return Times(frame, dict(left_out), units, held)


def _units(sweep: Sweep, law: Law, axes: Mapping[str, str]) -> dict[str, tuple[str, float]]:
    """Return by variable the setting that it is in this sweep, and the unit."""
    for name in axes:
        check_choice(
            "--axis", name, [v.name for v in law.variables if not v.measured], known=f"variables of {law.name}"
        )
    varied, units = list(swept(sweep.keys)), {}
    for variable in law.variables:
        if variable.measured:
            units[variable.name] = (variable.measured, 1.0)
            continue
        given, _, unit = axes.get(variable.name, "").partition("/")
        divisor = number_in(unit) if unit else 1.0
        if divisor is None or not divisor > 0:
            raise InputError(f"--axis {variable.name}", unit, "needs a positive number after the sign /")
        if given and given not in varied:
            raise unknown(f"--axis {variable.name}", given, varied, known=f"settings that {sweep.name} varies")
        names = (given,) if given else variable.settings
        key = next((name for name in names if name in varied), None)
        if key is None and variable.varies:
            raise InputError(_no_axis(sweep, law, variable, varied))
        units[variable.name] = (key or variable.settings[0], float(divisor))
    if not any(key in varied for key, _ in units.values()):
        raise InputError(_no_axis(sweep, law, law.variables[0], varied))
    return units


def _no_axis(sweep: Sweep, law: Law, variable: Variable, varied: list[str]) -> str:
    key = variable.settings[0]
    return (
        f"the law {law.name} needs a sweep over {' or '.join(variable.settings)} ({variable.name} of the formula), and "
        f"{sweep.name} varies {first_of(varied, 5) or 'nothing'}; `--axis {variable.name}=KEY` takes another setting, "
        f"and `groklab sweep … --grid {key}=…` makes such a sweep"
    )


def _held(
    sweep: Sweep, law: Law, units: Mapping[str, tuple[str, float]], at: Mapping[str, Any]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the rows of the table at the values given, and these values."""
    own = {key for key, _ in units.values()}
    others = {k: values for k, values in swept(sweep.keys).items() if k not in own and not k.startswith(FREE)}
    table, held = sweep.table_so_far(), {}
    for key, value in at.items():
        check_choice("--at", key, others, known="other settings of the grid")
        place = place_of(value, others[key])
        if place is None:
            raise unknown(f"--at {key}", value, [label(v) for v in others[key]])
        held[key] = others[key][place]
        points = [i for i, point in enumerate(sweep.points) if point[key] == held[key]]
        table = table.filter(pl.col("point").is_in(points))
    open_keys = [key for key in others if key not in held]
    if open_keys:
        example = f"--at {open_keys[0]}={label(others[open_keys[0]][0])}"
        raise InputError(
            f"{sweep.name} also varies {listed(open_keys)}, which the law {law.name} does not have; hold it with "
            f"{example}"
        )
    return table, held


def _row(
    sweep: Sweep,
    law: Law,
    row: Mapping[str, Any],
    units: Mapping[str, tuple[str, float]],
    recorded: Mapping[str, Any],
) -> tuple[dict[str, Any] | None, str]:
    """Return a member's times and variables, or None and why it is left out."""
    grokked, memorised, steps = row["grokked_step"], row["memorised_step"], row["steps"]
    if grokked is None and row["status"] != "finished":
        return None, "diverged" if row["status"] == "diverged" else "not trained to the end"
    start = 0
    if law.time == "delay":
        if memorised is None:
            return None, "did not memorise"
        start = memorised
    end = steps if grokked is None else grokked
    values: dict[str, float] = {}
    for variable in law.variables:
        key, unit = units[variable.name]
        if variable.measured:
            value = _log_norm_ratio(sweep, row["member"], memorised, end)
            if value is None or not value > 0:
                return None, "has a norm that does not fall from memorising to grokking"
        else:
            value = sweep.points[row["point"]].get(key, recorded.get(key))
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(key, value, f"is not a number, and the law {law.name} needs one ({variable.name})")
            if variable.positive and not value > 0:
                return None, f"has {key} = {label(value)}"
        values[variable.name] = float(value) / unit
    cadence = float(recorded.get("evaluation.every") or 1)
    time = float(end - start)
    early = grokked is not None and time <= 0
    if grokked is None and time <= 0:
        return None, "ended as it memorised"
    own = {"member": row["member"], "seed": row["seed"], **values}
    observed = grokked is not None and not early
    return {**own, "time": cadence if early else time, "observed": observed, "early": early}, ""


def _log_norm_ratio(sweep: Sweep, member: int, memorised: int, end: int) -> float | None:
    """Return log(‖θ_mem‖² / ‖θ_post‖²), of the norms at these two evaluated steps; None where they are not kept."""
    run, place = sweep.run(member)
    curves = run.curves(place)
    norms = [curves["weight_norm"][curves["step"] == step] for step in (memorised, end)]
    if not all(len(norm) for norm in norms):
        return None
    return float(2 * np.log(norms[0][0] / norms[1][0]))


def _too_few(sweep: Sweep, law: Law, n_cells: int, left_out: Mapping[str, int]) -> str:
    needed = max(FEWEST_CELLS, law.n_parameters - 1)
    why = [f"{n:,} member{'s' if n > 1 else ''} {reason}" for reason, n in left_out.items()]
    return (
        f"the law {law.name} needs at least {needed} cells with a member that grokked, and {sweep.name} has {n_cells}"
        + (f" ({'; '.join(why)})" if why else "")
    )
