"""What do measures cost: on line, as a share of training, and after the fact, in seconds a checkpoint?"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import groklab as gl

ROUNDS = 4
ASKED = {
    "measures.names": ["progress", "trigonometric_fit", "embedding_spectrum", "weight_norms"],
    "measures.frequencies": [2, 3, 5],
}
STEPS = {"micro": 3_000, "demo": 1_000, "nanda2023": 500}


def run() -> dict[str, Any]:
    """Training with measures every 250 steps (the default) against without, in turns; then a run taken apart."""
    found: dict[str, Any] = {"on_line_share": {}, "seconds": {}}
    with tempfile.TemporaryDirectory() as home:
        for preset, steps in STEPS.items():
            base = {"budget.steps": steps, "budget.stop_when_grokked": False}
            best = {"without": float("inf"), "with": float("inf")}
            for _ in range(ROUNDS):
                for name, more in (("without", {}), ("with", ASKED)):
                    trained = gl.train(gl.preset(preset, {**base, **more}), home=home, again=True)
                    best[name] = min(best[name], float(trained.status.seconds))
            found["on_line_share"][preset] = best["with"] / best["without"] - 1
            checkpoints = len(trained.checkpoints)
            gl.analyse(trained)  # compiles
            began = time.perf_counter()
            gl.analyse(trained)
            seconds = {"analyse, a checkpoint": (time.perf_counter() - began) / checkpoints}
            names = ["neurons", "directions", "ablations", *(["attention"] if preset != "micro" else [])]
            task, weights = trained.experiment.task.build(), trained.weights()
            for name in names:
                for _ in range(2):
                    began = time.perf_counter()
                    gl.MEASURES[name](weights, task, network=trained.experiment.network, frequencies=[2, 3, 5])
                    seconds[name] = time.perf_counter() - began
            found["seconds"][preset] = seconds
    return found
