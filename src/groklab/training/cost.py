"""What an experiment will cost, before it is trained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from groklab.experiment.schema import Experiment
from groklab.lazy import jax, jnp
from groklab.training.ensemble import build_task, make_ensemble, memory_estimate, parameter_count, step_flops

#: Seconds a step that any program needs besides its matrix products, which run at about the matrix-multiply rate:
#: mostly calls of small kernels.
OVERHEAD = 8e-5


def matmul_rate(dtype: str = "float32", seconds: float = 0.2) -> float:
    """Best rate of a matrix product of the transformer's shape on this device, in FLOP/s."""
    a = jnp.ones((3830, 512), dtype)
    b = jnp.ones((512, 128), dtype)
    product = jax.jit(lambda x, y: jnp.dot(x, y, precision="highest"))
    product(a, b).block_until_ready()
    best, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        product(a, b).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * 3830 * 512 * 128 / best


def estimate(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Parameters, operations, memory, time and what would be compiled. Raises InputError as training would."""
    first = experiments[0]
    task = build_task(first)
    ensemble = make_ensemble(experiments)
    n_train = max(len(s.train) for s in ensemble.splits)
    n_test = max(len(s.test) for s in ensemble.splits)
    flops = step_flops(first, task, n_train)
    rate = matmul_rate(first.dtype)
    blocks = ensemble.blocks()
    step_seconds = len(experiments) * flops / rate + OVERHEAD * len(blocks)
    device = jax.devices()[0]
    return {
        "task": task.name,
        "members": len(experiments),
        "n_train": n_train,
        "n_test": n_test,
        "parameters": parameter_count(first, task),
        "flops_per_step": flops,
        "steps": first.budget.steps,
        "device": f"{device.platform}: {device.device_kind}",
        "matmul_gflops": round(rate / 1e9, 1),
        "seconds_per_step": step_seconds,
        "seconds": step_seconds * first.budget.steps,
        "memory_bytes": memory_estimate(ensemble.experiments, ensemble.tasks, ensemble.splits),
        "blocks": len(blocks),
        "lanes_per_block": len(blocks[0]),
        "programs": list(first.learner.compiled_programs),
    }
