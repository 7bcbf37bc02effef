"""The real programs, offline: what they hold of a run is what the run holds."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError, Interrupted
from groklab.store import Run
from groklab.trackers import _sending
from groklab.training import Progress

METRICS = ("train_loss", "test_accuracy", "weight_norm")
MEASURED = {"measures.names": ["embedding_spectrum"], "measures.every": 20}
SHORT = {"budget.steps": 60, "evaluation.every": 10}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    import wandb

    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


def scalars_of_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def scalars_of_mlflow(uri: str, name: str) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("groklab")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`groklab.name` = '{name}'")
    histories = {key: client.get_metric_history(found.info.run_id, key) for key in found.data.metrics}
    return found, {key: sorted((m.step, m.value) for m in history) for key, history in histories.items()}


def records_of_wandb(folder: Path) -> dict[str, list[Any]]:
    """Return the records of an offline run by their kind.

    They stand in the log format of LevelDB: blocks of 32 KiB, in which each part of a record has a checksum, a length
    and a type (whole, first, middle, last). A header of seven bytes goes before.
    """
    from wandb.proto import wandb_internal_pb2 as pb

    (file,) = folder.glob("*.wandb")
    data, at, parts = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    records: dict[str, list[Any]] = {}
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = pb.Record()
            record.ParseFromString(parts)
            name = str(record.WhichOneof("record_type"))
            records.setdefault(name, []).append(getattr(record, name))
            parts = b""
    return records


def expected(run: Run, member: int = 0) -> dict[str, list[tuple[int, float]]]:
    rows = run.metrics.filter(pl.col("member") == member).sort("step")
    return {name: list(zip(rows["step"].to_list(), rows[name].to_list(), strict=True)) for name in METRICS}


def assert_same(found: dict[str, list[tuple[int, float]]], run: Run, member: int = 0) -> None:
    for name, pairs in expected(run, member).items():
        assert [step for step, _ in found[name]] == [step for step, _ in pairs], name
        # event files hold single precision
        assert all(math.isclose(a[1], b[1], rel_tol=1e-6) for a, b in zip(found[name], pairs, strict=True)), name


def test_tensorboard_holds_the_metrics_of_every_member_once(corpus: Corpus, tmp_path: Path) -> None:
    run = corpus["ensemble"]
    for _ in range(2):
        places = gl.trackers.send(run, "tensorboard", str(tmp_path))
    assert len(places) == 3
    for member in range(3):
        assert_same(scalars_of_tensorboard(tmp_path / f"{run.name}#{member}"), run, member)


def test_mlflow_holds_settings_metrics_results_and_files_once(corpus: Corpus, tmp_path: Path) -> None:
    run = corpus["mlp"]
    for _ in range(2):
        gl.trackers.send(run, "mlflow", str(tmp_path))
    found, scalars = scalars_of_mlflow(f"sqlite:///{tmp_path}/mlflow.db", run.name)
    assert_same(scalars, run)
    assert found.info.status == "FINISHED"
    assert found.data.params["task.p"] == str(run.experiment.task.p)
    assert found.data.tags["groklab.identity"] == run.identities[0]
    assert scalars["grokked_step"][-1][1] == run.summary()["grokked_step"]
    kept = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert {"experiment.json", "environment.json"} <= kept


@pytest.mark.usefixtures("offline")
def test_wandb_holds_settings_metrics_and_results(corpus: Corpus, tmp_path: Path) -> None:
    run = corpus["mlp"]
    (place,) = gl.trackers.send(run, "wandb", str(tmp_path))
    records = records_of_wandb(Path(place))
    rows = [
        {(item.key or item.nested_key[0]): item.value_json for item in record.item} for record in records["history"]
    ]
    found = {name: [(int(row["step"]), float(row[name])) for row in rows if name in row] for name in METRICS}
    assert_same(found, run)
    config = {item.key or item.nested_key[0]: item.value_json for item in records["run"][0].config.update}
    assert config["task.p"] == str(run.experiment.task.p)
    summary = {i.key or i.nested_key[0]: i.value_json for record in records["summary"] for i in record.update}
    assert summary["grokked_step"] == str(run.summary()["grokked_step"])


def test_a_training_that_is_stopped_and_resumed_is_tracked_as_one(tmp_path: Path) -> None:
    experiment = gl.preset("micro-fast", SHORT | {"checkpoints.rolling_seconds": 1e-9, **MEASURED})
    to = [f"tensorboard={tmp_path / 'logs'}", f"mlflow={tmp_path / 'flow'}"]

    def stop(progress: Progress) -> None:
        if progress.step >= 20:
            raise Interrupted(progress.run)

    with pytest.raises(Interrupted), gl.trackers.Tracking(to, stop) as first:
        gl.train(experiment, view=first.view)
    name = next(iter(gl.runs())).name
    assert scalars_of_mlflow(f"sqlite:///{tmp_path}/flow/mlflow.db", name)[0].info.status == "KILLED"
    with gl.trackers.Tracking(to) as second:
        run = gl.train(experiment, view=second.view)
    found, scalars = scalars_of_mlflow(f"sqlite:///{tmp_path}/flow/mlflow.db", name)
    assert found.info.status == "FINISHED"
    assert_same(scalars, run)
    events = scalars_of_tensorboard(tmp_path / "logs" / name)
    assert_same(events, run)
    for measured in (scalars, events):
        assert [step for step, _ in measured["embedding_spectrum.gini_W_E"]] == [0, 20, 40, 60]


ADAPTER = """
import threading

