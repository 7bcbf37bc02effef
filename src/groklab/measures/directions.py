"""The two directions of each key frequency in which W_L reads the neurons (Nanda et al. 2023, section 4.2, table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groklab.measures.activity import activity
from groklab.measures.fourier import check_frequencies, component_norms, fourier_basis, rows_of
from groklab.measures.frequencies import find_frequencies, residue_map
from groklab.measures.grid import grid_of
from groklab.measures.neurons import centred_on_inputs
from groklab.measures.registry import measure
from groklab.tasks.base import Task


@measure("directions")
def directions(
    weights: Mapping[str, Any], task: Task, network: Any = None, frequencies: Sequence[int] | None = None
) -> dict[str, Any]:
    """The directions u_k, v_k from which W_L reads cos(w_k s) and sin(w_k s), and how well neurons write them there.

    W_L = Σ_k F_cos,k u_k^T + F_sin,k v_k^T with orthonormal Fourier vectors over residues (section 4.2), so `u` and `v`
    (|K|, d_mlp), for the `frequencies` K, are rows of F W_L. u_norm, v_norm (p//2,): of every frequency; v of k = p/2
    does not exist, and is zero. singular_values: of W_L, min(p, d_mlp). residual_ratio: the Frobenius norm of W_L
    without those 2|K| rows over that of W_L. cos_fve, sin_fve (|K|,): fraction of the variance of u_k^T MLP(a, b) that
    cos(w_k s) explains, and of v_k^T MLP(a, b) that sin(w_k s) does (table 1); cos_coefficient, sin_coefficient:
    projections on the unit vectors of these over the p² inputs. NaN where v_k does not exist, 0 without variance.
    Raises InputError where two residues share an answer.
    """
    grid = grid_of(task)
    given = find_frequencies(weights, task, network) if frequencies is None else frequencies
    keys = check_frequencies(given, grid.p)
    to_residues = residue_map(weights, task)
    spectrum = fourier_basis(grid.p) @ to_residues
    norms = component_norms(to_residues)
    if grid.p % 2 == 0:
        spectrum, norms = np.pad(spectrum, ((0, 1), (0, 0))), np.append(norms, 0.0)
    values = activity(weights, task, network, ("neurons",))["neurons"][grid.rows]
    found: dict[str, Any] = {"frequencies": list(keys)}
    rest = np.delete(norms, rows_of(keys, grid.p))
    for name, wave, first in (("u", "cos", 1), ("v", "sin", 2)):
        rows = [2 * (k - 1) + first for k in keys]
        read = values.reshape(-1, values.shape[2]) @ spectrum[rows].T
        coefficients, fve = _written(read.reshape(grid.p, grid.p, -1), keys, wave, grid.sums)
        found |= {name: spectrum[rows], f"{name}_norm": norms[first::2]}
        found |= {f"{wave}_fve": fve, f"{wave}_coefficient": coefficients}
    total = np.linalg.norm(norms)
    return found | {
        "singular_values": np.linalg.svd(to_residues, compute_uv=False),
        "residual_ratio": float(np.linalg.norm(rest) / total) if total > 0 else 0.0,
    }


def _written(read: np.ndarray, keys: Sequence[int], wave: str, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients on the unit vectors of a wave of w_k s, and fractions of variance, of what is read (p, p, |K|)."""
    p = len(sums)
    centred, energy = centred_on_inputs(read)
    coefficients = np.full(len(keys), np.nan)
    for i, k in enumerate(keys):
        if wave == "cos" or 2 * k != p:
            unit = (np.cos if wave == "cos" else np.sin)(2 * np.pi * (k * sums % p) / p)
            coefficients[i] = np.sum(unit * centred[:, :, i]) / np.linalg.norm(unit)
    return coefficients, coefficients**2 / np.where(energy > 0, energy, 1.0)
