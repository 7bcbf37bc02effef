"""Optimisers by name: optax's directions, with decay, schedule, groups and clamps of our own around them.

An update of the weight w at step s is

    g      gradient, zero where weights are frozen, through the `filter`, clipped to `clip_norm`, plus l2 · w
    d      the direction that optax makes of g (Adam, momentum, sign, …)
    w  ←   w − rate(s) · f · (d + weight_decay · w)            f: the group's learning-rate factor

so that decay is decoupled (AdamW, Loshchilov & Hutter 2019) for every optimiser, and every number may differ
between the members of an ensemble. optax's own schedules branch on their step counts and so cannot take traced
numbers; ours are plain formulas.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Gt, Lt

from groklab import components
from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp, optax
from groklab.registry import register

Weights: TypeAlias = dict[str, Array]

#: Where the state of an optimiser with a filter keeps its own moments, beside the filter's state.
MOMENTS = "moments"

NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Settings of the weights whose names match a pattern such as `embed.*` or `*.b_*`.

    Attributes:
        learning_rate, weight_decay: in place of the optimiser's own; the factors multiply either.
        frozen: these weights are not trained.
        frozen_rows: their first so many rows are not trained, such as the numbers' rows of `embed.W_E`.
    """

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012

    learning_rate: NonNegative | None = None
    weight_decay: NonNegative | None = None
    learning_rate_factor: NonNegative = 1.0
    weight_decay_factor: NonNegative = 1.0
    frozen: bool = False
    frozen_rows: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """What all optimisers share. Later groups win where several patterns match one weight.

    Attributes:
        warmup_steps: the rate is multiplied by min(s / warmup_steps, 1), so the first update has rate 0 (as published
            by Nanda et al.).
        schedule: a half cosine, a line, or 1/sqrt over `decay_steps` steps down to `final_factor` times the rate.
        clamp_norm: after each update all trained weights are rescaled together to this Euclidean norm (`clamp` fixed,
            as in Omnigrok) or to at most this (at_most).
        clamp: without a clamp_norm, 'initial' rescales the trained weights to their norm at the start.
        filter: what the gradients go through first: a section with a `kind`, such as `grokfast_ema`, or null. Both
            published filters come before all that the optimiser does, L2 decay included; so do those here.
        clamps: by pattern, the norm to which the trained weights that match it are rescaled together after each update.
    """

    kind: ClassVar[str]

    learning_rate: NonNegative = 1e-3
    weight_decay: NonNegative = 0.0
    l2: NonNegative = 0.0
    warmup_steps: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "linear", "inverse_sqrt"] = "constant"
    decay_steps: NonNegative = 0.0
    final_factor: NonNegative = 0.0
    clip_norm: Annotated[float, Gt(0)] | None = None
    clamp_norm: Annotated[float, Gt(0)] | None = None
    clamp: Literal["fixed", "at_most", "initial"] = "fixed"
    groups: dict[str, Group] = field(default_factory=dict)
    filter: Any = field(default=None, metadata=components.section_of("gradient_filter"))
    clamps: dict[str, Annotated[float, Gt(0)]] = field(default_factory=dict, metadata={"later": True})

    def __post_init__(self) -> None:
        if self.schedule != "constant" and self.decay_steps <= 0:
            raise ValueError(f"decay_steps: the schedule {self.schedule!r} needs a positive number of steps")
        if self.clamp == "initial" and self.clamp_norm is not None:
            raise ValueError("clamp_norm: the clamp 'initial' takes the norm of the initial weights, and no other")
        clamped = self.clamp_norm is not None or self.clamp == "initial" or self.clamps
        if clamped and any(group.frozen_rows for group in self.groups.values()):
            raise ValueError("groups: frozen_rows cannot be kept where all weights are rescaled; leave the clamp out")

    def direction(self) -> optax.GradientTransformation:
        """Return the optax transformation of gradients into directions."""
        raise InputError(f"the optimiser {type(self).__name__} defines no direction()")

    def init(self, weights: Weights) -> Any:
        """Return the optimiser's state for these weights (frozen ones included, which stay as they are)."""
        moments = self.direction().init(weights)
        return moments if self.filter is None else {"filter": self.filter.init(weights), MOMENTS: moments}

    def rate(self, step: jax.Array, learning_rate: float | jax.Array | None = None) -> jax.Array:
        """Return the rate of update number `step`, from 0; learning_rate: before the schedule, None for our own."""
        base = jnp.asarray(self.learning_rate if learning_rate is None else learning_rate)
        s = step.astype(base.dtype)
        warm = jnp.where(self.warmup_steps > 0, jnp.minimum(s / jnp.maximum(self.warmup_steps, 1e-30), 1), 1)
        rate = base * warm
        if self.schedule == "constant":
            return rate
        if self.schedule == "inverse_sqrt":
            return rate * jnp.maximum(self.final_factor, jax.lax.rsqrt(1 + s / self.decay_steps))
        done = jnp.clip(s / self.decay_steps, 0, 1)
        shape = 1 - done if self.schedule == "linear" else (1 + jnp.cos(jnp.pi * done)) / 2
        return rate * (self.final_factor + (1 - self.final_factor) * shape)

    def update(self, gradients: Weights, state: Any, weights: Weights, step: jax.Array) -> tuple[Weights, Any]:
        """Update once: return new weights and new optimiser state."""
        groups = {name: self.group_of(name, w.ndim) for name, w in weights.items()}
        # A frozen weight takes part in nothing: no gradient, no clip, no decay.
        g = {k: jnp.zeros_like(v) if groups[k].frozen else v for k, v in gradients.items()}
        g |= {k: _masked(v, groups[k].frozen_rows) for k, v in g.items() if groups[k].frozen_rows}
        if self.filter is not None:
            # (nor in what the filter sees of the weights)
            seen = {k: jnp.zeros_like(w) if groups[k].frozen else w for k, w in weights.items()}
            seen |= {k: _masked(w, groups[k].frozen_rows) for k, w in seen.items() if groups[k].frozen_rows}
            g, filtering = self.filter.apply(g, state["filter"], seen)
            state = state[MOMENTS]
        if self.clip_norm is not None:
            factor = jnp.minimum(1, self.clip_norm / jnp.maximum(norm(g), 1e-30))
            g = {k: v * factor for k, v in g.items()}
        g = {k: v + self.l2 * weights[k] for k, v in g.items()}
        directions: Any
        directions, state = self.direction().update(g, state, weights)
        if self.filter is not None:
            state = {"filter": filtering, MOMENTS: state}
        new = {}
        for k, w in weights.items():
            if groups[k].frozen:
                new[k] = w
                continue
            r = self.rate(step, groups[k].learning_rate) * groups[k].learning_rate_factor
            own = groups[k].weight_decay
            decay = (self.weight_decay if own is None else own) * groups[k].weight_decay_factor
            change = (r * (directions[k] + decay * w)).astype(w.dtype)
            new[k] = w - (_masked(change, groups[k].frozen_rows) if groups[k].frozen_rows else change)
        if self.clamp_norm is not None or self.clamp == "initial":
            free = {k: v for k, v in new.items() if not groups[k].frozen}
            wanted = norm({k: weights[k] for k in free}) if self.clamp_norm is None else self.clamp_norm
            factor = wanted / jnp.maximum(norm(free), 1e-30)
            factor = jnp.minimum(1, factor) if self.clamp == "at_most" else factor
            new |= {k: v * factor.astype(v.dtype) for k, v in free.items()}
        for pattern, wanted in self.clamps.items():
            free = {k: new[k] for k in fnmatch.filter(new, pattern) if not groups[k].frozen}
            factor = wanted / jnp.maximum(norm(free), 1e-30)
            new |= {k: v * factor.astype(v.dtype) for k, v in free.items()}
        return new, state

    def group_of(self, name: str, n_axes: int = 2) -> Group:
        """Return the settings that hold for the weight `name`, an array of so many axes."""
        for pattern in reversed(self.groups):
            if fnmatch.fnmatchcase(name, pattern):
                return self.groups[pattern]
        # a plain multiplier keeps a run without groups free of needless arithmetic
        return Group(learning_rate_factor=1, weight_decay_factor=1)


