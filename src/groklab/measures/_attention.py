"""Attention of the last layer from the last position, and what it moves (Nanda et al. 2023, appendix C.1).

All in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64, Int, jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._fourier import ROUNDING, embedding_matrix, frequency_shares, transform_2d
from groklab.measures._grid import Grid, grid_of
from groklab.measures._neurons import best_frequency, centred_on_inputs, single_frequency_fve
from groklab.measures._registry import Result, Weights, measure
from groklab.networks import Transformer, activations
from groklab.tasks import Task

#: Attention counts as constant where its standard deviation is within so many units of rounding of the weights' type.
UNITS = 4


def operand_positions(task: Task) -> tuple[int, int]:
    """Return the positions of the tokens of a and of b.

    Raises:
        InputError: if the inputs do not have two positions that vary.
    """
    varying = task.shape.varying
    if len(varying) != 2:
        raise InputError(f"attention to two operands needs two positions that vary, and {task.name} has {len(varying)}")
    return varying[0], varying[1]


def grid_of_ordered_pairs(task: Task) -> Grid:
    """Return the grid of a task that distinguishes (a, b) from (b, a), as attention does.

    Raises:
        InputError: for unordered pairs.
    """
    grid = grid_of(task)
    if task.n_inputs < grid.p**2:
        raise InputError(f"attention is measured on ordered pairs, and {task.name} leaves half of them out")
    return grid


def pattern_on_grid(weights: Weights, task: Task, network: Any = None) -> np.ndarray:
    """Return the last layer's attention from the last position, (p, p, n_heads, n_ctx).

    Raises:
        InputError: for a network without attention, or where pairs are unordered.
    """
    network, rows = _transformer(weights, network), grid_of_ordered_pairs(task).rows
    return np.asarray(activity(weights, task, network, ("pattern",))["pattern"][rows])


def linear_form(
    attention: Float64[np.ndarray, "p p n_heads"], frequency: Int[np.ndarray, " n_heads"]
) -> tuple[Float64[np.ndarray, "p p n_heads"], Float64[np.ndarray, " n_heads"], Float64[np.ndarray, " n_heads"]]:
    """Fit 0.5 + α(cos w_k a − cos w_k b) + β(sin w_k a − sin w_k b) to each head's attention to a.

    Least squares over all inputs, at one frequency per head (appendix C.1). A frequency of 0 gives 0.5; k = p/2 has no
    sine, and β = 0.

    Returns:
        The fit, (p, p, n_heads), and α and β, (n_heads,).
    """
    p = len(attention)
    a = np.arange(p)
    fitted = np.full(attention.shape, 0.5)
    coefficients = np.zeros((2, attention.shape[2]))
    for head, k in enumerate(frequency):
        for i, wave in enumerate((np.cos, np.sin)):
            values = wave(2 * np.pi * (k * a % p) / p)
            difference = values[:, None] - values[None, :]
            size = np.sum(difference**2)
            # the sine of k = p/2 is rounding alone
            if size > 1e-9:
                coefficients[i, head] = np.sum(difference * attention[:, :, head]) / size
            fitted[:, :, head] += coefficients[i, head] * difference
    return fitted, coefficients[0], coefficients[1]


@dataclass(frozen=True, eq=False)
class Attention(Result):
    """Attention of the last layer from the last position, head by head (Nanda et al. 2023, appendix C.1).

    A frequency of 0 means that nothing varies: then there is no variance to explain and no power to share, and the
    fractions are NaN. Attention varies where its standard deviation over inputs is more than four units of rounding of
    the weights' own type, relative to its largest value: what is less the model itself cannot tell. The OV circuit and
    the path to the neurons are products of matrices alone: layers below, biases and LayerNorms have no part in them.

    Attributes:
        mean_pattern: (n_heads, n_ctx) mean over all inputs.
        score: (n_heads, p) the score q·k/√d_head given to the first operand, as a function of it: its mean over the
            second operand, on which it does not depend in a one-layer model that ends in '='.
        score_share: (n_heads, p//2) share of each frequency in the score's power, without the constant.
        score_frequency: (n_heads,) the frequency of the largest share.
        pattern_frequency: (n_heads,) the frequency of the attention to the first operand.
        pattern_std: (n_heads,) its standard deviation over inputs; 0 where it is rounding.
        pattern_fve: (n_heads,) fraction of its variance over inputs in that frequency's 3 × 3 block.
        alpha, beta: (n_heads,) attention to a as 0.5 + α(cos w a − cos w b) + β(sin w a − sin w b), by least squares
            at pattern_frequency.
        linear_fve: (n_heads,) 1 − (squared distance to that form) / (variance of the attention). The form rests on 0.5:
            for a head that rests elsewhere and varies little, such as one that attends to a alone, it is below zero,
            without a bound.
        ov_share: (n_heads, p//2) share of each of the tokens' frequencies in the power of W_E W_V W_O.
        ov_frequency: (n_heads,) the frequency of the largest share.
        neuron_path_share, neuron_path_frequency: (p//2,) and int, the same of W_E Σ_h W_V W_O W_in; None without an
            MLP.
    """

    mean_pattern: np.ndarray
    score: np.ndarray
    score_share: np.ndarray
    score_frequency: np.ndarray
    pattern_frequency: np.ndarray
    pattern_std: np.ndarray
    pattern_fve: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    linear_fve: np.ndarray
    ov_share: np.ndarray
    ov_frequency: np.ndarray
    neuron_path_share: np.ndarray | None
    neuron_path_frequency: int | None


@measure("attention")
def attention(weights: Weights, task: Task, network: Any = None) -> Attention:
    """Attention from the last position, head by head: scores, patterns, their frequencies, and the OV circuit.

    Raises:
        InputError: for a network without attention, or where pairs are unordered.
    """
    network, rows = _transformer(weights, network), grid_of_ordered_pairs(task).rows
    first, _ = operand_positions(task)
    doubles = {k: np.asarray(v, np.float64) for k, v in weights.items()}
    block = f"blocks.{network.n_layers - 1}."
    seen = activations(doubles, task.inputs, network, last_only=True)
    pattern = np.asarray(seen[block + "attn.hook_pattern"])[:, :, -1][rows]
    score = np.asarray(seen[block + "attn.hook_attn_scores"])[:, :, -1, first][rows].mean(axis=1).T
    to_first = pattern[..., first]
    rounding = _rounding(weights)
    pattern_frequency, pattern_fve = best_frequency(single_frequency_fve(to_first, rounding))
    fitted, alpha, beta = linear_form(to_first, pattern_frequency)
    _, variance = centred_on_inputs(to_first, rounding)
    distance = np.sum((to_first - fitted) ** 2, axis=(0, 1))
    score_share, score_frequency = _shares(score[:, :, None])
    ov = embedding_matrix(doubles, task) @ doubles[block + "attn.W_V"] @ doubles[block + "attn.W_O"]
    ov_share, ov_frequency = _shares(ov)
    path: tuple[np.ndarray | None, int | None] = (None, None)
    if block + "mlp.W_in" in doubles:
        share, best = _shares((ov.sum(axis=0) @ doubles[block + "mlp.W_in"])[None])
        path = share[0], int(best[0])
    return Attention(
        mean_pattern=pattern.mean(axis=(0, 1)),
        score=score,
        score_share=score_share,
        score_frequency=score_frequency,
        pattern_frequency=pattern_frequency,
        pattern_std=np.sqrt(variance) / len(to_first),
        pattern_fve=pattern_fve,
        alpha=alpha,
        beta=beta,
        linear_fve=1 - distance / np.where(variance > 0, variance, np.nan),
        ov_share=ov_share,
        ov_frequency=ov_frequency,
        neuron_path_share=path[0],
        neuron_path_frequency=path[1],
    )


@measure("attention_2d")
def attention_2d(weights: Weights, task: Task, network: Any = None) -> dict[str, Any]:
    """Fourier components of the attention from the last position: `absolute` (n_heads, n_ctx, p, p).

    The absolute value of each component of the last layer's pattern over (a, b), for each head and key position.

    Raises:
        InputError: for a network without attention, or where pairs are unordered.
    """
    return {"absolute": np.abs(np.moveaxis(transform_2d(pattern_on_grid(weights, task, network)), (2, 3), (0, 1)))}


def _transformer(weights: Weights, network: Any) -> Transformer:
    network = network_or_recognised(weights, network)
    if not isinstance(network, Transformer):
        raise InputError(f"attention belongs to transformers, and the {network.kind} network has none")
    return network


def _rounding(weights: Weights) -> float:
    """Return the standard deviation, relative to the largest value, up to which attention counts as constant."""
    units = [float(jnp.finfo(np.asarray(w).dtype).eps) for w in weights.values()]  # type: ignore[no-untyped-call]
    return max(ROUNDING, UNITS * max(units))


def _shares(matrices: Float64[np.ndarray, "n p d"]) -> tuple[np.ndarray, np.ndarray]:
    """Return `frequency_shares` of matrices (n, p, d), (n, p//2), and the best k, (n,), 0 where there is none."""
    share = np.array([frequency_shares(matrix) for matrix in matrices])
    return share, np.where(np.isnan(share).any(axis=1), 0, share.argmax(axis=1) + 1)
