"""Arrays of .npz files: what NumPy wrote comes back, and nothing is unpacked that is larger than is said."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.tasks import _archives, read_npz


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_arrays_come_back() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "t": np.arange(6).reshape(2, 3).T, "empty": np.zeros((0, 4)), "s": 2.5}
    found = read_npz(packed(**arrays))  # type: ignore[arg-type]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable
    assert read_npz(packed(**arrays), ["a"]).keys() == {"a"}  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        read_npz(packed(a=np.ones(2)), ["b"])


def test_a_small_file_that_unpacks_to_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(**{"inputs": np.zeros((10_000, 2), np.int64), "answers": np.zeros(10_000, np.int64)})
    assert len(content) < 2_000
    monkeypatch.setattr(_archives, "MOST_BYTES", 100_000)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    file = tmp_path / "bomb.npz"
    file.write_bytes(content)
    part = r"it unpacks to 234\.6 KiB \(240,256 bytes\); arrays of at most 97\.7 KiB together are read"
    with pytest.raises(InputError, match=part):
        read_npz(content)
    with pytest.raises(InputError, match=part):
        gl.preset("micro", {"task.kind": "table", "task.path": str(file)}).task.build()
    with pytest.raises(InputError, match=part):
        gl.import_file(file, p=7, operation="add")
    with pytest.raises(InputError, match=part):
        gl.train(gl.preset("micro", {"start.file": str(file)}))


def test_a_header_of_another_size_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
        archive.writestr("a.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(ValueError, match=r"64 bytes for an array \(1000000000000,\)"):
        read_npz(buffer.getvalue())
    with pytest.raises(ValueError, match="Python objects"):
        read_npz(packed(a=np.array([{}], object)))
