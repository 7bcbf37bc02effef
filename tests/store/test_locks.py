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
from groklab.store import claims


def write_claim(folder: Path, age: float = 0.0, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    claim = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "process_started": psutil.Process().create_time(),
        **changes,
    }
    (folder / "claim.json").write_text(json.dumps(claim))
    then = time.time() - age
    os.utime(folder / "claim.json", (then, then))


def test_a_claim_is_held_while_the_block_runs_and_then_let_go(tmp_path: Path) -> None:
    with claims.claimed(tmp_path / "run"):
        held = claims.holder(tmp_path / "run")
        assert held is not None
        assert held["pid"] == os.getpid()
    assert claims.holder(tmp_path / "run") is None
    assert not (tmp_path / "run" / "claim.json").exists()


def test_a_second_claim_is_refused_naming_process_and_host(tmp_path: Path) -> None:
    refusal = f"process {os.getpid()} on {socket.gethostname()}"
    with claims.claimed(tmp_path), pytest.raises(InputError, match=refusal), claims.claimed(tmp_path):
        pytest.fail("two hold one run")
    assert claims.holder(tmp_path) is None


def test_a_refused_claim_does_not_take_the_first_one_away(tmp_path: Path) -> None:
    with claims.claimed(tmp_path) as first:
        with pytest.raises(InputError), claims.claimed(tmp_path):
            pass
        assert first.mine()


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_claim(tmp_path, pid=child.pid, process_started=psutil.Process(child.pid).create_time())
    assert claims.holder(tmp_path) is not None
    child.kill()
    # not yet waited for, so a zombie: it has a number and a start, and writes nothing
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert claims.holder(tmp_path) is None
    child.communicate()
    assert claims.holder(tmp_path) is None
    with claims.claimed(tmp_path) as mine:
        assert mine.mine()


def test_another_process_with_the_dead_ones_number_does_not_hold_its_claim(tmp_path: Path) -> None:
    write_claim(tmp_path, process_started=psutil.Process().create_time() - 1000)
    assert claims.holder(tmp_path) is None


@pytest.mark.parametrize(("age", "held"), [(0.0, True), (claims.STALE_SECONDS - 5, True)])
def test_a_claim_from_another_host_is_respected_while_its_heart_beats(tmp_path: Path, age: float, held: bool) -> None:
    write_claim(tmp_path, age, host="elsewhere", pid=1)
    assert (claims.holder(tmp_path) is not None) == held
    with pytest.raises(InputError, match="process 1 on elsewhere"), claims.claimed(tmp_path):
        pass


def test_a_claim_from_another_host_whose_heart_has_stopped_is_taken_over(tmp_path: Path) -> None:
    write_claim(tmp_path, claims.STALE_SECONDS + 5, host="elsewhere", pid=1)
    with claims.claimed(tmp_path) as mine:
        assert mine.mine()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    with claims.claimed(tmp_path):
        os.utime(tmp_path / "claim.json", (1, 1))
        until = time.monotonic() + 30
        while (tmp_path / "claim.json").stat().st_mtime < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert (tmp_path / "claim.json").stat().st_mtime > 2


def test_a_process_that_slept_and_lost_its_claim_writes_no_more(tmp_path: Path) -> None:
    with claims.claimed(tmp_path) as slept:
        write_claim(tmp_path, host="elsewhere", pid=1)
        with pytest.raises(InputError, match="process 1 on elsewhere"):
            slept.check()
    # and does not take the other's claim away when it ends
    assert claims.holder(tmp_path) is not None


def test_a_claim_that_was_only_removed_is_taken_again(tmp_path: Path) -> None:
    with claims.claimed(tmp_path) as claim:
        (tmp_path / "claim.json").unlink()
        claim.check()
        assert claims.holder(tmp_path) is not None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", '{"pid": 1}', '{"pid": null, "host": "HOST", "process_started": 1}']
)
def test_a_claim_that_cannot_be_read_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim.json").write_text(content.replace("HOST", socket.gethostname()))
    assert claims.holder(tmp_path) is None
    with claims.claimed(tmp_path) as mine:
        assert mine.mine()


@pytest.mark.parametrize("number", [-1, 10**30, "x", None, [1]])
def test_a_claim_with_an_impossible_process_holds_nothing(tmp_path: Path, number: Any) -> None:
    write_claim(tmp_path, pid=number)
    assert claims.holder(tmp_path) is None


def test_a_process_that_the_system_hides_is_believed_while_its_heart_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(_: int) -> None:
        raise psutil.AccessDenied

    write_claim(tmp_path)
    monkeypatch.setattr(psutil, "Process", hidden)
    assert claims.holder(tmp_path) is not None
    os.utime(tmp_path / "claim.json", (1, 1))
    assert claims.holder(tmp_path) is None


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), claims.claimed(tmp_path / "file" / "run"):
        pass
