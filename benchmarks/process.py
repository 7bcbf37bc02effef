"""What does a whole run cost besides its steps: compiling, first and cached; peak memory; evaluation and logging?"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

_PROGRAM = """
import json, resource, sys, time
began = time.perf_counter()
import groklab as gl
imported = time.perf_counter() - began
from benchmarks.transformer import Trainer
began = time.perf_counter()
trainer = Trainer([gl.preset(sys.argv[1])], every=10)
trainer(1)
ready = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"import_seconds": imported, "first_step_seconds": ready, "peak_bytes": peak}))
"""


def run() -> dict[str, Any]:
    """Import, first step with an empty and a filled compilation cache, peak memory, and a whole run's overhead."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("micro", "nanda2023"):
            environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": f"{cache}/{name}"}
            for state in ("first", "cached"):
                output = subprocess.check_output([sys.executable, "-c", _PROGRAM, name], env=environment, text=True)
                found[f"{name}, {state}"] = json.loads(output.splitlines()[-1])
    found["whole run at p=113"] = _whole_run()
    return found


def _whole_run() -> dict[str, float]:
    """Engine, logging and checkpoints at the default cadence against bare training steps, in one process."""
    import groklab as gl
    from benchmarks.transformer import Trainer

    experiment = gl.preset("nanda2023", {"budget.steps": 400})
    bare = Trainer([experiment], every=10**6)
    bare(20)
    with tempfile.TemporaryDirectory() as home:
        gl.train(gl.preset("nanda2023", {"budget.steps": 20}), home=home)
        ratios = []
        for seed in (1, 2, 3):
            began = time.perf_counter()
            bare(400)
            plain = time.perf_counter() - began
            run = gl.train(gl.preset("nanda2023", {"budget.steps": 400, "seed": seed}), home=home)
            # the run's own clock starts when its first chunk does, and a cached program is read within it
            ratios.append((run.status.seconds / plain) - 1)
    return {"overhead": min(ratios), "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
