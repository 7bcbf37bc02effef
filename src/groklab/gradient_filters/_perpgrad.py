"""⊥Grad: leaves out of each gradient the direction of its own weights, along which logits are merely scaled.

Prieto, Barsbey, Mediano & Birdal, 'Grokking at the edge of numerical stability', https://arxiv.org/abs/2501.04697.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from groklab.errors import InputError
from groklab.gradient_filters._base import GradientFilter, Weights
from groklab.lazy import jnp
from groklab.registry import register

#: Added to the squared norm of the weights and to the norm of what is left, as in the authors' code.
EPSILON = 1e-30


@register("gradient_filter", "perpgrad")
class PerpGrad(GradientFilter):
    """⊥Grad: the gradient of each weight without its component along the weight, g - (w·g / w·w) w.

    Attributes:
        rescale: the rest is rescaled to the norm of the gradient, as in the authors' code.
        joined: patterns of names; the weights that match one are projected together, as one vector. `embed.*` joins
            the halves of a layer on two one-hot tokens, which is one matrix in the authors' code; `*` joins all.
    """

    rescale: bool = True
    joined: tuple[str, ...] = ()

    def init(self, weights: Weights) -> Any:
        """Return no state. Raises InputError for a pattern that matches no weight."""
        for pattern in self.joined:
            if not fnmatch.filter(weights, pattern):
                allowed = f"matches no weight; allowed: {', '.join(weights)}"
                raise InputError("optimiser.filter.joined", pattern, allowed)
        return ()

    def operations(self) -> int:
        """Count four inner products, two to subtract, and one to rescale."""
        return 11

    def apply(self, gradients: Weights, state: Any, weights: Weights) -> tuple[Weights, Any]:
        """Project, and rescale."""
        filtered: Weights = {}
        for names in self._vectors(gradients):
            w, g = {k: weights[k] for k in names}, {k: gradients[k] for k in names}
            along = _dot(w, g) / (_dot(w, w) + EPSILON)
            rest = {k: g[k] - along * w[k] for k in names}
            if self.rescale:
                factor = jnp.sqrt(_dot(g, g)) / (jnp.sqrt(_dot(rest, rest)) + EPSILON)
                rest = {k: v * factor for k, v in rest.items()}
            filtered |= rest
        return {k: filtered[k] for k in gradients}, state

    def _vectors(self, gradients: Weights) -> list[list[str]]:
        """Return the names of the weights that are projected together: by the first pattern that matches."""
        vectors: dict[str, list[str]] = {}
        for name in gradients:
            pattern = next((i for i, p in enumerate(self.joined) if fnmatch.fnmatchcase(name, p)), None)
            vectors.setdefault(name if pattern is None else f"pattern {pattern}", []).append(name)
        return list(vectors.values())


def _dot(one: Weights, other: Weights) -> Any:
    return sum(jnp.sum(one[k] * other[k]) for k in one)
