from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import DamagedError, InputError
from groklab.store import storage
from killed import kills

ARRAYS = {"b.W": np.arange(12, dtype=np.float32).reshape(3, 4), "a": np.array([True, False]), "c": np.float64(2.5)}


def test_the_digest_is_the_documented_one() -> None:
    total = hashlib.sha256()
    total.update(b"W_E float32 [2, 2]\n" + np.array([[1, 2], [3, 4]], "<f4").tobytes())
    total.update(b"b int64 []\n" + (7).to_bytes(8, "little"))
    arrays = {"b": np.int64(7), "W_E": np.array([[1, 2], [3, 4]], np.float32)}
    assert storage.digest(arrays) == total.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.arange(6, dtype=np.float32).reshape(3, 2)},
        {"a": np.arange(6, dtype=np.float64).reshape(2, 3)},
        {"b": np.arange(6, dtype=np.float32).reshape(2, 3)},
        {"a": -np.arange(6, dtype=np.float32).reshape(2, 3)},
    ],
)
def test_the_digest_tells_names_shapes_dtypes_and_bits_apart(other: dict[str, np.ndarray]) -> None:
    assert storage.digest(other) != storage.digest({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})


def test_the_digest_does_not_depend_on_layout_in_memory_byte_order_or_order_of_names() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2)
    same = {"b": b, "a": np.asfortranarray(a).astype(">f4")}
    assert storage.digest({"a": a, "b": b}) == storage.digest(same)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    storage.save_arrays(tmp_path / "x.safetensors", ARRAYS, {"step": 3, "identities": ["é"]})
    arrays, header = storage.load_arrays(tmp_path / "x.safetensors", dict[str, Any])
    assert storage.digest(arrays) == storage.digest(ARRAYS)
    assert header["step"] == 3
    assert header["identities"] == ["é"]
    assert header["sha256"] == storage.digest(ARRAYS)


def test_every_truncation_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    storage.save_arrays(file, ARRAYS, {"step": 3})
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"x\.safetensors"):
            storage.load_arrays(file, dict[str, Any])


def test_no_altered_bit_gives_other_content(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    storage.save_arrays(file, ARRAYS, {"step": 3})
    whole = file.read_bytes()
    expected = storage.load_arrays(file, dict[str, Any])
    recognised = 0
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << random.Random(place).randrange(8)
        file.write_bytes(altered)
        try:
            arrays, header = storage.load_arrays(file, dict[str, Any])
        except DamagedError:
            recognised += 1
            continue
        assert header == expected[1]
        assert storage.digest(arrays) == storage.digest(expected[0])
    # padding between the header and the arrays is all that may differ
    assert recognised > 0.9 * len(whole)


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="missing"):
        storage.load_arrays(tmp_path / "x.safetensors", dict[str, Any])


OTHER_BYTES = st.binary().filter(lambda content: b"groklab_sha256" not in content)


@given(OTHER_BYTES, OTHER_BYTES)
def test_a_seal_holds_for_the_sealed_bytes_alone(before: bytes, after: bytes) -> None:
    blank = before + storage.SEAL + after
    made = storage.seal(blank)
    assert storage.is_sealed(made)
    assert len(made) == len(blank)
    assert not storage.is_sealed(blank)
    assert not storage.is_sealed(made + b"x")
    assert not storage.is_sealed(made[:-1])
    assert not storage.is_sealed(before + after)


def test_a_written_file_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        storage.atomic_write(tmp_path / "a" / "b.txt", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_the_old_content_and_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    file = tmp_path / "status.json"
    storage.write_json(file, 1)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match=r"the disk is full: .*status\.json") as caught:
        storage.write_json(file, 2)
    assert "\n" not in str(caught.value)
    assert storage.read_json(file, int) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    replace = os.replace

    def synced(handle: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")

    def renamed(*arguments: Any) -> None:
        calls.append("rename")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    storage.atomic_write(tmp_path / "x", b"abc")
    assert calls == ["3 bytes", "rename", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not for folders")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    storage.write_json(tmp_path / "x.json", {"a": 1})
    assert storage.read_json(tmp_path / "x.json", dict[str, Any]) == {"a": 1}


def test_a_file_where_a_folder_is_needed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        storage.atomic_write(tmp_path / "file" / "x", b"")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{}x", b"\x00" * 20])
def test_json_that_is_not_whole_is_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"x\.json is damaged"):
        storage.read_json(tmp_path / "x.json", dict[str, Any])


def test_json_never_holds_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_writer_killed_anywhere_leaves_the_old_file_or_the_new_and_the_next_one_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "tags[1].json", tmp_path / ".tags[1].json.mine.tmp"
    other.write_text("")
    storage.write_json(file, "old")
    moments = 0
    for _ in kills(monkeypatch, tmp_path, lambda: storage.write_json(file, "new")):
        moments += 1
        assert json.loads(file.read_text()) in ("old", "new")
        storage.write_json(file, "new")
        assert set(tmp_path.iterdir()) == {file, other}
        storage.write_json(file, "old")
    assert moments >= 2


def test_many_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            for _ in range(50):
                storage.write_json(tmp_path / "x.json", [number] * 1000)
                assert len(set(json.loads((tmp_path / "x.json").read_bytes()))) == 1
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_sweep_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    for name in (".metrics.parquet.0a1b2c3d4e5f.tmp", "metrics.parquet", ".lock", "notes.tmp"):
        (tmp_path / name).write_text("")
    storage.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "metrics.parquet", "notes.tmp"]


def test_disk_use_counts_every_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "y").write_text(json.dumps([1]))
    assert storage.disk_use(tmp_path) == 8
