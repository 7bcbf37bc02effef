"""PyTorch's files, read without PyTorch and without running anything that a file asks for.

A file is a zip archive, never compressed, of one pickle (`data.pkl`) and the bytes of each storage (`data/0`, …).
Tensors become NumPy arrays wherever they lay, bfloat16 as float32; containers and numbers stay what they are.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from groklab.errors import DamagedError, InputError, shown
from groklab.interop import plain_pickle
from groklab.interop.plain_pickle import Name

#: Bytes of a whole file, and of the pickle in it.
LARGEST_FILE, LARGEST_PICKLE = 2**32, 2**26
#: Elements of all tensors together, where that is more than eight times what the file stores.
MOST_ELEMENTS = 2**24
#: Dimensions of a tensor; NumPy's own limit is 64.
MOST_DIMENSIONS = 32

_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
}
_CALLED = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.device",
)
_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
#: Names that stand for themselves.
_PLAIN = {f"torch.{name}" for name in _DTYPES.split()}
_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")


def read_torch(path: Path) -> Any:
    """What `torch.save` wrote, with read-only arrays for tensors and texts for dtypes and devices.

    Raises InputError, one sentence, for a file of another kind or with anything in it but tensors and plain
    containers, DamagedError for one that is truncated or contradicts itself.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise InputError(f"{path} has {size:,} bytes; files of up to {LARGEST_FILE:,} are opened")
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
    if start == _LEGACY:
        raise InputError(
            f"{path} is in the format that PyTorch wrote before version 1.6: load it in PyTorch and save it again"
        )
    if not start.startswith(b"PK"):
        if start[:1] == b"\x80" and start[1:2] <= b"\x05":
            raise InputError(f"{path} is a plain pickle, which could run anything: not opened")
        raise InputError(f"{path} is no file of PyTorch's: it is no zip archive")
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, size).read()
    except DamagedError as error:
        raise DamagedError(f"{path} is damaged: {error}") from None
    except InputError as error:
        raise InputError(f"{path} {error}: not opened") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into memory") from None
    except Exception as error:  # damaged archives raise many kinds
        raise DamagedError(f"{path} is damaged: {shown(str(error) or type(error).__name__)}") from None


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
            raise InputError("is compressed, which PyTorch's files never are")
        self.stored = sum(e.file_size for e in entries)
        if self.stored > size:
            raise DamagedError("its parts are longer than the file")
        self.sizes = {e.filename: e.file_size for e in entries}
        pickles = [name for name in self.sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError("is a zip archive without PyTorch's data.pkl")
        self.folder = pickles[0].removesuffix("data.pkl")
        order = self._part("byteorder") if f"{self.folder}byteorder" in self.sizes else b"little"
        if order not in (b"little", b"big"):
            raise DamagedError("its byte order is neither little nor big")
        self.order = "<" if order == b"little" else ">"
        self.storages: dict[tuple[str, str], np.ndarray] = {}
        self.elements = 0

    def read(self) -> Any:
        if self.sizes[f"{self.folder}data.pkl"] > LARGEST_PICKLE:
            raise InputError(f"holds a description of more than {LARGEST_PICKLE:,} bytes")
        return plain_pickle.read(self._part("data.pkl"), _admit, self._call, self._storage)

    def _part(self, name: str) -> bytes:
        if f"{self.folder}{name}" not in self.sizes:
            raise DamagedError(f"its part {shown(name)} is missing")
        return self.archive.read(f"{self.folder}{name}")

    def _call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        match name.text, arguments:
            case "collections.OrderedDict", ():
                return {}
            case "torch.Size", (tuple() as sizes,):
                return sizes
            case "torch.device", (str() as kind, *_):
                return kind
            case "torch._utils._rebuild_parameter", (np.ndarray() as array, *_):
                return array
            case "torch._utils._rebuild_tensor_v2", (np.ndarray() as storage, offset, size, stride, *_):
                return self._tensor(storage, offset, size, stride)
        raise DamagedError(f"it calls {name.text} with arguments that this never has")

    def _storage(self, identity: Any) -> np.ndarray:
        """The elements (n,) of a storage."""
        match identity:
            case ("storage", Name(text=kind), str() as key, str(), int() as count):
                pass
            case _:
                raise DamagedError("it refers to a storage in a way that PyTorch never does")
        kind = kind.removeprefix("torch.")
        if kind not in _STORAGES:
            raise DamagedError(f"it has a storage of the kind {kind}")
        if (key, kind) not in self.storages:
            # a copy in our own byte order; views of it must not change each other
            content = self._part(f"data/{key}")
            dtype = np.dtype(self.order + _STORAGES[kind])
            if not 0 <= count * dtype.itemsize <= len(content):
                raise DamagedError(f"its storage {shown(key)} is said to hold {count} elements and does not")
            found = np.frombuffer(content, dtype, count).astype(dtype.newbyteorder("="))
            if kind == "BFloat16Storage":
                found = (found.astype(np.uint32) << 16).view(np.float32)
            elif kind == "BoolStorage":
                found = found != 0
            found.flags.writeable = False
            self.storages[key, kind] = found
        return self.storages[key, kind]

    def _tensor(self, storage: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
        """A view of a storage, inside its bounds."""
        numbers = (offset, *size, *stride)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(size) != len(stride):
            raise DamagedError("it has a tensor whose sizes and strides are no numbers, or not equally many")
        if len(size) > MOST_DIMENSIONS:
            raise DamagedError(f"it has a tensor of {len(size)} dimensions")
        count = math.prod(size)
        if count == 0:
            if max(size) > LARGEST_FILE:
                raise DamagedError(f"it has a tensor of the size {size}")
            return np.zeros(size, storage.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= len(storage):
            raise DamagedError(f"it has a tensor {size} that reaches beyond its storage of {len(storage)} elements")
        # zero strides repeat elements without storing them
        self.elements += count
        if self.elements > max(MOST_ELEMENTS, 8 * self.stored):
            raise DamagedError("its tensors are said to be many times larger than the file")
        steps = [step * storage.itemsize for step in stride]
        return as_strided(storage[offset:], size, steps, writeable=False)


def _admit(name: str) -> Any:
    if name in _PLAIN:
        return name
    if name in _CALLED or name.removeprefix("torch.") in _STORAGES:
        return Name(name)
    raise InputError(f"holds {shown(name)}, which is neither a tensor nor a plain container")
