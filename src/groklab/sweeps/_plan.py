"""What a sweep will train: a grid of values, and its members, one for each point of the grid and each seed."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from groklab.errors import InputError, did_you_mean, shorten
from groklab.experiment import MAX_SEED, SECTIONS, Experiment, Start, description_of, parse_value, read
from groklab.registry import fingerprint, plugin_of
from groklab.store import Collection
from groklab.text import integer_in, number_in
from groklab.training import load_start

#: Dotted settings with the values that each takes, the first varying slowest.
Grid: TypeAlias = dict[str, list[Any]]

#: Values that one range may hold.
MOST_VALUES = 100_000
#: Settings that do not change what is trained: members that differ in them alone would be the same member.
NOT_TRAINED = ("name", "plugins", "budget", "evaluation", "checkpoints", "measures")
#: Sections and settings that a grid can vary.
SWEPT = tuple(name for name in SECTIONS if name not in NOT_TRAINED)
_OPENING, _CLOSING = "[{(", "]})"
#: Members of one sweep, unless more are allowed.
MAX_MEMBERS = 10_000


@dataclass(frozen=True)
class Plan:
    """The members of a sweep.

    Args:
        name: the folder's name.
        base: the description that all members share.
        overrides: dotted settings laid over it for all members.
        keys: the grid's settings and their values, as the members hold them.
        points: the settings of each point.
        member_points: the number of each member's point.
        identities: the members' identities, which take a while to make.
    """

    name: str
    base: dict[str, Any]
    overrides: dict[str, Any]
    keys: Grid
    points: list[dict[str, Any]]
    member_points: list[int]
    experiments: list[Experiment]
    identities: list[str]


def make_plan(
    what: str | Path | Experiment,
    keys: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: int = 1,
    retire: bool = True,
    name: str | None = None,
    max_members: int = MAX_MEMBERS,
    home: Path | None = None,
) -> Plan:
    """Return every member, checked; raises InputError for the first fault, before anything is written."""
    base, settings = description_of(what)
    settings = {**_of_members(retire), **settings, **(overrides or {})}
    grid = as_grid(keys)
    check_known(grid)
    for key in settings.keys() & grid.keys():
        if overrides and key in overrides:
            raise InputError(f"{shorten(key)} is given as a setting and as a key of the grid; one of them is enough")
    _check_count(grid, seeds, max_members)
    if "seed" in grid and seeds != 1:
        raise InputError("seeds", seeds, "cannot be given beside a grid over seed")
    made = [(point, read(base, {**settings, **point})) for point in points(grid)]
    _check_in_files([experiment for _, experiment in made])
    settings["plugins"] = list(dict.fromkeys(file for _, e in made for file in e.plugins))
    if any(list(e.plugins) != settings["plugins"] for _, e in made):
        # some points alone use a plug-in that was loaded by hand
        made = [(point, read(base, {**settings, **point})) for point, _ in made]
    canonical, canonical_grid = _canonical(grid, made)
    experiments, member_points = [], []
    starts: dict[Start, Start] = {}
    for number, (_, experiment) in enumerate(made):
        experiment = with_start(experiment, starts, home)
        if experiment.seed + seeds - 1 > MAX_SEED:
            raise InputError("seeds", seeds, f"leads beyond the largest seed, {MAX_SEED}")
        experiments += [replace(experiment, seed=experiment.seed + i) for i in range(seeds)]
        member_points += [number] * seeds
    identities = [e.identity for e in experiments]
    _check_different(identities, member_points, canonical)
    files = {f"task.{name}": getattr(experiments[0].task, name) for name in experiments[0].task.paths}
    settings |= {key: path for key, path in files.items() if path is not None and key not in grid}
    folder = _folder(name or experiments[0].name, canonical_grid, identities, experiments[0])
    return Plan(folder, base, settings, canonical_grid, canonical, member_points, experiments, identities)


def _of_members(retire: bool) -> dict[str, Any]:
    """Return the settings of a sweep's members that differ from single runs': stop once grokked, keep the last step."""
    return {"checkpoints.spacing": "none"} | (
        {"budget.stop_when_grokked": True, "budget.retire": True} if retire else {}
    )


def _check_in_files(experiments: Sequence[Experiment]) -> None:
    for definition in dict.fromkeys(d for e in experiments for d in e.definitions):
        if fingerprint(definition) and plugin_of(definition) is None:
            name = getattr(definition, "__name__", definition)
            raise InputError(
                f"{name} is defined in this session alone, and the processes of a sweep know plug-ins by their files: "
                "save it in one, and name that in `plugins`"
            )


def _check_count(grid: Grid, seeds: int, max_members: int) -> None:
    if not isinstance(seeds, int) or seeds < 1:
        raise InputError("seeds", seeds, "needs to be 1 or more")
    if max_members < 1:
        raise InputError("max_members", max_members, "needs to be 1 or more")
    counts = [len(values) for values in grid.values()]
    members = math.prod(counts) * seeds
    if members > max_members:
        product = " x ".join(f"{n:,}" for n in [*counts, seeds])
        raise InputError(
            f"this sweep would have {members:,} members ({product} seeds), more than max_members = {max_members:,}; "
            "take fewer values, or raise --max-members"
        )


def _canonical(grid: Grid, made: list[tuple[dict[str, Any], Experiment]]) -> tuple[list[dict[str, Any]], Grid]:
    """Return the points and the grid with values as in the experiments: 1e-5 as a number, not as text."""
    canonical = []
    for point, experiment in made:
        settings = experiment.to_dict()
        canonical.append({key: _value(settings, key, value) for key, value in point.items()})
    values: Grid = {}
    for key, given in grid.items():
        different = {json.dumps(point[key]): point[key] for point in canonical}
        if len(different) < len(given):
            raise InputError(f"grid {shorten(key)}", given, "holds the same value twice")
        values[key] = list(different.values())
    return canonical, values


def _value(settings: dict[str, Any], key: str, given: Any) -> Any:
    node: Any = settings
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return given
        node = node[part]
    return given if isinstance(node, dict) else node


def with_start(experiment: Experiment, known: dict[Start, Start], home: Path | None) -> Experiment:
    """Return the experiment with the hash of its start weights, and the absolute path of their run.

    Args:
        known: starts that were looked up before.

    Raises:
        InputError: the weights do not exist.
    """
    if experiment.start is None:
        return experiment
    if experiment.start not in known:
        collection = Collection(home)
        start = load_start(experiment, collection)[0].start
        assert start is not None
        run = None if start.run is None else str(collection.find(start.run).path)
        known[experiment.start] = replace(start, run=run)
    return replace(experiment, start=known[experiment.start])


def _check_different(identities: list[str], member_points: list[int], canonical: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for number, identity in enumerate(identities):
        other = seen.setdefault(identity, number)
        if other != number:
            first, second = (canonical[member_points[i]] for i in (other, number))
            raise InputError(f"the points {first} and {second} of the grid are the same experiment")


def _folder(name: str, keys: Grid, identities: list[str], first: Experiment) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "sweep"
    settings = first.to_dict()
    content = [identities, keys, [settings[k] for k in ("budget", "evaluation", "checkpoints")]]
    return f"{slug[:80]}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]}"


# -- grids ---------------------------------------------------------------------------------------------------------


def parse_grid(arguments: Sequence[str]) -> Grid:
    """Read `key=v1,v2,…` and `key=lo:hi:n[:log]` of the command line as a grid; raises InputError otherwise."""
    grid: Grid = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise InputError(
                f"--grid {shorten(argument)!r} names no values; write key=v1,v2 or key=lo:hi:n, "
                "for example optimiser.weight_decay=0:2:5"
            )
        if key in grid:
            raise InputError(f"--grid {shorten(key)} is given twice")
        grid[key] = parse_values(key, text)
    return grid


def parse_values(key: str, text: str) -> list[Any]:
    """Read the values in a text such as '0.2,0.3', '1:9:5' or '1e-5:1e-2:16:log'; both ends of a range are included."""
    values: list[Any] = []
    for item in _items(text):
        if not item.strip():
            raise InputError(f"--grid {shorten(key)}", shorten(text), "needs a value before and after each comma")
        low, *rest = item.split(":")
        if rest and (not low.strip() or number_in(low) is not None or number_in(rest[0]) is not None):
            values += _range(key, item)
        else:
            values.append(parse_value(key, item))
    return values


def as_grid(keys: Mapping[str, Any]) -> Grid:
    """Return a grid given in Python: for each key a list, an array, or a text as on the command line."""
    grid: Grid = {}
    for key, values in keys.items():
        if isinstance(values, str):
            grid[key] = parse_values(key, values)
            continue
        try:
            grid[key] = np.asarray(values).tolist() if isinstance(values, np.ndarray) else list(values)
        except TypeError:
            raise InputError(f"grid {shorten(str(key))}", values, "needs a list of values") from None
    for key, values in grid.items():
        if not values:
            raise InputError(f"grid {shorten(str(key))}", values, "needs at least one value")
        _check_trained(str(key))
    return grid


def check_known(grid: Grid) -> None:
    """Raise InputError for a key whose section cannot be swept."""
    for key in grid:
        head = key.split(".")[0]
        if head not in SWEPT:
            hint = did_you_mean(head, SWEPT)
            raise InputError(f"grid {shorten(key)}: unknown setting{hint}; allowed: settings of {', '.join(SWEPT)}")


def _check_trained(key: str) -> None:
    head = key.split(".")[0]
    if head == "budget":
        raise InputError(
            f"grid {shorten(key)}: a budget cannot be swept, as members that differ in it alone are one training; "
            "take the longest as a plain setting, or make one sweep for each budget"
        )
    if head in NOT_TRAINED:
        raise InputError(
            f"grid {shorten(key)}: cannot be swept, as it does not change what is trained and its members would be "
            "the same; give it once, as a plain setting"
        )


def points(grid: Grid) -> list[dict[str, Any]]:
    """Return every point of the product, the first key varying slowest; one empty point without keys."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _items(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    pieces, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING or letter in _CLOSING:
            depth += 1 if letter in _OPENING else -1
        elif letter == "," and depth <= 0:
            pieces.append("")
            continue
        pieces[-1] += letter
    return pieces


