"""Real sweeps with workers, or the whole process, killed in the middle: nothing is lost, and nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

import groklab as gl
from groklab.store import states
from processes import Program

#: A second of training in four packs, that write all the time; one of them packs its lanes again.
SETTINGS = {"budget.steps": 1200, "evaluation.every": 2, "checkpoints.rolling_seconds": 0.05}
KEYS = {"optimiser.weight_decay": [0.0, 1.0], "split.frac_train": [0.45, 0.65, 0.9]}
ASKED = [
    *("sweep", "micro-fast", *(f"{name}={value}" for name, value in SETTINGS.items())),
    *("--grid", "optimiser.weight_decay=0,1", "--grid", "split.frac_train=0.45,0.65,0.9"),
    *("--workers", "2", "--json", "--quiet"),
]
PACKS, MEMBERS = 4, 6
#: What two sweeps of the same members do not share.
OWN = "seconds"


def start(home: Path) -> Program:
    # thousands of steps: programs as users have them, which are three times as quick as those of other tests
    temporary = home / "temporary"
    temporary.mkdir(exist_ok=True)
    return Program(*ASKED, environment={"GROKLAB_HOME": str(home), "XLA_FLAGS": "", "TMPDIR": str(temporary)})


def finished(home: Path) -> list[Path]:
    """The packs that have been trained to their end."""
    return [path for path, status in statuses(home).items() if status["status"] == "finished"]


def reached(home: Path) -> dict[Path, int]:
    """The packs that have saved a state in the middle, and the steps that they had come to."""
    states = statuses(home).items()
    return {path: s["step"] for path, s in states if s["status"] != "finished" and s["step"] > 0}


def advanced(home: Path, before: Mapping[Path, int]) -> list[Path]:
    """The packs in the middle that have saved another state since then."""
    return [path for path, step in reached(home).items() if step > before.get(path, 0)]


def statuses(home: Path) -> dict[Path, dict[str, Any]]:
    return {p.parent: json.loads(p.read_bytes()) for p in home.glob("sweeps/*/packs/*/status.json")}


def until(process: Program, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def holders(home: Path) -> dict[Path, int]:
    """The processes that train packs right now."""
    found = {}
    for path in home.glob("sweeps/*/packs/*/lock.json"):
        try:
            found[path.parent] = int(json.loads(path.read_bytes())["pid"])
        except FileNotFoundError:
            continue
    return found


def stamps(folders: list[Path]) -> dict[Path, int]:
    """When the files of runs were written last; a lock is released a moment after the run has ended."""
    files = [p for folder in folders for p in folder.rglob("*.*") if p.name != "lock.json" and p.is_file()]
    return {p: p.stat().st_mtime_ns for p in files}


def hashes(sweep: gl.Sweep) -> dict[str, list[str]]:
    return {pack.path.name: [m.weights_sha256 for m in gl.Run(pack.path).status.members] for pack in sweep.packs}


@pytest.fixture(scope="module")
def undisturbed(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> gl.Sweep:
    # the shared cluster has the programs of users, too
    home = tmp_path_factory.mktemp("undisturbed")
    sweep = gl.sweep("micro-fast", KEYS, overrides=SETTINGS, scheduler=cluster, home=home)
    found = sweep.summary()
    assert len(sweep.packs) == PACKS
    assert (found["members"], found["finished"], found["failed"]) == (MEMBERS, MEMBERS, 0)
    # some of the members have stopped on their own, so that lanes were packed again
    assert 0 < (sweep.table["steps"] < 1200).sum() < MEMBERS
    return sweep


def compare_ended(home: Path, undisturbed: gl.Sweep) -> None:
    """What has ended so far is as it would be had nothing happened."""
    for folder in finished(home):
        run, other = gl.Run(folder), gl.Run(undisturbed.path / "packs" / folder.name)
        for name in ("weights_sha256", "steps", "grokked_step"):
            assert [getattr(m, name) for m in run.status.members] == [getattr(m, name) for m in other.status.members]
        assert run.metrics.equals(other.metrics)


def is_alive(number: int) -> bool:
    try:
        return bool(psutil.Process(number).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def compare(sweep: gl.Sweep, undisturbed: gl.Sweep) -> None:
    assert sweep.name == undisturbed.name
    assert sweep.summary()["finished"] == MEMBERS
    assert sweep.table.drop(OWN).equals(undisturbed.table.drop(OWN))
    assert sweep.curves().equals(undisturbed.curves())
    assert hashes(sweep) == hashes(undisturbed)
    assert not list(sweep.path.rglob("*.tmp"))
    assert not list(sweep.path.rglob("lock.json"))
    # what a colleague may read follows the umask
    umask = os.umask(0o022)
    os.umask(umask)
    for path in sweep.path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_what_is_stopped_and_killed_goes_on_where_it_stood(undisturbed: gl.Sweep, tmp_path: Path) -> None:
    """One sweep with one fault after the other; what ends is compared after each, so a failure tells which it was."""
    process = start(tmp_path)
    refuse_a_rival(process, tmp_path)
    kill_a_worker(process, tmp_path)
    stop_as_batch_systems_do(process, tmp_path, undisturbed.name)
    compare_ended(tmp_path, undisturbed)

    process, before = start(tmp_path), finished(tmp_path)
    # some of it ends after the signal
    kill_the_sweep(process, tmp_path, before)
    compare_ended(tmp_path, undisturbed)

    done = stamps(finished(tmp_path))
    out, err = (process := start(tmp_path)).communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    result: dict[str, Any] = json.loads(out)
    assert (result["members"], result["finished"], result["failed"]) == (MEMBERS, MEMBERS, 0)
    compare(gl.Sweep(result["path"]), undisturbed)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def refuse_a_rival(first: Program, home: Path) -> None:
    """A second sweep of the same members is refused, and the first goes on."""
    until(first, lambda: any(home.glob("sweeps/*/lock.json")))
    second = start(home)
    out, err = second.communicate(timeout=200)
    assert second.returncode == 2
    assert out == ""
    assert f"is being written by process {first.pid}" in err
    assert err.count("\n") == 1
    assert first.poll() is None


def stop_as_batch_systems_do(process: Program, home: Path, name: str) -> None:
    """A signal to all processes of a job saves, and says how to go on; nothing is left."""
    until(process, lambda: bool(reached(home)))
    job = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in job:
        member.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 143
    assert out == ""
    assert err == f"groklab: stopped by SIGTERM; the same command continues {name} from here\n"
    assert len(job) >= 4
    psutil.wait_procs(job, timeout=60)
    assert not any(is_alive(member.pid) for member in job)
    assert not list((home / "temporary").iterdir())
    assert not holders(home)
    for folder in reached(home):
        run = gl.Run(folder)
        assert run.status.state == "interrupted"
        assert max(state.step for state in states(run)) == run.status.step
    sweep = gl.Sweep(next(home.glob("sweeps/*")))
    assert sweep.status == "interrupted"
    assert "pending" in set(sweep.table["status"])


def kill_the_sweep(process: Program, home: Path, ended: list[Path]) -> None:
    """SIGKILL of the program ends its workers, too, and what has ended stays."""
    before = reached(home)
    until(process, lambda: set(finished(home)) > set(ended) and bool(advanced(home, before)))
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    # who adopts them may leave them as zombies
    while any(is_alive(number) for number in holders(home).values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 1 <= len(finished(home)) < PACKS
    assert gl.Sweep(next(home.glob("sweeps/*"))).status == "interrupted"


def kill_a_worker(process: Program, home: Path) -> None:
    """SIGKILL of a worker in the middle of a pack: the sweep needs to go on with another."""
    before = reached(home)
    killed: int | None = None
    while killed is None:
        until(process, lambda: bool(advanced(home, before)))
        middle = set(advanced(home, before))
        for folder, number in holders(home).items():
            if folder in middle and killed is None:
                os.kill(number, signal.SIGKILL)
                killed, lost = number, folder
    assert lost not in finished(home)
    # another process than the one that was killed takes it over
    until(process, lambda: lost in finished(home) or holders(home).get(lost, killed) != killed)
