from __future__ import annotations

import json
import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import groklab as gl
from groklab.errors import DamagedError, InputError
from groklab.learners import METRICS
from groklab.store import Run, RunWriter, storage
from groklab.training import training

SHORT = {"budget.steps": 60, "checkpoints.spacing": "listed", "checkpoints.steps": [0, 20, 40]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    training.train(gl.preset("micro-fast", SHORT), home=home, tags=["one"])
    training.train(gl.preset("micro-fast", SHORT), seeds=3, home=home, tags=["many"])
    return home


def copy_of(folder: Path, tag: str, to: Path) -> Run:
    found = next(p for p in folder.iterdir() if (p / "tags.json").is_file() and tag in (p / "tags.json").read_text())
    return Run(Path(shutil.copytree(found, to / found.name)))


@pytest.fixture
def one(folder: Path, tmp_path: Path) -> Run:
    return copy_of(folder, "one", tmp_path)


@pytest.fixture
def many(folder: Path, tmp_path: Path) -> Run:
    return copy_of(folder, "many", tmp_path)


def test_weights_have_a_leading_member_axis_in_an_ensemble_alone(one: Run, many: Run) -> None:
    single, all_of_them, second = one.weights(), many.weights(), many.weights(member=1)
    assert single.keys() == all_of_them.keys() == second.keys()
    for name, array in single.items():
        assert all_of_them[name].shape == (3, *array.shape)
        assert second[name].shape == array.shape
        assert np.array_equal(second[name], all_of_them[name][1])
    assert {k: v.shape for k, v in one.weights(member=0).items()} == {k: v.shape for k, v in single.items()}


def test_the_summary_names_the_digest_of_the_last_weights(one: Run, many: Run) -> None:
    assert one.summary()["weights_sha256"] == storage.digest(one.weights())
    assert many.summary()["weights_sha256"] == [storage.digest(many.weights(member=m)) for m in range(3)]


def test_weights_that_were_not_kept_or_trained_are_refused(one: Run, many: Run) -> None:
    assert one.checkpoints == [0, 20, 40, 60]
    with pytest.raises(InputError, match=r"keeps no checkpoint of step 7 \(the nearest is 0\); kept: 0, 20, 40, 60"):
        one.weights(7)
    for run, member in ((one, 1), (many, 3), (many, -1)):
        with pytest.raises(InputError, match="member"):
            run.weights(member=member)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_a_damaged_checkpoint_is_recognised_and_the_one_before_it_used(one: Run, damage: str) -> None:
    before = one.weights(40)
    file = one.path / "checkpoints" / "step_000000060.safetensors"
    content = bytearray(file.read_bytes())
    content[-7] ^= 4
    file.write_bytes({"truncated": content[:-20], "altered": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"step_000000060\.safetensors is damaged.*; using the one before"):
        assert storage.digest(one.weights()) == storage.digest(before)
    with pytest.raises(DamagedError, match="damaged"):
        one.weights(60)


def test_a_checkpoint_of_another_experiment_is_refused(one: Run, many: Run) -> None:
    name = "step_000000060.safetensors"
    shutil.copy(many.path / "checkpoints" / name, one.path / "checkpoints" / name)
    for step in (None, 60):
        with pytest.raises(DamagedError, match="belongs to another experiment"):
            one.weights(step)


def test_a_run_without_any_complete_checkpoint_says_so(one: Run) -> None:
    shutil.rmtree(one.path / "checkpoints")
    with pytest.raises(InputError, match="no complete checkpoint"):
        one.weights()


def test_metrics_hold_a_row_an_evaluation_and_member(one: Run, many: Run) -> None:
    for run, members in ((one, 1), (many, 3)):
        frame = run.metrics
        assert frame.columns == ["step", "member", *METRICS]
        assert frame["step"].to_list() == [s for s in range(0, 61, 10) for _ in range(members)]
        assert frame["member"].to_list() == list(range(members)) * 7
    curves = many.curves(member=2)
    assert np.array_equal(curves["test_loss"], many.metrics.filter(pl.col("member") == 2)["test_loss"].to_numpy())


def test_metrics_can_be_read_without_groklab(one: Run) -> None:
    assert pl.read_parquet(one.path / "metrics.parquet").equals(one.metrics)


def test_no_altered_or_missing_bit_of_the_metrics_goes_unnoticed(one: Run) -> None:
    file = one.path / "metrics.parquet"
    whole = file.read_bytes()
    draw = random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 61)]
    for _ in range(300):
        altered = bytearray(whole)
        altered[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(altered))
    for content in (*damaged, b"no Parquet", whole + b"\0"):
        file.write_bytes(content)
        with pytest.raises(DamagedError, match=r"metrics\.parquet is damaged.*`resume` rebuilds it"):
            one.metrics  # noqa: B018
    file.write_bytes(whole)
    assert len(one.metrics) == 7


def test_a_parquet_file_that_another_program_wrote_is_not_taken_for_ours(one: Run) -> None:
    one.metrics.with_columns(test_accuracy=pl.lit(1.0)).write_parquet(one.path / "metrics.parquet")
    with pytest.raises(DamagedError, match="checksum"):
        one.metrics  # noqa: B018


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"status": "finished", "step": true}'])
def test_a_damaged_status_is_said_and_written_anew_by_resume(one: Run, content: str | None) -> None:
    expected = one.summary()
    file = one.path / "status.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(DamagedError, match=r"status\.json"):
        one.summary()
    with pytest.warns(UserWarning, match=r"status\.json"):
        training.resume(one)
    again = one.summary()
    assert {**again, "seconds": 0} == {**expected, "seconds": 0}


