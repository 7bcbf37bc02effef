"""What every gradient filter offers."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, TypeAlias

from groklab.lazy import Array
from groklab.registry import base_of

Weights: TypeAlias = dict[str, Array]


@base_of("gradient_filter")
class GradientFilter(abc.ABC):
    """Turns the gradients of one step into those that the optimiser descends. A plug-in needs the method `apply` alone.

    The gradients that it is given are those of the loss, zero where weights are frozen; clipping, `l2` and the
    optimiser's own moments come after it. It is a section of the optimiser, `optimiser.filter`, and its state a part of
    the optimiser's.
    """

    kind: ClassVar[str]

    def init(self, weights: Weights) -> Any:
        """Return the state before the first step: any nest of arrays."""
        return ()

    def arrays(self) -> int:
        """Return how many arrays of the weights' size the state holds, for the estimate of memory."""
        return 0

    def operations(self) -> int:
        """Return the floating-point operations per weight and step, for the estimate of costs."""
        return 0

    @abc.abstractmethod
    def apply(self, gradients: Weights, state: Any, weights: Weights) -> tuple[Weights, Any]:
        """Return the filtered gradients and the new state; weights are those before the update."""
