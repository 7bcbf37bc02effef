"""How periodic each neuron's weights are: the inverse participation ratio of their Fourier modes.

Doshi et al. 2023 (arXiv 2310.13061), equations 3 and 4, in the convention of the authors' code: the modes are the
magnitudes of the one-sided transform, |Σ_t u_t e^(−2πikt/p)| for k = 0..p//2, so that cosine and sine of one frequency
are one mode, whatever the phase, and the constant is a mode of its own. All in double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures._fourier import ROUNDING, embedding_matrix, last_block, neuron_logit_map
from groklab.measures._registry import Weights, measure
from groklab.tasks import Task


def participation_ratio(matrix: np.ndarray, constant: bool = True) -> Float64[np.ndarray, " n"]:
    """Return the inverse participation ratio of each column of a matrix (p, n) along its first axis: (n,).

    IPR = Σ_k (|F_k| / ‖F‖)⁴ over the modes k = 0..p//2, with ‖F‖² = Σ_k |F_k|². 1 for a wave of one frequency and any
    phase, 1/(p//2 + 1) where all modes are alike, and about 4/p for white noise. No scale changes it.

    Args:
        constant: count k = 0, as the paper does: a column that is constant then has 1. Otherwise it has NaN.

    Returns:
        NaN for a column without any mode, as that of a dead neuron.

    Raises:
        InputError: unless the matrix has three rows or more, all finite.
    """
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or len(values) < 3 or not np.isfinite(values).all():
        raise InputError("matrix", values.shape, "needs two axes, three rows or more, and finite numbers")
    largest = np.abs(values).max(axis=0)
    # to one size: fourth powers of small weights would be zero
    modes = np.abs(np.fft.rfft(values / np.where(largest > 0, largest, 1), axis=0))
    modes = np.where(modes > ROUNDING * len(values), modes, 0)[0 if constant else 1 :]
    power = modes**2 / np.maximum((modes**2).sum(axis=0), 1e-300)
    ratio = (power**2).sum(axis=0)
    return np.asarray(np.where(ratio > 0, ratio, np.nan))


@measure("inverse_participation", online=True)
def inverse_participation(weights: Weights, task: Task) -> dict[str, Any]:
    """Inverse participation ratio (IPR) of each neuron's weights: 1 for waves of one frequency.

    `mean`: over the neurons. `ipr` (d_mlp,): of each neuron, the mean over its vectors, as in Doshi et al. 2023, eq. 4.
    `ipr_in` (n, d_mlp), `mean_in`: of what numbers add to the neuron's input, one row for each operand: of an MLP, the
    rows of its tables; of a transformer, one row for both, W_E Σ_heads W_V W_O · W_in, the path through attention,
    patterns left out. `ipr_out` (d_mlp,), `mean_out`: of the neuron's weights to the answers, W_L. In networks of
    several layers, `ipr_in` is of the first layer and `ipr_out` of the last, and `ipr` and `mean` are left out: those
    neurons differ. Neurons without weights have NaN, and do not count. Raises InputError where the task has no
    modulus of 3 or more, or the network no such neurons.
    """
    p = task.algebra.p
    if not p or p < 3:
        raise InputError(
            f"inverse participation needs a task with a modulus of 3 or more; {task.name} has {p or 'none'}"
        )
    if "targets.Y" in weights:
        raise InputError("logits are distances to the vectors targets.Y, so that no weight leads to an answer")
    inputs = [participation_ratio(matrix) for matrix in _input_matrices(weights, task)]
    out = participation_ratio(neuron_logit_map(weights, task))
    values: dict[str, Any] = {
        "mean_in": _mean(np.stack(inputs)),
        "mean_out": _mean(out),
        "ipr_in": np.stack(inputs),
        "ipr_out": out,
    }
    if "hidden.1.W" in weights or last_block(weights) not in ("", "blocks.0."):
        return values
    each = np.stack([*inputs, out]).mean(axis=0)
    return {"mean": _mean(each), "ipr": each, **values}


def _input_matrices(weights: Weights, task: Task) -> list[np.ndarray]:
    """Return (p, d_mlp) of each operand: what its number adds to the inputs of the first layer's neurons."""
    p = task.algebra.p
    tables = [name for name in weights if name.startswith("embed.") and name.endswith(".W")]
    if tables:
        return [np.asarray(weights[name], np.float64)[:p] for name in sorted(tables)]
    if "embed.W_E" in weights and "hidden.0.W" in weights and "unembed.W_U" in weights:
        embedding, first = (np.asarray(w, np.float64) for w in (embedding_matrix(weights, task), weights["hidden.0.W"]))
        return [embedding @ part for part in first.reshape(-1, embedding.shape[1], first.shape[1])]
    if "blocks.0.mlp.W_in" in weights:
        block = {k: np.asarray(weights[f"blocks.0.{k}"], np.float64) for k in ("attn.W_V", "attn.W_O", "mlp.W_in")}
        through = np.einsum("hde,hef->df", block["attn.W_V"], block["attn.W_O"])
        return [np.asarray(embedding_matrix(weights, task), np.float64) @ through @ block["mlp.W_in"]]
    raise InputError("these weights hold no neurons that read numbers: no embed.0.W, hidden.0.W or blocks.0.mlp.W_in")


def _mean(values: np.ndarray) -> float:
    """Return the mean of the values that are finite; NaN where none is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
