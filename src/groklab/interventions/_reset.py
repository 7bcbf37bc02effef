"""Weights drawn again, or taken back to an earlier step."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt

from groklab.interventions._base import Change, Intervention, Moment, Weights, matching, restarted
from groklab.registry import register


@register("intervention", "reset")
class Reset(Intervention):
    """Draw weights again, or take them back to their values at an earlier step.

    The optimiser's moments of these weights start again; its count of steps, too, where all weights are reset. The
    schedule of the learning rate goes on.

    Attributes:
        weights: a pattern of names.
        to: 'fresh' draws them, 'initial' takes those at step 0, a number those at that step.
        seed: of the draw; None takes one of the experiment's.
    """

    weights: str = "*"
    to: Literal["fresh", "initial"] | Annotated[int, Ge(0)] = "fresh"
    seed: Annotated[int, Ge(0), Lt(2**32)] | None = None

    def patterns(self) -> tuple[tuple[str, str], ...]:
        """Return its pattern."""
        return (("weights", self.weights),)

    def keeps(self) -> tuple[int, ...]:
        """Return the step that it goes back to."""
        return () if self.to == "fresh" else (step_of(self.to),)

    def apply(self, moment: Moment) -> Change:
        """Replace them."""
        names = matching(moment.trained, self.weights)
        source: Weights = moment.fresh(True)["weights"] if self.to == "fresh" else moment.kept(step_of(self.to))
        of = "all trained weights" if self.weights == "*" else self.weights
        how = "drew {} again" if self.to == "fresh" else f"took {{}} back to step {step_of(self.to):,}"
        return Change(how.format(of), state=restarted(moment, {k: source[k] for k in names}, names))


def step_of(to: str | int) -> int:
    """Return the step that 'initial' or a number names."""
    return int(to) if isinstance(to, int) else 0
