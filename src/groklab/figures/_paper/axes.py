"""Plotly's axes: their place on the paper, their ends, and the ticks that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10
from typing import Any, Literal

import numpy as np

from groklab.figures._paper.texts import number, plain, power_of_ten

#: Width of a letter as a share of its height, about.
LETTER = 0.6
#: Share of the span that is left free around points.
PAD = 0.05


@dataclass
class Axis:
    """An axis of a figure.

    Args:
        name: as traces name it, such as 'x2'.
        settings: Plotly's.
        names: of the places of a category axis.
        low, high: the ends as drawn, from left to right or upwards; logarithms (base 10) where it is logarithmic.
        start, end: the ends on the paper, as shares of the room of all panels.
    """

    name: str
    settings: Mapping[str, Any]
    names: list[str] | None = None
    low: float = 0.0
    high: float = 1.0
    start: float = 0.0
    end: float = 1.0
    extents: list[float] = field(default_factory=list)
    padded: bool = False

    @property
    def along(self) -> Literal["x", "y"]:
        """Whether it runs to the right or upwards."""
        return "x" if self.name[0] == "x" else "y"

    @property
    def is_log(self) -> bool:
        """Whether it is logarithmic."""
        return self.settings.get("type") == "log"

    def floats(self, values: Any) -> np.ndarray:
        """Return values as floats: places of categories, NaN for what is missing or has no place."""
        if self.names is not None:
            places = {name: i for i, name in enumerate(self.names)}
            return np.array([places.get(str(v), np.nan) for v in values], float)
        array = np.array([np.nan if v is None else v for v in values] if isinstance(values, list | tuple) else values)
        array = array.astype(float)
        return np.where(array > 0, array, np.nan) if self.is_log else array

    def place(self, value: Any, *, logarithm: bool = False) -> float:
        """Return the place of a value as a share of the room of all panels; logarithm: that is what is given."""
        # between categories, a number is a place among them
        given = logarithm or (self.names is not None and not isinstance(value, str) and str(value) not in self.names)
        at = float(value) if given else float(self.floats([value])[0])
        if self.is_log and not logarithm:
            at = log10(at)
        return self.start + (self.end - self.start) * (at - self.low) / (self.high - self.low)

    def include(self, values: Iterable[float], *, padded: bool = False) -> None:
        """Make room for values on an axis without a range; padded: with some more around them."""
        array = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, float)
        array = array[np.isfinite(array) & ((array > 0) | (not self.is_log))]
        if array.size:
            ends = [float(array.min()), float(array.max())]
            self.extents += [log10(v) for v in ends] if self.is_log else ends
            self.padded |= padded


def panel_of(trace: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of a trace's axes."""
    return str(trace.get("xaxis") or "x"), str(trace.get("yaxis") or "y")


