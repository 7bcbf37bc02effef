"""Optimisers by name: optax's directions, with decay, schedule, groups and clamps of our own around them.

An update of the weight w at step s is

    g      gradient, clipped to `clip_norm`, plus l2 · w
    d      the direction that optax makes of g (Adam, momentum, sign, …)
    w  ←   w − rate(s) · f · (d + weight_decay · w)            f: the group's learning-rate factor

so that decay is decoupled (AdamW, Loshchilov & Hutter 2019) for every optimiser, and every number may differ
between the members of an ensemble. optax's own schedules branch on their step counts and so cannot take traced
numbers; ours are plain formulas.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Gt, Lt

from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp, optax, optax_contrib
from groklab.registry import register

Weights: TypeAlias = dict[str, Array]

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

    def __post_init__(self) -> None:
        if self.schedule != "constant" and self.decay_steps <= 0:
            raise ValueError(f"decay_steps: the schedule {self.schedule!r} needs a positive number of steps")
        if self.clamp == "initial" and self.clamp_norm is not None:
            raise ValueError("clamp_norm: the clamp 'initial' takes the norm of the initial weights, and no other")
        clamped = self.clamp_norm is not None or self.clamp == "initial"
        if clamped and any(group.frozen_rows for group in self.groups.values()):
            raise ValueError("groups: frozen_rows cannot be kept where all weights are rescaled; leave the clamp out")

    def direction(self) -> optax.GradientTransformation:
        """Return the optax transformation of gradients into directions."""
        raise InputError(f"the optimiser {type(self).__name__} defines no direction()")

    def init(self, weights: Weights) -> Any:
        """Return the optimiser's state for these weights (frozen ones included, which stay as they are)."""
        return self.direction().init(weights)

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
        groups = {name: self.group_of(name) for name in weights}
        # A frozen weight takes part in nothing: no gradient, no clip, no decay.
        g = {k: jnp.zeros_like(v) if groups[k].frozen else v for k, v in gradients.items()}
        g |= {k: _masked(v, groups[k].frozen_rows) for k, v in g.items() if groups[k].frozen_rows}
        if self.clip_norm is not None:
            factor = jnp.minimum(1, self.clip_norm / jnp.maximum(norm(g), 1e-30))
            g = {k: v * factor for k, v in g.items()}
        g = {k: v + self.l2 * weights[k] for k, v in g.items()}
        directions: Any
        directions, state = self.direction().update(g, state, weights)
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
        return new, state

    def group_of(self, name: str) -> Group:
        """Return the settings that hold for the weight `name`."""
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


@register("optimiser", "muon")
class Muon(Optimiser):
    """Muon (Jordan et al. 2024): orthogonalised momentum for matrices, Adam for everything else.

    Attention's per-head stacks of matrices are orthogonalised head by head.
    """

    beta: Fraction = 0.95
    nesterov: bool = True
    ns_steps: Annotated[int, Ge(1)] = 5
    b1: Fraction = 0.9
    b2: Fraction = 0.98
    eps: NonNegative = 1e-8

    def direction(self) -> optax.GradientTransformation:
        """Return the direction of Newton–Schulz for matrices, of Adam for vectors."""

        def label(weights: Weights) -> dict[str, str]:
            return {k: "matrix" if v.ndim >= 2 else "vector" for k, v in weights.items()}

        def dimensions(weights: Any) -> Any:
            spec = optax_contrib.MuonDimensionNumbers
            return jax.tree.map(
                lambda v: spec(reduction_axis=v.ndim - 2, output_axis=v.ndim - 1) if v.ndim >= 2 else None, weights
            )

        matrices = optax_contrib.scale_by_muon(
            beta=self.beta, nesterov=self.nesterov, ns_steps=self.ns_steps, weight_dimension_numbers=dimensions
        )
        vectors = optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)
        return optax.partition({"matrix": matrices, "vector": vectors}, label)
