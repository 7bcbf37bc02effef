from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from groklab.errors import InputError
from groklab.store import locks


def write_lock(folder: Path, age: float = 0.0, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    lock = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "process_started": psutil.Process().create_time(),
        **changes,
    }
    (folder / "lock.json").write_text(json.dumps(lock))
    then = time.time() - age
    os.utime(folder / "lock.json", (then, then))


def test_a_lock_is_held_while_the_block_runs_and_then_released(tmp_path: Path) -> None:
    with locks.locked(tmp_path / "run"):
        held = locks.holder(tmp_path / "run")
        assert held is not None
        assert held["pid"] == os.getpid()
    assert locks.holder(tmp_path / "run") is None
    assert not (tmp_path / "run" / "lock.json").exists()


def test_a_second_lock_is_refused_naming_process_and_host(tmp_path: Path) -> None:
    refusal = f"process {os.getpid()} on {socket.gethostname()}"
    with locks.locked(tmp_path), pytest.raises(InputError, match=refusal), locks.locked(tmp_path):
        pytest.fail("two hold one run")
    assert locks.holder(tmp_path) is None


def test_a_refused_lock_does_not_take_the_first_one_away(tmp_path: Path) -> None:
    with locks.locked(tmp_path) as first:
        with pytest.raises(InputError), locks.locked(tmp_path):
            pass
        assert first.mine()


def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_lock(tmp_path, pid=child.pid, process_started=psutil.Process(child.pid).create_time())
    assert locks.holder(tmp_path) is not None
    child.kill()
    # not yet waited for, so a zombie: it has a number and a start, and writes nothing
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert locks.holder(tmp_path) is None
    child.communicate()
    assert locks.holder(tmp_path) is None
    with locks.locked(tmp_path) as mine:
        assert mine.mine()


def test_another_process_with_the_dead_ones_number_does_not_hold_its_lock(tmp_path: Path) -> None:
    write_lock(tmp_path, process_started=psutil.Process().create_time() - 1000)
    assert locks.holder(tmp_path) is None


@pytest.mark.parametrize(("age", "held"), [(0.0, True), (locks.STALE_SECONDS - 5, True)])
def test_a_lock_from_another_host_is_respected_while_its_heart_beats(tmp_path: Path, age: float, held: bool) -> None:
    write_lock(tmp_path, age, host="elsewhere", pid=1)
    assert (locks.holder(tmp_path) is not None) == held
    with pytest.raises(InputError, match="process 1 on elsewhere"), locks.locked(tmp_path):
        pass


def test_a_lock_from_another_host_whose_heart_has_stopped_is_taken_over(tmp_path: Path) -> None:
    write_lock(tmp_path, locks.STALE_SECONDS + 5, host="elsewhere", pid=1)
    with locks.locked(tmp_path) as mine:
        assert mine.mine()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.02)
    with locks.locked(tmp_path):
        os.utime(tmp_path / "lock.json", (1, 1))
        until = time.monotonic() + 30
        while (tmp_path / "lock.json").stat().st_mtime < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert (tmp_path / "lock.json").stat().st_mtime > 2


def test_a_process_that_slept_and_lost_its_lock_writes_no_more(tmp_path: Path) -> None:
    with locks.locked(tmp_path) as slept:
        write_lock(tmp_path, host="elsewhere", pid=1)
        with pytest.raises(InputError, match="process 1 on elsewhere"):
            slept.check()
    # and does not take the other's lock away when it ends
    assert locks.holder(tmp_path) is not None


def test_a_lock_that_was_only_removed_is_taken_again(tmp_path: Path) -> None:
    with locks.locked(tmp_path) as lock:
        (tmp_path / "lock.json").unlink()
        lock.check()
        assert locks.holder(tmp_path) is not None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", '{"pid": 1}', '{"pid": null, "host": "HOST", "process_started": 1}']
)
def test_a_lock_that_cannot_be_read_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock.json").write_text(content.replace("HOST", socket.gethostname()))
    assert locks.holder(tmp_path) is None
    with locks.locked(tmp_path) as mine:
        assert mine.mine()


@pytest.mark.parametrize("number", [-1, 10**30, "x", None, [1]])
def test_a_lock_with_an_impossible_process_holds_nothing(tmp_path: Path, number: Any) -> None:
    write_lock(tmp_path, pid=number)
    assert locks.holder(tmp_path) is None


def test_a_process_that_the_system_hides_is_believed_while_its_heart_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(_: int) -> None:
        raise psutil.AccessDenied

    write_lock(tmp_path)
    monkeypatch.setattr(psutil, "Process", hidden)
    assert locks.holder(tmp_path) is not None
    os.utime(tmp_path / "lock.json", (1, 1))
    assert locks.holder(tmp_path) is None


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), locks.locked(tmp_path / "file" / "run"):
        pass
