"""Recursive Feature Machines (arXiv 2407.20199, Algorithm 1) as plainly as they can be written: slow, dense, double.

Tests compare the fast machine with this one. It knows nothing of one-hot inputs, tables or closed forms: every kernel
is a formula of two points, and everything else follows from it. n rows, m points to predict, d inputs, c outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: Distances of the Laplace kernel below this count as zero: its gradient is left out there, as in the published code.
NO_DISTANCE = 1e-10


def _quadratic(x: jax.Array, z: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    return jnp.square(x @ M @ z)


def _gaussian(x: jax.Array, z: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    # the published code's convention; the paper writes exp(-D / L)
    return jnp.exp(-_squared_distance(x, z, M) / (2 * bandwidth**2))


def _laplace(x: jax.Array, z: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    return jnp.exp(-_distance(x, z, M) / bandwidth)


def _general_quadratic(x: jax.Array, z: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    return 0.5 * (x @ M @ x - 1) * (z @ M @ z - 1) + jnp.square(x @ M @ z)


def _squared_distance(x: jax.Array, z: jax.Array, M: jax.Array) -> jax.Array:
    return jnp.maximum((x - z) @ M @ (x - z), 0.0)


def _distance(x: jax.Array, z: jax.Array, M: jax.Array) -> jax.Array:
    # the inner `where` keeps the infinite slope of the root at zero out of automatic differentiation
    squared = (x - z) @ M @ (x - z)
    apart = squared >= NO_DISTANCE**2
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)


#: k(x, z) of two points (d,), (d,) under the metric M (d, d).
KERNELS: dict[str, Callable[..., jax.Array]] = {
    "quadratic": _quadratic,
    "gaussian": _gaussian,
    "laplace": _laplace,
    "general_quadratic": _general_quadratic,
}


def _slopes(name: str, x: jax.Array, z: jax.Array, M: jax.Array, bandwidth: float) -> tuple[jax.Array, jax.Array]:
    """(u, v) with which the gradient of k(x, z) in x is u M x + v M z, worked out by hand."""
    if name == "quadratic":
        return jnp.zeros((), x.dtype), 2 * (x @ M @ z)
    if name == "general_quadratic":
        return z @ M @ z - 1, 2 * (x @ M @ z)
    if name == "gaussian":
        v = _gaussian(x, z, M, bandwidth) / bandwidth**2
    else:
        r = _distance(x, z, M)
        v = jnp.where(r > 0, _laplace(x, z, M, bandwidth) / (bandwidth * jnp.where(r > 0, r, 1.0)), 0.0)
    return -v, v


@partial(jax.jit, static_argnames=("name", "bandwidth"))
def kernel(name: str, X: jax.Array, Z: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    """K_ij = k(x_i, z_j) of X (n, d) and Z (m, d): (n, m)."""
    # a row at a time: the differences of all pairs would be an (n, m, d) array
    return jax.lax.map(lambda x: jax.vmap(lambda z: KERNELS[name](x, z, M, bandwidth))(Z), X)


def fit(name: str, X: jax.Array, Y: jax.Array, M: jax.Array, bandwidth: float, ridge: float) -> jax.Array:
    """alpha = (K + ridge I)^-1 Y for targets Y (n, c): (n, c). No intercept, no centred targets."""
    K = kernel(name, X, X, M, bandwidth)
    return jnp.linalg.solve(K + ridge * jnp.eye(len(X), dtype=K.dtype), Y)


def predict(name: str, points: jax.Array, X: jax.Array, alpha: jax.Array, M: jax.Array, bandwidth: float) -> jax.Array:
    """f_l(x) = sum_i alpha_il k(x, x_i) at points (m, d): (m, c)."""
    return kernel(name, points, X, M, bandwidth) @ alpha


@partial(jax.jit, static_argnames=("name", "bandwidth", "automatic"))
def jacobians(
    name: str,
    points: jax.Array,
    X: jax.Array,
    alpha: jax.Array,
    M: jax.Array,
    bandwidth: float,
    automatic: bool = False,
) -> jax.Array:
    """J_j = df/dx at points (m, d): (m, c, d); by automatic differentiation, or from gradients written by hand."""

    def f(x: jax.Array) -> jax.Array:
        return jax.vmap(lambda z: KERNELS[name](x, z, M, bandwidth))(X) @ alpha

    def by_hand(x: jax.Array) -> jax.Array:
        u, v = jax.vmap(lambda z: _slopes(name, x, z, M, bandwidth))(X)
        # sum_i alpha_il (u_i M x + v_i M x_i); M is symmetric
        return jnp.outer(alpha.T @ u, x @ M) + (alpha * v[:, None]).T @ X @ M

    if automatic:
        return jax.vmap(jax.jacfwd(f))(points)
    return jax.lax.map(by_hand, points)


def agop(J: jax.Array, centre: bool) -> jax.Array:
    """G = 1/n sum_j J_j' J_j of J (n, c, d), summed over outputs: (d, d); `centre` takes the mean Jacobian off first.

    The paper's formula (3) does not centre, its published code does.
    """
    if centre:
        J = J - J.mean(axis=0)
    flat = J.reshape(-1, J.shape[-1])
    return flat.T @ flat / len(J)


def matrix_power(G: jax.Array, power: float) -> jax.Array:
    """G^power of a positive semi-definite G (d, d); rounding's negative eigenvalues count as zero."""
    w, Q = jnp.linalg.eigh((G + G.T) / 2)
    return (Q * jnp.maximum(w, 0.0) ** power) @ Q.T


