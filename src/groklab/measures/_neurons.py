"""Neurons as polynomials in cos(w_k a), sin(w_k a), cos(w_k b), sin(w_k b) of one frequency each.

Nanda et al. 2023, sections 4.2 and 4.3. Variance is taken over all p² inputs, after the mean of each neuron is taken
off: the constant would otherwise count as explained by every frequency. All in double precision, so that the small
variances of nearly dead neurons are those of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.lazy import Float64, Int, Shaped
from groklab.measures._activity import activity
from groklab.measures._fourier import ROUNDING, fourier_basis, rows_of
from groklab.measures._grid import grid_of
from groklab.measures._registry import Result, Weights, measure
from groklab.tasks import Task

#: Fraction of variance from which a neuron counts as explained by its frequency (section 4.3).
WELL_EXPLAINED = 0.85


def single_frequency_fve(
    neurons: Shaped[np.ndarray, "p p d_mlp"], rounding: float = ROUNDING
) -> Float64[np.ndarray, "frequencies d_mlp"]:
    """Return the fraction of each neuron's variance within one frequency, (p//2, d_mlp) for k = 1..p//2.

    The eight components besides the constant of {1, cos w_k a, sin w_k a} × {1, cos w_k b, sin w_k b}, over all
    components besides the constant; three of k = p/2, which has no sine. NaN for a dead neuron, whose activation does
    not vary, so that there is no variance to explain.

    Args:
        neurons: activations on the grid (a, b).
        rounding: as of `centred_on_inputs`.
    """
    p = len(neurons)
    centred, energy = centred_on_inputs(neurons, rounding)
    basis = fourier_basis(p)
    along_a = (basis @ centred.reshape(p, -1)).reshape(centred.shape)
    single = (basis[0] @ along_a) ** 2 + (basis @ along_a[0]) ** 2
    power = np.empty((p // 2, centred.shape[2]))
    for k in range(1, p // 2 + 1):
        rows = slice(2 * k - 1, min(2 * k + 1, p))
        # only the products of one frequency with itself, not the full transform along b
        products = basis[rows] @ along_a[rows]
        power[k - 1] = single[rows].sum(axis=0) + (products**2).sum(axis=(0, 1))
    return np.asarray(power / np.where(energy > 0, energy, np.nan))


def best_frequency(
    fve: Float64[np.ndarray, "frequencies d_mlp"],
) -> tuple[Int[np.ndarray, " d_mlp"], Float64[np.ndarray, " d_mlp"]]:
    """Return each neuron's frequency, 1..p//2 or 0 for a dead one, and its fraction of the variance, NaN for those."""
    best = fve.max(axis=0, initial=0.0)
    return np.where(best > 0, fve.argmax(axis=0) + 1, 0), np.where(best > 0, best, np.nan)


def winning_frequencies(neurons: Shaped[np.ndarray, "p p d_mlp"]) -> tuple[int, ...]:
    """Return every frequency that is the best of at least one neuron, ascending: the rule of the authors' code."""
    frequency = best_frequency(single_frequency_fve(neurons))[0]
    return tuple(int(k) for k in np.unique(frequency) if k > 0)


def blocks_of(
    neurons: Shaped[np.ndarray, "p p d_mlp"], frequency: Int[np.ndarray, " d_mlp"]
) -> Float64[np.ndarray, "three three d_mlp"]:
    """Return the components of each neuron in the block of its frequency, (3, 3, d_mlp).

    [i, j] belongs to the i-th of {const, cos, sin} of a and the j-th of b, in the orthonormal basis; [0, 0] is p times
    the mean. Absent sines, and all but the constant where the frequency is 0, are zero.
    """
    p = len(neurons)
    blocks = np.zeros((3, 3, neurons.shape[2]))
    for k in np.unique(frequency):
        basis = fourier_basis(p)[_rows(int(k), p)]
        own, n = np.flatnonzero(frequency == k), len(basis)
        along_a = (basis @ np.asarray(neurons[:, :, own], np.float64).reshape(p, -1)).reshape(n, p, -1)
        blocks[:n, :n, own] = basis @ along_a
    return blocks


