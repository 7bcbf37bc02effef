from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

import groklab as gl
from groklab import Collection
from groklab.errors import InputError
from groklab.store import Run, RunWriter, locks, storage
from groklab.training import training
from killed import kills


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, to be copied by each test."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        training.train(gl.preset("micro-fast", {"budget.steps": 60, "seed": seed}), home=folder)
    return folder


@pytest.fixture
def collection(trained: Path, tmp_path: Path) -> Collection:
    shutil.copytree(trained, tmp_path / "collection")
    return Collection(tmp_path / "collection")


@pytest.mark.parametrize("name", ["status.json", "tags.json", "experiment.json"])
@pytest.mark.parametrize("content", [b"{}", b'{"members": [{"identity": 1e999}]}', b"[3]", b"\xff", b"[" * 100_000])
def test_a_damaged_run_does_not_keep_the_others_from_the_list(
    collection: Collection, name: str, content: bytes
) -> None:
    damaged, healthy = collection.paths()
    (damaged / name).write_bytes(content)
    seen = {s["run"]: s for s in collection.summaries()}
    assert seen[healthy.name]["status"] == "finished"
    assert seen[damaged.name]["status"] == "damaged"
    assert f"{name} is damaged" in seen[damaged.name]["reason"]
    assert [run.name for run in gl.runs(str(collection.folder))] == [healthy.name]


def names(collection: Collection) -> list[str]:
    return sorted(s["run"] for s in collection.summaries())


