"""What the claims share: the runs that they look at, what is measured of them, their bars and controls."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from groklab.analysis import analyse
from groklab.experiment import Experiment, preset
from groklab.reproduction import Bar, Claim, Trainer, Trial, Values
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.training import build_task

#: Seconds on two cores of the runs that many claims share, a seed.
QUICK_COST, FULL_COST = 70.0, 1300.0
QUICK_STEPS, FULL_STEPS = 8_000, 40_000
QUICK = (
    "Addition mod 59 from 40% of the pairs at decay 2, 8,000 steps, the network as in the paper: the smallest setting "
    "of this network that memorises first, groks much later in every seed tried, and has time to clean up."
)
FULL = (
    "The mainline as published: addition mod 113 from 30% of the pairs, decay 1, 40,000 steps. Seed 0 has the "
    "published code's own initial weights and split, in double precision; other seeds are drawn by groklab, in single "
    "precision."
)
#: The paper's own delay is 70-fold: memorised at step 140, grokked at some 10,000.
LATE = (Bar("times_as_late", ">=", 5, "groklab's own: far from the paper's 70, and from a curve's own spread"),)
FEW = (
    Bar("n_key_frequencies", ">=", 3, "the paper: 3 to 5 key frequencies over its five seeds"),
    Bar("n_key_frequencies", "<=", 5, "the paper: 3 to 5 key frequencies over its five seeds"),
)
ENOUGH_DATA = "the same network from 80% of the pairs, which generalises as it memorises"
MEMORISED = "the same network when it has memorised, before it groks, with the same frequencies"
OTHER_FREQUENCIES = "as many frequencies drawn at random from the others, in the same model"


def mainline(trainer: Trainer, size: str, seed: int) -> Run:
    """Train the run of most claims: `quick` at p = 59, `full` with the paper's settings."""
    kept = {"checkpoints.spacing": "linear"}
    if size == "quick":
        settings = {"name": "nanda2023-quick", "checkpoints.every": 100, "budget.steps": QUICK_STEPS, "seed": seed}
        return trainer.train(preset("demo", {**kept, **settings, "budget.stop_when_grokked": False}))
    name = "nanda2023/paper-seed0" if seed == 0 else "nanda2023"
    own = {} if seed == 0 else {"seed": seed}
    return trainer.train(preset(name, {**kept, "checkpoints.every": 500, **own}))


def random_labels(trainer: Trainer, size: str, seed: int) -> Run:
    """Train the network of `mainline` on random answers, until well after the mainline has cleaned up."""
    name, p, steps = ("demo", 59, 6_000) if size == "quick" else ("nanda2023", 113, 15_000)
    task = {"task.kind": "random_labels", "task.p": p, "task.outputs": "vocabulary"}
    settings = {"name": f"nanda2023-{size}-random-labels", "seed": seed, "checkpoints.per_decade": 1}
    more = {"budget.steps": steps, "budget.stop_when_grokked": False}
    return trainer.train(preset(name, {**task, **settings, **more}))


def vary(trainer: Trainer, size: str, seed: int, what: str, steps: int, **settings: Any) -> Run:
    """Train the small setting (`quick`) or the mainline with other settings, until it has grokked or its steps end."""
    dotted = {k.replace("__", "."): v for k, v in settings.items()}
    settings = {"name": f"nanda2023-{size}-{what}", "seed": seed, "budget.steps": steps, "checkpoints.per_decade": 1}
    stop = {"budget.stop_when_grokked": True, "budget.extra_steps": 200}
    return trainer.train(preset("demo" if size == "quick" else "nanda2023", {**settings, **stop, **dotted}))


def enough_data(trainer: Trainer, size: str, seed: int) -> Run:
    """Train the network of `mainline` from 80% of the pairs, until it has generalised."""
    return vary(trainer, size, seed, "fraction-0.8", steps_of(size), split__frac_train=0.8)


def steps_of(size: str) -> int:
    """Return the budget of most runs of a size."""
    return QUICK_STEPS if size == "quick" else FULL_STEPS


def times(run: Run) -> Values:
    """Return when a run memorised and grokked, and the second over the first."""
    member = run.status.members[0]
    memorised, grokked = member.memorised_step, member.grokked_step
    late = grokked / memorised if memorised and grokked else None
    return {"memorised_step": memorised, "grokked_step": grokked, "times_as_late": late}


def trial(run: Any, size: str, **changes: Any) -> Trial:
    """Return the trial of `run(trainer, size, seed)` on the shared runs of a size."""
    shared: dict[str, Any] = {
        "setting": QUICK if size == "quick" else FULL,
        "seeds": 3 if size == "quick" else 5,
        "cost": 3 * QUICK_COST if size == "quick" else 5 * FULL_COST,
        "shares": "mainline",
    }
    return Trial(run=lambda trainer, seed: run(trainer, size, seed), **{**shared, **changes})


def analysis(trainer: Trainer, run: Run, frequencies: list[int] | None = None) -> dict[str, Any]:
    """Return `analyse` of a run, made once per process, with its own key frequencies or with given ones."""
    trainer.check_time()
    return _analysis(str(run.path), int(run.status.step), None if frequencies is None else tuple(frequencies))


@lru_cache(maxsize=64)
def _analysis(path: str, step: int, frequencies: tuple[int, ...] | None) -> dict[str, Any]:
    return analyse(Run(Path(path)), frequencies=frequencies).to_dict()


def other_analysis(trainer: Trainer, run: Run, seed: int) -> dict[str, Any]:
    """Return `analyse` of a run with as many frequencies that it does not compute with."""
    keys, p = analysis(trainer, run)["key_frequencies"], build_task(run.experiment).modulus
    return analysis(trainer, run, other_frequencies(keys, p, seed))


def other_frequencies(keys: list[int], p: int, seed: int) -> list[int]:
    """Draw as many frequencies as `keys` from the others, fewer where there are fewer, and from all where none is."""
    every = np.arange(1, p // 2 + 1)
    others = np.setdiff1d(every, keys) if len(keys) < len(every) else every
    drawn = np.random.default_rng(seed).permutation(others)[: len(keys)]
    return sorted(int(k) for k in drawn)


def final(run: Run) -> tuple[dict[str, np.ndarray], Task, np.ndarray, Experiment]:
    """Return final weights, task, training rows and experiment of a run of one member."""
    experiment = run.experiment
    task = build_task(experiment)
    return run.weights(), task, make_split(experiment.split, task, experiment.seed).train, experiment


def memorised_weights(run: Run) -> dict[str, np.ndarray]:
    """Return the first kept weights that have memorised the training set; those of the start where none have."""
    memorised = run.status.members[0].memorised_step
    kept = [step for step in run.checkpoints if memorised is not None and step >= memorised]
    return run.weights(kept[0] if kept else run.checkpoints[0])


def chance_loss(p: int) -> float:
    """Return the loss of the uniform answer, ln p."""
    return float(np.log(p))


def claim_on_mainline(
    run: Any, bars: tuple[Bar, ...], *more: Bar, quick_cost: float = 0, full_cost: float = 0, **words: Any
) -> Claim:
    """A claim on the shared runs. more: bars of the full trial alone; costs: seconds per seed beyond the shared run."""
    quick, full = trial(run, "quick", bars=bars), trial(run, "full", bars=(*bars, *more))
    if quick_cost:
        quick = trial(run, "quick", bars=bars, cost=quick.cost + 3 * quick_cost)
        full = trial(run, "full", bars=(*bars, *more), cost=full.cost + 5 * full_cost)
    return Claim(quick=quick, full=full, **words)
