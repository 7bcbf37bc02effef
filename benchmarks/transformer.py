"""How fast is a training step of the one-layer transformer at p=113, 30%, against peers and against the floor?"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from benchmarks import clock, floor, peers
from groklab import preset
from groklab.learners import Span
from groklab.training import make_ensemble, program_of


class Trainer:
    """groklab's own program on some members, called in chunks as the engine calls it."""

    def __init__(self, experiments: list[Any], every: int) -> None:
        ensemble = make_ensemble(experiments)
        lanes = list(range(len(experiments)))
        self.ensemble = ensemble
        self.program = program_of(experiments[0], ensemble.tasks[0].shape)
        self.hyperparameters, self.keys = ensemble.hyperparameters(lanes), ensemble.keys(lanes)
        self.data = self.program.prepare(ensemble.raw_data(lanes))
        self.states = self.program.init(self.keys, self.hyperparameters)
        self.step, self.every = 0, np.int32(every)

    def __call__(self, n: int) -> None:
        bounds = np.int32(self.step), np.int32(self.step + n), self.every
        self.states, _ = jax.block_until_ready(
            self.program.advance(self.states, self.data, self.hyperparameters, self.keys, Span(*bounds))
        )
        self.step += n


def run() -> dict[str, Any]:
    """Steps per second, side by side in one process, and the ratio to the floor."""
    experiment = preset("nanda2023", {"split.method": "python_shuffle"})
    training_only = Trainer([experiment], every=10**6)
    default = Trainer([experiment], every=10)
    task, split = default.ensemble.tasks[0], default.ensemble.splits[0]
    train = (task.inputs[split.train], task.targets[split.train])
    test = (task.inputs[split.test], task.targets[split.test])
    # turns of a second or more: after a change of library the cores need some tenths to settle
    candidates: dict[str, Any] = {
        "groklab, training only": (training_only, 100),
        "groklab, evaluation every 10": (default, 100),
        "textbook JAX": (peers.textbook_jax(train, 113), 10),
    }
    try:
        candidates["textbook PyTorch"] = (peers.textbook_torch(train, None, 113), 10)
        candidates["textbook PyTorch + test each step"] = (peers.textbook_torch(train, test, 113), 6)
        candidates["TransformerLens, demo loop (tests each step)"] = (peers.transformer_lens(train, test, 113), 6)
    except ImportError as missing:
        print(f"  left out: {missing}")
    seconds = clock.in_turns(candidates, rounds=8)
    work = 3 * experiment.network.flops(task.shape, len(split.train))
    rates = floor.best_rate(floor.shapes(len(split.train), 128, 512, 114))
    bound = work / max(rates.values())
    ours = seconds["groklab, training only"]
    return {
        "seconds_per_step": seconds,
        "steps_per_second": {k: 1 / v["median"] for k, v in seconds.items()},
        "flop_per_step": work,
        "matmul_rates": rates,
        "floor_seconds": bound,
        "share_of_floor": {"best": bound / ours["best"], "median": bound / ours["median"]},
        "evaluation_cost": seconds["groklab, evaluation every 10"]["median"] / ours["median"] - 1,
        "speedup": {k: v["median"] / ours["median"] for k, v in seconds.items()},
    }
