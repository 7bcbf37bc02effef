"""The effective loss and counts of parallelograms, for compiled programs (Liu et al. 2022, section 3)."""

from __future__ import annotations

from groklab.lazy import Array, Float, Int, jax, jnp

#: Mean squared defect below which a quadruple is a parallelogram.
DELTA_SQUARED = 0.01


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


def within_delta(
    y: Float[Array, "n d"], classes: Int[Array, " n"], shares: Float[Array, "n k"], widest: Int[Array, ""]
) -> Float[Array, "n k"]:
    """For each row the sum of the shares of those of its class, itself included, whose y is within delta of its own.

    Rows stand in the order of their classes, of which the largest has `widest` rows: rows k apart are compared, k by
    k, so that the work is that of the parallelograms and not that of all pairs of rows.
    """
    n = y.shape[0]

    def apart(k: Int[Array, ""], counts: Float[Array, "n k"]) -> Float[Array, "n k"]:
        same = (jnp.roll(classes, -k) == classes) & (jnp.arange(n) < n - k)
        near = same & (jnp.mean((jnp.roll(y, -k, axis=0) - y) ** 2, axis=1) < DELTA_SQUARED)
        weight = near.astype(y.dtype)[:, None]
        return counts + weight * jnp.roll(shares, -k, axis=0) + jnp.roll(weight * shares, k, axis=0)

    counts: jax.Array = jax.lax.fori_loop(1, widest, apart, shares)
    return counts
