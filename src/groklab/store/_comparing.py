"""Runs side by side, with grokking steps summarised as censored data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groklab import grokking
from groklab.errors import InputError
from groklab.store._collection import Collection
from groklab.store._records import MemberResult
from groklab.store._run import Run
from groklab.text import flattened, listed

#: Settings that make a run another sample rather than another experiment.
_CHANCE = ("seed", "split.seed", "split.noise_seed", "name")


def compare(runs: Sequence[Run | str | Path], *, home: str | Path | None = None) -> dict[str, Any]:
    """Compare runs by their summaries and by censored statistics of the grokking step over the members of each.

    Args:
        runs: runs, their names or their folders, or RUN#2 for a member.
        home: the folder of runs in which names are looked up.

    Returns:
        Plain JSON values. `runs`: the summary of each run with `grokking` and `memorising` (Kaplan–Meier: n, n_grokked,
        which counts the members with the event, median, low, high). `pooled`: the same over runs that differ in nothing
        but their seeds; members of one identity are one sample. `copies`: what `copies` returns. `differences`: by
        dotted name the settings in which the runs differ.
    """
    if isinstance(runs, (Run, str, Path)):
        raise InputError("compare needs a list of runs")
    collection = Collection(Path(home) if home is not None else None)
    opened = [r if isinstance(r, Run) else collection.look_up(r) for r in runs]
    rows = [{**run.summary(), **_summaries([run])} for run in opened]
    settings = [flattened(run.recorded[0].to_dict()) for run in opened]
    keys = {k for s in settings for k in s}
    differences = {k: [s.get(k) for s in settings] for k in sorted(keys) if len({repr(s.get(k)) for s in settings}) > 1}
    alike: dict[str, list[Run]] = {}
    for run, setting in zip(opened, settings, strict=True):
        alike.setdefault(repr([setting.get(k) for k in sorted(keys) if k not in _CHANCE]), []).append(run)
    pooled = [
        {"runs": [r.name for r in group], **_summaries(group)}
        for group in alike.values()
        if len({i for run in group for i in run.identities}) > max(run.n_members for run in group)
    ]
    return {"runs": rows, "pooled": pooled, "copies": copies(opened), "differences": differences}


def copies(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return by a run's name the later runs that have members of its identities: the same training again."""
    first: dict[str, str] = {}
    repeats: dict[str, list[str]] = {}
    for run in runs:
        for name in {first[identity]: None for identity in run.identities if identity in first}:
            repeats.setdefault(name, []).append(run.name)
        for identity in run.identities:
            first.setdefault(identity, run.name)
    return repeats


def copies_sentences(repeats: dict[str, list[str]]) -> list[str]:
    """Return a sentence on each run of which others have members."""
    return [
        f"{listed(names)} {'has' if len(names) == 1 else 'have'} members of {name} (equal identities): "
        "together they count once."
        for name, names in repeats.items()
    ]


def _summaries(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the statistics over members; of those with one identity, the one trained for longest."""
    unlike: dict[str, tuple[MemberResult, int]] = {}
    for run in sorted(runs, key=lambda run: run.status.step):
        unlike |= {i: (m, run.status.step) for i, m in zip(run.identities, run.status.members, strict=False)}
    members = list(unlike.values())
    if not members:
        return {"grokking": None, "memorising": None}
    ended = [step for _, step in members]
    return {
        what: grokking.survival([getattr(m, key) for m, _ in members], ended).to_dict()
        for what, key in (("grokking", "grokked_step"), ("memorising", "memorised_step"))
    }
