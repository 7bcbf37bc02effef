"""Which members share a pack: one program and shape, little padding, as many lanes as train fastest."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from groklab.experiment import Experiment
from groklab.tasks import SplitRows, make_split
from groklab.training import CPU_BLOCK_FLOPS, CPU_LANES, build_task, make_ensemble, memory_estimate, step_flops

#: Share of a pack's largest training set that every member's needs to have: at most a quarter is padding.
FULLNESS = 0.75
#: Share of a GPU's free memory that one pack may take.
GPU_SHARE = 0.5
#: Up to this many packs per worker, packs are halved so that no worker ends idle.
EVEN = 3


@dataclass(frozen=True)
class Pack:
    """Members, by number, that train together; cost: floating-point operations of all their steps."""

    members: tuple[int, ...]
    cost: float


@dataclass(frozen=True)
class Packing:
    """All packs, the most expensive first, and why they are so, in one sentence."""

    packs: tuple[Pack, ...]
    description: str


def pack(
    experiments: Sequence[Experiment], *, platform: str = "cpu", workers: int = 1, memory: int | None = None
) -> Packing:
    """Divide a sweep's members into packs.

    Args:
        platform: 'cpu', where a pack is one block of lanes that keeps one core busy, or another, where a pack is as
            large as `memory` (bytes free on a worker's device) allows.
        workers: how many packs train at once.

    Raises:
        InputError: a member's task or split cannot be made, or its learner cannot train on it.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, experiment in enumerate(experiments):
        groups.setdefault(_shared(experiment), []).append(number)
    splits = _Splits()
    sizes = [len(splits.of(e).train) for e in experiments]
    packs: list[Pack] = []
    limits = []
    for group in groups.values():
        # the largest first; members of one size keep their order
        members = sorted(group, key=lambda i: -sizes[i])
        largest = experiments[members[0]]
        make_ensemble([largest])  # refuses what could not be trained
        limits.append(_limit(largest, splits.of(largest), platform, memory))
        for similar in _similar(members, sizes):
            packs += _cut(similar, experiments, sizes, limits[-1])
    packs = _evened(packs, workers) if platform == "cpu" or workers > 1 else packs
    packs.sort(key=lambda p: (-p.cost, p.members))
    alone = all(e.learner.max_lanes == 1 for e in experiments)
    return Packing(tuple(packs), _sentence(len(experiments), len(groups), packs, _why(platform, max(limits), alone)))


def _shared(experiment: Experiment) -> Hashable:
    """Return the settings that members of one pack need to have in common."""
    e, task = experiment, build_task(experiment)
    own_data = "" if task.draw is None else json.dumps(e.to_dict()["task"], sort_keys=True)
    kinds = tuple(part is None for part in (task.mask, task.features, task.values, task.reads, e.start))
    settings = (e.budget, e.evaluation, e.checkpoints, e.measures, e.plugins)
    return (e.program, task.shape, own_data, kinds, settings)


class _Splits:
    """Splits of the members' sizes: a seed changes which rows are trained on, not how many."""

    def __init__(self) -> None:
        self.known: dict[str, SplitRows] = {}

    def of(self, experiment: Experiment) -> SplitRows:
        description = experiment.to_dict()
        key = json.dumps([description["task"], {**description["split"], "seed": None}], sort_keys=True)
        if key not in self.known:
            self.known[key] = make_split(experiment.split, build_task(experiment), experiment.seed)
        return self.known[key]


def _limit(experiment: Experiment, rows: SplitRows, platform: str, memory: int | None) -> int:
    """Return the largest number of lanes that a pack of such members may have."""
    if experiment.learner.max_lanes is not None:
        return int(experiment.learner.max_lanes)
    task = build_task(experiment)
    if platform == "cpu":
        return min(CPU_LANES, max(1, int(CPU_BLOCK_FLOPS / step_flops(experiment, task, len(rows.train)))))
    if memory is None:
        return CPU_LANES
    # the estimate for one member counts all of its activations, as a GPU holds those of every lane
    return max(1, int(GPU_SHARE * memory / memory_estimate([experiment], [task], [rows])))


def _similar(members: list[int], sizes: Sequence[int]) -> list[list[int]]:
    """Members, sorted by size, cut wherever one would be padded by more than a quarter."""
    runs: list[list[int]] = []
    for number in members:
        if not runs or sizes[number] < FULLNESS * sizes[runs[-1][0]]:
            runs.append([])
        runs[-1].append(number)
    return runs


def _cut(group: list[int], experiments: Sequence[Experiment], sizes: Sequence[int], limit: int) -> list[Pack]:
    """Packs of at most `limit` members, as equal as they can be."""
    count = -(-len(group) // limit)
    width = -(-len(group) // count)
    packs = []
    for start in range(0, len(group), width):
        members = group[start : start + width]
        first = experiments[members[0]]
        flops = step_flops(first, build_task(first), sizes[members[0]])
        packs.append(Pack(tuple(members), flops * len(members) * first.budget.steps))
    return packs


def _evened(packs: list[Pack], workers: int) -> list[Pack]:
    """Return the packs with the largest halved until none of the workers is idle for long."""
    while len(packs) <= EVEN * workers and len(packs) % workers:
        # the one of most members among the most expensive
        largest = max(packs, key=lambda p: (len(p.members) > 1, p.cost))
        n = len(largest.members)
        if n == 1:
            break
        half = -(-n // 2)
        packs.remove(largest)
        for members in (largest.members[:half], largest.members[half:]):
            packs.append(Pack(members, largest.cost * len(members) / n))
    return packs


def _why(platform: str, widest: int, alone: bool) -> str:
    if alone:
        return "as this learner trains one member at a time"
    if platform == "cpu":
        return f"as {widest} of this size keep a core busy and still let all cores end together"
    return f"as the device's memory holds {widest:,}"


def _sentence(members: int, groups: int, packs: list[Pack], why: str) -> str:
    widths = [len(p.members) for p in packs]
    most = max(widths)
    of = f"{min(widths)} to {most}" if min(widths) < most else f"{most}"
    share = "share one program and shape" if groups == 1 else f"need {groups} programs or shapes"
    if members == 1:
        return "1 member in 1 pack"
    packed = f"{len(packs):,} pack{'s' if len(packs) > 1 else ''} of {of} member{'s' if most > 1 else ''}"
    return f"{members:,} members {share}: {packed}, {why}"


def padding(packs: Sequence[Pack], sizes: Sequence[int]) -> float:
    """Return the largest share of training rows that only pad, over the packs."""
    return max(
        1 - sum(sizes[i] for i in p.members) / (len(p.members) * max(sizes[i] for i in p.members)) for p in packs
    )
