"""Pickles of plain containers, read by a small machine of our own in which nothing can be called.

Python's `pickle` runs what a file tells it to. Here a file's instructions only build numbers, texts, lists, tuples and
dicts; the few names that a reader admits are handed back to that reader as marks, and every other name ends the
reading.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from groklab.errors import DamagedError, InputError, shown

#: What a bracket's beginning leaves on the stack.
_MARK = object()
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}


@dataclass(frozen=True)
class Name:
    """A name of Python's that a file mentions, such as `torch._utils._rebuild_tensor_v2`; a mark, not the thing."""

    text: str


def read(
    content: bytes,
    admit: Callable[[str], Any],
    call: Callable[[Name, tuple[Any, ...]], Any],
    persistent: Callable[[Any], Any],
) -> Any:
    """The object that a pickle describes.

    admit(name) gives what stands for a dotted name, or raises InputError; call(name, arguments) gives what the file
    wants made; persistent(id) gives what lies beside the pickle. Dicts have texts and integers for keys.
    Raises InputError for a name or an instruction that is not admitted, DamagedError for what is no whole pickle.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def bracket() -> list[Any]:
        """What lies above the last mark, taken off with it."""
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
                    return stack.pop()
                case "PROTO" | "FRAME":
                    pass
                case "MARK":
                    stack.append(_MARK)
                case "POP":
                    stack.pop()
                case name if name in _VALUES:
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
                    stack.append(_laid_into({}, bracket()))
                case "APPEND":
                    item = stack.pop()
                    _list(stack[-1]).append(item)
                case "APPENDS":
                    items = bracket()
                    _list(stack[-1]).extend(items)
                case "SETITEM":
                    pair = stack[-2:]
                    del stack[-2:]
                    _laid_into(stack[-1], pair)
                case "SETITEMS":
                    items = bracket()
                    _laid_into(stack[-1], items)
                case "GLOBAL":
                    stack.append(admit(argument.replace(" ", ".")))
                case "STACK_GLOBAL":
                    stack[-2:] = [admit(".".join(stack[-2:]))]
                case "REDUCE":
                    arguments = stack.pop()
                    if not isinstance(stack[-1], Name) or not isinstance(arguments, tuple):
                        raise DamagedError("it calls what is no function")
                    stack[-1] = call(stack[-1], arguments)
                case "BUILD":
                    # attributes beside a dict's items, such as the versions that PyTorch notes; nothing reads them
                    stack.pop()
                    if not isinstance(stack[-1], dict):
                        raise InputError("holds an object with a state of its own, which is no plain container")
                case "BINPERSID":
                    stack[-1] = persistent(stack[-1])
                case name:
                    raise InputError(f"holds the instruction {name}, which no tensor or plain container needs")
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, StopIteration, OverflowError, AttributeError) as error:
        raise DamagedError(f"is no whole pickle: {shown(str(error) or type(error).__name__)}") from None
    raise DamagedError("is no whole pickle: it has no end")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DamagedError("is no whole pickle: it appends to what is no list")
    return value


def _laid_into(found: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(found, dict) or len(items) % 2:
        raise DamagedError("is no whole pickle: it sets items of what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # the hash of a deeply nested tuple can end the whole process
        if not isinstance(key, str | int):
            raise InputError(f"holds a dict with a {type(key).__name__} for a key; texts and integers are admitted")
        found[key] = value
    return found
