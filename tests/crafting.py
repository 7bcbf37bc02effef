"""Files of PyTorch's, made without PyTorch: pickles put together by hand, in the zip that torch.save writes."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage", "float16": "HalfStorage"}
KINDS |= {"bool": "BoolStorage"}


@dataclass
class Tensor:
    """A tensor; what is not given follows from the array."""

    array: np.ndarray
    kind: str | None = None
    count: int | None = None
    offset: int = 0
    size: tuple[Any, ...] | None = None
    stride: tuple[Any, ...] | None = None
    place: str = "cuda:0"
    parameter: bool = False


@dataclass
class Raw:
    """Instructions as they are."""

    code: bytes


@dataclass
class Object:
    """An object of a class, with attributes."""

    module: str
    kind: str
    state: dict[str, Any]


@dataclass
class Writer:
    storages: list[bytes] = field(default_factory=list)

    def code(self, value: Any) -> bytes:
        match value:
            case Raw(code):
                return code
            case Object(module, kind, state):
                return name(module, kind) + b")\x81" + self.code(state) + b"b"
            case Tensor():
                return self.tensor(value)
            case np.ndarray():
                return self.tensor(Tensor(value))
            case None | True | False:
                return {None: b"N", True: b"\x88", False: b"\x89"}[value]
            case int():
                return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"I%d\n" % value
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            case tuple():
                return b"(" + b"".join(map(self.code, value)) + b"t"
            case list():
                return b"](" + b"".join(map(self.code, value)) + b"e"
            case dict():
                return b"}(" + b"".join(self.code(k) + self.code(v) for k, v in value.items()) + b"u"
        raise TypeError(type(value))

    def tensor(self, t: Tensor) -> bytes:
        self.storages.append(t.array.tobytes())
        kind = t.kind or KINDS[t.array.dtype.name]
        count = t.array.size if t.count is None else t.count
        size = t.array.shape if t.size is None else t.size
        stride = tuple(s // t.array.itemsize for s in t.array.strides) if t.stride is None else t.stride
        key = str(len(self.storages) - 1)
        storage = b"(" + self.code("storage") + name("torch", kind) + self.code(key) + self.code(t.place)
        storage += self.code(count) + b"tQ"
        hooks = name("collections", "OrderedDict") + b")R"
        arguments = b"(" + storage + self.code(t.offset) + self.code(size) + self.code(stride) + b"\x89" + hooks + b"t"
        made = name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"
        if t.parameter:
            made = name("torch._utils", "_rebuild_parameter") + b"(" + made + b"\x88" + hooks + b"tR"
        return made


def name(module: str, text: str) -> bytes:
    return b"c" + module.encode() + b"\n" + text.encode() + b"\n"


def torch_file(value: Any, *, order: str | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    writer = Writer()
    pickled = b"\x80\x02" + writer.code(value) + b"."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        if order:
            archive.writestr("archive/byteorder", order)
        for i, content in enumerate(writer.storages):
            archive.writestr(f"archive/data/{i}", content)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()
