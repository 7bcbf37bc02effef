"""Lengths on paper and sizes of text, as people write them."""

from __future__ import annotations

import math
import re

from groklab.errors import InputError, shorten

#: Widths by name, in inches: a column and the page of most conferences' styles.
WIDTHS = {"column": 3.25, "page": 6.75}
_UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72}
_LENGTH = re.compile(r"(\d+\.?\d*|\.\d+)\s*(in|cm|mm|pt)?")
#: Inches and points that a figure may have.
LEAST, MOST, LETTERS = 1.0, 40.0, (4.0, 36.0)


def inches(field: str, length: str | float) -> float:
    """Return a length in inches: 'column', 'page', '3.25in', '82.5mm', or a number of inches.

    Raises:
        InputError: for what is not a length, and for less than 1 or more than 40 inches.
    """
    if isinstance(length, str):
        match = _LENGTH.fullmatch(length.strip())
        if length in WIDTHS:
            value = WIDTHS[length]
        elif match:
            value = float(match[1]) * _UNITS[match[2] or "in"]
        else:
            allowed = "needs a length such as 3.25in, 82.5mm, 8.3cm or 234pt, or 'column' or 'page'"
            raise InputError(field, shorten(length), allowed)
    else:
        value = float(length)
    if not (math.isfinite(value) and LEAST <= value <= MOST):
        raise InputError(field, length, f"needs to be from {LEAST:g} to {MOST:g} inches")
    return value
