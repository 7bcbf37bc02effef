"""Real processes killed with SIGKILL at random moments, and what `resume` makes of what they leave."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from amounts import amount
from groklab.store import Run, states, storage
from processes import Program

#: A few seconds of training that write all the time.
ASKED = [
    *("train", "micro", "budget.steps=6000", "checkpoints.rolling_seconds=0.02"),
    *("checkpoints.spacing=linear", "checkpoints.every=100", "--json", "--quiet"),
]
#: `make test-long` kills 200 times.
KILLS, SEEDS = amount((4, range(1)), full=(10, range(20)))


def start(home: Path, *arguments: str) -> Program:
    # thousands of steps: programs as users have them, which are three times as quick as those of other tests
    return Program(*arguments, environment={"GROKLAB_HOME": str(home), "XLA_FLAGS": ""})


def result(process: Program) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def only_run(home: Path) -> Run | None:
    found = list(home.glob("*/experiment.json"))
    return Run(found[0].parent) if found else None


def is_writing(home: Path, process: Program) -> bool:
    for lock in home.glob("*/lock.json"):
        try:
            return bool(json.loads(lock.read_bytes())["pid"] == process.pid)
        except FileNotFoundError:
            continue
    return False


def newest_write(home: Path) -> int:
    """When a state was last written."""
    return max((p.stat().st_mtime_ns for p in home.glob("*/state/rolling_?.safetensors")), default=0)


def check_all_files_are_whole(run: Run) -> None:
    # any warning of a damaged file would be an error here
    steps = [state.step for state in states(run)]
    last = run.metrics["step"].max()
    assert all(isinstance(last, int) and step <= last + 10 for step in steps)
    for step in run.checkpoints:
        run.weights(step)
    # the kill may come between the last word of a run and the end of its process
    assert run.status.state in ("interrupted", "finished")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], pl.DataFrame, list[int]]:
    home = tmp_path_factory.mktemp("straight")
    found = result(start(home, *ASKED))
    run = only_run(home)
    assert run is not None
    assert found["weights_sha256"] == storage.digest(run.weights())
    return found, run.metrics, run.checkpoints


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_runs_killed_at_random_moments_end_in_the_same_bits(
    tmp_path: Path, straight: tuple[dict[str, Any], pl.DataFrame, list[int]], seed: int
) -> None:
    draw = random.Random(seed)
    expected, metrics, checkpoints = straight
    killed, reached = 0, []

    def compare(found: dict[str, Any]) -> None:
        run = only_run(tmp_path)
        assert run is not None
        assert found["status"] == "finished"
        assert found["weights_sha256"] == expected["weights_sha256"]
        assert {k: found[k] for k in ("steps", "memorised_step", "grokked_step", "test_loss")} == {
            k: expected[k] for k in ("steps", "memorised_step", "grokked_step", "test_loss")
        }
        assert run.metrics.equals(metrics)
        assert run.checkpoints == checkpoints
        assert not list(run.path.rglob("*.tmp"))

    while killed < KILLS:
        run = only_run(tmp_path)
        arguments = ASKED if run is None or draw.random() < 0.5 else ["resume", run.name, "--json", "--quiet"]
        process = start(tmp_path, *arguments)
        begun = newest_write(tmp_path)
        moment = draw.choice(["any", "lock", "state", "state", "state"])
        while process.poll() is None and moment != "any":
            if newest_write(tmp_path) > begun if moment == "state" else is_writing(tmp_path, process):
                break
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.4 if moment == "state" else 1.5))
        process.kill()
        out, err = process.communicate()
        if process.returncode == 0:
            # it was quicker than the kill: compare, and begin again
            compare(json.loads(out))
            shutil.rmtree(tmp_path / json.loads(out)["run"])
            continue
        assert process.returncode == -signal.SIGKILL, err
        killed += 1
        run = only_run(tmp_path)
        if run is not None:
            check_all_files_are_whole(run)
            reached.append(max((state.step for state in states(run)), default=0))
            if run.status.state == "finished":
                compare(run.summary())
                shutil.rmtree(run.path)
    # kills have landed in the middle of training, not only before it
    assert sum(0 < step < 6000 for step in reached) >= KILLS // 3, reached
    compare(result(start(tmp_path, *ASKED)))