def test_the_index_is_only_a_cache(collection: Collection) -> None:
    first = collection.summaries()
    assert [s["status"] for s in first] == ["finished", "finished"]
    assert collection.summaries() == first
    (collection.folder / "index.sqlite").unlink()
    assert collection.summaries() == first


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "zeros", "other table", "nonsense rows", "folder"])
def test_a_damaged_index_is_rebuilt_silently(
    collection: Collection, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = collection.summaries()
    index = collection.folder / "index.sqlite"
    whole = index.read_bytes()
    if how == "other table":
        index.unlink()
        with sqlite3.connect(index) as other:
            other.execute("CREATE TABLE runs (something TEXT)")
        other.close()
    elif how == "nonsense rows":
        with sqlite3.connect(index) as other:
            other.execute("UPDATE runs SET summary = '[1]'")
            other.execute("INSERT INTO runs VALUES (NULL, 5, x'00ff')")
        other.close()
    elif how == "folder":
        index.unlink()
        index.mkdir()
    else:
        damaged = {
            "empty": b"",
            "text": b"no database",
            "truncated": whole[: len(whole) // 2],
            "zeros": bytes(len(whole)),
        }
        index.write_bytes(damaged[how])
    assert collection.summaries() == expected
    assert collection.summaries() == expected
    assert capsys.readouterr() == ("", "")


def test_an_index_with_altered_pages_tells_nothing_false(collection: Collection) -> None:
    expected = collection.summaries()
    index = collection.folder / "index.sqlite"
    whole = index.read_bytes()
    for place in range(0, len(whole), 97):
        altered = bytearray(whole)
        altered[place : place + 8] = b"\xff" * 8
        index.write_bytes(altered)
        found = collection.summaries()
        assert [(s["run"], s["status"], s["path"]) for s in found] == [
            (s["run"], s["status"], s["path"]) for s in expected
        ]


def test_an_index_that_cannot_be_written_is_done_without(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = collection.summaries()
    (collection.folder / "index.sqlite").unlink()
    real = sqlite3.connect

    def connect(path: object, **options: float) -> sqlite3.Connection:
        if path != ":memory:":
            raise sqlite3.OperationalError("database or disk is full")
        return real(":memory:", **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert collection.summaries() == expected


def test_runs_copied_renamed_and_removed_by_hand_are_listed_as_they_lie(collection: Collection) -> None:
    one, two = names(collection)
    shutil.copytree(collection.folder / one, collection.folder / "copy")
    assert names(collection) == sorted([one, two, "copy"])
    (collection.folder / one).rename(collection.folder / "renamed")
    shutil.rmtree(collection.folder / two)
    assert names(collection) == ["copy", "renamed"]
    for summary in collection.summaries():
        assert Path(summary["path"]) == collection.folder / summary["run"]
    assert collection.find("renamed").summary()["status"] == "finished"


def test_the_whole_collection_may_be_moved(collection: Collection, tmp_path: Path) -> None:
    collection.summaries()
    moved = Collection(collection.folder.rename(tmp_path / "moved"))
    assert all(Path(s["path"]).is_dir() for s in moved.summaries())


def test_what_has_changed_in_a_run_is_seen(collection: Collection) -> None:
    name = names(collection)[0]
    run = collection.find(name)
    run.tags = ["b", "a", "b"]
    (run.path / "report.html").write_text("x" * 1000)
    found = next(s for s in collection.summaries() if s["run"] == name)
    assert found["tags"] == ["a", "b"]
    assert found["bytes"] == storage.disk_use(run.path)
    RunWriter(run).status(state="diverged")
    assert next(s for s in collection.summaries() if s["run"] == name)["status"] == "diverged"


def test_a_dead_run_is_interrupted_whatever_the_index_says(collection: Collection) -> None:
    run = collection.find(names(collection)[0])
    for status in ("running", "created"):
        RunWriter(run).status(state=status)
        with locks.locked(run.path):
            assert next(s for s in collection.summaries() if s["run"] == run.name)["status"] == "running"
        assert next(s for s in collection.summaries() if s["run"] == run.name)["status"] == "interrupted"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "finished"}', '{"status": 5, "step": "x"}'])
def test_a_run_with_a_damaged_status_is_listed_as_damaged(collection: Collection, content: str) -> None:
    one, two = names(collection)
    (collection.folder / one / "status.json").write_text(content)
    found = {s["run"]: s for s in collection.summaries()}
    assert found[one]["status"] == "damaged"
    assert "status.json" in found[one]["reason"]
    assert found[two]["status"] == "finished"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"members": []}', '{"members": 5}', '{"members": [5]}'])
def test_a_run_with_a_damaged_description_is_listed_and_said(collection: Collection, content: str) -> None:
    one, _ = names(collection)
    (collection.folder / one / "experiment.json").write_text(content)
    assert names(collection)[0] == one
    with pytest.raises(InputError, match=r"experiment\.json.* is damaged"):
        training.resume(one, home=collection.folder)


def test_files_and_other_folders_are_no_runs(collection: Collection) -> None:
    (collection.folder / "notes.txt").write_text("")
    (collection.folder / "figures").mkdir()
    assert len(names(collection)) == 2
    for name in ("notes.txt", "figures", "", ".", "..", "/", "nothing", "../..", "a\x00b"):
        with pytest.raises(InputError):
            collection.find(name)


def test_an_unambiguous_beginning_or_a_path_names_a_run(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = names(collection)
    assert collection.find(one[:-2]).name == one
    assert collection.find(collection.folder / two).name == two
    monkeypatch.chdir(collection.folder.parent)
    assert collection.find(os.path.join(collection.folder.name, two)).name == two
    with pytest.raises(InputError, match=f"{one}, {two}"):
        collection.find("micro-fast-")
    # a name in full is found beside longer ones
    shutil.copytree(collection.folder / one, collection.folder / "micro-0123abcd")
    assert collection.find("micro").name == "micro-0123abcd"


def test_removing_frees_what_it_says_and_refuses_a_run_being_written(collection: Collection) -> None:
    one, two = names(collection)
    path = collection.folder / one
    with locks.locked(path), pytest.raises(InputError, match="is being written by process"):
        collection.remove(two, one)
    assert names(collection) == [one, two]
    size = storage.disk_use(path)
    assert collection.remove(one, one) == {one: size}
    assert not path.exists()
    assert names(collection) == [two]


def test_a_run_of_another_machine_is_removed_once_its_heart_has_stopped(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = names(collection)
    for name, seconds in {"STALE_SECONDS": 0.1, "HEARTBEAT_SECONDS": 0.1, "LOOK_SECONDS": 0.01}.items():
        monkeypatch.setattr(locks, name, seconds)
    lock = {"pid": 1, "host": "elsewhere", "process_started": 1.0, "place": ["elsewhere", "boot", 1], "counter": 1}
    (collection.folder / one / "lock.json").write_text(json.dumps(lock))
    with pytest.warns(UserWarning, match="was being written by process 1 on elsewhere; waiting up to"):
        collection.remove(one)
    assert one not in names(collection)


def test_a_removal_killed_anywhere_is_completed_by_the_same_command(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(trained, folder)
    one, two = names(Collection(folder))
    files = len(list((folder / one).rglob("*")))
    moments = 0
    for _ in kills(monkeypatch, folder, lambda: Collection(folder).remove(one, two)):
        moments += 1
        # each is there in full, or not at all
        for run in Collection(folder).summaries():
            assert run["status"] == "finished"
            assert len(list(Path(run["path"]).rglob("*"))) == files
        freed = Collection(folder).remove(one, two)
        assert freed.keys() <= {one, two}
        assert freed
        assert [p.name for p in folder.iterdir()] == ["index.sqlite"]
        shutil.rmtree(folder)
        shutil.copytree(trained, folder)
    assert moments > 2 * files


def test_what_killed_commands_have_left_of_a_run_can_be_removed(collection: Collection) -> None:
    one, two = names(collection)
    (collection.folder / one / "experiment.json").unlink()
    assert names(collection) == [two]
    assert list(collection.remove(one)) == [one]
    (collection.folder / "mine").mkdir()
    with pytest.raises(InputError, match="is not a run"):
        collection.remove("mine")


def test_no_folder_is_no_runs(tmp_path: Path) -> None:
    assert Collection(tmp_path / "nowhere").summaries() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used for runs"):
        Collection(tmp_path / "file").summaries()


def test_a_run_is_readable_as_plain_files(collection: Collection) -> None:
    run = Run(collection.folder / names(collection)[0])
    description = json.loads((run.path / "experiment.json").read_text())
    assert description["members"][0]["identity"] == run.experiment.identity
    assert json.loads((run.path / "status.json").read_text())["step"] == 60
