"""Restricted and excluded loss in each form that was published, by name; `progress` has the default forms.

The forms differ in what they project on: functions of s = a ± b alone (10 directions for five frequencies), full 2 × 2
blocks {cos, sin} × {cos, sin} of a frequency ('20 terms', section 5.1), or 3 × 3 blocks with the constant ('40
components', section 4.4). A block is a sum of tables over s, the other direction d = a ∓ b, a and b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._fourier import check_frequencies, fourier_basis, last_block, neuron_logit_map, rows_of
from groklab.measures._frequencies import find_frequencies
from groklab.measures._grid import Grid, grid_of
from groklab.measures._progress import cube_coefficients, loss_and_accuracy
from groklab.measures._registry import NamedTable, Rows, Weights, cell, measure
from groklab.tasks import Task


def variant_tables(result: Mapping[str, Any]) -> list[NamedTable]:
    """Show the loss in each form."""
    rows = [(name, *map(cell, values)) for name, values in result.items()]
    return [NamedTable("Loss in each published form", ("form", "all pairs", "train", "test"), rows)]


@measure("progress_variants", tables=variant_tables)
def progress_variants(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, frequencies: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Restricted and excluded loss in each published form: one number for each of `all`, `train` and `test`.

    restricted: P_K L and the mean over inputs (the default form). restricted_no_mean: P_K L alone. restricted_2x2,
    restricted_3x3: full blocks and the mean. restricted_neurons: neurons projected, mapped by W_L and recentred to the
    logits' mean (the demo of TransformerLens). restricted_cubes: Σ α_k cos(w_k(s − c)) and the mean. excluded: L − P_K
    L. excluded_2x2, excluded_3x3: without the full blocks. excluded_neurons: P_K taken from the neurons, the skip path
    kept, without b_out (the demo). excluded_cubes: without Σ α_k cos(w_k(s − c)). Values are arrays (3,): cross-entropy
    (nats) on all pairs, training set, test set (NaN without a split). Those of neurons are left out for a network that
    has none, those of cubes where residues share answers.
    """
    network = network_or_recognised(weights, network)
    grid = grid_of(task)
    given = frequencies if frequencies is not None else find_frequencies(weights, task, network)
    keys = check_frequencies(given, grid.p)
    logits = activity(weights, task, network)["logits"][grid.rows]
    mean = logits.mean(axis=(0, 1))
    kept = project_on_sums(logits, grid, keys)
    blocks2 = kept + project_on_sums(logits, grid, keys, opposite=True)
    blocks3 = blocks2 + project_on_operands(logits, keys)
    edited = {
        "restricted": kept + mean,
        "restricted_no_mean": kept,
        "restricted_2x2": blocks2 + mean,
        "restricted_3x3": blocks3 + mean,
        "excluded": logits - kept,
        "excluded_2x2": logits - blocks2,
        "excluded_3x3": logits - blocks3,
    }
    del blocks2, blocks3
    if len(set(grid.answers)) == grid.p:
        cubes = _cubes(logits, grid, keys)
        edited |= {"restricted_cubes": cubes + mean, "excluded_cubes": logits - cubes}
    try:
        neurons = activity(weights, task, network, ("neurons",))["neurons"][grid.rows]
    except InputError:
        neurons = None
    if neurons is not None:
        # P_K is linear over inputs and W_L over neurons, so the order of the two is free
        # flat: NumPy multiplies stacks of matrices one by one
        kept_neurons = project_on_sums(neurons, grid, keys).reshape(-1, neurons.shape[2])
        through = (kept_neurons @ neuron_logit_map(weights, task).T).reshape(logits.shape)
        bias = np.zeros(logits.shape[2])
        out = last_block(weights) + "mlp.b_out"
        if out in weights:
            to_classes = np.asarray(weights["unembed.W_U"], np.float64)
            bias = (np.asarray(weights[out], np.float64) @ to_classes)[: logits.shape[2]]
        edited |= {"restricted_neurons": through + mean, "excluded_neurons": logits - through - bias}
    return {name: _losses(value, grid, train_rows) for name, value in edited.items()}


def project_on_sums(values: np.ndarray, grid: Grid, frequencies: Sequence[int], opposite: bool = False) -> np.ndarray:
    """Return P_K of values (p, p, n): the part that is a combination of cos(w_k s) and sin(w_k s), (p, p, n).

    Args:
        opposite: take the other direction, d = a − b for sums; frequency p/2, the same in both, is then left out.
    """
    p = grid.p
    table = grid.differences if opposite else grid.sums
    means = grid.by_sum(values, opposite).mean(axis=1)
    keys = [k for k in frequencies if not (opposite and 2 * k == p)]
    basis = fourier_basis(p)[rows_of(keys, p)]
    return np.asarray((basis.T @ (basis @ means))[table])


def project_on_operands(values: np.ndarray, frequencies: Sequence[int]) -> np.ndarray:
    """Return the part of values (p, p, n) that is a sum of functions of a alone and of b alone at these frequencies."""
    p = len(values)
    basis = fourier_basis(p)[rows_of(frequencies, p)]
    of_a, of_b = (basis.T @ (basis @ values.mean(axis=axis)) for axis in (1, 0))
    return np.asarray(of_a[:, None] + of_b[None])


def _cubes(logits: np.ndarray, grid: Grid, keys: Sequence[int]) -> np.ndarray:
    p = grid.p
    residues = logits[:, :, grid.class_of]
    means = grid.by_sum(residues - residues.mean(axis=2, keepdims=True)).mean(axis=1)
    alpha = np.asarray(cube_coefficients(jnp.asarray(means))[0])
    m = np.arange(p)
    of_difference = sum((alpha[k - 1] * np.cos(2 * np.pi * (k * m % p) / p) for k in keys), np.zeros(p))
    made = np.empty_like(logits)
    made[:, :, grid.class_of] = of_difference[(grid.sums[:, :, None] - m) % p]
    return made


def _losses(logits: np.ndarray, grid: Grid, train_rows: Rows) -> np.ndarray:
    sets: list[np.ndarray | None] = [grid.weights()]
    sets += [None, None] if train_rows is None else [grid.weights(r) for r in (train_rows, grid.other_rows(train_rows))]
    values, answers = jnp.asarray(logits), jnp.asarray(grid.answers[grid.sums].astype(np.int32))
    losses = [np.nan if w is None else float(loss_and_accuracy(values, answers, jnp.asarray(w))[0]) for w in sets]
    return np.array(losses)