def axes_of(layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> dict[str, Axis]:
    """Return the axes that a figure's traces use or its layout describes, by name."""
    names = {f"{k[0]}{k[5:]}" for k in layout if k.startswith(("xaxis", "yaxis"))}
    names |= {str(t.get(f"{a}axis") or a) for t in traces for a in "xy"} | {"x", "y"}
    axes = {}
    for name in sorted(names, key=lambda n: (n[0], int(n[1:] or 1))):
        settings = layout.get(f"{name[0]}axis{name[1:]}", {})
        start, end = settings.get("domain", (0, 1))
        axes[name] = Axis(name, settings, _categories(name, settings, traces), start=float(start), end=float(end))
    return axes


def _categories(name: str, settings: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return the names on an axis of categories, None for one of numbers."""
    along = name[0]
    given = [t.get(along) for t in traces if str(t.get(f"{along}axis") or along) == name]
    values = [v for of_trace in given if of_trace is not None for v in of_trace if v is not None]
    is_text = settings.get("type") == "category" or (
        settings.get("type") is None and any(isinstance(v, str) and not _is_number(v) for v in values)
    )
    return list(dict.fromkeys(map(str, values))) if is_text else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def set_ends(axes: Mapping[str, Axis]) -> None:
    """Set where axes begin and end: as they say, as an axis that they match does, or around what is drawn on them."""
    groups: dict[str, list[Axis]] = {}
    for axis in axes.values():
        groups.setdefault(_leader(axes, axis), []).append(axis)
    for group in groups.values():
        given = [a for a in group if a.settings.get("range") is not None]
        if given:
            low, high = (float(end) for end in given[0].settings["range"])
        else:
            low, high = _around(group)
        if high == low:
            high = low + 1
        for axis in group:
            axis.low, axis.high = low, high


def _leader(axes: Mapping[str, Axis], axis: Axis) -> str:
    seen = [axis.name]
    while (match := axes[seen[-1]].settings.get("matches")) in axes and match not in seen:
        seen.append(str(match))
    return seen[-1] if seen[-1] == axis.name or match not in seen else min(seen)


def _around(group: Sequence[Axis]) -> tuple[float, float]:
    settings = {k: v for axis in group for k, v in axis.settings.items() if k in ("rangemode", "autorange")}
    extents = [e for axis in group for e in axis.extents]
    names = max((len(a.names) for a in group if a.names is not None), default=0)
    if names:
        extents += [-0.5, names - 0.5]
    low, high = (min(extents), max(extents)) if extents else (0.0, 1.0)
    if settings.get("rangemode") == "tozero" and not group[0].is_log:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        around = 0.5 if group[0].is_log else abs(low) or 1.0
        low, high = low - around, high + around
    pad = PAD * (high - low) if any(a.padded for a in group) and not names else 0.0
    # bars stand on zero
    low, high = low - (pad if low != 0 or group[0].is_log else 0), high + (pad if high != 0 or group[0].is_log else 0)
    return (high, low) if settings.get("autorange") == "reversed" else (low, high)


@dataclass(frozen=True)
class Ticks:
    """Ticks of an axis, as numbers of the axis, with their texts; and small ones without."""

    at: list[float]
    texts: list[str]
    minor: list[float]


def ticks_of(axis: Axis, length: float, size: float) -> Ticks:
    """Return the ticks for an axis of a length, whose texts have a size, both in points."""
    settings = axis.settings
    low, high = sorted((axis.low, axis.high))
    slack = 1e-9 * (high - low)

    def inside(values: Iterable[float]) -> list[float]:
        scaled = [(log10(v) if axis.is_log else v, v) for v in values if not axis.is_log or v > 0]
        return [v for s, v in scaled if low - slack <= s <= high + slack]

    minor: list[float] = []
    if settings.get("tickvals") is not None:
        given = axis.floats(settings["tickvals"]).tolist()
        texts = settings.get("ticktext")
        if texts is None:
            texts = [_text(axis, v) for v in given] if axis.names is None else settings["tickvals"]
        texts = [str(t) for t in texts]
        shown = inside(given)
        pairs = [(v, t) for v, t in zip(given, texts, strict=False) if v in shown]
    elif axis.names is not None:
        pairs = [(float(i), n) for i, n in enumerate(axis.names) if low <= i <= high]
        pairs = _most(pairs, settings.get("nticks"))
    elif axis.is_log:
        pairs, minor = _log_ticks(axis, inside, length, size)
    else:
        pairs = [(v, _text(axis, v)) for v in inside(_even(axis, length, size))]
    pairs = _fitting(axis, pairs, length, size)
    return Ticks([v for v, _ in pairs], [t for _, t in pairs], inside(minor))


def _text(axis: Axis, value: float) -> str:
    form = str(axis.settings.get("tickformat") or "")
    if axis.is_log and not form:
        return power_of_ten(value)
    # sums of steps such as 0.1 are rounded off
    return number(float(f"{value:.10g}"), form)


def _even(axis: Axis, length: float, size: float) -> list[float]:
    """Return round numbers over a linear axis."""
    low, high = sorted((axis.low, axis.high))
    step = axis.settings.get("dtick")
    if isinstance(step, int | float) and step > 0:
        origin = float(axis.settings.get("tick0", 0))
        return [origin + step * i for i in range(ceil((low - origin) / step), floor((high - origin) / step) + 1)]
    wide = LETTER * size * max(len(_text(axis, v)) for v in (low, high, (low + high) / 2)) if axis.along == "x" else 0
    room = max(1, int(length / (min(wide, 4 * size) + 1.2 * size if axis.along == "x" else 2.4 * size)))
    most = min(room, int(axis.settings.get("nticks") or 6), 6 if axis.along == "x" else 5)
    raw = (high - low) / max(most, 1)
    power = 10.0 ** floor(log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * (1 - 1e-9))
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _log_ticks(axis: Axis, inside: Any, length: float, size: float) -> tuple[list[tuple[float, str]], list[float]]:
    low, high = sorted((axis.low, axis.high))
    decades = range(floor(low), ceil(high) + 1)
    each, step = axis.settings.get("dtick"), 1
    digits: tuple[int, ...] = {"D1": tuple(range(1, 10)), "D2": (1, 2, 5)}.get(str(each), (1,))
    if isinstance(each, int | float):
        step = max(1, round(each))
    elif each is None and high - low < 1:
        digits = (1, 2, 5)
    if len(digits) == 1:
        most = max(2, int(length / ((4.5 if axis.along == "x" else 2.2) * size)))
        while (high - low) / step > most:
            step += 1
    shown = inside(d * 10.0**e for e in decades if e % step == 0 for d in digits)
    if len(shown) < 2:
        shown = inside(d * 10.0**e for e in decades for d in (1, 2, 5))
    if len(shown) < 2:
        shown = inside(_even(Axis(axis.along + "0", {}, low=10**low, high=10**high), length, size))
    fine = high - low <= 3.01 and step == 1
    minor = [d * 10.0**e for e in decades for d in range(1, 10)] if fine else [10.0**e for e in decades]
    return [(v, _text(axis, v)) for v in shown], minor


def _most(pairs: list[tuple[float, str]], most: Any) -> list[tuple[float, str]]:
    return pairs[:: max(1, ceil(len(pairs) / int(most)))] if most else pairs


def _fitting(axis: Axis, pairs: list[tuple[float, str]], length: float, size: float) -> list[tuple[float, str]]:
    """Return the ticks whose texts do not meet, every second or third one where all of them would."""
    turned = abs(float(axis.settings.get("tickangle") or 0)) == 90
    for every in range(1, len(pairs) + 1):
        kept = pairs[::every]
        if axis.is_log and len(pairs) > 2 and axis.settings.get("tickvals") is None and every > 1:
            # decades and fives before twos
            kept = [
                p for p in pairs if round(p[0] / 10 ** floor(log10(p[0]) + 1e-9)) in ((1, 5) if every == 2 else (1,))
            ]
            kept = kept[:: max(1, every - 2)] if kept else pairs[::every]
        places = sorted((log10(v) if axis.is_log else v, text) for v, text in kept)
        scale = length / abs(axis.high - axis.low)
        across = axis.along == "x" and not turned
        wide = [
            max(map(len, plain(t).replace("$", "").split("\n"))) * LETTER * size if across else size for _, t in places
        ]
        gaps = [
            (b[0] - a[0]) * scale - (u + v) / 2 for a, b, u, v in zip(places, places[1:], wide, wide[1:], strict=False)
        ]
        if all(gap > (0.5 if across else 0.15) * size for gap in gaps if isfinite(gap)):
            return kept
    return pairs[:1]


def has_ticks_of(axis: Axis, other: Axis) -> bool:
    """Return whether an axis has its ticks in the panel with that other axis."""
    anchor = axis.settings.get("anchor")
    return (str(anchor) if anchor else axis.name.replace(axis.along, other.along, 1)) == other.name or (
        not anchor and axis.name == axis.along and other.name == other.along
    )
