"""Locks: who is taken for alive, by what evidence, and that no two processes write one run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groklab.errors import InputError
from groklab.store import locks, storage

ELSEWHERE = ("elsewhere", "another boot", 4026532000)


class Clock:
    """A clock that only moves when somebody sleeps; others may do something then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(locks, "time", clock)
    return clock


def write_lock(folder: Path, **changes: Any) -> None:
    """Write the lock of this process, or of one that differs from it."""
    folder.mkdir(exist_ok=True)
    place = locks._place()
    assert place is not None
    lock = {"pid": os.getpid(), "host": place[0], "process_started": locks._started(os.getpid()), "place": place}
    (folder / "lock.json").write_text(json.dumps({**lock, "token": "0123", "counter": 1} | changes))


def alive(folder: Path) -> bool | None:
    """Whether a lock's holder is alive; None: not known; False: nobody holds it."""
    found = locks.holder(folder)
    return False if found is None else found.alive


def test_a_lock_is_held_while_the_block_runs_and_then_released(tmp_path: Path) -> None:
    with locks.locked(tmp_path / "run"):
        held = locks.holder(tmp_path / "run")
        assert held is not None
        assert held.lock is not None
        assert held.lock.pid == os.getpid()
        assert held.alive
    assert locks.holder(tmp_path / "run") is None
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_pipe_in_the_place_of_the_guard_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with locks.locked(tmp_path) as lock:
        assert lock.mine()


def test_a_link_in_the_place_of_the_guard_makes_no_file_elsewhere(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    folder.mkdir()
    (folder / ".lock").symlink_to(elsewhere)
    with pytest.raises(InputError, match="cannot be written"), locks.locked(folder):
        pytest.fail("locked by a link")
    assert not elsewhere.exists()


def test_a_second_lock_is_refused_naming_process_and_host(tmp_path: Path) -> None:
    refusal = f"process {os.getpid()} on {locks.socket.gethostname()}"
    with locks.locked(tmp_path) as first:
        with pytest.raises(InputError, match=refusal), locks.locked(tmp_path):
            pytest.fail("two hold one run")
        assert first.mine()
    assert locks.holder(tmp_path) is None


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_lock(tmp_path, pid=child.pid, process_started=locks._started(child.pid))
    assert alive(tmp_path) is True
    child.kill()
    # not yet waited for, so a zombie: it has a number and a start, and writes nothing
    while b") Z" not in Path(f"/proc/{child.pid}/stat").read_bytes():
        time.sleep(0.01)
    assert alive(tmp_path) is False
    child.communicate()
    assert alive(tmp_path) is False
    with locks.locked(tmp_path) as mine:
        assert mine.mine()


def test_another_process_with_the_dead_ones_number_does_not_hold_its_lock(tmp_path: Path) -> None:
    started = locks._started(os.getpid())
    assert started is not None
    write_lock(tmp_path, process_started=started - 1)
    assert alive(tmp_path) is False


#: Processes whose numbers mean nothing here, dead (2**22 + 1 is beyond Linux's largest) and alive alike.
STRANGERS = [
    {"place": ELSEWHERE, "host": "elsewhere", "pid": 1},
    {"place": ELSEWHERE, "host": "elsewhere", "pid": 2**22 + 1},
    {"place": None, "pid": 1},
    {"place": [], "pid": 1},
    {"pid": "x"},
    {"pid": 10**30},
    {"pid": -1},
    {"process_started": [1], "place": 3},
]


@pytest.mark.parametrize("changes", STRANGERS)
def test_a_process_that_cannot_be_seen_is_judged_by_its_heartbeat_alone(
    tmp_path: Path, clock: Clock, changes: dict[str, Any]
) -> None:
    write_lock(tmp_path, **changes)
    # whatever the clock of the file system says
    os.utime(tmp_path / "lock.json", (1, 1))
    assert alive(tmp_path) is None
    assert locks.state(tmp_path) == "perhaps running"
    clock.sleep(4)
    write_lock(tmp_path, **changes, counter=2)
    assert alive(tmp_path) is True
    with pytest.raises(InputError, match="is being written by"), locks.locked(tmp_path):
        pass
    begun = clock.now
    while alive(tmp_path) is not False:
        clock.sleep(1)
    assert clock.now - begun == pytest.approx(locks.STALE_SECONDS, abs=2)
    assert locks.state(tmp_path) == "interrupted"
    with locks.locked(tmp_path) as mine:
        assert mine.mine()


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_number_counts_only_on_the_same_host_since_the_same_boot_in_the_same_namespace(
    tmp_path: Path, part: int
) -> None:
    place = list(locks._place() or ())
    place[part] = ELSEWHERE[part]
    for pid in (os.getpid(), 2**22 + 1):
        write_lock(tmp_path / str(pid), place=place, pid=pid)
        assert alive(tmp_path / str(pid)) is None


def test_who_wants_to_write_waits_for_a_heartbeat_and_says_so(tmp_path: Path, clock: Clock) -> None:
    write_lock(tmp_path, place=ELSEWHERE, host="elsewhere", pid=7)
    begun = clock.now

    def beat() -> None:
        if clock.now > begun + 30:
            write_lock(tmp_path, place=ELSEWHERE, host="elsewhere", pid=7, counter=2)

    clock.meanwhile = beat
    with (
        pytest.warns(UserWarning, match="was being written by process 7 on elsewhere; waiting up to 60 s"),
        pytest.raises(InputError, match="is being written by process 7 on elsewhere"),
        locks.locked(tmp_path),
    ):
        pass
    assert 30 < clock.now - begun < 32


def test_several_runs_are_watched_at_once(tmp_path: Path, clock: Clock) -> None:
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        write_lock(folder, place=ELSEWHERE)
    begun = clock.now
    with pytest.warns(UserWarning, match="waiting"):
        locks.wait_until_free(*folders)
    assert clock.now - begun == pytest.approx(locks.STALE_SECONDS, abs=1)


def test_a_watcher_that_was_suspended_itself_does_not_count_that_time(tmp_path: Path, clock: Clock) -> None:
    write_lock(tmp_path, place=ELSEWHERE)
    for _ in range(5):
        assert alive(tmp_path) is None
        clock.sleep(10_000)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"pid": 1}', "[" * 100_000])
