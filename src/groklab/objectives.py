"""The losses: one number for each input, from its logits and its answer.

The mean over inputs is taken by the learner, with weights that sum to one.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt

from groklab.device import dense
from groklab.lazy import Array, Float, Int, custom_vjp, jax, jnp
from groklab.registry import base_of, register

#: Factor of the trace of the average gradient outer product of the batch (`MLP.agop_trace`), which the learner adds to
#: the loss that it descends (Mallinar et al. 2024, arXiv 2407.20199, appendix H). None leaves the trace out. Losses
#: that are reported, `train_loss` among them, are without it.
Penalty: TypeAlias = Annotated[float, Ge(0)] | None


@base_of("objective")
class Objective(abc.ABC):
    """A loss for each input. A plug-in needs the method `per_row` alone."""

    kind: ClassVar[str]
    #: See `Penalty`.
    agop_penalty: Penalty = None
    #: Real answers count as right where their own loss is below this.
    tolerance: float = 1e-3
    #: Whether a task's answers may be real numbers.
    takes_real_answers: ClassVar[bool] = False
    #: Whether logits need to be minus squared distances to vectors (`Network.gives_distances`), as `per_vector` takes.
    takes_distances: ClassVar[bool] = False

    @abc.abstractmethod
    def per_row(self, logits: Any, targets: Any) -> Any:
        """Return losses (n,) of logits (n, n_classes), for targets (n,) or real answers (n, n_classes)."""

    def of_weights(self, weights: Mapping[str, Array]) -> Array | None:
        """Return what training adds to the loss for the weights themselves, a scalar, or None for nothing."""
        return None


@register("objective", "cross_entropy")
class CrossEntropy(Objective):
    """Cross-entropy of the answer's class.

    Attributes:
        form: 'exact' is log1p(sum_{j!=y} exp(l_j - l_y)) in the logits' own precision, whose loss and gradient keep
            full relative accuracy at any margin; 'float32' is the usual log-softmax in that precision, which rounds to
            zero at margins beyond 17; 'float64' casts the logits first (Nanda et al. 2023); 'stablemax' replaces exp by
            s(x) = x + 1 for x >= 0, 1 / (1 - x) for x < 0 (Prieto et al. 2025, arXiv 2501.04697, eq. 5); 'sparsemax' is
            the loss of Martins & Astudillo 2016 (arXiv 1602.02068, eq. 14), whose gradient is the projection of the
            logits onto the simplex less the one-hot answer, and which is zero at margins of 1 and more.
        temperature: the logits are divided by it.
        agop_penalty: training adds this times the mean over the batch of the squared norm of the logits' Jacobian in
            the one-hot inputs, the trace of their average gradient outer product (Mallinar et al. 2024, arXiv
            2407.20199, appendix H); losses are reported without it.
    """

    form: Literal["exact", "float32", "float64", "stablemax", "sparsemax"] = "exact"
    temperature: float = 1.0
    agop_penalty: Penalty = None

    def per_row(self, logits: Float[Array, "n classes"], targets: Int[Array, " n"]) -> Float[Array, " n"]:
        """Return losses (n,), in the logits' dtype (float64 for the form 'float64')."""
        if self.form == "float64":
            logits = logits.astype(jnp.float64)
        logits = logits * (1 / jnp.asarray(self.temperature, logits.dtype))
        if self.form == "exact":
            return exact_cross_entropy(logits, targets)
        if self.form == "sparsemax":
            return sparsemax_loss(logits, targets)
        log_p = _log_stablemax(logits) if self.form == "stablemax" else jax.nn.log_softmax(logits, axis=-1)
        return -jnp.take_along_axis(log_p, targets[:, None], axis=-1)[:, 0]


@register("objective", "mse")
class MeanSquaredError(Objective):
    """Mean over the outputs of the squared difference from the one-hot answer, or from a task's real answers.

    Attributes:
        agop_penalty: as for cross-entropy.
        tolerance: real answers count as correct where their loss is below this (1e-3 in Omnigrok's teacher-student
            runs).
    """

    takes_real_answers: ClassVar[bool] = True

    agop_penalty: Penalty = None
    tolerance: Annotated[float, Gt(0)] = 1e-3

    def per_row(
        self, logits: Float[Array, "n classes"], targets: Int[Array, " n"] | Float[Array, "n classes"]
    ) -> Float[Array, " n"]:
        """Return losses (n,), in the logits' dtype."""
        if targets.ndim == 1:
            targets = jax.nn.one_hot(targets, logits.shape[1], dtype=logits.dtype)
        difference = logits - targets.astype(logits.dtype)
        return (difference * difference).mean(axis=-1)


