"""Networks of dense layers: one-hot tokens (added up by the first layer) or a shared embedding, concatenated."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from groklab import components
from groklab.errors import InputError
from groklab.lazy import Array, Float, Float64, jax, jnp
from groklab.networks._common import (
    ACTIVATIONS,
    Hook,
    Network,
    check_at_least,
    check_init_std,
    draw,
    embedding_shapes,
    scaled,
    unhooked,
    with_embedding,
)
from groklab.networks._lookup import Indices, Lookup, prepare_lookup, product, summed_lookup
from groklab.registry import register
from groklab.tasks import Orientation, TaskShape, log_order, matrix_power, planted_features


@register("network", "mlp")
class MLP(Network):
    """Dense layers on the tokens at the positions that are not constant.

    Attributes:
        d_mlp: width N of each of the n_hidden_layers hidden layers.
        d_embed: None means one-hot tokens, so that the first layer is phi(sum_i W_i[token_i]) with one table per
            position, 'embed.0.W', 'embed.1.W', ... (numbered over the non-constant positions); a number means one
            shared table 'embed.W_E' (d_vocab, d_embed), whose rows are concatenated over positions and go through
            'hidden.0.W'. Then follow 'hidden.i.W' and 'unembed.W_U'.
        embedding_rank: r factorises the shared table, 'embed.A' (d_vocab, r) times 'embed.B' (r, d_embed), as in the
            transformer.
        biases: adds 'hidden.i.b' and 'unembed.b_U'.
        init_scheme: 'micro' draws every matrix with standard deviation 0.5 / (2N)^(1/3) (the scaling of Kumar et al.
            2023 and Gromov 2023 for quadratic networks); 'fan_in' with 1/sqrt(fan-in); 'torch' uniformly within
            +-1/sqrt(fan-in). The fan-in of one-hot tables is the number of tokens times that of positions; a shared
            embedding has deviation 1/sqrt(d_embed). 'gromov' is the written-down solution of addition (Gromov 2023,
            arXiv 2301.02679; `gromov_waves`), every entry (2/N)^(1/3) cos(…): logits are 1 at the answer and -1/(p-1)
            elsewhere, plus noise of variance about 5/N; 'gromov_log' that of multiplication of non-zero numbers.
        init_std, init_scale, output_scale: as in the transformer.
        features: what the first layer sees of a pair of one-hot tokens x: x itself, or T x with the fixed transform T
            of random circulant features, drawn from `features_seed` (Mallinar et al. 2024, arXiv 2407.20199, section
            4; see `transform`). The orientation that carries the answer is 'toeplitz' for addition, 'hankel' for
            subtraction, 'toeplitz_log' for multiplication and 'hankel_log' for division.
    """

    d_mlp: int = 128
    n_hidden_layers: int = 1
    activation: Literal["relu", "gelu", "quadratic", "abs", "tanh"] = "relu"
    d_embed: int | None = None
    biases: bool = False
    features: Literal["one_hot", "toeplitz", "hankel", "toeplitz_log", "hankel_log"] = "one_hot"
    features_seed: Annotated[int, Ge(0)] = 0
    init_scheme: Literal["micro", "fan_in", "torch", "gromov", "gromov_log"] = "micro"
    init_scale: float = 1.0
    init_std: dict[str, float] = field(default_factory=dict)
    output_scale: float = 1.0
    embedding_rank: int | None = components.later(None)

    def __post_init__(self) -> None:
        check_at_least("d_mlp", self.d_mlp, 1)
        check_at_least("n_hidden_layers", self.n_hidden_layers, 1)
        if self.d_embed is not None:
            check_at_least("d_embed", self.d_embed, 1)
        if self.embedding_rank is not None:
            check_at_least("embedding_rank", self.embedding_rank, 1)
            if self.d_embed is None:
                allowed = "factorises a shared embedding, and needs network.d_embed"
                raise InputError("network.embedding_rank", self.embedding_rank, allowed)
        if self.features != "one_hot" and self.d_embed is not None:
            raise InputError("network.features", self.features, "needs one-hot tokens, network.d_embed=null")
        plain = self.has_agop_trace and self.activation == "quadratic" and self.features == "one_hot"
        if self.init_scheme.startswith("gromov") and not plain:
            allowed = "needs one hidden layer with activation 'quadratic' on one-hot tokens as they are"
            raise InputError("network.init_scheme", self.init_scheme, allowed)

    def shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return every weight's name and shape (inputs first).

        Raises InputError for a task that no position varies in, or that the features are not of.
        """
        n_positions = len(_positions(shape))
        self._check_features(shape)
        result: dict[str, tuple[int, ...]] = {}
        if self.d_embed is None:
            result |= {f"embed.{i}.W": (shape.d_vocab, self.d_mlp) for i in range(n_positions)}
        else:
            result |= embedding_shapes(shape.d_vocab, self.d_embed, self.embedding_rank)
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
        """Draw the initial weights.

        Raises InputError if init_std names no matrix, or the task has no solution as 'gromov' writes it.
        """
        shapes = self.shapes(shape)
        matrices = [name for name, size in shapes.items() if len(size) == 2]
        check_init_std(self.init_std, matrices)
        self.transform(shape)  # which refuses features that the task cannot have
        if self.init_scheme.startswith("gromov"):
            return self._solution(key, shape, dtype)
        n_positions = len(_positions(shape))
        deviations = {}
        for name in matrices:
            fan_in = shapes[name][0] * (n_positions if name.startswith("embed.") else 1)
            if name in ("embed.W_E", "embed.A"):
                fan_in = self.d_embed or 1
            if self.init_scheme == "micro":
                deviations[name] = 0.5 / (2 * self.d_mlp) ** (1 / 3)
            elif self.init_scheme == "fan_in":
                deviations[name] = fan_in**-0.5
            else:
                deviations[name] = (3 * fan_in) ** -0.5
        if self.embedding_rank is not None:
            deviations["embed.B"] = self.embedding_rank**-0.5
        uniform = self.init_scheme == "torch"
        return draw(key, shapes, deviations, self.init_std, self.init_scale, dtype, uniform=uniform)

    def _solution(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Return Gromov's weights, scaled so that the neurons' sum is 1 at the answer on average; biases zero."""
        waves = gromov_waves(key, shape, self.d_mlp, self.init_scheme == "gromov_log", dtype)
        deviation = (2 / self.d_mlp) ** (1 / 3) / 2**0.5
        made = {name: scaled(name, w, deviation, self.init_std, self.init_scale) for name, w in waves.items()}
        return {name: made.get(name, jnp.zeros(size, dtype)) for name, size in self.shapes(shape).items()}

    def transform(self, shape: TaskShape) -> Float64[np.ndarray, "pair pair"] | None:
        """Return T = (M*)^(1/4), (2p, 2p), of planted features M* with p = d_vocab; None where tokens stay one-hot.

        Raises InputError for a task that is not of two numbers and nothing else, or has no discrete logarithm.
        """
        self._check_features(shape)
        return None if self.features == "one_hot" else _transform(shape.d_vocab, self.features, self.features_seed)

    def _check_features(self, shape: TaskShape) -> None:
        if self.features != "one_hot" and shape.constants != (None, None):
            allowed = "needs a task that shows two numbers and no sign, such as one of task.layout='a b'"
            raise InputError("network.features", self.features, allowed)

    def prepare(self, tokens: Array, shape: TaskShape) -> tuple[Lookup | Indices, ...]:
        """Compute what `apply` takes of tokens (n, n_ctx), once before the training loop; may be traced."""
        return tuple(prepare_lookup(tokens[:, i], shape.d_vocab) for i in _positions(shape))

    def apply(
        self,
        weights: Mapping[str, Array],
        batch: tuple[Lookup | Indices, ...],
        shape: TaskShape,
    ) -> Array:
        """Return logits (n, n_classes), the fast way, for batch = prepare(tokens, shape)."""
        weights = with_embedding(weights)
        return self._rest(weights, self._first_sums(weights, batch, shape))

    def _first_sums(self, weights: Mapping[str, Array], batch: tuple[Lookup | Indices, ...], shape: TaskShape) -> Array:
        """Return the first hidden layer's sums (n, d_mlp), before its bias."""
        n = batch[0].indices.shape[0]
        transform = self.transform(shape)
        if transform is not None and n < len(transform):
            # fewer inputs than rows of the tables: transforming the inputs costs less than transforming the tables
            rows = jnp.asarray(transform.reshape(2, shape.d_vocab, -1), weights["unembed.W_U"].dtype)
            seen = rows[0][batch[0].indices] + rows[1][batch[1].indices]
            return product(seen, jnp.concatenate([weights["embed.0.W"], weights["embed.1.W"]]))
        tables = self._tables(weights, shape)
        return summed_lookup(tables, batch)

    def _tables(self, weights: Mapping[str, Array], shape: TaskShape) -> list[Array]:
        """Return for each position (d_vocab, d_mlp) what each token adds to the first hidden layer's sums."""
        n_positions = len(_positions(shape))
        if self.d_embed is not None:
            # A dense layer on concatenated embeddings is a sum of one table a position as well.
            parts = weights["hidden.0.W"].reshape(n_positions, self.d_embed, self.d_mlp)
            return [weights["embed.W_E"] @ parts[i] for i in range(n_positions)]
        tables = [weights[f"embed.{i}.W"] for i in range(n_positions)]
        transform = self.transform(shape)
        if transform is None:
            return tables
        return jnp.split(jnp.asarray(transform, tables[0].dtype) @ jnp.concatenate(tables), n_positions)

    @property
    def has_agop_trace(self) -> bool:
        """Whether there is an `agop_trace`: for one hidden layer on one-hot tokens, transformed or not."""
        return self.n_hidden_layers == 1 and self.d_embed is None

    def agop_trace(
        self,
        weights: Mapping[str, Array],
        batch: tuple[Lookup | Indices, ...],
        shape: TaskShape,
        row_weights: Float[Array, " n"],
    ) -> Float[Array, ""]:
        """Return the trace of the average gradient outer product, sum_j row_weights[j] |J_j|², of a prepared batch.

        J_j: (n_classes, m) Jacobian of the logits in the m = d_vocab * positions one-hot coordinates of input j. With
        the first layer's tables S (m, d_mlp), T S where features are planted, the last layer U and slopes
        D = phi'(sums) (n, d_mlp), the matrix is S [(U U') o (D' diag(row_weights) D)] S' (o: elementwise), so that its
        trace sums a product of three (d_mlp, d_mlp) matrices. Differentiable in the weights. Needs `has_agop_trace`.
        """
        sums = self._first_sums(weights, batch, shape)
        if self.biases:
            sums = sums + weights["hidden.0.b"]
        _, slopes = jax.jvp(ACTIVATIONS[self.activation], (sums,), (jnp.ones_like(sums),))
        tables, unembed = jnp.concatenate(self._tables(weights, shape)), weights["unembed.W_U"]
        together = slopes.T @ (slopes * row_weights.astype(sums.dtype)[:, None])
        scale = jnp.asarray(self.output_scale, sums.dtype)
        return jnp.sum(together * (tables.T @ tables) * (unembed @ unembed.T)) * (scale * scale)

    def reference_forward(
        self,
        weights: Mapping[str, Array],
        tokens: Array,
        shape: TaskShape,
        hook: Hook = unhooked,
    ) -> Array:
        """Return logits (n, n_classes) of tokens (n, n_ctx).

        hook(name, value) sees hook_embed (where there is a shared embedding), hidden.i.hook_pre, hidden.i.hook_post
        and logits, and gives what takes their place.
        """
        weights = with_embedding(weights)
        varying = [tokens[:, i] for i in _positions(shape)]
        if self.d_embed is None:
            dtype = weights["unembed.W_U"].dtype
            eye = jnp.eye(shape.d_vocab, dtype=dtype)
            seen = [eye[t] for t in varying]
            transform = self.transform(shape)
            if transform is not None:
                seen = jnp.split(jnp.concatenate(seen, axis=1) @ jnp.asarray(transform, dtype), len(seen), axis=1)
            first = [one @ weights[f"embed.{i}.W"] for i, one in enumerate(seen)]
            x = sum(first[1:], first[0])
        else:
            embedded = hook("hook_embed", jnp.stack([weights["embed.W_E"][t] for t in varying], axis=1))
            x = embedded.reshape(len(tokens), -1) @ weights["hidden.0.W"]
        return self._rest(weights, x, hook)

    def _rest(self, weights: Mapping[str, Array], x: Array, hook: Hook = unhooked) -> Array:
        """Return logits from the first hidden layer's sums (n, d_mlp), before its bias."""
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
        """Count the floating-point operations of the matrix products of one forward pass over n_rows inputs.

        Look-ups and tables over tokens are left out, but for the transform of planted features. A training step is
        three of these.
        """
        planted = 0 if self.features == "one_hot" else 2 * shape.d_vocab
        transformed = 2.0 * planted * min(planted, n_rows) * self.d_mlp
        return 2.0 * n_rows * self.d_mlp * (self.d_mlp * (self.n_hidden_layers - 1) + shape.n_classes) + transformed


@functools.lru_cache(maxsize=16)
def _transform(p: int, orientation: Orientation, seed: int) -> Float64[np.ndarray, "pair pair"]:
    made = matrix_power(planted_features(p, orientation, seed), 1 / 4)
    made.setflags(write=False)  # one array for all who ask
    return made


def _positions(shape: TaskShape) -> list[int]:
    """Return the positions whose token varies. Raises InputError if there is none."""
    positions = shape.varying
    if not positions:
        raise InputError("network.kind", "mlp", "needs a task with at least one position that is not constant")
    return positions


def gromov_waves(key: Array, shape: TaskShape, width: int, logarithmic: bool, dtype: Any) -> dict[str, Array]:
    """Return the first layer's tables (d_vocab, width) and the last one (width, n_classes), entries of mean square 1.

    For f(a, b) = U' (V[a] + W[b])² and neurons k of random frequency s and phases φ, ψ (arXiv 2301.02679, eqs. 8-9):

        V[a, k] = √2 cos(2π s a / p + φ),   W[b, k] = √2 cos(2π s b / p + ψ),   U[k, c] = √2 cos(2π s c / p + φ + ψ)

    Of the square, V[a] W[b] holds cos(2π s (a + b) / p + φ + ψ), which U compares with every c; all else has a random
    phase and averages out over neurons. logarithmic: numbers stand by their discrete logarithm, mod p - 1, which
    multiplies those that are not zero; the rows and the column of zero are zero. Rows of signs are zero as well.
    Raises InputError where the task is not of two numbers below n_classes, or has no discrete logarithm.
    """
    p = shape.n_classes
    least = 3 if logarithmic else 2
    _check(shape, least, "gromov_log" if logarithmic else "gromov")
    places, period = np.arange(p), p
    if logarithmic:
        order, period = log_order(p), p - 1
        places[order] = np.arange(1, p) % period
    own_key = jax.random.fold_in(key, zlib.crc32(b"gromov"))
    for_frequencies, *for_phases = jax.random.split(own_key, 3)
    frequencies = jax.random.randint(for_frequencies, (width,), 1, period, jnp.int32)
    phases = [jax.random.uniform(k, (width,), dtype, 0, 2 * np.pi) for k in for_phases]
    turns = (jnp.asarray(places, jnp.int32)[:, None] * frequencies) % period  # exact where single precision is not
    angles = turns.astype(dtype) * jnp.asarray(2 * np.pi / period, dtype)

    def waves(phase: Array, n_rows: int) -> Array:
        rows = jnp.cos(angles + phase) * jnp.asarray(2**0.5, dtype)
        if logarithmic:
            rows = rows.at[0].set(0)
        return jnp.pad(rows, ((0, n_rows - p), (0, 0)))

    first, second = (waves(phase, shape.d_vocab) for phase in phases)
    return {"embed.0.W": first, "embed.1.W": second, "unembed.W_U": waves(phases[0] + phases[1], p).T}


def _check(shape: TaskShape, least: int, scheme: str) -> None:
    constants = [c for c in shape.constants if c is not None]
    # a softmax over the vocabulary has classes that are signs
    signs = any(c < shape.n_classes for c in constants)
    if shape.n_ctx - len(constants) != 2 or not least <= shape.n_classes <= shape.d_vocab or signs:
        allowed = f"needs a task of two numbers whose answers are the same numbers, at least {least} of them"
        raise InputError("network.init_scheme", scheme, allowed)