def test_a_lock_that_cannot_be_read_is_watched_as_any_other(tmp_path: Path, clock: Clock, content: str) -> None:
    (tmp_path / "lock.json").write_text(content)
    with pytest.warns(UserWarning, match="written by an unknown process; waiting"), locks.locked(tmp_path) as mine:
        assert mine.mine()


def test_a_process_that_the_system_hides_is_judged_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(_: int) -> None:
        raise PermissionError

    write_lock(tmp_path)
    monkeypatch.setattr(locks, "_started", hidden)
    assert alive(tmp_path) is None


def test_a_system_whose_places_are_unknown_has_locks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_place", lambda: None)
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    with (
        locks.locked(tmp_path),
        pytest.warns(UserWarning, match="waiting"),
        pytest.raises(InputError, match="is being written"),
        locks.locked(tmp_path),
    ):
        pass


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.005)
    seen = set()
    with locks.locked(tmp_path):
        until = time.monotonic() + 30
        while len(seen) < 12 and time.monotonic() < until:
            seen.add(json.loads((tmp_path / "lock.json").read_bytes())["counter"])
    assert len(seen) >= 12


def test_a_process_that_lost_its_lock_writes_no_more(tmp_path: Path) -> None:
    with locks.locked(tmp_path) as lock:
        storage.write_json(tmp_path / "x.json", 1)
        os.rename(tmp_path / "lock.json", tmp_path / "old")
        write_lock(tmp_path, place=ELSEWHERE)
        with pytest.raises(InputError, match="was taken over by another process"):
            storage.write_json(tmp_path / "x.json", 2)
        before = (tmp_path / "lock.json").read_bytes()
        # its heart beats where nobody looks
        lock.beat()
    # and it does not take the other's lock away when it ends
    assert (tmp_path / "lock.json").read_bytes() == before
    assert json.loads((tmp_path / "x.json").read_bytes()) == 1
    assert not list(tmp_path.glob("*.tmp"))
    # outside of the block, and outside of the folder, nothing is guarded
    storage.write_json(tmp_path / "x.json", 3)
    with locks.locked(tmp_path / "run"):
        (tmp_path / "run" / "lock.json").unlink()
        storage.write_json(tmp_path / "y.json", 4)


HOLDER = """
import sys, time
from pathlib import Path
from groklab.errors import InputError
from groklab.store import locks, storage

locks.HEARTBEAT_SECONDS = 0.01
folder = Path(sys.argv[1])
try:
    with locks.locked(folder):
        while True:
            storage.write_json(folder / "x.json", "first")
            time.sleep(0.001)
except InputError as error:
    print(error, end="")
"""


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"HEARTBEAT_SECONDS": 0.1, "STALE_SECONDS": 0.4, "LOOK_SECONDS": 0.01}.items():
        monkeypatch.setattr(locks, name, seconds)


