"""Fourier spectra over the residues mod p: of weights, and over the grid of inputs (a, b) (Nanda et al. 2023).

Sections 4.1 and 4.2 and appendix C.2. All in double precision: the small components of a grokked model are many orders
of magnitude below the large ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Array, Float64, Shaped, jnp
from groklab.measures._activity import activity
from groklab.measures._grid import pair_rows
from groklab.measures._registry import NamedTable, Result, Weights, cell, measure
from groklab.networks import with_embedding
from groklab.tasks import Task

#: Share of the size of what a difference is taken of, up to which the difference is rounding alone and counts as zero.
ROUNDING = 1e-12
#: A frequency carries an embedding if it has at least this share of its power.
CARRIES = 0.05
#: How many components of two dimensions are given by name: 2 × 2 of each of five frequencies.
NAMED = 20
#: How many of them a table shows.
SHOWN = 10


def fourier_basis(p: int) -> Float64[np.ndarray, "p p"]:
    """Return the orthonormal real Fourier basis, (p, p) float64, rows: constant, cos 1, sin 1, cos 2, sin 2, …

    cos and sin of w_k = 2πk/p, k = 1..(p−1)/2; for even p the last row alternates in sign.
    """
    t = np.arange(p)
    rows = [np.full(p, 1 / np.sqrt(p))]
    for k in range(1, (p - 1) // 2 + 1):
        angle = 2 * np.pi * (k * t % p) / p
        rows += [np.sqrt(2 / p) * np.cos(angle), np.sqrt(2 / p) * np.sin(angle)]
    if p % 2 == 0:
        rows.append((-1.0) ** t / np.sqrt(p))
    return np.array(rows)


def component_norms(matrix: Shaped[np.ndarray, "p d"]) -> Float64[np.ndarray, " p"]:
    """Return the norm of each Fourier component of a matrix (p, d) along its first axis: (p,)."""
    return np.asarray(np.linalg.norm(fourier_basis(len(matrix)) @ np.asarray(matrix, np.float64), axis=1))


def frequency_norms(matrix: Shaped[np.ndarray, "p d"]) -> Float64[np.ndarray, " frequencies"]:
    """Return the norm of each frequency k = 1..p//2 of a matrix (p, d), cosine and sine together: (p//2,)."""
    p = len(matrix)
    power = component_norms(matrix)[1:] ** 2
    pairs = power[: 2 * ((p - 1) // 2)].reshape(-1, 2).sum(1)
    return np.asarray(np.sqrt(np.append(pairs, power[-1]) if p % 2 == 0 else pairs))


def frequency_shares(matrix: Shaped[np.ndarray, "p d"]) -> Float64[np.ndarray, " frequencies"]:
    """Return the share of each frequency k = 1..p//2 in the power of a matrix (p, d), its constant left out: (p//2,).

    NaN where the rows are all alike, but for rounding: there is no power to share.
    """
    power = frequency_norms(matrix) ** 2
    total = power.sum()
    if np.sqrt(total) <= ROUNDING * np.linalg.norm(np.asarray(matrix, np.float64)):
        return np.full(len(power), np.nan)
    return np.asarray(power / total)


def check_frequencies(frequencies: Sequence[int], p: int) -> tuple[int, ...]:
    """Return the frequencies as a sorted tuple. Raises InputError for one outside 1..p//2."""
    for k in frequencies:
        if not 1 <= k <= p // 2:
            raise InputError("frequencies", k, f"needs integers from 1 to {p // 2} for p = {p}")
    return tuple(sorted({int(k) for k in frequencies}))


def rows_of(frequencies: Sequence[int], p: int) -> list[int]:
    """Return the rows of `fourier_basis` of some frequencies: cosine and sine of each, one row for k = p/2."""
    return [i for i in range(1, p) if (i + 1) // 2 in frequencies]


def embedding_matrix(weights: Weights, task: Task) -> Shaped[np.ndarray, "p d"]:
    """Return W_E of the number tokens, (p, d_model), or the first table of a network on one-hots, (p, d_mlp).

    Raises:
        InputError: where the task has no modulus or the network no such table.
    """
    return embedding_table(weights)[: _modulus(task)]


def embedding_table(weights: Weights) -> np.ndarray:
    """Return W_E, or the first table of a network on one-hots. Raises InputError where there is neither."""
    weights = with_embedding(weights)
    for name in ("embed.W_E", "embed.0.W"):
        if name in weights:
            return np.asarray(weights[name])
    raise InputError("these weights hold no embedding: neither embed.W_E nor embed.0.W")


def neuron_logit_map(weights: Weights, task: Task) -> Float64[np.ndarray, "p d_mlp"]:
    """Return W_L, from the last layer's neurons to the answers: (n_answers, d_mlp).

    W_U^T W_out^T of a transformer (its residual path and any final LayerNorm left out), or W_U^T of an MLP.

    Raises:
        InputError: for weights without an unembedding.
    """
    p = _modulus(task)
    if "unembed.W_U" not in weights:
        raise InputError("these weights hold no unembedding: there is no unembed.W_U")
    joined = np.asarray(weights["unembed.W_U"], np.float64)
    out = last_block(weights) + "mlp.W_out"
    if out in weights:
        joined = np.asarray(weights[out], np.float64) @ joined
    return joined.T[:p]


def last_block(weights: Weights) -> str:
    """Return 'blocks.1.' for a transformer of two layers, '' for a network without blocks."""
    blocks = [int(name.split(".")[1]) for name in weights if name.startswith("blocks.")]
    return f"blocks.{max(blocks)}." if blocks else ""


def gini(x: np.ndarray) -> float:
    """Return the Gini coefficient of non-negative numbers: 0 for equal ones, (n−1)/n for one alone, NaN for zeros.

    References:
        Hurley & Rickard 2009.
    """
    return float(gini_of(jnp.asarray(x, jnp.float64)))


def gini_of(x: Float64[Array, " n"]) -> Float64[Array, ""]:
    """Compute `gini` inside a compiled program; NaN where all numbers are zero."""
    n = x.shape[0]
    total = x.sum()
    ranks = 2 * jnp.arange(1, n + 1) - n - 1
    return jnp.where(total > 0, jnp.sum(ranks * jnp.sort(x)) / (n * jnp.where(total > 0, total, 1)), jnp.nan)


@dataclass(frozen=True, eq=False)
class EmbeddingSpectrum(Result):
    """Fourier spectrum of the embedding.

    Attributes:
        norm: (p//2,) of each frequency.
        share: (p//2,) of the power without the constant; NaN where the embedding is the same for all residues.
        gini_W_E: of the Fourier components' norms, the constant's among them.
    """

    norm: np.ndarray
    share: np.ndarray
    gini_W_E: float


@measure("embedding_spectrum", online=True)
def embedding_spectrum(weights: Weights, task: Task) -> EmbeddingSpectrum:
    """Fourier spectrum of the embedding: `norm` of each frequency 1..p//2, their `share` of the power, `gini_W_E`."""
    matrix = embedding_matrix(weights, task)
    return EmbeddingSpectrum(frequency_norms(matrix), frequency_shares(matrix), gini(component_norms(matrix)))


@dataclass(frozen=True, eq=False)
class EmbeddingFrequencies(Result):
    """Frequencies, and their shares of the embedding's power without the constant."""

    frequencies: list[int]
    share: list[float]


@measure("embedding_frequencies")
def embedding_frequencies(weights: Weights, task: Task) -> EmbeddingFrequencies:
    """The `frequencies` that each carry at least 5% of the embedding's power, strongest first, and their `share`."""
    share = frequency_shares(embedding_matrix(weights, task))
    order = [int(i) for i in np.argsort(-share) if share[i] >= CARRIES]
    return EmbeddingFrequencies([i + 1 for i in order], [float(share[i]) for i in order])


def transform_2d(values: Shaped[np.ndarray, "p p *rest"]) -> Float64[np.ndarray, "p p *rest"]:
    """Return the orthonormal Fourier components of values (p, p, …) along a and b, in the order of `fourier_basis`.

    [f, g] = Σ_ab F[f, a] F[g, b] values[a, b]; the sum of squares is the same (Parseval).
    """
    p, basis = len(values), fourier_basis(len(values))
    # two products of whole matrices: NumPy's stacked ones are several times slower
    along_a = (basis @ np.asarray(values, np.float64).reshape(p, -1)).reshape(p, p, -1)
    along_b = (basis @ along_a.transpose(1, 0, 2).reshape(p, -1)).reshape(p, p, -1)
    return np.asarray(along_b.transpose(1, 0, 2).reshape(values.shape))


def component_names(p: int) -> list[str]:
    """Return the names of the rows of `fourier_basis(p)`: 'const', 'cos 1', 'sin 1', 'cos 2', …"""
    return ["const"] + [f"{'cos' if i % 2 else 'sin'} {(i + 1) // 2}" for i in range(1, p)]


def largest_components(norm: Float64[np.ndarray, "p p"], n: int = NAMED) -> tuple[list[str], np.ndarray]:
    """Return names, 'cos 23 · sin 23' for cos(w_23 a) sin(w_23 b), and norms of the n largest components, largest
    first.
    """
    names = component_names(len(norm))
    order = np.argsort(-norm, axis=None, kind="stable")[:n]
    pairs = zip(*np.unravel_index(order, norm.shape), strict=True)
    return [f"{names[f]} · {names[g]}" for f, g in pairs], norm.ravel()[order]


def largest_tables(result: Mapping[str, Any]) -> list[NamedTable]:
    """Show the largest components of each operation: the name, the norm, and the share of all power."""
    several = "operations" in result
    tables = []
    for i, operation in enumerate(result["operations"] if several else [""]):
        names, norms, every = (result[k][i] if several else result[k] for k in ("largest", "largest_norm", "norm"))
        power = float(np.sum(np.square(every, dtype=np.float64)))
        rows = [
            (name, cell(norm), f"{norm**2 / power:.1%}" if power > 0 else "–")
            for name, norm in list(zip(names, norms, strict=True))[:SHOWN]
        ]
        of = f" of {operation}" if several else ""
        tables.append(NamedTable(f"Largest components{of}", ("of a · of b", "norm", "share of power"), rows))
    return tables


@dataclass(frozen=True, eq=False)
class Spectrum2D(Result):
    """Fourier components over (a, b); of a mixture each array has a leading axis, one entry per operation.

    Attributes:
        norm: (p, p) norms; [f, g] belongs to rows f (of a) and g (of b) of the Fourier basis.
        largest: names of the 20 largest, such as 'cos 23 · sin 23'.
        largest_norm: their norms.
        operations: names of a mixture's operations.
    """

    norm: np.ndarray
    largest: list[Any]
    largest_norm: np.ndarray
    operations: list[str] | None = None


@measure("logits_2d", tables=largest_tables)
def logits_2d(weights: Weights, task: Task, network: Any = None) -> Spectrum2D:
    """Fourier components of the logits over (a, b): `norm` (p, p) of each over the classes, the `largest` by name.

    Logits are not centred (section 4.2, figure 4). For any task in two operands mod p that has every pair (Furuta et
    al. 2024, appendix B).
    """
    return _over_pairs(activity(weights, task, network)["logits"], task)


@measure("neurons_2d", tables=largest_tables)
def neurons_2d(weights: Weights, task: Task, network: Any = None) -> Spectrum2D:
    """Fourier components of the last layer's neurons over (a, b): `norm` (p, p) over neurons, the `largest` by name.

    Activations are not centred: const · const holds their means.
    """
    return _over_pairs(activity(weights, task, network, ("neurons",))["neurons"], task)


def _over_pairs(values: np.ndarray, task: Task) -> Spectrum2D:
    """Return the spectrum of values (N, n) on a task's inputs, or of each operation of a mixture."""
    names = list(task.algebra.operations)
    if not names:
        return _spectrum(values[pair_rows(task)])
    each = [_spectrum(values[pair_rows(task, i)]) for i in range(len(names))]
    norms, largest = np.stack([one.norm for one in each]), np.stack([one.largest_norm for one in each])
    return Spectrum2D(norms, [one.largest for one in each], largest, names)


def _spectrum(values: np.ndarray) -> Spectrum2D:
    norm = np.linalg.norm(transform_2d(values), axis=2)
    return Spectrum2D(norm, *largest_components(norm))


def _modulus(task: Task) -> int:
    p = task.algebra.p
    if not p:
        raise InputError(f"a Fourier spectrum needs a task with a modulus; {task.name} has none")
    return p
