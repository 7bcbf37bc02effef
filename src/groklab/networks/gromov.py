"""Weights with which a quadratic network adds modulo p, written down rather than learnt (Gromov 2023)."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp
from groklab.tasks.base import TaskShape
from groklab.tasks.residues import log_order


def gromov_waves(key: Array, shape: TaskShape, width: int, logarithmic: bool, dtype: Any) -> dict[str, Array]:
    """The first layer's two tables (d_vocab, width) and the last one (width, n_classes), entries of mean square 1.

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
        found = jnp.cos(angles + phase) * jnp.asarray(2**0.5, dtype)
        if logarithmic:
            found = found.at[0].set(0)
        return jnp.pad(found, ((0, n_rows - p), (0, 0)))

    first, second = (waves(phase, shape.d_vocab) for phase in phases)
    return {"embed.0.W": first, "embed.1.W": second, "unembed.W_U": waves(phases[0] + phases[1], p).T}


def _check(shape: TaskShape, least: int, scheme: str) -> None:
    constants = [c for c in shape.constants if c is not None]
    # a softmax over the vocabulary has classes that are signs
    signs = any(c < shape.n_classes for c in constants)
    if shape.n_ctx - len(constants) != 2 or not least <= shape.n_classes <= shape.d_vocab or signs:
        allowed = f"needs a task of two numbers whose answers are the same numbers, at least {least} of them"
        raise InputError("network.init_scheme", scheme, allowed)
