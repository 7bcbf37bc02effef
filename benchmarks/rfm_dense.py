"""The Recursive Feature Machine that groklab's is measured against: dense, as the published code goes about it.

Written for this benchmark from the formulas of Mallinar et al. (arXiv 2407.20199). What costs time is what costs the
published code: one-hot rows multiplied as dense matrices in double precision; a general LU solve of the symmetric
system; the training predictions twice over; a test kernel; gradients as an array (n, c, d) from one product
(n, n) x (n, cd); their outer products two rows at a time; the root by singular values, or by SciPy's `sqrtm`. Left out
is what slows it for no numerical reason: a Python loop over the test labels in each evaluation.

In NumPy, although the published code takes torch for all but the solve: with one thread of an AMD EPYC NumPy was the
faster in every part that counts. The one large product, over half of an iteration, goes to whichever of the two is
faster on the machine at hand. n training rows, d inputs, c outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.clock import best_of

Array = np.ndarray[Any, np.dtype[np.float64]]
#: Rows whose outer products are summed at once.
BATCH = 2


class Dense:
    """Iterations of the quadratic or the Gaussian machine, with centred gradients and the square root of the AGOP.

    After each `step`, `M` (d, d) is the next metric and `seconds` says what each part of the iteration took.
    """

    def __init__(self, train: tuple[Array, Array], test: tuple[Array, Array], kernel: str, bandwidth: float) -> None:
        self.X, self.Y = train
        self.X_test, self.Y_test = test
        self.kernel, self.bandwidth = kernel, bandwidth
        self.M = np.eye(self.X.shape[1])
        self.seconds: dict[str, float] = {}
        self.product, self.library = fastest_product(len(self.X), self.Y.shape[1] * self.X.shape[1])

    def step(self) -> dict[str, float]:
        """One iteration of the paper: fit and evaluate f_t, then M_t+1."""
        with self._timed("kernel"):
            K, inner = self._kernel(self.X, self.X)
        with self._timed("solve"):
            alpha = np.linalg.solve(K, self.Y)
        with self._timed("evaluation"):
            K.T @ alpha  # made and not used
            train = K.T @ alpha
            K_test, _ = self._kernel(self.X, self.X_test)
            test = K_test.T @ alpha
            found = {
                "train_loss": float(((train - self.Y) ** 2).mean()),
                "test_loss": float(((test - self.Y_test) ** 2).mean()),
                "test_accuracy": float((test.argmax(1) == self.Y_test.argmax(1)).mean()),
            }
        with self._timed("gradients"):
            J = self._gradients(alpha, K, inner)
        with self._timed("outer products"):
            J = J - J.mean(0)
            G = np.zeros_like(self.M)
            for i in range(0, len(J), BATCH):
                rows = J[i : i + BATCH].reshape(-1, len(G))
                G += rows.T @ rows
            G /= len(J)
        with self._timed("power"):
            self.M = self._root(G)
        return found

    def _kernel(self, X: Array, Z: Array) -> tuple[Array, Array]:
        """k(x_i, z_j) and x_i' M z_j, both (n, m)."""
        XM = X @ self.M
        inner = XM @ Z.T
        if self.kernel == "quadratic":
            return inner**2, inner
        squares = (XM * X).sum(1)[:, None] + ((Z @ self.M) * Z).sum(1)[None, :] - 2 * inner
        return np.exp(np.maximum(squares, 0) / (-2 * self.bandwidth**2)), inner

    def _gradients(self, alpha: Array, K: Array, inner: Array) -> Array:
        """df_l/dx at every training row: (n, c, d)."""
        XM = self.X @ self.M
        n, c, d = *alpha.shape, self.X.shape[1]
        spread = (alpha[:, :, None] * XM[:, None, :]).reshape(n, c * d)
        if self.kernel == "quadratic":
            return self.product(2 * inner.T, spread).reshape(n, c, d)
        J = self.product(K.T, spread).reshape(n, c, d)
        return (J - (K.T @ alpha)[:, :, None] * XM[:, None, :]) / self.bandwidth**2

    def _root(self, G: Array) -> Array:
        if self.kernel == "quadratic":
            U, s, Vt = np.linalg.svd(G)
            return (U * np.sqrt(s)) @ Vt
        return np.real(scipy.linalg.sqrtm(G))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - began


def fastest_product(n: int, width: int) -> tuple[Callable[[Array, Array], Array], str]:
    """The product (n, n) x (n, width) of NumPy or, where it is installed and faster, of torch; and whose it is."""
    products: dict[str, Callable[[Array, Array], Array]] = {"numpy": np.matmul}
    try:
        import torch
    except ImportError:
        return np.matmul, "numpy"
    products["torch"] = lambda a, b: (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, n)), rng.standard_normal((n, width))
    seconds = {name: best_of(lambda f=f: f(a, b), times=2) for name, f in products.items()}
    best = min(seconds, key=seconds.__getitem__)
    return products[best], best
