from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import groklab as gl
from groklab import device
from groklab.errors import InputError
from groklab.training import step_rate


def test_too_much_memory_is_refused_naming_the_bytes() -> None:
    with pytest.raises(InputError, match=r"a model needs about .* \(1,000,000,000,000,000,000 bytes\)"):
        device.require_memory("a model", 10**18)
    device.require_memory("a model", 1)


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10**18, "909494.7 TiB")])
def test_bytes_are_written_for_people(n: int, text: str) -> None:
    assert device.readable_bytes(n) == text


def test_runs_are_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.home() == home
    monkeypatch.setenv("GROKLAB_HOME", "")
    assert device.home() == Path.home() / "groklab"


MIB = 2**20
V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "33 32 0:30 /docker/a /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:31 /docker/a /sys/fs/cgroup/memory rw,relatime master:2 - cgroup cgroup rw,memory\n"
    "35 32 0:32 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with /proc and /sys, as a process in a control group sees them."""

    def make(own: str, mounts: str, **files: str) -> Path:
        texts = {"proc/self/cgroup": own, "proc/self/mountinfo": mounts}
        for name, text in {**texts, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROKLAB_CORES", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=2**40, available=2**39))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)


def test_the_tightest_of_nested_control_groups_counts(system: Callable[..., Path]) -> None:
    root = system(
        "0::/user/job/step\n",
        V2,
        **{
            "user/job/step/memory.max": "max\n",
            "user/job/step/memory.current": f"{10 * MIB}\n",
            "user/job/step/cpu.max": "max 100000\n",
            "user/job/memory.max": f"{2000 * MIB}\n",
            "user/job/memory.high": f"{1000 * MIB}\n",
            "user/job/memory.current": f"{500 * MIB}\n",
            "user/job/memory.stat": f"anon 1\ninactive_file {100 * MIB}\nactive_file 5\n",
            "user/job/cpu.max": "250000 100000\n",
            "user/memory.max": f"{3000 * MIB}\n",
            "user/memory.current": f"{2900 * MIB}\n",
            "user/cpuset.cpus.effective": "0-3,8\n",
        },
    )
    assert device.host_memory(root) == (1000 * MIB, 100 * MIB)
    assert device.cores(root) == 3
    (root / "sys/fs/cgroup/user/memory.max").unlink()
    assert device.host_memory(root) == (1000 * MIB, 600 * MIB)
    (root / "sys/fs/cgroup/user/job/cpu.max").unlink()
    assert device.cores(root) == 5


def test_control_groups_of_version_1_in_a_container(system: Callable[..., Path]) -> None:
    root = system(
        "9:cpu,cpuacct:/docker/a\n8:memory:/docker/a/inner\n7:cpuset:/docker/a\n1:name=systemd:/docker/a\n0::/\n",
        V1,
        **{
            "memory/inner/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/inner/memory.usage_in_bytes": "4096\n",
            "memory/memory.limit_in_bytes": f"{1024 * MIB}\n",
            "memory/memory.usage_in_bytes": f"{300 * MIB}\n",
            "memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {50 * MIB}\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpuset/docker/a/cpuset.effective_cpus": "4-7\n",
        },
    )
    assert device.host_memory(root) == (1024 * MIB, 774 * MIB)
    assert device.cores(root) == 1
    (root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us").write_text("-1\n")
    assert device.cores(root) == 4


@pytest.mark.parametrize(
    ("own", "mounts"),
    [("0::/../../elsewhere\n", V2), ("0::/elsewhere\n", V2), ("", V2), ("0::/a\n", ""), ("nonsense\n", "nonsense\n")],
)
def test_without_limits_the_machine_counts(system: Callable[..., Path], own: str, mounts: str) -> None:
    root = system(own, mounts)
    assert device.host_memory(root) == (2**40, 2**39)
    assert device.cores(root) == 64


def test_an_overdrawn_group_leaves_no_memory(system: Callable[..., Path]) -> None:
    root = system("0::/\n", V2, **{"memory.max": "1000\n", "memory.current": "2000\n", "cpu.max": "1000 100000\n"})
    assert device.host_memory(root) == (1000, 0)
    assert device.cores(root) == 1


def test_the_limit_of_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 2**38
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, -1) if kind == resource.RLIMIT_AS else None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(vms=1000))
    assert device.host_memory(tmp_path) == (limit, limit - 1000)


def test_fewer_cores_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, expected in (("3", 3), ("03", 3), ("1000", 64), ("", 64)):
        monkeypatch.setenv("GROKLAB_CORES", text)
        assert device.cores(tmp_path) == expected
    for text in ("0", "-1", "many", "1_0", "1.5"):
        monkeypatch.setenv("GROKLAB_CORES", text)
        with pytest.raises(InputError, match=r"GROKLAB_CORES = .*: needs to be an integer of at least 1"):
            device.cores(tmp_path)


def test_a_card_that_jax_does_not_use_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not device.has_idle_card(tmp_path)
    sign = tmp_path / "proc/driver/nvidia/version"
    sign.parent.mkdir(parents=True)
    sign.touch()
    assert device.has_idle_card(tmp_path)
    monkeypatch.setattr(device, "on_gpu", lambda: True)
    assert not device.has_idle_card(tmp_path)


def test_xla_knows_its_settings_and_the_users_flags_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    options = device.xla_options.__wrapped__
    assert options() == {}
    monkeypatch.setattr(device, "on_gpu", lambda: True)
    assert options() == device.XLA
    monkeypatch.setitem(device.XLA, "xla_gpu_of_another_version", True)
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    assert set(options()) == set(device.XLA) - {"xla_gpu_of_another_version", "xla_gpu_enable_triton_gemm"}


def test_the_way_of_programs_is_one_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROKLAB_WAY", raising=False)
    assert not device.dense()
    monkeypatch.setenv("GROKLAB_WAY", "dense")
    assert device.dense()
    monkeypatch.setenv("GROKLAB_WAY", "dens")
    with pytest.raises(InputError, match="did you mean dense"):
        device.dense()


def test_the_speed_of_training_is_measured() -> None:
    assert step_rate(gl.preset("micro"), seconds=0.01) > 0


def test_a_home_that_is_not_there_is_refused_naming_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROKLAB_HOME", "~nobody-of-this-name/runs")
    with pytest.raises(InputError, match=r"GROKLAB_HOME = '~nobody-of-this-name/runs': this home does not exist"):
        device.home()
