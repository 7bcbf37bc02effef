"""Matrix products whose gradients take the form that compiles to the faster program."""

from __future__ import annotations

from typing import Any

from groklab.lazy import Array, custom_vjp, jnp, lax


def once(array: Array) -> Array:
    """The same array (n, ...), computed once and written to memory as it stands.

    XLA would compute it anew inside each of its users, or merge a transposition that follows into the product that
    precedes. It does neither with a gather; its own `optimization_barrier` is dropped on CPUs before that happens.
    """
    return array.at[jnp.arange(array.shape[0], dtype=jnp.int32)].get(
        mode="promise_in_bounds", wrap_negative_indices=False
    )


@custom_vjp
def product(x: Array, w: Array) -> Array:
    """x @ w for x (n, n_in) with many rows and w (n_in, n_out). Reverse-mode differentiable only.

    The gradient x^T g of w is computed as (g^T x)^T where n_out is the smaller, which XLA's CPU backend does about
    twice as fast: measured for n = 3,830, n_in = 512, n_out = 113 on one core, 4.3 ms against 9.2.
    """
    return x @ w


def _forward(x: Array, w: Array) -> tuple[Array, Any]:
    return x @ w, (x, w)


def _backward(residuals: Any, g: Array) -> tuple[Array, Array]:
    x, w = residuals
    over_rows = (((0,), (0,)), ((), ()))
    narrow = w.shape[1] < w.shape[0]
    to_w = once(lax.dot_general(g, x, over_rows)).T if narrow else lax.dot_general(x, g, over_rows)
    return g @ w.T, to_w


product.defvjp(_forward, _backward)
