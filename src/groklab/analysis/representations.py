"""What a representation of sums or products is: the one judgement that terminal, JSON and pages repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groklab.text import percent

#: RQI above this is the operation's own representation (Liu et al. 2022, section 3.1).
GOOD = 0.95


@dataclass(frozen=True)
class RepresentationAnalysis:
    """A final embedding, judged by the parallelograms that hold in it (Liu et al. 2022).

    Args:
        rqi: representation quality index, the share of all parallelograms that hold.
        n_parallelograms: how many there are.
    """

    rqi: float
    n_parallelograms: int

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> RepresentationAnalysis:
        """Return the analysis of the values of the measure `parallelograms`."""
        return cls(float(numbers["rqi"]), int(numbers["n_parallelograms"]))

    @property
    def is_structured(self) -> bool:
        """Whether the representation is that of the operation."""
        return self.rqi > GOOD

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        share = f"{percent(self.rqi)} of all {self.n_parallelograms:,} parallelograms hold"
        return f"Its representation is {'' if self.is_structured else 'not '}that of the operation: {share}."