def _masked(values: jax.Array, rows: int) -> jax.Array:
    """Return the values, zero in the first rows."""
    return jnp.where((jnp.arange(len(values)) < rows).reshape(-1, *[1] * (values.ndim - 1)), 0, values)


def norm(weights: Weights) -> jax.Array:
    """Return the Euclidean norm of all arrays together."""
    total = sum(jnp.sum(jnp.square(v)) for v in weights.values())
    return jnp.sqrt(jnp.asarray(total))


@register("optimiser", "adamw")
class AdamW(Optimiser):
    """AdamW (Loshchilov & Hutter 2019): the optimiser of every grokking paper. Adam: weight_decay 0."""

    b1: Fraction = 0.9
    b2: Fraction = 0.98
    eps: NonNegative = 1e-8
    nesterov: bool = False

    def direction(self) -> optax.GradientTransformation:
        """Return Adam's direction."""
        return optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps, nesterov=self.nesterov)


@register("optimiser", "adam")
class Adam(AdamW):
    """Adam (Kingma & Ba 2015), with PyTorch's betas. Weight decay is decoupled; `l2` is the coupled kind."""

    b2: Fraction = 0.999


@register("optimiser", "radam")
class RAdam(AdamW):
    """Rectified Adam (Liu et al. 2020)."""

    b2: Fraction = 0.999

    def direction(self) -> optax.GradientTransformation:
        """Return Adam's direction, rectified while the second moment is young."""
        return optax.scale_by_radam(b1=self.b1, b2=self.b2, eps=self.eps)


