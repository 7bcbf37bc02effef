"""Dense layers on real inputs: the network of Omnigrok."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from groklab.errors import InputError
from groklab.lazy import Array, jnp
from groklab.networks._common import ACTIVATIONS, Hook, Network, check_at_least, draw, unhooked
from groklab.registry import register
from groklab.tasks import TaskShape


@register("network", "dense")
class Dense(Network):
    """Dense layers on real inputs, such as the pixels of images, with one activation between them.

    Weights are 'hidden.i.W' (inputs first) and 'unembed.W_U', and with `biases` 'hidden.i.b' and 'unembed.b_U'. All of
    them, biases too, are drawn uniformly within +-1/sqrt(fan-in), as in PyTorch, times `init_scale`.

    Attributes:
        d_hidden: width of each of the n_hidden_layers hidden layers.
        init_scale: alpha of Omnigrok (Liu, Michaud & Tegmark 2023, arXiv 2210.01117); large values delay
            generalisation.
        output_scale: a factor on the logits.
    """

    reads_features: ClassVar[bool] = True

    d_hidden: int = 200
    n_hidden_layers: int = 2
    activation: Literal["relu", "gelu", "quadratic", "abs", "tanh"] = "relu"
    biases: bool = True
    init_scale: float = 1.0
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("d_hidden", self.d_hidden, 1)
        check_at_least("n_hidden_layers", self.n_hidden_layers, 0)

    def shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return every weight's name and shape (inputs first). Raises InputError for a task without real inputs."""
        if shape.n_features is None:
            raise InputError("network.kind", "dense", "needs a task of real inputs, such as mnist or vectors")
        widths = [shape.n_features, *[self.d_hidden] * self.n_hidden_layers, shape.n_classes]
        result: dict[str, tuple[int, ...]] = {}
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            matrix, bias = _names(i, self.n_hidden_layers)
            result[matrix] = (fan_in, fan_out)
            if self.biases:
                result[bias] = (fan_out,)
        return result

    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Draw the initial weights; biases have the fan-in of their layer, as in PyTorch."""
        shapes = self.shapes(shape)
        deviations = {}
        for i in range(self.n_hidden_layers + 1):
            matrix, bias = _names(i, self.n_hidden_layers)
            # of a uniform distribution within +-1/sqrt(fan-in)
            deviations[matrix] = deviations[bias] = (3 * shapes[matrix][0]) ** -0.5
        return draw(key, shapes, deviations, {}, self.init_scale, dtype, uniform=True)

    def apply(self, weights: Mapping[str, Array], rows: Array, shape: TaskShape) -> Array:
        """Return logits (n, n_classes) of rows (n, n_features) in the weights' dtype."""
        return self.reference_forward(weights, rows, shape)

    def reference_forward(
        self, weights: Mapping[str, Array], rows: Array, shape: TaskShape, hook: Hook = unhooked
    ) -> Array:
        """Return what `apply` does; the hook sees and may replace hidden.i.hook_pre, hidden.i.hook_post and logits."""
        x = rows
        for i in range(self.n_hidden_layers):
            x = hook(f"hidden.{i}.hook_pre", self._layer(weights, x, i))
            x = hook(f"hidden.{i}.hook_post", ACTIVATIONS[self.activation](x))
        logits = self._layer(weights, x, self.n_hidden_layers)
        return hook("logits", logits * jnp.asarray(self.output_scale, logits.dtype))

    def _layer(self, weights: Mapping[str, Array], x: Array, i: int) -> Array:
        matrix, bias = _names(i, self.n_hidden_layers)
        summed = x @ weights[matrix]
        return summed + weights[bias] if self.biases else summed

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Count the floating-point operations of the matrix products of one forward pass over n_rows inputs."""
        sizes = self.shapes(shape).values()
        return 2.0 * n_rows * sum(size[0] * size[1] for size in sizes if len(size) == 2)


def _names(layer: int, n_hidden_layers: int) -> tuple[str, str]:
    """Return a layer's matrix and bias."""
    return (f"hidden.{layer}.W", f"hidden.{layer}.b") if layer < n_hidden_layers else ("unembed.W_U", "unembed.b_U")
