"""How fast is the p=23 fixture on one core, and what do ensembles of 1, 8 and 64 members cost?"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from benchmarks import clock
from benchmarks.transformer import Trainer
from groklab import preset


def run() -> dict[str, Any]:
    """Steps per second of one core; model-steps per second of ensembles. Run it pinned to one core."""
    experiment = preset("micro")
    candidates = {}
    for width in (1, 4, 8, 16, 64):
        members = [dataclasses.replace(experiment, seed=s) for s in range(width)]
        candidates[f"{width} members"] = (Trainer(members, every=10**6), max(3000 // width, 60))
    candidates["1 member, evaluated every 10"] = (Trainer([experiment], every=10), 2500)
    seconds = clock.in_turns(candidates, rounds=5)
    width_of = {k: int(k.split()[0]) for k in candidates}
    return {
        "cores": len(os.sched_getaffinity(0)),
        "steps_per_second": {k: 1 / v["best"] for k, v in seconds.items()},
        "model_steps_per_second": {k: width_of[k] / v["best"] for k, v in seconds.items()},
        "evaluation_cost": seconds["1 member, evaluated every 10"]["best"] / seconds["1 members"]["best"] - 1,
    }