@register("optimiser", "adabelief")
class AdaBelief(AdamW):
    """AdaBelief (Zhuang et al. 2020)."""

    b2: Fraction = 0.999
    eps: NonNegative = 1e-16

    def direction(self) -> optax.GradientTransformation:
        """Return the momentum over the spread of gradients around it."""
        return optax.scale_by_belief(b1=self.b1, b2=self.b2, eps=self.eps)


@register("optimiser", "adamax")
class AdaMax(AdamW):
    """AdaMax (Kingma & Ba 2015): Adam with the largest gradient in place of the second moment."""

    b2: Fraction = 0.999

    def direction(self) -> optax.GradientTransformation:
        """Return the momentum over the running maximum."""
        return optax.scale_by_adamax(b1=self.b1, b2=self.b2, eps=self.eps)


@register("optimiser", "sgd")
class SGD(Optimiser):
    """(Stochastic) gradient descent, optionally with momentum."""

    momentum: Fraction = 0.0
    nesterov: bool = False

    def direction(self) -> optax.GradientTransformation:
        """Return the gradient's running sum."""
        return optax.trace(decay=self.momentum, nesterov=self.nesterov)


@register("optimiser", "lion")
class Lion(Optimiser):
    """Lion (Chen et al. 2023): the sign of a momentum."""

    b1: Fraction = 0.9
    b2: Fraction = 0.99

    def direction(self) -> optax.GradientTransformation:
        """Return the sign of interpolated momentum."""
        return optax.scale_by_lion(b1=self.b1, b2=self.b2)


@register("optimiser", "rmsprop")
class RMSProp(Optimiser):
    """RMSProp: gradients over their running root mean square."""

    decay: Fraction = 0.9
    eps: NonNegative = 1e-8

    def direction(self) -> optax.GradientTransformation:
        """Return the gradient over root mean square."""
        return optax.scale_by_rms(decay=self.decay, eps=self.eps)


@register("optimiser", "adagrad")
class Adagrad(Optimiser):
    """Adagrad: gradients over the root of their summed squares."""

    initial_accumulator: NonNegative = 0.1
    eps: NonNegative = 1e-7

    def direction(self) -> optax.GradientTransformation:
        """Return the gradient over the root of summed squares."""
        return optax.scale_by_rss(initial_accumulator_value=self.initial_accumulator, eps=self.eps)


#: Of the quintic a x + b x^3 + c x^5 that each Newton–Schulz step applies to the singular values (Jordan et al. 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
#: Matrices outside of the hidden layers: tables of tokens and positions, and the readout.
_OUTER = ("embed.*", "pos_embed.*", "unembed.*")


