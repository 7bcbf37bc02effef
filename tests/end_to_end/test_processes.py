"""Several real processes, full disks and signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groklab.cli import main
from groklab.store import Run, states
from processes import Program

Process = Program | subprocess.Popen[str]
#: A command in this process: exit code, standard output, standard error.
Command = Callable[..., tuple[int, str, str]]
#: A command that succeeds, and its result.
Finished = Callable[..., dict[str, Any]]
SHORT = ("budget.steps=400", "checkpoints.rolling_seconds=0.01")
LONG = ("budget.steps=1000000", "checkpoints.rolling_seconds=0.05")


#: Bytes of a file in which weights fit and a full state does not.
LARGEST_FILE = 60_000


def start_interpreter(*arguments: str) -> subprocess.Popen[str]:
    """The program as users start it, which takes two seconds."""
    return subprocess.Popen(
        [sys.executable, "-m", "groklab", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Commands without a fault of their own run in this process, which has their programs compiled."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def finished(command: Command) -> Finished:
    def run(*arguments: str) -> dict[str, Any]:
        code, out, err = command(*arguments, "--json", "--quiet")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    return run


def wait_for_a_state(home: Path, process: Process) -> Run:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        found = list(home.glob("*/state/rolling_*.safetensors"))
        if found:
            return Run(found[0].parent.parent)
        time.sleep(0.02)
    pytest.fail(f"no state was written: {process.communicate()}")


def is_one_sentence(text: str) -> bool:
    return text.startswith("groklab: ") and text.count("\n") == 1 and "Traceback" not in text


def test_two_processes_never_write_one_run(home: Path, command: Command, finished: Finished) -> None:
    first, second = (Program("train", "micro", *LONG, "--quiet", "--json") for _ in range(2))
    try:
        while first.poll() is None and second.poll() is None:
            time.sleep(0.02)
        loser, winner = (first, second) if first.poll() is not None else (second, first)
        code, out, err = outcome(loser)
        assert (code, out) == (2, "")
        assert is_one_sentence(err)
        assert f"is being written by process {winner.pid} on {socket.gethostname()}" in err
        run = wait_for_a_state(home, winner)
        for asked in (["resume", run.name], ["resume", run.name, "budget.steps=5"], ["runs", "rm", run.name]):
            code, out, err = command(*asked)
            assert (code, out) == (2, "")
            assert is_one_sentence(err)
        assert winner.poll() is None
        listed = json.loads(command("runs", "--json")[1])
        assert [r["status"] for r in listed["runs"]] == ["running"]
    finally:
        for process in (first, second):
            process.kill()
    outcome(winner)
    # dead, so taken over at once; the shorter budget is already reached
    again = finished("resume", run.name, "budget.steps=10")
    assert again["status"] == "finished"


@pytest.mark.parametrize(
    ("number", "times", "start", "by"),
    [
        (signal.SIGINT, 1, start_interpreter, "ctrl-c"),
        # as `timeout` and shells send it: to the process, and to its group
        (signal.SIGTERM, 2, Program, "SIGTERM"),
    ],
)
def test_a_signal_saves_a_run_that_resumes_to_the_same_bits(
    home: Path, finished: Finished, number: int, times: int, start: Callable[..., Process], by: str
) -> None:
    process = start("train", "micro-fast", *LONG)
    run = wait_for_a_state(home, process)
    for _ in range(times):
        process.send_signal(number)
    code, _, err = outcome(process)
    assert code == 128 + number
    said = "stopped" if by == "ctrl-c" else f"stopped by {by}"
    assert err == f"groklab: {said}; `groklab resume {run.name}` continues from here\n"
    assert (run.status.state, run.status.reason) == ("interrupted", by)
    assert not (run.path / "lock.json").exists()
    step = max(state.step for state in states(run))
    goal = f"budget.steps={step + 300}"
    resumed = finished("resume", run.name, goal)
    assert resumed["steps"] == step + 300
    straight = finished("train", "micro-fast", goal, "--again")
    assert straight["weights_sha256"] == resumed["weights_sha256"]
    assert Run(Path(straight["path"])).metrics.equals(run.metrics)


def test_training_ends_what_it_has_begun_where_nobody_reads_its_output(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "groklab", "train", "micro-fast", "budget.steps=200", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    run = Run(next(home.glob("micro-fast*")))
    assert (run.status.state, run.status.step) == ("finished", 200)


def test_a_file_that_may_not_grow_is_a_full_disk(home: Path, finished: Finished) -> None:
    expected = finished("train", "micro-fast", *SHORT)

    process = Program("train", "micro-fast", *SHORT, "--again", "--quiet", largest_file=LARGEST_FILE)
    code, out, err = outcome(process)
    assert (code, out) == (2, "")
    said = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1, err
    assert said[0].startswith("groklab: the disk is full: ")
    assert "Traceback" not in err
    run = Run(home / f"{expected['run']}-2")
    assert run.status.state == "interrupted"
    resumed = finished("resume", run.name)
    assert resumed["weights_sha256"] == expected["weights_sha256"]
    assert run.metrics.equals(Run(Path(expected["path"])).metrics)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Any:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system of our own needs the superuser's rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_file_system(
    tiny_disk: Path, home: Path, command: Command, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finished("train", "micro-fast", *SHORT)
    monkeypatch.setenv("GROKLAB_HOME", str(tiny_disk))
    code, out, err = outcome(Program("train", "micro-fast", *SHORT, "--quiet"))
    assert (code, out) == (2, "")
    assert err.startswith("groklab: the disk is full: ")
    assert is_one_sentence(err)
    # listing and looking work on a full disk
    listed = json.loads(command("runs", "--json")[1])
    assert [r["status"] for r in listed["runs"]] == ["interrupted"]
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    resumed = finished("resume", expected["run"])
    assert resumed["weights_sha256"] == expected["weights_sha256"]
