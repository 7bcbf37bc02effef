"""A committee of neurons with fixed readout: lazy or rich by one number (Kumar et al. 2023, arXiv 2310.06110).

https://arxiv.org/abs/2310.06110
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp
from groklab.networks._common import Hook, Network, check_at_least, unhooked
from groklab.registry import register
from groklab.tasks import TaskShape


@register("network", "committee")
class Committee(Network):
    """f(x) = (alpha / N) Σ_i φ(w_i · x), with φ(h) = h + epsilon h² / 2, minus the same at the start.

    Weights are 'hidden.W' (inputs first), drawn from N(0, 1). The start is kept in 'start.W', which is never trained,
    so that outputs begin at zero. Large alpha is lazy: the weights hardly move before the training set is fitted. A
    rate over alpha² keeps the speed of the outputs; of the mean over N neurons, it is of the order of N.

    Attributes:
        d_hidden: number of neurons N.
        alpha: scale of the outputs.
        epsilon: how much of the target a linear map of the start's features has.
    """

    reads_features: ClassVar[bool] = True
    fixed_weights: ClassVar[tuple[str, ...]] = ("start.W",)

    d_hidden: int = 500
    alpha: Annotated[float, Gt(0)] = 1.0
    epsilon: Annotated[float, Ge(0)] = 0.25

    def __post_init__(self) -> None:
        check_at_least("d_hidden", self.d_hidden, 1)

    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Draw the weights. Raises InputError for a task without real inputs or with several outputs."""
        if shape.n_features is None or shape.n_classes != 1:
            raise InputError("network.kind", "committee", "needs a task of real inputs with one output")
        drawn = jax.random.normal(key, (shape.n_features, self.d_hidden), dtype)
        return {"hidden.W": drawn, "start.W": drawn}

    def apply(self, weights: Mapping[str, Array], rows: Array, shape: TaskShape) -> Array:
        """Return outputs (n, 1) of rows (n, n_features)."""
        return self.reference_forward(weights, rows, shape)

    def reference_forward(
        self, weights: Mapping[str, Array], rows: Array, shape: TaskShape, hook: Hook = unhooked
    ) -> Array:
        """Return what `apply` does; the hook sees and may replace hidden.0.hook_pre, hidden.0.hook_post and logits."""
        pre = hook("hidden.0.hook_pre", rows @ weights["hidden.W"])
        post = hook("hidden.0.hook_post", self._neuron(pre))
        start = self._neuron(rows @ weights["start.W"])
        mean = (post - start).mean(axis=1, keepdims=True)
        return hook("logits", mean * jnp.asarray(self.alpha, mean.dtype))

    def _neuron(self, h: Array) -> Array:
        return h + jnp.asarray(self.epsilon / 2, h.dtype) * h * h

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Count the products with the weights and with those at the start."""
        return 4.0 * n_rows * (shape.n_features or 0) * self.d_hidden
