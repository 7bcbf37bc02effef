"""Texts of Plotly figures, with their HTML, as Matplotlib writes them, and numbers in the formats of Plotly's axes."""

from __future__ import annotations

import html
import re
from functools import cache

from groklab.text import superscript, visible

_TAG = re.compile(r"<(/?)(b|i|sub|sup|br)\s*/?>", re.IGNORECASE)
_FORMAT = re.compile(r"(,?)(?:\.(\d+))?(~?)([%gfeds]?)")
#: What a formula in Matplotlib's notation would obey.
_ESCAPED = {c: f"\\{c}" for c in "{}_%#$&"} | {"\\": r"\backslash ", "^": r"\wedge ", " ": r"\ ", "~": r"\sim "}
_STYLES = {"b": r"\mathbf{%s}", "sub": r"_{%s}", "sup": r"^{%s}", "i": r"\mathit{%s}"}


@cache
def plain(text: str) -> str:
    """Return a text of Plotly's as Matplotlib takes it: lines, bold words, subscripts and superscripts.

    Everything else is written as it is, whatever a name holds.
    """
    done = _translated(text, styled=True)
    if "$" in done:
        from matplotlib.mathtext import MathTextParser

        try:
            MathTextParser("path").parse(done)
        except ValueError:
            return _translated(text, styled=False)
    return done


def _translated(text: str, *, styled: bool) -> str:
    parts: list[str] = []
    style, at = "", 0
    for tag in _TAG.finditer(text):
        parts.append(_written(text[at : tag.start()], style if styled else ""))
        at, name = tag.end(), tag[2].lower()
        if name == "br":
            parts.append("\n")
        else:
            style = "" if tag[1] else name
    parts.append(_written(text[at:], style if styled else ""))
    return "".join(parts)


def _written(text: str, style: str) -> str:
    text = visible(html.unescape(text))
    if not style or not text:
        return text.replace("$", r"\$")
    # signs such as = have room around them in a formula
    text = text.replace(" = ", "=")
    return f"${_STYLES[style] % ''.join(_ESCAPED.get(c, c) for c in text)}$"


def number(value: float, form: str = "") -> str:
    """Return a number in a format of D3's, of which axes use signs, thousands, digits, percent and trimming.

    Without a format it has thousands and as many digits as it needs.
    """
    match = _FORMAT.fullmatch(form)
    if not form or match is None:
        text = f"{value:,.10g}"
        return _minus(_power(text) if "e" in text else text)
    comma, digits, trim, kind = match.groups()
    precision = f".{digits}" if digits else ""
    kind = kind or ("g" if precision else "")
    text = f"{value:{comma}{precision}{kind}}" if kind or precision else f"{value:{comma}.10g}"
    if trim:
        text = re.sub(r"(\.\d*?)0+(?=%|$)", r"\1", text)
        text = re.sub(r"\.(?=%|$)", "", text)
    return _minus(text)


def power_of_ten(value: float) -> str:
    """Return a number as a power of ten where that is shorter: 0.1, 100, 2×10⁻⁵."""
    if 1e-3 <= value < 1e4:
        return f"{value:.6g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    power = f"10{superscript(str(int(exponent)))}"
    return power if mantissa == "1" else f"{mantissa}×{power}"


def _power(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}×10{superscript(str(int(exponent)))}"


def _minus(text: str) -> str:
    return f"−{text[1:]}" if text.startswith("-") else text
