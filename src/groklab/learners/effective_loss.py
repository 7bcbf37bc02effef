"""The effective loss and counts of parallelograms, for compiled programs (Liu et al. 2022, section 3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

#: Mean squared defect below which a quadruple is a parallelogram.
DELTA_SQUARED = 0.01
#: Rows that are compared with all others in one go.
AT_ONCE = 256


def normalised(e: Float[Array, "p d"]) -> Float[Array, "p d"]:
    """Each dimension less its mean over the symbols and divided by its unbiased standard deviation."""
    e = e - jnp.mean(e, axis=0)
    scale = jnp.sqrt(jnp.sum(e**2, axis=0) / max(e.shape[0] - 1, 1))
    return e / jnp.where(scale > 0, scale, 1)


def effective_loss(e: Float[Array, "p d"], gram: Float[Array, "p p"], nu: Float[Array, ""]) -> Float[Array, ""]:
    """l_eff = tr(E' G E) / (nu tr(E' E))."""
    return jnp.sum(e * (gram @ e)) / (nu * jnp.sum(e**2))


def frozen_descent(
    e: Float[Array, "p d"], gram: Float[Array, "p p"], nu: Float[Array, ""], z0: Float[Array, ""]
) -> Float[Array, "p d"]:
    """−grad l_eff with Z0 taken as z0, whatever tr(E' E) is by now: what the published code adds, times eta.

    |E| is then at an unstable balance, so that what an Euler step adds to it grows.
    """
    pulled = gram @ e
    return 2 / (nu * z0) * (jnp.sum(e * pulled) / z0 * e - pulled)


def within_delta(y: Float[Array, "n d"], classes: Int[Array, " n"], shares: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """For each row the sum of the shares of those of its class, itself included, whose y is within delta of its own.

    In one dimension O(n log n): the rows within delta are next to each other once they are sorted.
    """
    if y.shape[1] == 1:
        return _in_order(y[:, 0], classes, shares)

    def one(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        near = (jnp.mean((y - row[0]) ** 2, axis=1) < DELTA_SQUARED) & (classes == row[1])
        return near.astype(y.dtype) @ shares

    near: jax.Array = jax.lax.map(one, (y, classes), batch_size=AT_ONCE)
    return near


def _in_order(y: Float[Array, " n"], classes: Int[Array, " n"], shares: Float[Array, "n k"]) -> Float[Array, "n k"]:
    # classes far apart on one line; 64 bits, so that both a class and a difference fit into one number
    y = y.astype(jnp.float64)
    line = y + (2 * jnp.max(jnp.abs(y)) + 1) * classes.astype(y.dtype)
    order = jnp.argsort(line)
    ranked = line[order]
    below = jnp.concatenate([jnp.zeros_like(shares[:1]), jnp.cumsum(shares[order], axis=0)])
    delta = DELTA_SQUARED**0.5
    low = jnp.searchsorted(ranked, line - delta, side="right", method="sort")
    high = jnp.searchsorted(ranked, line + delta, side="left", method="sort")
    return below[high] - below[low]
