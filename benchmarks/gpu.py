"""On a GPU: one p=113 run of 40,000 steps, and model-steps per second of ensembles against the card's rate."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from typing import Any

import jax

import groklab as gl
from benchmarks import clock, floor
from benchmarks.transformer import Trainer


def run() -> dict[str, Any]:
    """Empty where there is no GPU."""
    if jax.devices()[0].platform == "cpu":
        return {"skipped": "no GPU here"}
    found: dict[str, Any] = {"device": jax.devices()[0].device_kind}
    with tempfile.TemporaryDirectory() as home:
        gl.train(gl.preset("nanda2023", {"budget.steps": 1000, "seed": 1}), home=home)
        began = time.perf_counter()
        whole = gl.train(gl.preset("nanda2023"), home=home)
        found["40,000 steps"] = {"seconds": time.perf_counter() - began, **whole.summary()}
    experiment = gl.preset("nanda2023")
    rates = floor.best_rate([(3830 * w, 512, 128) for w in (1, 16, 64)])
    found["matmul_rate"] = rates["xla"]
    for width in (1, 16, 256):
        trainer = Trainer([dataclasses.replace(experiment, seed=s) for s in range(width)], every=10**6)
        seconds = clock.in_turns({"x": (trainer, max(2000 // width, 20))}, rounds=3)["x"]["best"]
        work = 3 * experiment.network.flops(trainer.ensemble.tasks[0].shape, 3830) * width
        rate = {"model_steps_per_second": width / seconds, "share_of_matmul_rate": work / seconds / rates["xla"]}
        found[f"{width} members"] = rate
    return found