def holding(folder: Path, *before: str) -> subprocess.Popen[str]:
    """Another process that holds a lock, and writes all the time."""
    arguments = [*before, sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (folder / "x.json").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    return process


def is_suspended_outside_of_a_write(process: subprocess.Popen[str], folder: Path) -> bool:
    process.send_signal(signal.SIGSTOP)
    while b") T" not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.001)
    with open(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("ended", [False, True])
def test_a_suspended_process_that_wakes_after_a_take_over_stops_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    first = holding(tmp_path)
    while not is_suspended_outside_of_a_write(first, tmp_path):
        first.send_signal(signal.SIGCONT)
    # here its number counts: it is alive
    with pytest.raises(InputError, match=f"is being written by process {first.pid}"), locks.locked(tmp_path):
        pass
    quick(monkeypatch)
    monkeypatch.setattr(locks, "_place", lambda: ELSEWHERE)
    lock = locks.Lock(tmp_path)
    with pytest.warns(UserWarning, match="waiting"):
        lock.take()
    storage.write_json(tmp_path / "x.json", "second")
    if ended:
        lock.release()
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    assert "was taken over by another process" in out, err
    assert json.loads((tmp_path / "x.json").read_bytes()) == "second"
    assert lock.mine() is not ended
    if not ended:
        lock.release()


def test_a_process_that_is_suspended_in_the_middle_of_a_write_keeps_its_lock(tmp_path: Path, clock: Clock) -> None:
    write_lock(tmp_path, place=ELSEWHERE)
    lock = locks.Lock(tmp_path)
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.warns(UserWarning, match="wait"), pytest.raises(InputError, match="by a process that is suspended"):
            lock.take()


def test_a_process_of_another_pid_namespace_is_seen_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("PID namespaces need the superuser's rights")
    first = holding(tmp_path, *unshare)
    try:
        content = json.loads((tmp_path / "lock.json").read_bytes())
        assert content["pid"] == 1
        assert alive(tmp_path) is None
        # its heart may have beaten since: look for the first time
        locks._seen.clear()
        with (
            pytest.warns(UserWarning, match="waiting"),
            pytest.raises(InputError, match="is being written by process 1 on"),
            locks.locked(tmp_path),
        ):
            pass
    finally:
        first.kill()
        first.communicate()
    quick(monkeypatch)
    # seen alive before, it is refused until it has stood still
    while alive(tmp_path) is not False:
        time.sleep(0.01)
    with locks.locked(tmp_path) as lock:
        assert lock.mine()


def without_file_locks(monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOLCK) -> None:
    def flock(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_file_locks_the_heartbeat_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    without_file_locks(monkeypatch, code)
    lock = locks.Lock(tmp_path)
    with pytest.warns(UserWarning, match="on a file system without file locks") as caught:
        lock.take()
    with pytest.raises(InputError, match="is being written"), locks.locked(tmp_path):
        pass
    with storage.guarded(lock.guard):
        storage.write_json(tmp_path / "x.json", 1)
    lock.release()
    # once is enough
    assert len(caught) == 1
    assert not (tmp_path / "lock.json").exists()


def test_other_errors_of_file_locks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_file_locks(monkeypatch, errno.EIO)
    with pytest.raises(InputError, match="cannot be written"), locks.locked(tmp_path):
        pass


def test_of_many_that_take_a_dead_lock_over_without_file_locks_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_file_locks(monkeypatch)
    gate, winners = threading.Barrier(8), []

    def take() -> None:
        lock = locks.Lock(tmp_path)
        gate.wait()
        try:
            lock.take()
        except InputError:
            return
        winners.append(lock)

    for _ in range(20):
        write_lock(tmp_path, pid=2**22 + 1)
        winners.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            threads = [threading.Thread(target=take) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            # who has lost the lock notices: of several that once had it, at most one still has
            assert sum(lock.mine() for lock in winners) == 1
            for lock in winners:
                lock.release()
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_a_lock_that_beats_once_more_while_it_is_taken_over_stays_its_holders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    write_lock(tmp_path, place=ELSEWHERE)
    rename = os.rename

    def beaten(*arguments: Any) -> None:
        write_lock(tmp_path, place=ELSEWHERE, counter=2)
        rename(*arguments)

    monkeypatch.setattr(os, "rename", beaten)
    with pytest.warns(UserWarning, match="waiting"), pytest.raises(InputError, match="written"):
        locks.Lock(tmp_path).take()
    assert json.loads((tmp_path / "lock.json").read_bytes())["counter"] == 2
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), locks.locked(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("how", ["folder", "pipe", "pid", "started", "place"])
def test_a_lock_that_cannot_be_read_is_one_of_an_unknown_process(tmp_path: Path, how: str) -> None:
    path = tmp_path / "lock.json"
    odd = {"pid": 10**400, "started": "now", "place": {"host": 1}}
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    else:
        values = {"pid": 1, "process_started": 1.0, "host": "here", "place": None}
        path.write_text(json.dumps({**values, "process_started" if how == "started" else how: odd[how]}))
    assert str(locks.holder(tmp_path)) == "an unknown process"
