"""The toy model of the effective theory (Liu et al. 2022, section 2): embeddings, added up, and a decoder."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp
from groklab.networks._common import ACTIVATIONS, Hook, Network, check_at_least, unhooked
from groklab.registry import register
from groklab.tasks import TaskShape


@register("network", "embedding_decoder")
class EmbeddingDecoder(Network):
    """A decoder of the sum of two embeddings, (i, j) -> decoder(E_i + E_j) (Liu et al. 2022).

    Attributes:
        d_embed: dimension d of the table 'embed.W_E' (p, d).
        combine: the decoder sees the 'sum' E_i + E_j, their 'mean', or, for groups, the flattened 'product' of the two
            as k x k matrices, with d = k * k.
        d_mlp: width of the decoder's n_hidden_layers: 'hidden.i.W', 'hidden.i.b', 'unembed.W_U', 'unembed.b_U'.
        head: 'vectors' regresses on one fixed random vector per class, the rows of 'targets.Y' (n_classes, d_out),
            drawn from N(0, 1) times label_scale and never trained; logits are minus the mean squared distances to
            these vectors, for the objective 'nearest_vector'. 'classes' returns logits directly.
        embed_scale: embeddings start uniform in ±embed_scale/2.
        init_scale: the decoder, biases too, starts uniform in ±init_scale/sqrt(fan-in), PyTorch's default at 1.
    """

    d_embed: int = 1
    d_mlp: int = 200
    n_hidden_layers: int = 2
    activation: Literal["relu", "gelu", "quadratic", "abs", "tanh", "leaky_relu"] = "tanh"
    combine: Literal["sum", "mean", "product"] = "sum"
    head: Literal["vectors", "classes"] = "vectors"
    d_out: int = 30
    embed_scale: float = 1.0
    init_scale: float = 1.0
    label_scale: float = 1.0

    fixed_weights: ClassVar[tuple[str, ...]] = ("targets.Y",)

    def __post_init__(self) -> None:
        for name in ("d_embed", "d_mlp", "n_hidden_layers", "d_out"):
            check_at_least(name, getattr(self, name), 1)
        if self.combine == "product" and math.isqrt(self.d_embed) ** 2 != self.d_embed:
            raise InputError("network.d_embed", self.d_embed, "needs to be a square for the product of square matrices")

    @property
    def gives_distances(self) -> bool:
        """Whether logits are minus squared distances."""
        return self.head == "vectors"

    def shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return every weight's name and shape (inputs first). Raises InputError unless two positions or more vary."""
        if len(shape.varying) < 2:
            raise InputError("network.kind", "embedding_decoder", "needs a task of at least two varying tokens")
        sizes: dict[str, tuple[int, ...]] = {"embed.W_E": (shape.n_symbols, self.d_embed)}
        width = self.d_embed
        for i in range(self.n_hidden_layers):
            sizes |= {f"hidden.{i}.W": (width, self.d_mlp), f"hidden.{i}.b": (self.d_mlp,)}
            width = self.d_mlp
        n_out = self.d_out if self.gives_distances else shape.n_classes
        sizes |= {"unembed.W_U": (width, n_out), "unembed.b_U": (n_out,)}
        if self.gives_distances:
            sizes["targets.Y"] = (shape.n_classes, self.d_out)
        return sizes

    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Draw the initial weights, each from its own fold of the key."""
        shapes = self.shapes(shape)
        made = {}
        for name, size in shapes.items():
            own_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
            if name == "targets.Y":
                made[name] = jax.random.normal(own_key, size, dtype) * jnp.asarray(self.label_scale, dtype)
                continue
            if name == "embed.W_E":
                bound = jnp.asarray(self.embed_scale, dtype) / 2
            else:
                fan_in = shapes[f"{name[:-1]}W"][0] if name.startswith("hidden") else shapes["unembed.W_U"][0]
                bound = jnp.asarray(self.init_scale, dtype) * fan_in**-0.5
            made[name] = jax.random.uniform(own_key, size, dtype, -1, 1) * bound
        return made

    def prepare(self, tokens: Array, shape: TaskShape) -> Array:
        """Return what multiplies the table, (n_summands, n, p): one-hot rows by position, or their sum alone."""
        # 8 bits would do, but the product wants the weights' type: it is cast where it is used
        rows = [jax.nn.one_hot(tokens[:, i], shape.n_symbols, dtype=jnp.float32) for i in shape.varying]
        if self.combine == "product":
            return jnp.stack(rows)
        total = sum(rows[1:], rows[0])
        return (total if self.combine == "sum" else total / len(rows))[None]

    def apply(self, weights: Mapping[str, Array], batch: Array, shape: TaskShape) -> Array:
        """Return logits (n, n_classes) for batch = prepare(tokens, shape)."""
        return self.readout(weights, self.decode(weights, batch))

    def decode(self, weights: Mapping[str, Array], batch: Array) -> Array:
        """Return the decoder's output, (n, d_out) or (n, n_classes), for batch = prepare(tokens, shape)."""
        table = weights["embed.W_E"]
        seen = [rows.astype(table.dtype) @ table for rows in batch]
        return self._decode(weights, seen[0] if self.combine != "product" else _matrix_products(seen))

    def readout(self, weights: Mapping[str, Array], z: Array) -> Array:
        """Return logits (n, n_classes) of the decoder's output."""
        if not self.gives_distances:
            return z
        # differences, not |z|² - 2 z·Y + |Y|², which would cancel where the fit is good
        apart = z[:, None, :] - weights["targets.Y"][None]
        return -(apart * apart).mean(axis=-1)

    def reference_forward(
        self, weights: Mapping[str, Array], tokens: Array, shape: TaskShape, hook: Hook = unhooked
    ) -> Array:
        """Return logits (n, n_classes) of tokens (n, n_ctx), by look-ups.

        hook(name, value) sees hook_embed (n, k, d), hook_combined (n, d), hidden.i.hook_pre, hidden.i.hook_post,
        decoded (n, d_out) where there are vectors, and logits, and gives what takes their place.
        """
        embedded = hook("hook_embed", jnp.stack([weights["embed.W_E"][tokens[:, i]] for i in shape.varying], axis=1))
        if self.combine == "product":
            seen = _matrix_products([embedded[:, i] for i in range(embedded.shape[1])])
        else:
            seen = embedded.sum(axis=1) if self.combine == "sum" else embedded.mean(axis=1)
        z = self._decode(weights, hook("hook_combined", seen), hook)
        if self.gives_distances:
            z = hook("decoded", z)
        return hook("logits", self.readout(weights, z))

    def _decode(self, weights: Mapping[str, Array], x: Array, hook: Hook = unhooked) -> Array:
        act = ACTIVATIONS[self.activation]
        for i in range(self.n_hidden_layers):
            x = hook(f"hidden.{i}.hook_pre", x @ weights[f"hidden.{i}.W"] + weights[f"hidden.{i}.b"])
            x = hook(f"hidden.{i}.hook_post", act(x))
        return x @ weights["unembed.W_U"] + weights["unembed.b_U"]

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Count the floating-point operations of the matrix products of one forward pass over n_rows inputs."""
        sizes = {k: v for k, v in self.shapes(shape).items() if len(v) == 2 and k not in ("embed.W_E", "targets.Y")}
        return 2.0 * n_rows * sum(map(math.prod, sizes.values()))


def _matrix_products(factors: list[Array]) -> Array:
    """Return the products (n, k * k), from the left, of matrices (n, k * k)."""
    side = math.isqrt(factors[0].shape[1])
    result = factors[0].reshape(-1, side, side)
    for factor in factors[1:]:
        result = jnp.einsum("nij,njk->nik", result, factor.reshape(-1, side, side))
    return result.reshape(len(factors[0]), side * side)
