"""Workers: what they find set, and the one that shares this process."""

from __future__ import annotations

import time
from pathlib import Path

from distributed import Client

import groklab as gl
from groklab.sweeps import Sweep, make_plan, pack
from groklab.sweeps import _executors as executors
from groklab.sweeps._executors import Workers
from groklab.sweeps._folder import SweepRecords
from groklab.sweeps._scheduler import drive


def test_workers_compute_in_one_thread(cluster: str) -> None:
    def cores_in_use() -> float:
        import jax

        product = jax.jit(lambda a: jax.lax.fori_loop(0, 60, lambda _, x: jax.numpy.tanh(x @ x), a))
        big = jax.numpy.ones((512, 512), "float32")
        product(big).block_until_ready()
        wall, cpu = time.perf_counter(), time.process_time()
        product(big).block_until_ready()
        return (time.process_time() - cpu) / (time.perf_counter() - wall)

    with Client(cluster, set_as_default=False) as client:
        found = client.run(cores_in_use)
    assert len(found) == 2
    # one thread cannot use more than one core, however busy the machine is; a second one would nearly double it
    assert all(0 < cores < 1.4 for cores in found.values()), found


def test_a_worker_of_this_process_trains_as_others_do(home: Path) -> None:
    settings = {"budget.steps": 60, "evaluation.every": 2}
    plan = make_plan("micro-fast", {"optimiser.weight_decay": [0.5, 1.0]}, overrides=settings, seeds=2)
    path = home / "sweeps" / plan.name
    folder = Sweep.create(path, plan, pack(plan.experiments, platform="gpu", memory=10**10))
    assert len(folder.packs) == 1
    with executors._inside() as client:
        drive(SweepRecords(folder), Workers(client, 1, "gpu", 10**10, "1 worker"), None, lambda: False)
    found = gl.Sweep(path)
    assert found.status == "finished"
    assert found.table["status"].to_list() == ["finished"] * 4
    assert gl.sweep("micro-fast", {"optimiser.weight_decay": [0.5, 1.0]}, overrides=settings, seeds=2).path == path