@pytest.mark.parametrize("content", ["{", "5", "[5]"])
def test_damaged_tags_are_said(one: Run, content: str) -> None:
    (one.path / "tags.json").write_text(content)
    with pytest.raises(DamagedError, match=r"tags\.json"):
        one.summary()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no experiment\.json"):
        Run(tmp_path)


def test_the_summary_is_json_with_the_documented_keys(one: Run, many: Run) -> None:
    for run, kind in ((one, (int, float, bool, str, type(None))), (many, (list,))):
        found = json.loads(run.to_json(), parse_constant=pytest.fail)
        assert found["run"] == run.name
        assert found["status"] == "finished"
        assert found["steps"] == 60
        assert found["seconds"] > 0
        for key in ("memorised_step", "grokked_step", "censored", "train_accuracy", "test_accuracy"):
            assert isinstance(found[key], kind), key
        for key in ("train_loss", "test_loss", "weights_sha256", "seed"):
            assert isinstance(found[key], kind), key
    assert many.summary()["seed"] == [0, 1, 2]
    assert many.summary()["censored"] == [g is None for g in many.summary()["grokked_step"]]


def altered(file: Path, key: str, value: Any) -> None:
    """Write JSON again with another value at a dotted place."""
    content = json.loads(file.read_text())
    *above, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    node = content
    for part in above:
        node = node[part]
    node[last] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "key", "value", "sentence"),
    [
        ("status.json", "step", math.inf, r"Infinity is not a finite number"),
        ("status.json", "step", 10**400, r"needs more than 64 bits"),
        ("status.json", "step", -1, r"step = -1: needs to be greater than or equal to 0"),
        ("status.json", "status", "sleeping", r"status = 'sleeping': "),
        ("status.json", "members.0.grokked_step", [3], r"members\.0\.grokked_step = \[3\]: "),
        ("status.json", "members.0.test_accuracy", 7, r"members\.0\.test_accuracy = 7: "),
        ("status.json", "members.0.weights_sha256", None, r"members\.0\.weights_sha256 = None: "),
        ("status.json", "members", [], "it has 0 members of 1"),
        ("status.json", "members", [{}], r"members\.0\.memorised_step is missing"),
        ("status.json", "reason", "\ud800", r"surrogates not allowed"),
        ("experiment.json", "members", [], r"members = \[\]: "),
        ("experiment.json", "members.0.identity", 3, r"members\.0\.identity = 3: "),
        ("experiment.json", "members.0.experiment.evaluation", None, r"members\.0\.experiment\.evaluation = None: "),
        ("environment.json", "cores", "many", r"cores = 'many': "),
        ("environment.json", "jax", ["0"], r"jax = \['0'\]: "),
        ("environment.json", "later", {"of": "a later version"}, None),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file(
    one: Run, name: str, key: str, value: Any, sentence: str | None
) -> None:
    altered(one.path / name, key, value)

    def look() -> None:
        again = Run(one.path)
        again.summary()
        str(again.environment)

    if sentence is None:
        look()
        return
    with pytest.raises(DamagedError, match=rf"{name} is damaged: .*{sentence}"):
        look()


@pytest.mark.parametrize("name", ["status.json", "environment.json", "tags.json", "metrics.parquet"])
@pytest.mark.parametrize("how", ["folder", "pipe", "device"])
def test_what_is_not_a_regular_file_is_not_read(one: Run, name: str, how: str) -> None:
    file = one.path / name
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(DamagedError, match=name):
        getattr(one, file.stem)


@pytest.mark.parametrize("column", ["step", "member", "train_loss"])
@pytest.mark.parametrize("values", ["missing", "text", "negative", "null"])
def test_metrics_that_are_not_of_the_run_are_damaged(one: Run, column: str, values: str) -> None:
    frame = one.metrics
    if column == "train_loss" and values in ("negative", "null"):
        return
    made = {"text": pl.lit("x"), "negative": pl.lit(-1), "null": pl.lit(None, pl.Int64)}
    RunWriter(one).metrics(
        frame.drop(column) if values == "missing" else frame.with_columns(made[values].alias(column))
    )
    with pytest.raises(DamagedError, match=r"metrics\.parquet is damaged: "):
        one.metrics  # noqa: B018


@pytest.mark.parametrize(
    "name", ["step_5", "step_1000000000000000000000", "step_0000000005", "step_" + "\u0663" * 9, "step_x"]
)
def test_files_with_other_names_are_not_checkpoints(one: Run, name: str) -> None:
    (one.path / "checkpoints" / f"{name}.safetensors").write_bytes(b"")
    assert one.checkpoints == [0, 20, 40, 60]


def test_a_checkpoint_under_another_step_is_damaged(one: Run) -> None:
    folder = one.path / "checkpoints"
    shutil.copy(folder / "step_000000020.safetensors", folder / "step_000000040.safetensors")
    with pytest.raises(DamagedError, match=r"step_000000040\.safetensors is damaged: it holds the weights of step 20"):
        one.weights(40)
