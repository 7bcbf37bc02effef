"""Files that are whole or absent: atomic writes, checksummed arrays."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from groklab.errors import DamagedError, InputError


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a mixture.

    Raises InputError, one sentence, where the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _explain(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    atomic_write(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON; raises DamagedError if it is not whole, FileNotFoundError if it is not there."""
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path} is damaged: {error}") from None


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over sorted names, dtypes, shapes and little-endian bytes: equal for equal weights on any machine."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        total.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays as safetensors, with `header` and the content's checksum in the file's metadata."""
    plain = {k: np.array(v, order="C", ndmin=0) for k, v in arrays.items()}
    metadata = {"groklab": json.dumps({**header, "sha256": digest(plain)})}
    atomic_write(path, safetensors.numpy.save(plain, metadata=metadata))


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote; raises DamagedError if it is truncated or altered."""
    try:
        content = path.read_bytes()
        arrays = safetensors.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["groklab"])
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error}") from None
    except Exception as error:  # safetensors, JSON and key errors alike mean: not what was written
        raise DamagedError(f"{path} is damaged: {error}") from None
    if digest(arrays) != header.get("sha256"):
        raise DamagedError(f"{path} is damaged: its checksum does not match its content")
    return arrays, header


def disk_use(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def _explain(path: Path, error: OSError) -> InputError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(
            f"the disk is full: {path.name} could not be written; free some space, then resume the run {path.parent}"
        )
    return InputError(f"{path} cannot be written: {error.strerror or error}")
