"""Weights that are not trained from a step on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groklab.interventions._base import Change, Intervention, Moment, matching
from groklab.registry import register


@register("intervention", "freeze")
class Freeze(Intervention):
    """Do not train a group of weights from here on: no gradient, no decay, no clamp.

    Attributes:
        weights: a pattern of names.
    """

    weights: str

    def patterns(self) -> tuple[tuple[str, str], ...]:
        """Return its pattern."""
        return (("weights", self.weights),)

    def settings_for(self, experiment: Any) -> Mapping[str, Any]:
        """Return the optimiser's group."""
        return {f"optimiser.groups.{self.weights}.frozen": True}

    def apply(self, moment: Moment) -> Change:
        """Freeze them."""
        names = matching(moment.trained, self.weights)
        return Change(f"froze {', '.join(names)}", self.settings_for(moment.experiment))
