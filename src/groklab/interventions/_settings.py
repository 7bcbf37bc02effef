"""Settings that change in the middle of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any

from annotated_types import Gt

from groklab import components
from groklab.interventions._base import Change, Intervention, Moment
from groklab.registry import register
from groklab.text import flattened

#: Sections whose settings may change; others decide shapes, data or budgets.
SECTIONS = ("optimiser", "objective", "network", "learner", "batch_size", "matmul_precision")


@register("intervention", "set")
class Set(Intervention):
    """Change settings: hyperparameters, or others that keep the weights' shapes.

    A new kind of optimiser starts with the moments that it shares with the one before.

    Attributes:
        settings: values by dotted name, such as {optimiser.weight_decay: 0}.
    """

    settings: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse names outside of the sections that may change."""
        if not self.settings:
            raise ValueError("settings: needs settings by dotted name, such as {optimiser.weight_decay: 0}")
        for name in self.settings:
            if name.split(".")[0] not in SECTIONS:
                raise ValueError(f"settings.{name}: cannot change in training; {', '.join(SECTIONS)} can")

    def settings_for(self, experiment: Any) -> Mapping[str, Any]:
        """Return the settings."""
        return self.settings

    def apply(self, moment: Moment) -> Change:
        """Set them."""
        before = flattened(components.as_json(moment.experiment))
        changed = [f"{name} from {before.get(name)} to {value}" for name, value in self.settings.items()]
        return Change(f"set {', '.join(changed)}", self.settings)


@register("intervention", "temperature")
class Temperature(Intervention):
    """Divide the logits by a temperature before the loss is taken: the weights and accuracies stay as they are.

    Attributes:
        value: the temperature; the same as objective.temperature.
    """

    value: Annotated[float, Gt(0)]

    def settings_for(self, experiment: Any) -> Mapping[str, Any]:
        """Return the objective's temperature."""
        return {"objective.temperature": self.value}

    def apply(self, moment: Moment) -> Change:
        """Set it."""
        before = getattr(moment.experiment.objective, "temperature", 1.0)
        return Change(f"set the output temperature from {before or 1.0:g} to {self.value:g}", self.settings_for(None))
