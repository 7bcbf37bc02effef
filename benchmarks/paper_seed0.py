"""How closely does `nanda2023/paper-seed0` follow the paper's own model?

`python -m benchmarks.paper_seed0 [RUN]`: trains the preset (or takes a run of it), compares its curve with an
independent simulation from the same weights, and keeps the comparison under benchmarks/results/.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import groklab as gl
from groklab.training import build_task

#: An independent simulation on a CPU: the first steps at which the test loss is below each value.
CROSSINGS = {1.0: 9450, 0.1: 9810, 0.01: 10100, 1e-3: 10400, 1e-4: 10690, 1e-5: 11100, 1e-6: 11630}
#: and losses (train, test) by step.
LOSSES = {
    0: (4.764052263404, 4.768347310832), 10: (4.712011544366, 4.759816696779), 50: (4.236125, 5.407020),
    100: (2.271289, 7.7378), 500: (7.883e-4, 18.336), 1000: (4.239e-6, 23.717),
}  # fmt: skip
#: The key frequencies that the paper names.
PAPER_KEY_FREQUENCIES = [14, 35, 41, 42, 52]


def main() -> None:
    run = gl.Collection().find(sys.argv[1]) if len(sys.argv) > 1 else gl.train(gl.preset("nanda2023/paper-seed0"))
    curves = run.curves()
    steps, test = curves["step"], curves["test_loss"]
    crossings = {}
    for bar, reference in CROSSINGS.items():
        # before the memorising peak the test loss is near ln 113 and says nothing of generalising
        found = steps[(test < bar) & (steps > 2000)]
        step = int(found[0]) if len(found) else None
        crossings[f"{bar:g}"] = {"step": step, "reference": reference, "ratio": step / reference if step else None}
    losses = {}
    for step, (train_reference, test_reference) in LOSSES.items():
        row = int(np.flatnonzero(steps == step)[0])
        pair = {"train": float(curves["train_loss"][row]), "test": float(test[row])}
        losses[str(step)] = {**pair, "train_reference": train_reference, "test_reference": test_reference}
    task = build_task(run.experiment)
    key = gl.MEASURES["key_frequencies"](run.weights(), task)["frequencies"]
    peak = int(np.argmax(test))
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": "python -m benchmarks.paper_seed0",
        "environment": run.environment.to_dict(),
        "summary": {k: v for k, v in run.summary().items() if k != "path"},
        "test_loss_crosses": crossings,
        "losses": losses,
        "peak": {"test_loss": float(test[peak]), "step": int(steps[peak]), "reference": [26.077, 1420]},
        "key_frequencies": key,
        "key_frequencies_of_the_paper": PAPER_KEY_FREQUENCIES,
    }
    path = Path(__file__).parent / "results" / f"{result['date']}-nanda2023-paper-seed0-{run.experiment.dtype}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("test_loss_crosses", "peak", "key_frequencies")}, indent=1))
    print(f"kept in {path}")


main()
