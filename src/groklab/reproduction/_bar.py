"""Bars: what measured values must be for a claim to hold, stated before anything is measured."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from groklab.text import in_powers

Relation = Literal[">=", ">", "<=", "<", "=="]
_COMPARE: dict[Relation, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}
_SIGNS: dict[Relation, str] = {">=": "≥", ">": ">", "<=": "≤", "<": "<", "==": "="}


@dataclass(frozen=True)
class Bar:
    """What one measured value must be for a claim to hold.

    Args:
        value: its name in `Outcome.values`.
        relation: how it is compared with the threshold.
        threshold: a number; for '==' any JSON value.
        origin: where the threshold comes from: the paper's own number, or why another one is fair.

    Raises:
        ValueError: for an unknown relation, or without an origin.
    """

    value: str
    relation: Relation
    threshold: Any = field(hash=False)  # may be a list
    origin: str

    def __post_init__(self) -> None:
        if self.relation not in _COMPARE:
            raise ValueError(f"a bar's relation is one of {', '.join(_COMPARE)}, not {self.relation!r}")
        if not self.origin:
            raise ValueError(f"the bar of {self.value} needs an origin")

    def passed(self, values: Mapping[str, Any]) -> bool:
        """Return whether a value passes; one that is missing, None or not a number does not."""
        value = values.get(self.value)
        return value is not None and bool(_COMPARE[self.relation](value, self.threshold))

    @property
    def text(self) -> str:
        """The bar in words, such as `times as late ≥ 5`."""
        return f"{label(self.value)} {self.condition}"

    @property
    def condition(self) -> str:
        """What the value must be, such as `≥ 5`."""
        return f"{_SIGNS[self.relation]} {shown(self.threshold)}"


def label(name: str) -> str:
    """Return a value's name for people."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """Write one value for people: integers with separators, others to three figures."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(shown(v) for v in value) or "none"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e9):
        return f"{value:,.0f}"
    if isinstance(value, float):
        text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
        return in_powers(text)
    return str(value)
