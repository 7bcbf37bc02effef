"""Sweeps that cannot be done as asked: one sentence, exit code 2, no folder left behind."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

import groklab as gl
from clusters import cluster_of
from groklab.errors import InputError
from groklab.registry import FAMILIES
from groklab.sweeps import _executors as executors

Command = Callable[..., tuple[int, str, str]]
SMALL = ("task.p=5", "network.d_mlp=8", "budget.steps=20", "split.frac_train=0.5")
DECAYS = ("--grid", "optimiser.weight_decay=0,1")


def refusal(command: Command, home: Path, *arguments: str) -> str:
    code, out, err = command("sweep", *arguments)
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("groklab: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    left = [p for p in home.rglob("*") if p.is_file()]
    assert not left
    return err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "optimiser.weigth_decay=0,1"], "weight_decay"),
        (["--grid", "nothing=0,1"], "nothing"),
        (["--grid", "optimizer.weight_decay=0,1"], "did you mean optimiser?"),
        (["--grid", "task.p.q=1,2"], "task.p"),
        (["--grid", "optimiser.weight_decay=a,b"], "optimiser.weight_decay"),
        (["--grid", "optimiser.weight_decay=-1:1:3"], "optimiser.weight_decay = -1"),
        (["--grid", "optimiser.weight_decay=2:1:3"], "reversed"),
        (["--grid", "optimiser.weight_decay=1:2:0"], "number of values"),
        (["--grid", "optimiser.weight_decay="], "before and after each comma"),
        (["--grid", "optimiser.weight_decay"], "names no values"),
        (["--grid", "optimiser.weight_decay=1,1.0"], "the same value twice"),
        (["--grid", "optimiser.weight_decay=0.5,0.25", *DECAYS], "given twice"),
        (["--grid", "task.p=5:8:5"], "task.p"),
        (["--grid", "task.p=5:50:4:log"], "task.p"),
        (["--grid", "budget.steps=-1,20"], "a budget cannot be swept"),
        (["--grid", "evaluation.every=1,2"], "does not change what is trained"),
        (["--grid", "split.frac_train=0.5,0.00001"], "split.frac_train"),
        (["--grid", "split.frac_train=0.2,0.4"], "as a setting and as a key"),
        (["--grid", "task.p=5,6", "--grid", "task.expression=x/y"], "6"),
        (["--grid", "seed=0,1", "--seeds", "2"], "beside a grid over seed"),
        ([*DECAYS, "--seeds", "0"], "seeds = 0"),
        ([*DECAYS, "--seeds", "5001"], "10,002 members"),
        ([*DECAYS, "--seeds", "3", "--max-members", "5"], "6 members"),
        ([*DECAYS, "--max-members", "0"], "max_members = 0"),
        (["--grid", "optimiser.weight_decay=0:1:99999", "--grid", "task.p=2:99999:99998"], "more than max_members"),
        ([*DECAYS, "--workers", "0"], "workers = 0"),
        ([*DECAYS, "--workers", "99999"], "workers = 99999: needs a number from 1 to"),
        ([*DECAYS, "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "workers = 2"),
        ([*DECAYS, "--plugin", "nowhere.py"], "nowhere.py"),
        ([*DECAYS, "task.q=3"], "task.q"),
        ([*DECAYS, "seed=4294967295", "--seeds", "2"], "largest seed"),
    ],
)
def test_bad_input_is_refused(command: Command, home: Path, arguments: list[str], said: str) -> None:
    settings = [s for s in SMALL if s[:7] != "task.p=" or not any(a.startswith("task.p=") for a in arguments)]
    assert said in refusal(command, home, "micro", *settings, *arguments)


@pytest.mark.parametrize("what", ["mikro", "nowhere.yaml"])
def test_an_unknown_experiment_is_refused(command: Command, home: Path, what: str) -> None:
    assert what in refusal(command, home, what, *DECAYS)


def test_a_class_of_this_session_is_refused(home: Path) -> None:
    @gl.register("objective", "of_this_session")
    class Unsaved:
        def per_row(self, logits: Any, targets: Any) -> Any:
            return logits[:, 0]

    try:
        with pytest.raises(InputError, match=r"Unsaved is defined in this session alone.*save it in one"):
            gl.sweep("micro", {"seed": [0, 1]}, overrides={"objective.kind": "of_this_session"})
    finally:
        del FAMILIES["objective"]["of_this_session"]
    assert not home.exists()


def test_a_grid_needs_no_seeds_to_be_told_apart_from_its_points(home: Path) -> None:
    with pytest.raises(InputError, match="are the same experiment"):
        # the split's own seed is the experiment's where it has none
        gl.sweep("micro", {"split.seed": [None, 0]}, overrides={"task.p": 5})
    assert not home.exists() or not list(home.rglob("sweep.json"))


def test_only_what_can_be_swept_is_named(command: Command, home: Path) -> None:
    err = refusal(command, home, "micro", *SMALL, "--grid", "foo.bar=1,2")
    assert err.startswith("groklab: grid foo.bar: unknown setting; allowed: ")
    named = err.rsplit("allowed: settings of ", 1)[1].strip().split(", ")
    assert {"task", "optimiser", "split", "seed"} <= set(named)
    assert not set(named) & {"name", "plugins", "budget", "evaluation", "checkpoints", "measures"}


NO_ADDRESSES = (
    "nonsense",
    "127.0.0.1",
    "http://127.0.0.1:1",
    "tcp://",
    "tcp://:8786",
    "h:0",
    "h:65536",
    "::1:8786",
)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_refused_before_dask_is_asked(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(executors, "_untyped", lambda: pytest.fail("dask was asked"))
    err = refusal(command, home, "micro", *SMALL, *DECAYS, "--scheduler", address)
    assert f"scheduler = {address!r}: needs to be host:port or tcp://host:port" in err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "[::1]:1"])
def test_a_scheduler_that_does_not_answer_is_refused(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 1)
    err = refusal(command, home, "micro", *SMALL, *DECAYS, "--scheduler", address)
    assert "no answer within 1 s" in err
    assert repr(address) in err


def test_nothing_follows_the_refusal_of_an_address_that_dask_cannot_use(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", raised.append)
    # a protocol that needs certificates: dask leaves a client half made
    with dask.config.set({"distributed.comm.tls": None}):
        err = refusal(command, home, "micro", *SMALL, *DECAYS, "--scheduler", "tls://127.0.0.1:1")
    assert "scheduler = 'tls://127.0.0.1:1': cannot be asked from here: " in err
    gc.collect()
    assert raised == []


def test_a_server_that_is_no_scheduler_is_refused(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        # it takes the connection, and never says a word
        err = refusal(
            command, home, "micro-fast", *SMALL, *DECAYS, "--scheduler", f"127.0.0.1:{server.getsockname()[1]}"
        )
    assert "gives no answer within 1 s" in err


def test_a_scheduler_without_workers_is_refused(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "WORKER_SECONDS", 1)
    with cluster_of(0) as address:
        err = refusal(command, home, "micro", *SMALL, *DECAYS, "--scheduler", address)
    assert "has no worker" in err


def test_workers_of_another_version_are_refused(command: Command, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "groklab-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: groklab\nVersion: 9.9.9\n")
    with cluster_of(1, PYTHONPATH=str(other.parent)) as address:
        err = refusal(command, home, "micro", *SMALL, *DECAYS, "--scheduler", address)
    assert "groklab 9.9.9" in err
    assert "tls://" in err
    assert f"needs groklab {gl.__version__}" in err


def test_workers_that_do_not_see_the_folder_are_refused(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a path that is another place for each process, as where a disk is not shared
    monkeypatch.chdir(tmp_path)
    home = Path("/proc/self/cwd/unshared")
    if not home.parent.exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(InputError, match="does not see"):
        gl.sweep("micro", {"optimiser.weight_decay": [0, 1]}, overrides={"task.p": 5}, scheduler=cluster, home=home)
    assert not [p for p in (tmp_path / "unshared").rglob("*") if p.is_file()]
