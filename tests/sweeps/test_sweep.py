"""Sweeps on a real cluster of two workers: what is trained, what the table says, what is found again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from distributed import Client

import groklab as gl
from groklab.errors import InputError
from groklab.grokking import phase_of
from groklab.registry import unload_plugins
from groklab.store import locks
from groklab.sweeps import SweepProgress
from groklab.sweeps._folder import LAST

Command = Callable[..., tuple[int, str, str]]
#: Runs of which some memorise and grok within a few hundred steps.
SETTINGS = {"budget.steps": 700, "evaluation.every": 2}
KEYS = {"optimiser.weight_decay": [0.0, 1.0], "split.frac_train": "0.65:0.8:2"}


@pytest.fixture(scope="module")
def swept(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> gl.Sweep:
    home = tmp_path_factory.mktemp("swept")
    return gl.sweep("micro-fast", KEYS, overrides=SETTINGS, seeds=2, scheduler=cluster, home=home)


def test_every_point_and_seed_is_a_member(swept: gl.Sweep) -> None:
    assert swept.status == "finished"
    assert swept.n_members == 8
    assert swept.keys == {"optimiser.weight_decay": [0.0, 1.0], "split.frac_train": [0.65, 0.8]}
    rows = swept.table
    assert rows["member"].to_list() == list(range(8))
    assert rows["seed"].to_list() == [0, 1] * 4
    assert rows["optimiser.weight_decay"].to_list() == [0.0] * 4 + [1.0] * 4
    assert rows["split.frac_train"].to_list() == [0.65, 0.65, 0.8, 0.8] * 2
    for row in rows.iter_rows(named=True):
        experiment = swept.experiment(row["member"])
        assert experiment.identity == row["identity"]
        assert experiment.seed == row["seed"]
        assert experiment.optimiser is not None
        assert experiment.optimiser.weight_decay == row["optimiser.weight_decay"]
        assert experiment.split.frac_train == row["split.frac_train"]
    assert rows["identity"].n_unique() == 8


def test_the_table_says_what_the_runs_say(swept: gl.Sweep) -> None:
    assert set(swept.table["phase"]) >= {"comprehension", "memorisation"}
    for row in swept.table.iter_rows(named=True):
        run, place = swept.run(row["member"])
        assert run.name == row["pack"]
        assert run.identities[place] == row["identity"]
        told = run.status.members[place]
        for name in ("steps", "memorised_step", "grokked_step"):
            assert row[name] == getattr(told, name)
        phase = phase_of(run, place)
        for name in ("phase", "train_step", "test_step", "censored"):
            assert row[name] == getattr(phase, name)
        assert row["phase_reason"] == phase.reason
        curves = run.curves(place)
        # of all evaluations, not only of those that the thinned curves keep
        assert row["best_test_accuracy"] == np.float32(np.nanmax(curves["test_accuracy"]))
        assert row["steps"] == curves["step"][-1]
        for name in LAST:
            assert row[name] == np.float32(curves[name][-1])
        thinned = swept.curves(row["member"])
        whole = run.metrics.filter(pl.col("member") == place)
        assert len(thinned) <= 202
        assert {0, row["steps"]} <= set(thinned["step"])
        same = thinned.join(whole, on="step", suffix="_of_run")
        assert len(same) == len(thinned)
        assert same["test_loss"].equals(same["test_loss_of_run"])


def test_members_stop_on_their_own_once_they_have_grokked(swept: gl.Sweep) -> None:
    rows = swept.table
    grokked = rows.filter(pl.col("reason") == "grokked")
    assert len(grokked) > 0
    assert (grokked["steps"] < 700).all()
    assert grokked["grokked_step"].is_not_null().all()
    others = rows.filter(pl.col("reason") == "steps")
    assert len(grokked) + len(others) == 8
    assert (others["steps"] == 700).all()
    assert set(others["phase"]) <= {"memorisation", "confusion", "grokking", "comprehension"}


def test_without_retiring_all_train_to_the_end(cluster: str, home: Path) -> None:
    found = gl.sweep(
        "micro-fast", {"optimiser.weight_decay": [1.0]}, overrides=SETTINGS, seeds=2, retire=False, scheduler=cluster
    )
    assert found.path.parent == home / "sweeps"
    assert found.table["steps"].to_list() == [700, 700]
    assert found.table["reason"].to_list() == ["steps", "steps"]


def test_a_pack_is_an_ordinary_run(swept: gl.Sweep, cluster: str, tmp_path: Path) -> None:
    run, _ = swept.run(0)

    def train(path: str, home: str) -> None:
        import groklab as gl

        gl.train(gl.Run(path).experiments, home=home)

    # in a worker without its sweep: programs of other tests differ from the cluster's in the last bits
    with Client(cluster, set_as_default=False) as client:
        client.submit(train, str(run.path), str(tmp_path), pure=False).result()
    alone = gl.Run(tmp_path / run.name)
    assert alone.name == run.name
    assert alone.metrics.equals(run.metrics)
    hashes = [[m.weights_sha256 for m in r.status.members] for r in (alone, run)]
    assert hashes[0] == hashes[1]


def test_what_killed_workers_were_writing_goes_when_the_sweep_ends(swept: gl.Sweep, cluster: str, home: Path) -> None:
    sweep = home / "sweeps" / swept.name
    shutil.copytree(swept.path, sweep)
    shutil.rmtree(sweep / "packs" / swept.packs[0].path.name)
    (sweep / "table.parquet").unlink()
    (sweep / "progress" / ".micro-fast.json.5f1d3c0a9b7e.tmp").write_text("{")
    # a worker that was killed between a pack's last write and releasing its lock
    lock = sweep / "packs" / swept.packs[1].path.name / "lock.json"
    with locks.locked(lock.parent):
        gone = json.loads(lock.read_text()) | {"pid": 2**22 - 1}
    lock.write_text(json.dumps(gone))
    again = gl.sweep("micro-fast", KEYS, overrides=SETTINGS, seeds=2, scheduler=cluster)
    assert again.path == sweep
    assert again.table.drop("seconds").equals(swept.table.drop("seconds"))
    assert not [*sweep.rglob("*.tmp"), *sweep.rglob("lock.json")]


def test_a_finished_sweep_is_found_again(swept: gl.Sweep) -> None:
    before = {p: p.stat().st_mtime_ns for p in swept.path.rglob("*.parquet")}
    # no worker is asked: there is nothing left to do
    again = gl.sweep(
        "micro-fast", KEYS, overrides=SETTINGS, seeds=2, scheduler="tcp://127.0.0.1:1", home=swept.path.parent.parent
    )
    assert again.path == swept.path
    assert {p: p.stat().st_mtime_ns for p in swept.path.rglob("*.parquet")} == before


@pytest.mark.parametrize("harm", ["missing", "cut", "altered"])
def test_tables_are_rebuilt_from_the_packs(swept: gl.Sweep, harm: str) -> None:
    expected, curves = swept.table, swept.curves()
    for name in ("table.parquet", "curves.parquet"):
        path = swept.path / name
        content = path.read_bytes()
        if harm == "missing":
            path.unlink()
        else:
            path.write_bytes(content[: len(content) // 2] if harm == "cut" else content[:-30] + b"x" + content[-29:])
        try:
            again = gl.Sweep(swept.path)
            assert again.table.equals(expected)
            assert again.curves().sort("member", "step").equals(curves)
            assert again.status == "finished"
        finally:
            path.write_bytes(content)


def test_what_is_no_sweep_is_refused(swept: gl.Sweep, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sweep"):
        gl.Sweep(tmp_path)
    with pytest.raises(InputError, match="members 0 to 7"):
        swept.experiment(8)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        gl.Sweep(tmp_path)


def test_a_view_sees_members_come_to_their_end(cluster: str) -> None:
    seen: list[SweepProgress] = []
    asked = {"optimiser.weight_decay": [0.5, 1.0]}
    # of the shape of `swept`, which the workers have compiled
    settings = {**SETTINGS, "split.frac_train": 0.65}
    gl.sweep("micro-fast", asked, overrides=settings, seeds=4, scheduler=cluster, view=seen.append)
    assert len(seen[0].members) == 8
    assert not seen[0].ended
    assert seen[-1].share == 1.0
    assert len(seen[-1].ended) == 8
    shares = [p.share for p in seen]
    assert shares == sorted(shares)
    assert "8 members share one program and shape: 2 packs of 4 members" in seen[-1].description


def test_members_that_cannot_be_trained_are_told_and_the_others_stand(
    cluster: str, command: Command, tmp_path: Path
) -> None:
    # without a ridge, the kernel matrix of equal inputs is singular
    np.savez(tmp_path / "twice.npz", inputs=np.ones((6, 2)), answers=np.arange(6) % 2)
    file = tmp_path / "twice.yaml"
    file.write_text(
        f"learner: rfm\ntask: {{kind: vectors, path: {tmp_path / 'twice.npz'}}}\nsplit: {{frac_train: 0.7}}\n"
    )
    arguments = (file, "budget.steps=3", "--scheduler", cluster, "--json", "--quiet")
    code, out, err = command("sweep", *arguments, "--grid", "learner.ridge=0,0.1")
    found: dict[str, Any] = json.loads(out)
    assert code == 0, err
    assert (found["finished"], found["failed"]) == (1, 1)
    assert "singular" in found["failures"][0]
    rows = gl.Sweep(found["path"]).table
    assert rows["status"].to_list() == ["failed", "finished"]
    assert "singular" in rows["reason"][0]
    assert rows["learner.ridge"].to_list() == [0.0, 0.1]
    code, out, err = command("sweep", *arguments, "--grid", "learner.ridge=0")
    assert code == 2
    assert "no member" in err
    assert "singular" in err
    assert json.loads(out)["failed"] == 1


def test_the_command_prints_one_object(cluster: str, command: Command, tmp_path: Path) -> None:
    settings = [f"{k}={v}" for k, v in {**SETTINGS, "budget.steps": 100}.items()]
    grid = ("--grid", "optimiser.weight_decay=0.5,1", "--seeds", 2)
    code, out, err = command("sweep", "micro-fast", *settings, *grid, "--scheduler", cluster, "--json")
    assert code == 0
    assert out.count("\n") == 1
    found = json.loads(out)
    assert {"sweep", "path", "members", "finished", "failed", "phases"} <= found.keys()
    assert (found["members"], found["finished"], found["failed"]) == (4, 4, 0)
    assert sum(found["phases"].values()) == 4
    assert found["keys"] == {"optimiser.weight_decay": [0.5, 1.0]}
    assert "4 of 4 members" in err
    code, out, err = command("sweep", "micro-fast", *settings, *grid)
    assert code == 0
    assert "optimiser.weight_decay across" in out
    assert "table.parquet" in out


def test_a_dry_run_trains_nothing(command: Command, home: Path) -> None:
    code, out, _ = command("sweep", "micro", "--grid", "task.p=11,13", "--seeds", "8", "--dry-run", "--workers", "2")
    assert code == 0
    assert "16 members need 2 programs or shapes: 2 packs of 8 members" in out
    assert not home.exists() or not [p for p in home.rglob("*") if p.is_file()]


def test_a_sweep_of_a_file_with_a_plug_in(cluster: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import groklab as gl\nfrom groklab.optimisers import AdamW\n\n\n"
        "@gl.register('optimiser', 'mine_of_sweeps')\nclass Mine(AdamW):\n    '''AdamW by another name.'''\n"
    )
    file = tmp_path / "mine.yaml"
    file.write_text("preset: micro\ntask: {p: 7}\nnetwork: {d_mlp: 8}\nbudget: {steps: 20}\n")
    grid = ("--grid", "optimiser.kind=adamw,mine_of_sweeps", "--plugin", tmp_path / "mine.py")
    code, out, err = command("sweep", file, *grid, "--scheduler", cluster, "--json", "--quiet")
    assert code == 0, err
    found = gl.Sweep(json.loads(out)["path"])
    assert found.name.startswith("mine-")
    assert found.table["optimiser.kind"].to_list() == ["adamw", "mine_of_sweeps"]
    assert found.table["status"].to_list() == ["finished"] * 2
    assert len(found.packs) == 2


def test_a_cluster_trains_sweeps_whose_plugins_define_the_same_name(cluster: str, tmp_path: Path) -> None:
    sweeps = []
    for factor in (1, 2):
        file = tmp_path / str(factor) / "mine.py"
        file.parent.mkdir()
        file.write_text(
            "import groklab as gl\nfrom groklab.objectives import MeanSquaredError\n\n\n"
            "@gl.register('objective', 'shared_by_sweeps')\nclass Mine(MeanSquaredError):\n"
            f"    def per_row(self, *arguments):\n        return {factor} * super().per_row(*arguments)\n"
        )
        settings = {"task.p": 7, "network.d_mlp": 8, "budget.steps": 2, "objective.kind": "shared_by_sweeps"}
        sweeps.append(
            gl.sweep("micro", {"seed": [0, 1]}, overrides={**settings, "plugins": [str(file)]}, scheduler=cluster)
        )
        unload_plugins()
    assert [s.table["status"].to_list() for s in sweeps] == [["finished"] * 2] * 2
    assert sweeps[0].table["train_loss"].to_list() != sweeps[1].table["train_loss"].to_list()


def test_members_that_failed_are_tried_again(cluster: str, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    (tmp_path / "fragile.py").write_text(
        "import pathlib\nimport groklab as gl\nfrom groklab.optimisers import AdamW\n\n\n"
        "@gl.register('optimiser', 'fragile_of_sweeps')\nclass Fragile(AdamW):\n"
        "    '''AdamW that needs a file.'''\n\n    def update(self, *arguments):\n"
        f"        if not pathlib.Path({str(repaired)!r}).exists():\n            raise OSError('no such file')\n"
        "        return super().update(*arguments)\n"
    )
    settings = {"task.p": 7, "network.d_mlp": 8, "budget.steps": 20, "plugins": [str(tmp_path / "fragile.py")]}
    keys = {"optimiser.kind": ["adamw", "fragile_of_sweeps"]}
    first = gl.sweep("micro", keys, overrides=settings, scheduler=cluster)
    assert first.table["status"].to_list() == ["finished", "failed"]
    assert first.table["reason"][1] == "OSError: no such file"
    repaired.touch()
    again = gl.sweep("micro", keys, overrides=settings, scheduler=cluster)
    assert again.path == first.path
    assert again.table["status"].to_list() == ["finished"] * 2
    assert again.table["steps"].to_list() == [20, 20]
    assert gl.Sweep(first.path).summary()["failed"] == 0