@register("optimiser", "muon")
class Muon(Optimiser):
    """Muon: orthogonalised momentum for hidden matrices, AdamW for embeddings, output and vectors.

    The rule is that of Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with which Tveit et al. 2025
    (arXiv 2504.16041) measured grokking: m <- beta m + (1 - beta) g, u = beta m + (1 - beta) g, five steps of
    Newton–Schulz on u / max(|u|, 1e-7), and the factor of `scale`. Decay is decoupled in both parts.

    Attributes:
        learning_rate, weight_decay: of the hidden matrices.
        adam_learning_rate, adam_weight_decay: of all other weights; None is the same. `groups` go before both.
        outer: patterns of the matrices that AdamW updates; [] orthogonalises every matrix.
        scale: 'shape' is sqrt(max(1, outputs / inputs)) (Jordan et al.); 'consistent_rms' is
            0.2 sqrt(max(outputs, inputs)), AdamW's usual size (Liu et al. 2025, arXiv 2502.16982); 'none' is 1.
        heads: attention's matrices of all heads as 'joined' into one W_Q, W_K, W_V and W_O (as PyTorch's linear layers
            hold them), as 'qkv' with the first three in one matrix besides, or 'each' by itself.
        precision: of the Newton–Schulz steps, that of the 'weights' or 'bfloat16' (as in torch.optim.Muon).
        b1, b2, eps: of AdamW.
    """

    beta: Fraction = 0.95
    nesterov: bool = True
    ns_steps: Annotated[int, Ge(1)] = 5
    b1: Fraction = 0.9
    b2: Fraction = 0.98
    eps: NonNegative = 1e-8
    adam_learning_rate: NonNegative | None = None
    adam_weight_decay: NonNegative | None = None
    outer: tuple[str, ...] = _OUTER
    scale: Literal["shape", "consistent_rms", "none"] = "shape"
    heads: Literal["joined", "qkv", "each"] = "joined"
    precision: Literal["weights", "bfloat16"] = "weights"

    def direction(self) -> optax.GradientTransformation:
        """Return the orthogonalised momentum of hidden matrices, Adam's direction of the other weights."""
        matrices = optax.chain(
            optax.trace(decay=self.beta, nesterov=self.nesterov),
            # optax's trace sums gradients, Jordan's momentum averages them: what eps is compared with
            optax.scale(1 - jnp.asarray(self.beta)),
            optax.stateless(lambda momenta, _: self._orthogonalised(momenta)),
        )
        others = optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)
        return optax.partition(
            {True: matrices, False: others},
            lambda weights: {name: self.is_hidden(name, w.ndim) for name, w in weights.items()},
        )

    def is_hidden(self, name: str, n_axes: int) -> bool:
        """Return whether a weight is a hidden matrix, or a stack of them."""
        return n_axes >= 2 and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.outer)

    def group_of(self, name: str, n_axes: int = 2) -> Group:
        """Return the settings of one weight: those of AdamW unless it is a hidden matrix."""
        group = super().group_of(name, n_axes)
        if self.is_hidden(name, n_axes):
            return group
        rate = self.adam_learning_rate if group.learning_rate is None else group.learning_rate
        decay = self.adam_weight_decay if group.weight_decay is None else group.weight_decay
        return replace(group, learning_rate=rate, weight_decay=decay)

    def _orthogonalised(self, momenta: dict[str, Any]) -> dict[str, Any]:
        made = dict(momenta)
        own = {name: m for name, m in momenta.items() if not isinstance(m, optax.MaskedNode)}
        for names in self._together(own):
            # Q, K and V have the same inputs, and their outputs side by side
            parts = [own[name] if self.heads == "each" else _joined(name, own[name]) for name in names]
            both = self._scaled(newton_schulz(jnp.concatenate(parts, axis=-1), self.ns_steps, self.precision))
            for name, part in zip(names, jnp.split(both, len(names), axis=-1), strict=True):
                made[name] = part if self.heads == "each" else _by_head(name, part, own[name].shape)
        return made

    def _together(self, names: Iterable[str]) -> list[list[str]]:
        """Return which matrices are orthogonalised as one."""
        together: dict[str, list[str]] = {}
        for name in names:
            layer, _, last = name.rpartition(".")
            key = f"{layer}.qkv" if self.heads == "qkv" and last in ("W_Q", "W_K", "W_V") else name
            together.setdefault(key, []).append(name)
        return list(together.values())

    def _scaled(self, matrix: Array) -> Array:
        inputs, outputs = matrix.shape[-2:]
        if self.scale == "none":
            return matrix
        factor = max(1, outputs / inputs) ** 0.5 if self.scale == "shape" else 0.2 * max(inputs, outputs) ** 0.5
        return matrix * jnp.asarray(factor, matrix.dtype)


def newton_schulz(matrix: Array, n_steps: int = 5, precision: str = "weights") -> Array:
    """Return U f(S) V' of (…, m, n) matrices U S V' of any size: singular values near 1, within about 0.7 and 1.2.

    Args:
        n_steps: of the quintic with the coefficients `NEWTON_SCHULZ`.
        precision: 'bfloat16' to compute in it, otherwise in the matrix's own dtype.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[-2] <= matrix.shape[-1]
    x = (matrix if wide else matrix.mT).astype(jnp.bfloat16 if precision == "bfloat16" else matrix.dtype)
    size = jnp.sqrt(jnp.sum(x * x, axis=(-2, -1), keepdims=True))
    x = x / jnp.maximum(size, 1e-7).astype(x.dtype)
    for _ in range(n_steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x if wide else x.mT).astype(matrix.dtype)


def _joined(name: str, stack: Array) -> Array:
    """Return attention's matrices of all heads as one (inputs, outputs); other matrices as they are."""
    if stack.ndim != 3:
        return stack
    heads, inputs, outputs = stack.shape
    if name.endswith("W_O"):  # its inputs are the heads' outputs
        return stack.reshape(heads * inputs, outputs)
    return jnp.swapaxes(stack, 0, 1).reshape(inputs, heads * outputs)


def _by_head(name: str, matrix: Array, shape: tuple[int, ...]) -> Array:
    """Undo `_joined`."""
    if len(shape) != 3 or name.endswith("W_O"):
        return matrix.reshape(shape)
    heads, inputs, outputs = shape
    return jnp.swapaxes(matrix.reshape(inputs, heads, outputs), 0, 1)