@register("objective", "nearest_vector")
class NearestVector(Objective):
    """Squared error to the answer's fixed vector, for a network whose logits are minus the errors to all classes.

    The class of the nearest vector has the largest logit (Liu et al. 2022, the toy regression).

    Attributes:
        embedding_l1: training adds this times the mean absolute entry of `embed.W_E`; losses are reported without it.
    """

    takes_distances: ClassVar[bool] = True

    embedding_l1: Annotated[float, Ge(0)] | None = None

    def per_row(self, logits: Float[Array, "n classes"], targets: Int[Array, " n"]) -> Float[Array, " n"]:
        """Return losses (n,), in the logits' dtype."""
        return -jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]

    def per_vector(self, z: Float[Array, "n d_out"], wanted: Float[Array, "n d_out"]) -> Float[Array, " n"]:
        """Return the same losses (n,) from the decoder's output and the answers' vectors, without other classes."""
        return ((z - wanted) ** 2).mean(axis=-1)

    def of_weights(self, weights: Mapping[str, Array]) -> Float[Array, ""] | None:
        """Return the penalty on the embedding, if there is one."""
        if self.embedding_l1 is None:
            return None
        return self.embedding_l1 * jnp.abs(weights["embed.W_E"]).mean()


def _log_stablemax(logits: Array) -> Array:
    up, down = jnp.where(logits >= 0, logits, 0), jnp.where(logits < 0, logits, 0)  # each branch finite everywhere
    total = jnp.where(logits >= 0, up + 1, 1 / (1 - down)).sum(axis=-1, keepdims=True)
    return jnp.log1p(up) - jnp.log1p(-down) - jnp.log(total)


@custom_vjp
def sparsemax_loss(logits: Float[Array, "n classes"], targets: Int[Array, " n"]) -> Float[Array, " n"]:
    """Return losses (n,) of the sparsemax p of logits z: half of |y - z|² - |p - z|², with the one-hot answer y."""
    return _sparse_forward(logits, targets)[0]


def _sparse_forward(logits: Array, targets: Array) -> tuple[Array, Any]:
    p, is_target = sparsemax(logits), targets[:, None] == jnp.arange(logits.shape[1], dtype=targets.dtype)
    at_answer = jnp.where(is_target, p, 0).sum(axis=1, keepdims=True)
    behind = logits - jnp.take_along_axis(logits, targets[:, None], axis=1)
    others = jnp.where(is_target, 0, p)
    # the difference of squares multiplied out: terms that are not negative, so that small losses are accurate
    loss = 0.5 * (others * (1 + at_answer - p + 2 * behind)).sum(axis=1)
    return loss, (others, is_target, targets)


def _sparse_backward(residuals: Any, cotangent: Array) -> tuple[Array, Any]:
    others, is_target, targets = residuals
    gradient = jnp.where(is_target, -others.sum(axis=1, keepdims=True), others)
    return gradient * cotangent[:, None], np.zeros(targets.shape, jax.dtypes.float0)


sparsemax_loss.defvjp(_sparse_forward, _sparse_backward)


def sparsemax(logits: Float[Array, "n classes"]) -> Float[Array, "n classes"]:
    """Return the projections of logits onto the simplex: max(z - tau, 0), with tau where they sum to 1.

    The support is found without sorting (Michelot 1986): tau of all candidates drops those below it, until none is.
    """
    z = logits - logits.max(axis=1, keepdims=True)

    def tau(support: Array) -> Array:
        total = jnp.where(support, z, 0).sum(axis=1, keepdims=True)
        return (total - 1) / support.sum(axis=1, keepdims=True).astype(z.dtype)

    def drop(state: tuple[Array, Any]) -> tuple[Array, Any]:
        kept = state[0] & (z > tau(state[0]))
        return kept, (kept != state[0]).any()

    support, _ = jax.lax.while_loop(lambda state: state[1], drop, (z > -1, jnp.asarray(True)))
    return jnp.where(support, z - tau(support), 0)


@custom_vjp
def exact_cross_entropy(logits: Float[Array, "n classes"], targets: Int[Array, " n"]) -> Float[Array, " n"]:
    """Return losses log1p(sum_{j!=y} exp(l_j - l_y)), (n,), from logits (n, n_classes) and targets (n,)."""
    return _exact_forward(logits, targets)[0]


def _exact_forward(logits: Array, targets: Array) -> tuple[Array, Any]:
    is_target = targets[:, None] == jnp.arange(logits.shape[1], dtype=targets.dtype)
    answer = jnp.take_along_axis(logits, targets[:, None], axis=1, mode="promise_in_bounds")
    top = logits.max(axis=1, keepdims=True)
    others = jnp.where(is_target, 0, jnp.exp(logits - top))
    if dense():
        total = others.sum(axis=1, keepdims=True)
    else:
        # A product with ones, not a sum: on a CPU XLA would compute the exponentials one by one inside the sum.
        total = jnp.matmul(others, jnp.ones((logits.shape[1], 1), logits.dtype), precision="highest")
    behind = top - answer  # zero where the answer leads, and then the loss is log1p(total)
    above_one = total + jnp.expm1(-behind)
    loss = (behind + jnp.log1p(above_one))[:, 0]
    return loss, (others, total, 1 / (1 + above_one), targets)


def _exact_backward(residuals: Any, cotangent: Array) -> tuple[Array, Any]:
    others, total, inverse, targets = residuals
    scale = cotangent[:, None] * inverse
    is_target = targets[:, None] == jnp.arange(others.shape[1], dtype=targets.dtype)
    return jnp.where(is_target, -total, others) * scale, np.zeros(targets.shape, jax.dtypes.float0)


exact_cross_entropy.defvjp(_exact_forward, _exact_backward)