from groklab.trackers import Tracker

class Mine(Tracker):
    def __init__(self, record, where):
        self.steps = []
        if where == "down":
            raise ConnectionError("nobody answers")
        if where == "asks":
            GO_ON.wait()
        self.where = where
    place = "nowhere"
    def last_step(self, metric):
        return -1
    def log(self, rows):
        if self.where == "fails":
            raise ConnectionError("the server went away\\nat line 3")
        if self.where == "ends":
            raise SystemExit(1)
        if self.where == "hangs":
            GO_ON.wait()
        SEEN.extend(rows["step"])
    def finish(self, results, files, complete):
        SEEN.append(results["state"])

SEEN, GO_ON = [], threading.Event()
"""


@pytest.fixture
def of_my_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An installed package with an adapter."""
    site = tmp_path / "site"
    (site / "mine-1.dist-info").mkdir(parents=True)
    (site / "mine-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (site / "mine-1.dist-info" / "entry_points.txt").write_text("[groklab.trackers]\nmine = my_tracker:Mine\n")
    (site / "my_tracker.py").write_text(ADAPTER)
    monkeypatch.syspath_prepend(str(site))
    import my_tracker  # type: ignore[import-not-found]

    yield my_tracker
    my_tracker.GO_ON.set()
    del sys.modules["my_tracker"]


def test_an_installed_package_brings_its_own_adapter(of_my_own: Any) -> None:
    with gl.trackers.Live("mine") as view:
        gl.train(gl.preset("micro-fast", SHORT), view=view)
    assert of_my_own.SEEN == [0, 10, 20, 30, 40, 50, 60, "finished"]


@pytest.mark.usefixtures("of_my_own")
@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("fails", "the server went away"),
        ("ends", "it tried to end the program"),
        ("hangs", "has not answered within 1 s"),
    ],
)
def test_a_tracker_that_fails_does_not_stop_training(where: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "hangs":  # long enough for a busy machine to open it
        monkeypatch.setattr(_sending, "PATIENCE", 1)
    with (
        pytest.warns(UserWarning, match=rf"mine has failed \({reason}\) and gets nothing more"),
        gl.trackers.Live(f"mine={where}") as view,
    ):
        run = gl.train(gl.preset("micro-fast", SHORT), view=view)
    assert run.status.state == "finished"


@pytest.mark.usefixtures("of_my_own")
def test_a_tracker_that_waits_for_an_answer_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sending, "PATIENCE", 0.01)
    with (
        pytest.raises(InputError, match=r"--track = 'mine': has not answered within 0\.01 s"),
        gl.trackers.Live("mine=asks") as view,
    ):
        gl.train(gl.preset("micro-fast", SHORT), view=view)


@pytest.mark.usefixtures("of_my_own")
def test_a_tracker_that_refuses_is_named_in_one_sentence(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="--to = 'mine': refuses: nobody answers"):
        gl.trackers.send(corpus["mlp"], "mine", "down")


def test_unknown_and_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> None:
    with pytest.raises(InputError, match="did you mean tensorboard"):
        gl.trackers.Live("tensorbord")
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "groklab.trackers._wandb", raising=False)
    with pytest.raises(InputError, match=r"needs Weights & Biases: pip install 'groklab\[wandb\]'"):
        gl.trackers.send(corpus["mlp"], "wandb")
