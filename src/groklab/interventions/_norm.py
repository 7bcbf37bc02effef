"""The weight norm, rescaled once or held: Omnigrok (Liu et al. 2023, arXiv 2210.01117) holds it from the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Gt

from groklab.interventions._base import Change, Intervention, Moment, matching, norm_of
from groklab.registry import register


@register("intervention", "norm")
class Norm(Intervention):
    """Rescale weights together to a Euclidean norm, once or after each step from here on.

    Attributes:
        value: the norm; None takes that of `of`.
        factor: it is multiplied by this.
        of: 'present', or the norm of all trained weights at the start ('initial'), once 'memorised' or once 'grokked'.
        weights: a pattern of names; those that match and are trained are rescaled together.
        hold: from here on they are rescaled after each update.
    """

    value: Annotated[float, Gt(0)] | None = None
    factor: Annotated[float, Gt(0)] = 1.0
    of: Literal["present", "initial", "memorised", "grokked"] = "present"
    weights: str = "*"
    hold: bool = False

    def check(self) -> None:
        """Refuse what would do nothing, or two norms."""
        if self.value is not None and self.of != "present":
            raise ValueError("of: a norm is given by `value` or by `of`, not by both")
        if self.weights != "*" and self.of != "present":
            raise ValueError(f"of: the norm once {self.of} is recorded of all weights together; leave out `weights`")
        if self.value is None and self.of == "present" and self.factor == 1 and not self.hold:
            raise ValueError("factor: needs a value, a factor or hold; as it is nothing changes")

    def patterns(self) -> tuple[tuple[str, str], ...]:
        """Return its pattern."""
        return (("weights", self.weights),)

    def settings_for(self, experiment: Any) -> Mapping[str, Any]:
        """Return the optimiser's clamp."""
        return self._held(self.value or 1.0) if self.hold else {}

    def _held(self, norm: float) -> dict[str, Any]:
        if self.weights == "*":
            return {"optimiser.clamp": "fixed", "optimiser.clamp_norm": norm}
        return {f"optimiser.clamps.{self.weights}": norm}

    def apply(self, moment: Moment) -> Change:
        """Rescale them."""
        names = matching(moment.trained, self.weights)
        weights = {k: moment.state["weights"][k] for k in names}
        present = norm_of(weights)
        base = self.value if self.value is not None else present
        whence = ""
        if self.value is None and self.of != "present":
            base = moment.norm_at(self.of)
            whence = f", {self.factor:g} times that {_AT[self.of]}"
        norm = base * self.factor
        factor = norm / max(present, 1e-30)
        scaled = {k: (v * v.dtype.type(factor)).astype(v.dtype) for k, v in weights.items()}
        of = "all trained weights" if self.weights == "*" else self.weights
        sentence = f"rescaled the norm of {of} from {present:.4g} to {norm:.4g}{whence}"
        if self.hold:
            sentence += ", and held it from there on"
        state = {"weights": {**moment.state["weights"], **scaled}}
        return Change(sentence, self._held(norm) if self.hold else {}, state)


_AT = {"initial": "at the start", "memorised": "once memorised", "grokked": "once grokked"}
