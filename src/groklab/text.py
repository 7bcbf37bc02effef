"""Numbers, lists and settings as text and as plain JSON values, what texts mean, and files as bytes."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from groklab.errors import InputError

#: Bytes that a file of each kind may hold: what people write, data, weights of others, and what runs keep.
LARGEST = {
    "settings": 10**6,
    "plug-in": 10**7,
    "images": 10**8,
    "table": 10**9,
    "weights": 2**32,
    "record": 10**9,  # JSON
    "run": 2**38,  # checkpoints and tables of ensembles
}

_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
#: YAML's words that are not text.
_WORDS = {
    word: value
    for name, value in (("true", True), ("false", False), ("null", None))
    for word in (name, name.title(), name.upper())
}
_WORDS["~"] = None


# -- what texts mean ----------------------------------------------------------------------------------------------


def number_in(text: str) -> int | float | None:
    """Return the number that a text is, None for another text.

    Integers are decimal (010 is 10); 1e3, .5, 5. and +3 are numbers, as are YAML's .inf and .nan. There are no octal,
    hexadecimal or sexagesimal numbers (0x10, 1:30) and no underscores (1_000).
    """
    text = text.strip()
    if len(text) > 300:  # beyond any float
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text.lower().replace(".i", "i").replace(".n", "n")) if _DECIMAL.fullmatch(text) else None


def integer_in(text: str) -> int | None:
    """Return the integer that a text is, as 1000 for 1e3; None for another text."""
    value = number_in(text)
    if isinstance(value, float):
        # exact where a float would be rounded
        exact = Decimal(text.strip()) if math.isfinite(value) else Decimal("NaN")
        return int(exact) if exact == exact.to_integral_value() else None
    return value


def scalar(text: str) -> Any:
    """Return what an unquoted text means, as in YAML 1.2: true, false, null, a number, or text.

    A number that is not written as Python prints it, such as 010 or 1e-3, stays text here: it is a number where a
    setting needs one, and a name keeps its zeros.
    """
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    value = number_in(text)
    return value if value is not None and repr(value) == text else text


# -- files --------------------------------------------------------------------------------------------------------


def read_file(path: str | Path, kind: str) -> bytes:
    """Return the bytes of a regular file of at most `LARGEST[kind]` bytes.

    Raises OSError, whose `strerror` ends a sentence, for what is not a regular file (a folder, device, pipe or socket,
    which might never end), for a larger file, and for one that cannot be read.
    """
    _check_regular(path, os.stat(path), LARGEST[kind])
    # a pipe that has taken the place of the file meanwhile does not block
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        about = os.fstat(file.fileno())
        _check_regular(path, about, LARGEST[kind])
        return file.read(max(about.st_size, 2**16))


def named_file(field: str, path: str, kind: str) -> bytes:
    """Return the bytes of a file that a user names, as `read_file` does, or raise InputError on `field`."""
    try:
        return read_file(Path(path).expanduser(), kind)
    except FileNotFoundError:
        raise InputError(field, path, "no such file") from None
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(field, path, f"cannot be read: {why}") from None


def _check_regular(path: str | Path, about: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(about.st_mode):
        what = "it is a folder" if stat.S_ISDIR(about.st_mode) else "it is not a regular file"
        raise OSError(errno.EINVAL, what, str(path))
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, and at most {most:,} are read", str(path))


# -- values as text -----------------------------------------------------------------------------------------------

#: What a terminal or page obeys or cannot show: control characters but tab and newline, marks that end lines or turn
#: the direction of text, halves of surrogate pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text in which what a terminal or page would obey is written out, as in `\\x1b[31m`."""
    return _UNSEEN.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def step_of(value: float | None) -> str:
    """Return a step, or a dash where there is none."""
    return "–" if value is None else f"{value:,.0f}"


