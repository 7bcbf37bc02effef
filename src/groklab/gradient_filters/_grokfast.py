"""Grokfast: adds the slow part of the gradients to them, from a running mean or a window.

Lee, Kang, Kim & Lee, 'Grokfast: accelerated grokking by amplifying slow gradients', https://arxiv.org/abs/2405.20233.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt

from groklab.gradient_filters._base import GradientFilter, Weights
from groklab.lazy import jax, jnp
from groklab.registry import register


@register("gradient_filter", "grokfast_ema")
class GrokfastEMA(GradientFilter):
    """Grokfast with an exponential moving average: h <- alpha h + (1 - alpha) g, and the gradient is g + lamb h.

    Attributes:
        alpha: how slowly the average forgets.
        lamb: the factor of the average, the paper's λ.
        start: of the average: 'first' is the first gradient, as in the authors' code, 'zero' is zero.
    """

    alpha: Annotated[float, Ge(0), Lt(1)] = 0.98
    lamb: Annotated[float, Ge(0)] = 2.0
    start: Literal["first", "zero"] = "first"

    def arrays(self) -> int:
        """Count the average."""
        return 1

    def operations(self) -> int:
        """Count three for the average, and two to add it."""
        return 5

    def init(self, weights: Weights) -> Any:
        """Return the average, and whether there was a gradient yet."""
        return {"slow": jax.tree.map(jnp.zeros_like, weights), "begun": jnp.zeros((), bool)}

    def apply(self, gradients: Weights, state: Any, weights: Weights) -> tuple[Weights, Any]:
        """Add the average, with the present gradient in it."""

        def mean(h: Any, g: Any) -> Any:
            before = h if self.start == "zero" else jnp.where(state["begun"], h, g)
            return (self.alpha * before + (1 - self.alpha) * g).astype(g.dtype)

        slow = {k: mean(state["slow"][k], g) for k, g in gradients.items()}
        filtered = {k: (g + self.lamb * slow[k]).astype(g.dtype) for k, g in gradients.items()}
        return filtered, {"slow": slow, "begun": jnp.ones((), bool)}


@register("gradient_filter", "grokfast_ma")
class GrokfastMA(GradientFilter):
    """Grokfast with a moving average: the gradient is g + lamb times the mean of the last `window` gradients.

    Attributes:
        window: how many gradients the mean is of, with the present one; all of them are kept.
        lamb: the factor of the mean, the paper's λ.
        from_start: add the mean of the gradients so far before the window is full, too; by default the gradient stays
            as it is until then, as in the authors' experiments.
    """

    window: Annotated[int, Ge(1)] = 100
    lamb: Annotated[float, Ge(0)] = 5.0
    from_start: bool = False

    def arrays(self) -> int:
        """Count the gradients of the window."""
        return self.window

    def operations(self) -> int:
        """Count the sum over the window, and three to scale and add it."""
        return self.window + 3

    def init(self, weights: Weights) -> Any:
        """Return the window's gradients, zero at first, and how many there were."""
        kept = {k: jnp.zeros((self.window, *w.shape), w.dtype) for k, w in weights.items()}
        return {"kept": kept, "seen": jnp.zeros((), jnp.int32)}

    def apply(self, gradients: Weights, state: Any, weights: Weights) -> tuple[Weights, Any]:
        """Put the gradient into the window, and add the mean."""
        place = state["seen"] % self.window
        kept = {k: state["kept"][k].at[place].set(g) for k, g in gradients.items()}
        # at the top of 32 bits a count would overflow: beyond a full window only its place matters
        seen = jnp.where(state["seen"] + 1 >= 2 * self.window, self.window, state["seen"] + 1)
        full = seen >= self.window
        count = jnp.minimum(seen, self.window)
        factor = self.lamb if self.from_start else jnp.where(full, self.lamb, 0.0)
        filtered = {k: (g + factor * (kept[k].sum(axis=0) / count)).astype(g.dtype) for k, g in gradients.items()}
        return filtered, {"kept": kept, "seen": seen}
