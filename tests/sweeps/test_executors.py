"""Workers: what they find set, who may connect to them, and the one that shares this process."""

from __future__ import annotations

import socket
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, Security

import groklab as gl
from groklab.errors import InputError
from groklab.sweeps import Sweep, make_plan, pack
from groklab.sweeps import _executors as executors
from groklab.sweeps import _local_cluster as local_cluster
from groklab.sweeps import _scheduler as scheduler
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
        drive(SweepRecords(folder), Workers(client, 1, "gpu", 10**10, "1 worker"), None, lambda: None)
    found = gl.Sweep(path)
    assert found.status == "finished"
    assert found.table["status"].to_list() == ["finished"] * 4
    assert gl.sweep("micro-fast", {"optimiser.weight_decay": [0.5, 1.0]}, overrides=settings, seeds=2).path == path


def processes_of_clusters() -> list[psutil.Process]:
    started = psutil.Process().children(recursive=True)
    return [p for c in started if any("_local_cluster.py" in a for a in c.cmdline()) for p in (c, *c.children(True))]


def test_a_cluster_answers_nobody_without_its_credentials(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 1)
    assert cluster.startswith("tls://127.0.0.1:")
    own: Any = Security
    strangers = [(cluster, own.temporary()), (cluster, own(require_encryption=False, tls_ca_file=None))]
    strangers += [(cluster.replace("tls", "tcp"), own(tls_client_cert=None))]
    for address, security in strangers:
        with pytest.raises(InputError, match=r"gives no answer|cannot be asked"), executors._client(address, security):
            pass
    listening = 0
    for process in processes_of_clusters():
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening += 1
                assert connection.laddr.ip == "127.0.0.1"
                for page in ("/", "/info/main/workers.html", "/json/counts.json", "/metrics", "/health"):
                    assert_serves_nothing(connection.laddr.port, page)
    # scheduler, workers and their nurses, each with dask's own port, and an empty one for pages
    assert listening >= 6


def assert_serves_nothing(port: int, page: str) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        try:
            while part := connection.recv(4096):
                answer += part
        except ConnectionResetError:
            pass
    assert answer.startswith(b"HTTP/1.1 404") or b"HTTP" not in answer, (port, page, answer)


def test_credentials_of_a_cluster_are_in_no_command_line_and_its_files_are_closed_to_others(cluster: str) -> None:
    found = processes_of_clusters()
    assert len(found) >= 3
    for process in found:
        assert not [a for a in process.cmdline() if "BEGIN" in a]
        assert not [v for v in process.environ().values() if "BEGIN" in v]
    folders = list(Path(tempfile.gettempdir()).glob("groklab-sweep-*"))
    assert folders
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_scratch_folders_of_killed_sweeps_go_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, other = tmp_path / "groklab-sweep-killed", tmp_path / "groklab-test"
    for folder in (killed, other):
        (folder / "worker").mkdir(parents=True)
    (tmp_path / "groklab-sweep-link").symlink_to(other)
    living = Path(local_cluster.make_scratch())
    second = Path(local_cluster.make_scratch())
    assert living.is_dir()
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    assert not killed.exists()
    assert (other / "worker").is_dir()


def test_each_worker_sees_the_card_that_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_cards", lambda: ["3", "5"])

    def card_of_worker() -> str | None:
        import os

        from groklab.sweeps._executors import take_card

        take_card()
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    with executors.connected(tmp_path) as workers:
        workers.client.wait_for_workers(2, timeout=60)
        addresses = list(workers.client.scheduler_info()["workers"])
        tasks = [workers.client.submit(card_of_worker, workers=[address], pure=False) for address in addresses]
        seen = workers.client.gather(tasks)
    assert sorted(seen) == ["3", "5"]
    assert (workers.count, workers.memory is not None) == (2, True)


def test_the_cards_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert executors._cards() == []
    monkeypatch.setattr(executors.device, "on_gpu", lambda: True)
    assert executors._cards() == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8a")
    assert executors._cards() == ["2", "GPU-8a"]


def test_the_next_pack_of_a_card_is_compiled_while_one_trains(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead: list[Any] = []
    plan = make_plan("micro-fast", {"network.d_mlp": [8, 16]}, overrides={"budget.steps": 20})
    folder = Sweep.create(home / "sweeps" / plan.name, plan, pack(plan.experiments, platform="gpu", memory=10**10))
    monkeypatch.setattr(scheduler, "compile_ahead", lambda experiments: ahead.extend(experiments))
    monkeypatch.setattr(scheduler.device, "on_gpu", lambda: True)
    with executors._inside() as client:
        drive(SweepRecords(folder), Workers(client, 1, "gpu", 10**10, "1 worker"), None, lambda: None)
    assert ahead == folder.experiments_of(1)
