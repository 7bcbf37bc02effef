"""Packs whose workers die, whose code fails, and a scheduler that goes away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import groklab as gl
from clusters import cluster_of
from groklab.errors import InputError
from groklab.sweeps import SweepProgress

PLUGIN = """
import os, signal
import groklab as gl
from groklab.optimisers import AdamW


@gl.register("optimiser", "deadly_of_sweeps")
class Deadly(AdamW):
    '''Kills the process that trains with it, as a lack of memory does.'''

    def update(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)


@gl.register("optimiser", "broken_of_sweeps")
class Broken(AdamW):
    '''Fails.'''

    def update(self, *_):
        raise ZeroDivisionError("a mistake")
"""
SETTINGS = {"task.p": 5, "network.d_mlp": 8, "budget.steps": 20}


def test_packs_that_kill_or_fail_do_not_end_the_others(tmp_path: Path) -> None:
    plugin = tmp_path / "deaths.py"
    plugin.write_text(PLUGIN)
    # of three packs for two workers the first is halved: not the one that costs a worker for each of its tries
    kinds = ["adamw", "deadly_of_sweeps", "broken_of_sweeps"]
    asked = {**SETTINGS, "plugins": [str(plugin)]}
    with cluster_of(2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as address:
        found = gl.sweep("micro", {"optimiser.kind": kinds}, overrides=asked, seeds=2, scheduler=address)
    rows = found.table.rows_by_key("optimiser.kind", named=True)
    assert [r["status"] for r in rows["adamw"]] == ["finished"] * 2
    assert [r["status"] for r in rows["deadly_of_sweeps"]] == ["failed"] * 2
    assert all("worker died" in r["reason"] for r in rows["deadly_of_sweeps"])
    assert [r["reason"] for r in rows["broken_of_sweeps"]] == ["ZeroDivisionError: a mistake"] * 2
    assert found.status == "finished"
    assert found.summary()["failed"] == 4
    # they are told again from the disk alone
    (found.path / "table.parquet").unlink()
    assert gl.Sweep(found.path).table.equals(found.table)


def test_a_scheduler_that_goes_away_is_a_sentence(home: Path) -> None:
    cluster = cluster_of(1)
    address = cluster.__enter__()
    closing: list[threading.Thread] = []

    def close(_: SweepProgress) -> None:
        if not closing:
            closing.append(threading.Thread(target=cluster.__exit__, args=(None, None, None)))
            closing[0].start()

    asked = {**SETTINGS, "budget.steps": 1_000_000}
    with pytest.raises(InputError, match="the scheduler has gone; what was trained stays"):
        gl.sweep(
            "micro", {"optimiser.weight_decay": [0, 1]}, overrides=asked, retire=False, scheduler=address, view=close
        )
    closing[0].join()
    found = gl.Sweep(next(home.glob("sweeps/*")))
    assert found.status == "interrupted"