def polynomials(
    neurons: Shaped[np.ndarray, "p p d_mlp"], frequency: Int[np.ndarray, " d_mlp"]
) -> Float64[np.ndarray, "p p d_mlp"]:
    """Return each neuron's best quadratic polynomial in cos and sin of w_k a and of w_k b, its mean kept (section 4.3).

    Least squares over all inputs: the part in the block of its frequency. A neuron of frequency 0 becomes its mean.
    """
    p = len(neurons)
    blocks = blocks_of(neurons, frequency)
    made = np.empty(neurons.shape)
    for k in np.unique(frequency):
        basis = fourier_basis(p)[_rows(int(k), p)].T
        own, n = np.flatnonzero(frequency == k), basis.shape[1]
        along_b = np.ascontiguousarray(basis @ blocks[:n, :n, own])
        made[:, :, own] = (basis @ along_b.reshape(n, -1)).reshape(p, p, -1)
    return made


@dataclass(frozen=True, eq=False)
class Neurons(Result):
    """Frequencies of the last layer's neurons at the last position (Nanda et al. 2023, section 4.3).

    Attributes:
        frequency: (d_mlp,) the k whose quadratic polynomials in cos and sin of w_k a and w_k b explain most of the
            variance over inputs; 0 for a dead neuron.
        fve: (d_mlp,) that fraction of the variance; NaN for a dead neuron, which has none.
        cluster: (d_mlp,) the frequency where fve is at least 0.85, else −1.
        components: (3, 3, d_mlp) of {const, cos, sin} of a × of b at that frequency, orthonormal.
        neurons_by_frequency: (p//2,) how many neurons have each frequency.
        clustered_by_frequency: (p//2,) how many are in its cluster.
    """

    frequency: np.ndarray
    fve: np.ndarray
    cluster: np.ndarray
    components: np.ndarray
    neurons_by_frequency: np.ndarray
    clustered_by_frequency: np.ndarray
    well_explained_neurons: int
    dead_neurons: int


@measure("neurons")
def neurons(weights: Weights, task: Task, network: Any = None) -> Neurons:
    """Each neuron's `frequency`, the fraction of variance it explains (`fve`), and its `cluster`."""
    values = activity(weights, task, network, ("neurons",))["neurons"][grid_of(task).rows]
    frequency, fve = best_frequency(single_frequency_fve(values))
    well = fve >= WELL_EXPLAINED
    n = len(values) // 2 + 1
    return Neurons(
        frequency=frequency,
        fve=fve,
        cluster=np.where(well, frequency, -1),
        components=blocks_of(values, frequency),
        neurons_by_frequency=np.bincount(frequency, minlength=n)[1:],
        clustered_by_frequency=np.bincount(frequency[well], minlength=n)[1:],
        well_explained_neurons=int(well.sum()),
        dead_neurons=int((frequency == 0).sum()),
    )


def centred_on_inputs(values: np.ndarray, rounding: float = ROUNDING) -> tuple[np.ndarray, np.ndarray]:
    """Return values (p, p, n) without their means, and the sums of squares (n,); both zero where that is rounding.

    Args:
        rounding: standard deviation, relative to the largest value, up to which values count as constant.
    """
    values = np.asarray(values, np.float64)
    centred = values - values.mean(axis=(0, 1))
    energy = np.einsum("abn,abn->n", centred, centred)
    largest = np.maximum(values.max(axis=(0, 1)), -values.min(axis=(0, 1)))
    dead = energy <= values.shape[0] ** 2 * (rounding * largest) ** 2
    centred[:, :, dead] = 0
    return centred, np.where(dead, 0.0, energy)


def _rows(k: int, p: int) -> list[int]:
    """Return the rows of the Fourier basis of one frequency, the constant first."""
    return [0, *rows_of([k], p)]
