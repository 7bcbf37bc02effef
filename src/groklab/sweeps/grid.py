"""Grids: the values that each setting takes, and the points of their product."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from groklab.errors import InputError, did_you_mean, shorten
from groklab.experiment.reading import SECTIONS
from groklab.experiment.yaml_input import parse_overrides

#: Dotted settings with the values that each takes, the first varying slowest.
Grid: TypeAlias = dict[str, list[Any]]

#: Values that one range may hold.
MOST_VALUES = 100_000
#: Settings that do not change what is trained: members that differ in them alone would be the same member.
NOT_TRAINED = ("name", "plugins", "budget", "evaluation", "checkpoints", "measures")
#: Sections and settings that a grid can vary.
SWEPT = tuple(name for name in SECTIONS if name not in NOT_TRAINED)
_INTEGER = re.compile(r"[+-]?\d+")
_OPENING, _CLOSING = "[{(", "]})"


def parse_grid(arguments: Sequence[str]) -> Grid:
    """Read `key=v1,v2,…` and `key=lo:hi:n[:log]` of the command line as a grid; raises InputError otherwise."""
    grid: Grid = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise InputError(
                f"--grid {shorten(argument)!r} names no values; write key=v1,v2 or key=lo:hi:n, "
                "for example optimiser.weight_decay=0:2:5"
            )
        if key in grid:
            raise InputError(f"--grid {shorten(key)} is given twice")
        grid[key] = parse_values(key, text)
    return grid


def parse_values(key: str, text: str) -> list[Any]:
    """Read the values in a text such as '0.2,0.3', '1:9:5' or '1e-5:1e-2:16:log'; both ends of a range are included."""
    values: list[Any] = []
    for item in _items(text):
        if not item.strip():
            raise InputError(f"--grid {shorten(key)}", shorten(text), "needs a value before and after each comma")
        low, colon, _ = item.partition(":")
        if colon and (_number(low) is not None or not low.strip()):
            values += _range(key, item)
        else:
            values.append(parse_overrides([f"{key}={item}"])[key])
    return values


def as_grid(keys: Mapping[str, Any]) -> Grid:
    """Return a grid given in Python: for each key a list, an array, or a text as on the command line."""
    grid: Grid = {}
    for key, values in keys.items():
        if isinstance(values, str):
            grid[key] = parse_values(key, values)
            continue
        try:
            grid[key] = np.asarray(values).tolist() if isinstance(values, np.ndarray) else list(values)
        except TypeError:
            raise InputError(f"grid {shorten(str(key))}", values, "needs a list of values") from None
    for key, values in grid.items():
        if not values:
            raise InputError(f"grid {shorten(str(key))}", values, "needs at least one value")
        _check_trained(str(key))
    return grid


def check_known(grid: Grid) -> None:
    """Raise InputError for a key whose section cannot be swept."""
    for key in grid:
        head = key.split(".")[0]
        if head not in SWEPT:
            hint = did_you_mean(head, SWEPT)
            raise InputError(f"grid {shorten(key)}: unknown setting{hint}; allowed: settings of {', '.join(SWEPT)}")


def _check_trained(key: str) -> None:
    head = key.split(".")[0]
    if head == "budget":
        raise InputError(
            f"grid {shorten(key)}: a budget cannot be swept, as members that differ in it alone are one training; "
            "take the longest as a plain setting, or make one sweep for each budget"
        )
    if head in NOT_TRAINED:
        raise InputError(
            f"grid {shorten(key)}: cannot be swept, as it does not change what is trained and its members would be "
            "the same; give it once, as a plain setting"
        )


def points(grid: Grid) -> list[dict[str, Any]]:
    """Every point of the product, the first key varying slowest; one empty point without keys."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _items(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    pieces, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING or letter in _CLOSING:
            depth += 1 if letter in _OPENING else -1
        elif letter == "," and depth <= 0:
            pieces.append("")
            continue
        pieces[-1] += letter
    return pieces


def _range(key: str, item: str) -> list[Any]:
    parts = [part.strip() for part in item.split(":")]

    def refuse(why: str) -> InputError:
        return InputError(f"--grid {shorten(key)}", shorten(item), why)

    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] != "log"):
        raise refuse("a range needs to be lo:hi:n or lo:hi:n:log")
    low, high = _number(parts[0]), _number(parts[1])
    if low is None or high is None or not np.isfinite([low, high]).all():
        raise refuse("a range needs to be lo:hi:n with numbers for its ends")
    if not re.fullmatch(r"\d{1,9}", parts[2]) or not 2 <= int(parts[2]) <= MOST_VALUES:
        raise refuse(f"n, the number of values, needs to be an integer from 2 to {MOST_VALUES:,}")
    if low >= high:
        reversed_ = "is a reversed range: lo needs to be below hi"
        raise refuse(reversed_ if low > high else "lo and hi are the same: write a single value without a range")
    if len(parts) == 4 and low <= 0:
        raise refuse("a logarithmic range needs to begin above 0")
    spaced = np.geomspace if len(parts) == 4 else np.linspace
    values = [_plain(float(v)) for v in spaced(low, high, int(parts[2]))]
    integers = all(_INTEGER.fullmatch(part) for part in parts[:2]) and all(v == int(v) for v in values)
    return [int(v) for v in values] if integers else values


def _plain(value: float) -> float:
    """Round a value that misses a short decimal by its last bits: 0.3 for 0.30000000000000004."""
    short = float(f"{value:.12g}")
    return short if abs(short - value) <= 4 * np.finfo(float).eps * abs(value) else value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