def _range(key: str, item: str) -> list[Any]:
    parts = [part.strip() for part in item.split(":")]

    def refuse(why: str) -> InputError:
        return InputError(f"--grid {shorten(key)}", shorten(item), why)

    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] != "log"):
        raise refuse("a range needs to be lo:hi:n or lo:hi:n:log")
    low, high = number_in(parts[0]), number_in(parts[1])
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
        raise refuse("a range needs to be lo:hi:n with numbers for its ends")
    n = integer_in(parts[2])
    if n is None or not 2 <= n <= MOST_VALUES:
        raise refuse(f"n, the number of values, needs to be an integer from 2 to {MOST_VALUES:,}")
    if low >= high:
        reversed_ = "is a reversed range: lo needs to be below hi"
        raise refuse(reversed_ if low > high else "lo and hi are the same: write a single value without a range")
    if len(parts) == 4 and low <= 0:
        raise refuse("a logarithmic range needs to begin above 0")
    spaced = np.geomspace if len(parts) == 4 else np.linspace
    values = [_plain(float(v)) for v in spaced(float(low), float(high), n)]
    integers = isinstance(low, int) and isinstance(high, int) and all(v == int(v) for v in values)
    return [int(v) for v in values] if integers else values


def _plain(value: float) -> float:
    """Round a value that misses a short decimal by its last bits: 0.3 for 0.30000000000000004."""
    short = float(f"{value:.12g}")
    return short if abs(short - value) <= 4 * np.finfo(float).eps * abs(value) else value