def measure(F: jax.Array, Y: jax.Array) -> dict[str, float]:
    """Loss (mean over rows and outputs), accuracy and correct-class loss of predictions F (m, c) of one-hot Y."""
    return {
        "loss": float(jnp.mean((F - Y) ** 2)),
        "accuracy": float(jnp.mean(F.argmax(1) == Y.argmax(1))),
        "correct_class_loss": float(jnp.mean((jnp.sum(F * Y, axis=1) - 1) ** 2)),
    }


def iterate(
    X: Any,
    Y: Any,
    X_test: Any,
    Y_test: Any,
    kernel: str,
    iterations: int,
    bandwidth: float = 2.5,
    ridge: float = 0.0,
    centre: bool = True,
    power: float = 0.5,
) -> list[dict[str, Any]]:
    """Algorithm 1 from M_0 = I on training rows X (n, d), Y (n, c) and test rows X_test (m, d), Y_test (m, c).

    One entry an iteration t: `M` (M_t), `alpha`, the predictions `train` (n, c) and `test` (m, c) of f_t, the metrics
    `train_loss`, `train_accuracy`, `train_correct_class_loss` and likewise for the test rows, `agop` (G_t, of f_t over
    the training rows) and `M_next` (M_t+1 = G_t^power). Arrays are NumPy's, in double precision.
    """
    X, Y, X_test, Y_test = (jnp.asarray(a, jnp.float64) for a in (X, Y, X_test, Y_test))
    M = jnp.eye(X.shape[1], dtype=jnp.float64)
    found: list[dict[str, Any]] = []
    for _ in range(iterations):
        alpha = fit(kernel, X, Y, M, bandwidth, ridge)
        predictions = {
            "train": predict(kernel, X, X, alpha, M, bandwidth),
            "test": predict(kernel, X_test, X, alpha, M, bandwidth),
        }
        G = agop(jacobians(kernel, X, X, alpha, M, bandwidth), centre)
        entry: dict[str, Any] = {"M": M, "alpha": alpha, **predictions, "agop": G}
        M = entry["M_next"] = matrix_power(G, power)
        entry = {name: np.asarray(array) for name, array in entry.items()}
        for part, targets in (("train", Y), ("test", Y_test)):
            entry |= {f"{part}_{name}": value for name, value in measure(predictions[part], targets).items()}
        found.append(entry)
    return found
