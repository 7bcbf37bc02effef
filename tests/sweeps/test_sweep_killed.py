"""Real sweeps with workers, or the whole process, killed in the middle: nothing is lost, and nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import groklab as gl
from processes import Program

#: A second of training in four packs, that write all the time; one of them packs its lanes anew.
ASKED = [
    *("sweep", "micro-fast", "budget.steps=1200", "evaluation.every=2", "checkpoints.rolling_seconds=0.05"),
    *("--grid", "optimiser.weight_decay=0,1", "--grid", "split.frac_train=0.45,0.65,0.9"),
    *("--workers", "2", "--json", "--quiet"),
]
PACKS, MEMBERS = 4, 6
#: What two sweeps of the same members do not share.
OWN = "seconds"


def start(home: Path) -> Program:
    # thousands of steps: programs as users have them, which are three times as quick as those of other tests
    return Program(*ASKED, environment={"GROKLAB_HOME": str(home), "XLA_FLAGS": ""})


def result(process: Program) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == ""
    found: dict[str, Any] = json.loads(out)
    return found


def packs(home: Path, *, finished: bool) -> list[Path]:
    """The runs that have ended, or those that are being trained and have saved a state in the middle."""
    found = []
    for path in home.glob("sweeps/*/packs/*/status.json"):
        status = json.loads(path.read_bytes())
        if (status["status"] == "finished") == finished and (finished or status["step"] > 0):
            found.append(path.parent)
    return found


def until(process: Program, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def claimants(home: Path) -> dict[Path, int]:
    """The processes that train packs right now."""
    found = {}
    for path in home.glob("sweeps/*/packs/*/claim.json"):
        try:
            found[path.parent] = int(json.loads(path.read_bytes())["pid"])
        except FileNotFoundError:
            continue
    return found


def stamps(folders: list[Path]) -> dict[Path, int]:
    """When the files of runs were written last; a claim is given up a moment after the run has ended."""
    files = [p for folder in folders for p in folder.rglob("*.*") if p.name != "claim.json" and p.is_file()]
    return {p: p.stat().st_mtime_ns for p in files}


def hashes(sweep: gl.Sweep) -> dict[str, list[str]]:
    return {
        pack.path.name: [m["weights_sha256"] for m in gl.Run(pack.path).status["members"]]
        for pack in sweep.folder.packs
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> gl.Sweep:
    found = result(start(tmp_path_factory.mktemp("undisturbed")))
    sweep = gl.Sweep(found["path"])
    assert len(sweep.folder.packs) == PACKS
    assert (found["members"], found["finished"], found["failed"]) == (MEMBERS, MEMBERS, 0)
    # some of the members have stopped on their own, so that lanes were packed anew
    assert 0 < (sweep.table["steps"] < 1200).sum() < MEMBERS
    return sweep


def compare(found: dict[str, Any], undisturbed: gl.Sweep) -> None:
    sweep = gl.Sweep(found["path"])
    assert sweep.name == undisturbed.name
    assert found["finished"] == MEMBERS
    assert sweep.table.drop(OWN).equals(undisturbed.table.drop(OWN))
    assert sweep.curves().equals(undisturbed.curves())
    assert hashes(sweep) == hashes(undisturbed)
    assert not list(sweep.path.rglob("*.tmp"))
    assert not list(sweep.path.rglob("claim.json"))


def test_a_worker_that_is_killed_loses_nothing(undisturbed: gl.Sweep, tmp_path: Path) -> None:
    process = start(tmp_path)
    until(process, lambda: bool(packs(tmp_path, finished=True)) and bool(packs(tmp_path, finished=False)))
    killed: set[int] = set()
    while not killed:
        assert process.poll() is None
        middle = set(packs(tmp_path, finished=False))
        for folder, number in claimants(tmp_path).items():
            if folder in middle and not killed:
                os.kill(number, signal.SIGKILL)
                killed.add(number)
                lost = folder
    done = stamps(packs(tmp_path, finished=True))
    assert done
    assert not any(path.is_relative_to(lost) for path in done)
    compare(result(process), undisturbed)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    # another process than the one that was killed has taken it over, and not from its beginning
    assert not killed & set(claimants(tmp_path).values())


def test_a_sweep_that_is_killed_goes_on_where_it_stood(undisturbed: gl.Sweep, tmp_path: Path) -> None:
    process = start(tmp_path)
    until(process, lambda: bool(packs(tmp_path, finished=True)) and bool(packs(tmp_path, finished=False)))
    process.kill()
    process.communicate()
    workers = [psutil.Process(n) for n in claimants(tmp_path).values() if psutil.pid_exists(n)]
    psutil.wait_procs(workers, timeout=60)
    assert not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers)
    done = packs(tmp_path, finished=True)
    assert 1 <= len(done) < PACKS
    sweep = gl.Sweep(next(tmp_path.glob("sweeps/*")))
    assert sweep.status == "interrupted"
    before = stamps(done)
    compare(result(start(tmp_path)), undisturbed)
    assert stamps(done) == before


def test_ctrl_c_saves_and_says_how_to_go_on(undisturbed: gl.Sweep, tmp_path: Path) -> None:
    process = start(tmp_path)
    until(process, lambda: bool(packs(tmp_path, finished=False)))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert out == ""
    assert err == f"groklab: stopped; the same command goes on with {undisturbed.name} from here\n"
    assert not claimants(tmp_path)
    stopped = packs(tmp_path, finished=False)
    for folder in stopped:
        run = gl.Run(folder)
        assert run.status["status"] == "interrupted"
        assert max(state.step for state in run.states()) == run.status["step"]
    sweep = gl.Sweep(next(tmp_path.glob("sweeps/*")))
    assert sweep.status == "interrupted"
    assert "pending" in set(sweep.table["status"])
    compare(result(start(tmp_path)), undisturbed)


def test_two_sweeps_of_the_same_members_do_not_meet(undisturbed: gl.Sweep, tmp_path: Path) -> None:
    first = start(tmp_path)
    until(first, lambda: bool(claimants(tmp_path)))
    second = start(tmp_path)
    out, err = second.communicate(timeout=200)
    assert second.returncode == 2
    assert out == ""
    assert f"is being written by process {first.pid}" in err
    assert err.count("\n") == 1
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=200)
    assert first.returncode == 130
