"""IDX files, the format of MNIST: a magic number, the sizes, then one byte a value; gzipped or not."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError

#: What a file may hold, unpacked: all 70,000 digits of MNIST are 55 million bytes.
MAX_BYTES = 100_000_000

#: By the number of dimensions: what such a file of unsigned bytes holds, and the number that it begins with.
HOLDS = {1: "labels", 3: "images"}
MAGIC = {1: 0x00000801, 3: 0x00000803}


def read_idx(path: str, n_dimensions: int, setting: str) -> npt.NDArray[np.uint8]:
    """The images (N, rows, columns) of an IDX file of 3 dimensions, or the labels (N,) of one of 1.

    Raises InputError on `setting` for a file that is missing, unreadable, of another kind, longer or shorter than it
    says, empty, or larger than MAX_BYTES once unpacked; no more than that is ever unpacked.
    """
    try:
        return decode(unpacked(file_bytes(path, setting)), n_dimensions)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(setting, path, str(error)) from None


def file_bytes(path: str, setting: str) -> bytes:
    """The file as it lies on disk; raises InputError on `setting` where it cannot be read or exceeds MAX_BYTES."""
    try:
        file = Path(path).expanduser()
        if not file.exists():
            raise InputError(setting, path, "no such file")
        if not file.is_file():
            raise InputError(setting, path, "is no file")
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(setting, path, f"cannot be read ({error})") from None
    if len(data) > MAX_BYTES:
        raise InputError(setting, path, f"is larger than {MAX_BYTES:,} bytes")
    return data


def unpacked(data: bytes) -> bytes:
    """The data, unpacked where they are gzipped; raises ValueError for damaged ones and for more than MAX_BYTES."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        # not gzip.decompress, which has no limit
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as opened:
            found = opened.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is a damaged gzip file ({error})") from None
    if len(found) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES:,} bytes once unpacked")
    return found


def decode(data: bytes, n_dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of 1 or 3 dimensions in the bytes of an IDX file, read-only; raises ValueError saying why not."""
    header = 4 + 4 * n_dimensions
    wanted, holds = MAGIC[n_dimensions], HOLDS[n_dimensions]
    begins = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and begins != wanted:
        other = next((f", that of {HOLDS[n]}," for n, magic in MAGIC.items() if magic == begins), "")
        raise ValueError(f"begins with {begins:#010x}{other} where an IDX file of {holds} has {wanted:#010x}")
    if len(data) < header:
        raise ValueError(f"has {len(data)} bytes, fewer than the {header} of the header of an IDX file of {holds}")
    sizes = struct.unpack(f">{n_dimensions}I", data[4:header])
    said, there = math.prod(sizes), len(data) - header
    shape = " x ".join(f"{n:,}" for n in sizes)
    if said != there:
        raise ValueError(f"says that it holds {shape} = {said:,} bytes of {holds}, and holds {there:,}")
    if said == 0:
        raise ValueError(f"says that it holds {shape} {holds}, none at all")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


def encode(array: npt.NDArray[np.uint8]) -> bytes:
    """The IDX file of labels (N,) or images (N, rows, columns)."""
    return struct.pack(f">{1 + array.ndim}I", MAGIC[array.ndim], *array.shape) + array.tobytes()