def steps_of(value: int | Sequence[int | None] | None) -> str:
    """Return the step of a run; of an ensemble, how many of its members have one."""
    if isinstance(value, Sequence):
        return f"{sum(step is not None for step in value)} of {len(value)}"
    return step_of(value)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent; less than all is never rounded up to 100%."""
    if value is None or value != value:
        return "–"
    text = f"{value:.{digits}%}"
    return f"over {1 - 10 ** -(digits + 2):.{digits}%}" if value < 1 and text == f"{1:.{digits}%}" else text


def percents(values: float | Sequence[float | None] | None) -> str:
    """Return a share in percent; of several the lowest and the highest, one where they read alike, a dash for none."""
    several = values if isinstance(values, Sequence) else [values]
    known = [value for value in several if value is not None and value == value]
    return " to ".join(dict.fromkeys(percent(value) for value in (min(known), max(known)))) if known else "–"


def short_percent(value: float | None) -> str:
    """Return a share as tables of the field print it: 3.1%, 34%."""
    return percent(value, 1 if value is not None and value < 0.0995 else 0)


def label(value: Any, digits: int = 2) -> str:
    """Return a setting's value as an axis shows it: 1e-5, 3.2e-5, 0.01, 5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, default=str)
    if value == 0 or (value == int(value) and abs(value) < 10_000):
        return str(int(value))
    if 0.01 <= abs(value) < 10_000:
        return f"{value:.{digits + 1}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def labels(values: Sequence[Any]) -> list[str]:
    """Return a setting's values as an axis shows them, with as few digits as tell them apart."""
    for digits in range(2, 17):
        texts = [label(v, digits) for v in values]
        if len(set(texts)) == len(texts):
            return texts
    return [str(v) for v in values]


#: Losses below 0 by less than this are rounding.
ROUNDING = 1e-12


def loss_of(value: float | None) -> str:
    """Return a loss to three figures, small ones as a power of ten."""
    if value is None or value != value:
        return "–"
    if -ROUNDING < value < 0:
        # a sum of squares, taken as a difference
        return "0 up to rounding"
    return in_powers(f"{value:.3g}")


def in_powers(number: str) -> str:
    """Return '-3e-05' as −3 × 10⁻⁵; a number without an exponent gets the same sign."""
    mantissa, e, exponent = number.partition("e")
    mantissa = mantissa.replace("-", "−")
    return f"{mantissa}\u00a0×\u00a010{superscript(str(int(exponent)))}" if e else mantissa


def superscript(number: str) -> str:
    """Return an integer's digits and sign as superscripts."""
    return number.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def listed(items: Sequence[Any]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def first_of(items: Sequence[Any], n: int) -> str:
    """Return the first `n` of a list, and how many more there are."""
    more = f" and {len(items) - n} more" if len(items) > n else ""
    return f"{', '.join(map(str, items[:n]))}{more}"


def times(ratio: float) -> str:
    """Return a ratio for 'times as long', to two or three figures."""
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.1f}"


def duration(seconds: float) -> str:
    """Return a duration for people."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def date_of(seconds: float) -> str:
    """Return a moment (seconds since 1970) for lists: the time of today, the date of other days, both local."""
    try:
        moment = datetime.fromtimestamp(seconds)
        return moment.strftime("%H:%M" if moment.date() == datetime.now().date() else "%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "–"


def jsonable(value: Any) -> Any:
    """Return plain JSON values: arrays as lists, None in place of a number that is not finite.

    Halves of surrogate pairs, as in file names that are not Unicode, are written out: no other program reads them.

    Raises TypeError for what JSON has no value for.
    """
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and JAX
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {jsonable(str(key)): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if isinstance(value, str):
        return _HALVES.sub(_written_out, value)
    if value is None or isinstance(value, bool | int):
        return value
    raise TypeError(f"JSON holds numbers, texts, true, false, null, and lists or objects of these, not {value!r}")


def flattened(node: Any, path: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name; lists and empty mappings stay as they are."""
    if not (isinstance(node, Mapping) and node):
        return {path: node}
    settings: dict[str, Any] = {}
    for key, value in node.items():
        settings.update(flattened(value, f"{path}.{key}" if path else str(key)))
    return settings
