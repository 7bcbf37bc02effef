"""Conditions on recorded metrics: 'memorised', 'grokked', or a metric and a threshold such as 'test_loss < 0.1'."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Events that are judged by the definitions of `groklab.grokking`, and the metric that they are about.
EVENTS = {"memorised": "train_accuracy", "grokked": "test_accuracy"}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_PATTERN = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.\w]+)\s*")


@dataclass(frozen=True)
class Condition:
    """A metric, a relation and a threshold."""

    metric: str
    relation: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition. Raises ValueError with what is allowed."""
        match = _PATTERN.fullmatch(text)
        try:
            assert match is not None
            return cls(match[1], match[2], float(match[3]))
        except (AssertionError, ValueError):
            allowed = f"{', '.join(EVENTS)}, or a metric and a threshold such as test_accuracy>=0.9"
            raise ValueError(f"when: {text!r} is not one of {allowed}") from None

    def holds(self, values: Any) -> Any:
        """Return where it holds, for an array of the metric; not where a value is not a number."""
        return _RELATIONS[self.relation](values, self.threshold)
