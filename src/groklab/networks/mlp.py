"""Networks of dense layers: one-hot tokens (added up by the first layer) or a shared embedding, concatenated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from groklab.errors import InputError
from groklab.networks.common import ACTIVATIONS, Hook, check_at_least, check_init_std, draw, unhooked
from groklab.networks.lookup import Lookup, prepare_lookup, weighted_lookup
from groklab.networks.products import product
from groklab.registry import register
from groklab.tasks.base import TaskShape


@register("network", "mlp")
class MLP:
    """Dense layers on the tokens at the positions that are not constant.

    d_mlp: width N of each of the n_hidden_layers hidden layers. d_embed: None means one-hot tokens, so that the first
    layer is f1 = phi(sum_i W_i[token_i]) with one table a position, 'embed.0.W', 'embed.1.W', ... (numbered over the
    non-constant positions); a number means one shared table 'embed.W_E' (d_vocab, d_embed), whose rows are
    concatenated over positions and go through 'hidden.0.W'. Then 'hidden.i.W' and 'unembed.W_U'; biases: 'hidden.i.b'
    and 'unembed.b_U'.
    init_scheme: 'micro' draws every matrix with standard deviation 0.5 / (2N)^(1/3) (the scaling of Kumar et al. 2023
    and Gromov 2023 for quadratic networks); 'fan_in' with 1/sqrt(fan-in); 'torch' draws matrices uniformly from
    +-1/sqrt(fan-in). The fan-in of one-hot tables is the number of tokens times that of positions; a shared embedding
    has deviation 1/sqrt(d_embed). init_std, init_scale, output_scale: as in the transformer.
    """

    d_mlp: int = 128
    n_hidden_layers: int = 1
    activation: Literal["relu", "gelu", "quadratic", "abs", "tanh"] = "relu"
    d_embed: int | None = None
    biases: bool = False
    init_scheme: Literal["micro", "fan_in", "torch"] = "micro"
    init_scale: float = 1.0
    init_std: dict[str, float] = field(default_factory=dict)
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("d_mlp", self.d_mlp, 1)
        check_at_least("n_hidden_layers", self.n_hidden_layers, 1)
        if self.d_embed is not None:
            check_at_least("d_embed", self.d_embed, 1)

    def shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Every weight's name and shape (inputs first)."""
        n_positions = len(_positions(shape))
        result: dict[str, tuple[int, ...]] = {}
        if self.d_embed is None:
            result |= {f"embed.{i}.W": (shape.d_vocab, self.d_mlp) for i in range(n_positions)}
        else:
            result["embed.W_E"] = (shape.d_vocab, self.d_embed)
            result["hidden.0.W"] = (n_positions * self.d_embed, self.d_mlp)
        for i in range(self.n_hidden_layers):
            if i > 0:
                result[f"hidden.{i}.W"] = (self.d_mlp, self.d_mlp)
            if self.biases:
                result[f"hidden.{i}.b"] = (self.d_mlp,)
        result["unembed.W_U"] = (self.d_mlp, shape.n_classes)
        if self.biases:
            result["unembed.b_U"] = (shape.n_classes,)
        return result

    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Initial weights.

        Raises InputError if init_std names no matrix.
        """
        shapes = self.shapes(shape)
        matrices = [name for name, size in shapes.items() if len(size) == 2]
        check_init_std(self.init_std, matrices)
        n_positions = len(_positions(shape))
        deviations = {}
        for name in matrices:
            fan_in = shapes[name][0] * (n_positions if name.startswith("embed.") else 1)
            if name == "embed.W_E":
                fan_in = shapes[name][1]
            if self.init_scheme == "micro":
                deviations[name] = 0.5 / (2 * self.d_mlp) ** (1 / 3)
            elif self.init_scheme == "fan_in":
                deviations[name] = fan_in**-0.5
            else:
                deviations[name] = (3 * fan_in) ** -0.5
        uniform = self.init_scheme == "torch"
        return draw(key, shapes, deviations, self.init_std, self.init_scale, dtype, uniform=uniform)

    def prepare(self, tokens: Array, shape: TaskShape) -> tuple[Lookup, ...]:
        """What `apply` wants of tokens (n, n_ctx), computed once outside the training loop; may be traced."""
        return tuple(prepare_lookup(tokens[:, i], shape.d_vocab) for i in _positions(shape))

    def apply(
        self,
        weights: Mapping[str, Array],
        batch: tuple[Lookup, ...],
        shape: TaskShape,
    ) -> Array:
        """Logits (n, n_classes), the fast way, for batch = prepare(tokens, shape)."""
        if self.d_embed is None:
            tables = [weights[f"embed.{i}.W"] for i in range(len(batch))]
        else:
            # A dense layer on concatenated embeddings is a sum of one table a position as well.
            parts = weights["hidden.0.W"].reshape(len(batch), self.d_embed, self.d_mlp)
            tables = [weights["embed.W_E"] @ parts[i] for i in range(len(batch))]
        x = weighted_lookup((None,) * len(batch), tuple((t,) for t in tables), batch)
        return self._rest(weights, x)

    def textbook(
        self,
        weights: Mapping[str, Array],
        tokens: Array,
        shape: TaskShape,
        hook: Hook = unhooked,
    ) -> Array:
        """Logits (n, n_classes) of tokens (n, n_ctx), as a textbook writes it.

        hook(name, value) sees hook_embed (where there is a shared embedding), hidden.i.hook_pre, hidden.i.hook_post
        and logits, and gives what takes their place.
        """
        varying = [tokens[:, i] for i in _positions(shape)]
        if self.d_embed is None:
            dtype = weights["unembed.W_U"].dtype
            eye = jnp.eye(shape.d_vocab, dtype=dtype)
            first = [eye[t] @ weights[f"embed.{i}.W"] for i, t in enumerate(varying)]
            x = sum(first[1:], first[0])
        else:
            embedded = hook("hook_embed", jnp.stack([weights["embed.W_E"][t] for t in varying], axis=1))
            x = embedded.reshape(len(tokens), -1) @ weights["hidden.0.W"]
        return self._rest(weights, x, hook)

    def _rest(self, weights: Mapping[str, Array], x: Array, hook: Hook = unhooked) -> Array:
        """Logits from the first hidden layer's sums (n, d_mlp), before its bias."""
        act = ACTIVATIONS[self.activation]
        for i in range(self.n_hidden_layers):
            if i > 0:
                x = product(x, weights[f"hidden.{i}.W"])
            x = hook(f"hidden.{i}.hook_pre", x + weights[f"hidden.{i}.b"] if self.biases else x)
            x = hook(f"hidden.{i}.hook_post", act(x))
        logits = product(x, weights["unembed.W_U"])
        if self.biases:
            logits = logits + weights["unembed.b_U"]
        return hook("logits", logits * jnp.asarray(self.output_scale, logits.dtype))

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Floating-point operations of the matrix products of one forward pass over n_rows inputs.

        Look-ups and tables over tokens are left out. A training step is three of these.
        """
        return 2.0 * n_rows * self.d_mlp * (self.d_mlp * (self.n_hidden_layers - 1) + shape.n_classes)


def _positions(shape: TaskShape) -> list[int]:
    """The positions whose token varies; raises InputError if there is none."""
    positions = [i for i, constant in enumerate(shape.constants) if constant is None]
    if not positions:
        raise InputError("network.kind", "mlp", "needs a task with at least one position that is not constant")
    return positions
