"""The floor: unavoidable floating-point operations over the best matrix-multiply rate of this machine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import best_of


def shapes(n: int, d_model: int, d_mlp: int, classes: int) -> list[tuple[int, int, int]]:
    """The (m, k, n) of every matrix product of a training step with n rows: forward, and both backward products."""
    forward = [(n, d_model, d_model), (n, d_model, d_mlp), (n, d_mlp, d_model), (n, d_model, classes)]
    return [s for m, k, c in forward for s in ((m, k, c), (m, c, k), (k, m, c))]


def best_rate(step_shapes: list[tuple[int, int, int]]) -> dict[str, float]:
    """The best single-precision rate in FLOP/s of NumPy, XLA and, where installed, PyTorch on any of the shapes."""
    rates = {"numpy": 0.0, "xla": 0.0}
    product = jax.jit(lambda a, b: jnp.dot(a, b, precision="highest"))
    try:
        import torch
    except ImportError:
        torch = None  # type: ignore[assignment]
    else:
        rates["torch"] = 0.0
    for m, k, n in dict.fromkeys(step_shapes):
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        work = 2.0 * m * k * n
        ja, jb = jax.device_put(a), jax.device_put(b)
        rates["xla"] = max(rates["xla"], work / best_of(lambda x=ja, y=jb: product(x, y).block_until_ready()))
        if jax.devices()[0].platform == "cpu":
            rates["numpy"] = max(rates["numpy"], work / best_of(lambda x=a, y=b: x @ y))
            if torch is not None:
                ta, tb = torch.from_numpy(a), torch.from_numpy(b)
                rates["torch"] = max(rates["torch"], work / best_of(lambda x=ta, y=tb: x @ y))
    return rates
