"""Arrays in .npz files that anybody may have written: their sizes are checked before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection

import numpy as np

from groklab.device import readable_bytes
from groklab.errors import InputError

#: Bytes that the arrays of a file may have together.
MOST_BYTES = 2**30


def read_npz(content: bytes, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, or those of these names; nothing is unpickled.

    Raises:
        InputError: where they are larger than `MOST_BYTES`.
        ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error: for a damaged file.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {e.filename.removesuffix(".npy"): e for e in archive.infolist()}
        wanted = entries if names is None else {name: entries[name] for name in names}
        # no more than this is ever unpacked, even where a header understates it
        total = sum(e.file_size for e in wanted.values())
        if total > MOST_BYTES:
            most = f"arrays of at most {readable_bytes(MOST_BYTES)} together are read"
            raise InputError(f"it unpacks to {readable_bytes(total)} ({total:,} bytes); {most}")
        return {name: _npy(archive.read(entry)) for name, entry in wanted.items()}


def _npy(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    start = file.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"it has {len(content) - start:,} bytes for an array {shape} of {dtype}")
    return np.ndarray(shape, dtype, content[start:], order="F" if fortran else "C").copy()
