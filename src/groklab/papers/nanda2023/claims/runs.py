"""What the claims share: the runs that they look at, and what is measured of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from groklab.analysis import analyse
from groklab.experiment import Experiment, preset
from groklab.reproduction import Trainer, Trial
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.training import build_task

#: Seconds on two cores of the runs that many claims share, a seed.
QUICK_COST, FULL_COST = 50.0, 1000.0
QUICK = (
    "Addition mod 59 from 40% of the pairs at decay 2, 8,000 steps, the network as in the paper: the smallest setting "
    "of this network that memorises first, groks much later in every seed tried, and has time to clean up."
)
FULL = (
    "The mainline: addition mod 113 from 30% of the pairs, decay 1, 40,000 steps. Seed 0 has the published code's own "
    "initial weights and split, in double precision; other seeds are drawn by groklab, in single precision."
)


def mainline(trainer: Trainer, size: str, seed: int) -> Run:
    """Train the run of most claims: `quick` at p = 59, `full` with the paper's settings."""
    kept = {"checkpoints.spacing": "linear"}
    if size == "quick":
        settings = {"name": "nanda2023-quick", "checkpoints.every": 100, "budget.steps": 8_000, "seed": seed}
        return trainer.train(preset("demo", {**kept, **settings, "budget.stop_when_grokked": False}))
    name = "nanda2023/paper-seed0" if seed == 0 else "nanda2023"
    own = {} if seed == 0 else {"seed": seed}
    return trainer.train(preset(name, {**kept, "checkpoints.every": 500, **own}))


def trial(run: Any, size: str, **changes: Any) -> Trial:
    """Return the trial of `run(trainer, size, seed)` on the shared runs of a size."""
    shared: dict[str, Any] = {
        "setting": QUICK if size == "quick" else FULL,
        "seeds": 3 if size == "quick" else 5,
        "cost": 3 * QUICK_COST if size == "quick" else 5 * FULL_COST,
        "shares": "mainline",
    }
    return Trial(run=lambda trainer, seed: run(trainer, size, seed), **{**shared, **changes})


def analysis(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Return `analyse` of a run, made once per process."""
    trainer.check_time()
    return _analysis(str(run.path), int(run.status.step))


@lru_cache(maxsize=32)
def _analysis(path: str, step: int) -> dict[str, Any]:
    return analyse(Run(Path(path))).to_dict()


def final(run: Run) -> tuple[dict[str, np.ndarray], Task, np.ndarray, Experiment]:
    """Return final weights, task, training rows and experiment of a run of one member."""
    experiment = run.experiment
    task = build_task(experiment)
    return run.weights(), task, make_split(experiment.split, task, experiment.seed).train, experiment


def chance_loss(p: int) -> float:
    """Return the loss of the uniform answer, ln p."""
    return float(np.log(p))
