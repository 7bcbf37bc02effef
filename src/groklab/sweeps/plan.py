"""What a sweep will train: its members, one for each point of the grid and each seed."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groklab.errors import InputError, shorten
from groklab.experiment.presets import description_of
from groklab.experiment.reading import read
from groklab.experiment.schema import MAX_SEED, Experiment, Start
from groklab.store.collection import Collection
from groklab.sweeps.grid import Grid, as_grid, check_known, points
from groklab.training.start import load_start

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
    settings["plugins"] = list(experiments[0].plugins)
    folder = _folder(name or experiments[0].name, canonical_grid, identities, experiments[0])
    return Plan(folder, base, settings, canonical_grid, canonical, member_points, experiments, identities)


def _of_members(retire: bool) -> dict[str, Any]:
    """How a sweep's members differ from single runs: they stop once they have grokked, and keep their last step."""
    return {"checkpoints.spacing": "none"} | (
        {"budget.stop_when_grokked": True, "budget.retire": True} if retire else {}
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
    """The points, and the grid, with values as the experiments hold them: 1e-5 as a number rather than a text."""
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
