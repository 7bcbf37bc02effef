"""PyTorch's files, read without PyTorch and without running anything that a file asks for.

A file is a zip archive, never compressed, of one pickle (`data.pkl`) and the bytes of each storage (`data/0`, …).
Tensors become NumPy arrays on whatever device they were, bfloat16 as float32; containers and numbers stay as they are.

Python's `pickle` runs what a file asks it to. Here a small interpreter of pickles only builds numbers, texts, lists,
tuples, dicts and arrays. An object of any other kind becomes a `Foreign`, which holds its name and what the file says
of its attributes: it is never imported, called or made.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from groklab.errors import DamagedError, InputError, shorten
from groklab.text import LARGEST

#: Bytes of the pickle in a file.
LARGEST_PICKLE = 2**26
#: Elements of all tensors together, where that is more than eight times what the file stores.
MOST_ELEMENTS = 2**24
#: Values in a pickle, each counted as often as it is referred to, where that is more than eight times its bytes.
MOST_VALUES = 2**20
#: Bits of an integer, beyond those of any state of a random generator.
MOST_BITS = 4096
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
_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
#: Numbers of NumPy that may stand in lists, as codes of their dtypes.
_CODES = ("f8", "f4", "f2", "i8", "i4", "b1")
#: What makes tensors; all other calls that are not understood make foreign objects.
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size")
#: Names that stand for themselves.
_PLAIN = {f"torch.{name}" for name in _DTYPES.split()}
_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_GROWS = "it repeats its parts so often that it would grow to many times its size"
#: What the start of a bracket leaves on the stack.
_MARK = object()
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list}


@dataclass(frozen=True)
class Name:
    """A Python name that a file mentions, such as `torch._utils._rebuild_tensor_v2`: a mark, not the object."""

    text: str


@dataclass
class Foreign:
    """An object of a kind that is not read: the name of its class or function, and its attributes and items."""

    name: str
    state: dict[Any, Any] = field(default_factory=dict)


def read_torch(path: Path, content: bytes) -> tuple[Any, list[str]]:
    """Return what `torch.save` wrote, with read-only arrays for tensors and texts for dtypes and devices.

    Returns:
        The content, and the names of the foreign objects in it.

    Raises:
        InputError: for a file of another kind, or with an instruction that no such file needs.
        DamagedError: for a file that is truncated or contradicts itself.
    """
    if content.startswith(_LEGACY):
        raise InputError(
            f"{path} is in the format that PyTorch wrote before version 1.6: load it in PyTorch and save it again"
        )
    if not content.startswith(b"PK"):
        if content[:1] == b"\x80" and content[1:2] <= b"\x05":
            raise InputError(f"{path} is a plain pickle, which could run anything: not opened")
        raise InputError(f"{path} is not a file of PyTorch: it is not a zip archive")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            opened = _Archive(archive, len(content))
            return opened.read(), sorted(opened.foreign)
    except DamagedError as error:
        raise DamagedError(f"{path} is damaged: {error}") from None
    except InputError as error:
        raise InputError(f"{path} {error}: not opened") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into memory") from None
    except Exception as error:  # damaged archives raise many kinds
        raise DamagedError(f"{path} is damaged: {shorten(str(error) or type(error).__name__)}") from None


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
        self.foreign: set[str] = set()

    def read(self) -> Any:
        if self.sizes[f"{self.folder}data.pkl"] > LARGEST_PICKLE:
            raise InputError(f"holds a description of more than {LARGEST_PICKLE:,} bytes")
        return read_pickle(self._part("data.pkl"), _admit, self._call, self._storage)

    def _part(self, name: str) -> bytes:
        if f"{self.folder}{name}" not in self.sizes:
            raise DamagedError(f"its part {shorten(name)} is missing")
        return self.archive.read(f"{self.folder}{name}")

    def _call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        match name.text, arguments:
            case "collections.OrderedDict", () | (list(),):
                return _with_items({}, [x for pair in next(iter(arguments), []) for x in _pair(pair)])
            case "collections.defaultdict", _:
                return {}
            case "torch.Size", (tuple() as sizes,):
                return sizes
            case "torch.device", (str() as kind, *_):
                return kind
            case "torch._utils._rebuild_parameter", (np.ndarray() as array, *_):
                return array
            case "torch._utils._rebuild_tensor_v2", (np.ndarray() as storage, offset, size, stride, *_):
                return self._tensor(storage, offset, size, stride)
            case "torch._tensor._rebuild_from_type_v2", (Name() as rebuild, _, tuple() as inner, *_):
                return self._call(rebuild, inner)
            case "_codecs.encode", (str() as text, "latin1"):
                return text.encode("latin1")
            case "numpy.dtype", (str() as code, *_) if code in _CODES:
                return np.dtype(code)
            case "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar", (
                np.dtype() as dtype,
                bytes() as raw,
            ):
                return np.frombuffer(raw, dtype, 1)[0].item()
        if name.text in _TENSORS:
            raise DamagedError(f"it calls {name.text} with arguments that this never has")
        self.foreign.add(name.text)
        return Foreign(name.text)

    def _storage(self, identity: Any) -> np.ndarray:
        """Return the elements (n,) of a storage."""
        match identity:
            case ("storage", Name(text=kind), str() as key, str(), int() as count):
                pass
            case _:
                raise DamagedError("it refers to a storage in a way that PyTorch never does")
        kind = kind.removeprefix("torch.")
        if kind not in _STORAGES:
            raise DamagedError(f"it has a storage of the unknown kind {kind}")
        if (key, kind) not in self.storages:
            # a copy in our own byte order; views of it must not change each other
            content = self._part(f"data/{key}")
            dtype = np.dtype(self.order + _STORAGES[kind])
            if not 0 <= count * dtype.itemsize <= len(content):
                raise DamagedError(f"its storage {shorten(key)} should hold {count} elements and does not")
            elements = np.frombuffer(content, dtype, count).astype(dtype.newbyteorder("="))
            if kind == "BFloat16Storage":
                elements = (elements.astype(np.uint32) << 16).view(np.float32)
            elif kind == "BoolStorage":
                elements = elements != 0
            elements.flags.writeable = False
            self.storages[key, kind] = elements
        return self.storages[key, kind]

    def _tensor(self, storage: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
        """Return a view of a storage, inside its bounds."""
        if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
            raise DamagedError("it has a tensor whose sizes and strides are not integers, or not equally many")
        if len(size) > MOST_DIMENSIONS:
            raise DamagedError(f"it has a tensor of {len(size)} dimensions")
        count = math.prod(size)
        if count == 0:
            if max(size) > LARGEST["weights"]:
                raise DamagedError(f"it has a tensor of the size {size}")
            return np.zeros(size, storage.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= len(storage):
            raise DamagedError(f"it has a tensor {size} that reaches beyond its storage of {len(storage)} elements")
        # zero strides repeat elements without storing them
        self.elements += count
        if self.elements > max(MOST_ELEMENTS, 8 * self.stored):
            raise DamagedError("its tensors claim to be many times larger than the file")
        steps = [step * storage.itemsize for step in stride]
        return as_strided(storage[offset:], size, steps, writeable=False)


def _admit(name: str) -> Any:
    return name if name in _PLAIN else Name(name)


def read_pickle(
    content: bytes,
    admit: Callable[[str], Any],
    call: Callable[[Name, tuple[Any, ...]], Any],
    persistent: Callable[[Any], Any],
) -> Any:
    """Return the object that a pickle describes. Keys of dicts are texts and integers; other items are left out.

    Args:
        content: the pickle.
        admit: from a dotted name to what represents it.
        call: from a name and arguments to what stands for the object that the file asks for.
        persistent: from an identifier to what is stored beside the pickle.

    Raises:
        InputError: for an instruction that is not admitted.
        DamagedError: for an incomplete or inconsistent pickle.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    most = copies = max(MOST_VALUES, 8 * len(content))

    def copied(*values: Any) -> None:
        """Count what is copied: a few bytes can copy the same list again and again."""
        nonlocal copies
        copies -= sum(len(value) for value in values if isinstance(value, list | dict | str))
        if copies < 0:
            raise DamagedError(_GROWS)

    def bracket() -> list[Any]:
        """Take off what is above the last mark, and the mark."""
        at = next(i for i in reversed(range(len(stack))) if stack[i] is _MARK)
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def kept(place: int) -> None:
        memo[place] = stack[-1]

    try:
        argument: Any
        for instruction, argument, _ in pickletools.genops(content):
            match instruction.name:
                case "STOP":
                    if _size(stack[-1]) > most:
                        raise DamagedError(_GROWS)
                    return stack.pop()
                case "PROTO" | "FRAME":
                    pass
                case "MARK":
                    stack.append(_MARK)
                case "POP":
                    stack.pop()
                case name if name in _VALUES:
                    if isinstance(argument, int) and argument.bit_length() > MOST_BITS:
                        raise DamagedError(f"holds an integer of more than {MOST_BITS:,} bits")
                    stack.append(argument)
                case name if name in _CONSTANTS:
                    stack.append(_CONSTANTS[name])
                case name if name in _EMPTY:
                    stack.append(_EMPTY[name]())
                case "BINPUT" | "LONG_BINPUT" | "PUT":
                    kept(argument)
                case "MEMOIZE":
                    kept(len(memo))
                case "BINGET" | "LONG_BINGET" | "GET":
                    stack.append(memo[argument])
                case "TUPLE":
                    stack.append(tuple(bracket()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    count = int(instruction.name[-1])
                    stack[-count:] = [tuple(stack[-count:])]
                case "LIST":
                    stack.append(bracket())
                case "DICT":
                    stack.append(_with_items({}, bracket()))
                case "APPEND":
                    item = stack.pop()
                    _extend(stack[-1], [item])
                case "APPENDS" | "ADDITEMS":
                    items = bracket()
                    _extend(stack[-1], items)
                case "SETITEM":
                    pair = stack[-2:]
                    del stack[-2:]
                    _with_items(stack[-1], pair)
                case "SETITEMS":
                    items = bracket()
                    _with_items(stack[-1], items)
                case "GLOBAL":
                    stack.append(admit(argument.replace(" ", ".")))
                case "STACK_GLOBAL":
                    stack[-2:] = [admit(".".join(stack[-2:]))]
                case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX" as name:
                    if name == "NEWOBJ_EX":
                        stack.pop()  # arguments by name
                    arguments = stack.pop()
                    if not isinstance(stack[-1], Name | Foreign) or not isinstance(arguments, tuple):
                        raise DamagedError("it calls what is not a function")
                    copied(*arguments)
                    stack[-1] = call(stack[-1], arguments) if isinstance(stack[-1], Name) else Foreign(stack[-1].name)
                case "FROZENSET":
                    stack.append(tuple(bracket()))
                case "BUILD":
                    # of dicts these are attributes such as the versions that PyTorch records; nothing reads them
                    state = stack.pop()
                    if isinstance(stack[-1], Foreign) and isinstance(state, dict):
                        copied(state)
                        stack[-1].state |= state
                    elif not isinstance(stack[-1], dict | Foreign | np.dtype):
                        raise InputError("gives a state to what has none")
                case "BINPERSID":
                    stack[-1] = persistent(stack[-1])
                case name:
                    raise InputError(f"holds the instruction {name}, which no tensor or plain container needs")
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, StopIteration, OverflowError, AttributeError) as error:
        raise DamagedError(f"is not a complete pickle: {shorten(str(error) or type(error).__name__)}") from None
    raise DamagedError("is not a complete pickle: it has no end")


def _pair(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise DamagedError("is not a complete pickle: an item of its dict is not a pair")
    return list(value)


def _size(value: Any) -> float:
    """Return how many values a value holds, each counted as often as it is referred to, and the lengths of texts."""
    sizes: dict[int, float] = {}
    done: set[int] = set()

    def known(value: Any) -> float:
        # what is inside of itself counts as nothing there
        return 1 + len(value) if isinstance(value, str | bytes) else sizes.get(id(value), 1)

    # deeper than Python's own calls go
    waiting = [value]
    while waiting:
        items = _items(waiting[-1])
        place = id(waiting[-1])
        if place not in sizes:
            sizes[place] = 0
            waiting += [item for item in items if id(item) not in sizes and _items(item)]
            continue
        waiting.pop()
        if place not in done:
            done.add(place)
            sizes[place] = 1 + sum(map(known, items))
    return known(value)


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    inside = value.state if isinstance(value, Foreign) else value
    if isinstance(inside, dict):
        return [*inside, *inside.values()]
    return inside if isinstance(inside, list | tuple) else ()


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Foreign):
        raise DamagedError("is not a complete pickle: it appends to what is not a list")


def _with_items(target: Any, items: list[Any]) -> Any:
    inside = target.state if isinstance(target, Foreign) else target
    if not isinstance(inside, dict) or len(items) % 2:
        raise DamagedError("is not a complete pickle: it sets items of what is not a dict")
    # the hash of a deeply nested tuple can end the whole process
    inside |= {k: v for k, v in zip(items[::2], items[1::2], strict=True) if isinstance(k, str | int)}
    return target
