"""What the heads of the last layer attend to from the last position, and what they move (Nanda et al. 2023, C.1).

All in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64, Int
from groklab.measures.activity import activity, network_or_recognised
from groklab.measures.fourier import embedding_matrix, frequency_norms, transform_2d
from groklab.measures.grid import Grid, grid_of
from groklab.measures.neurons import best_frequency, single_frequency_fve
from groklab.measures.registry import measure
from groklab.networks.hooks import activations
from groklab.networks.transformer import Transformer
from groklab.tasks.base import Task


def operand_positions(task: Task) -> tuple[int, int]:
    """Positions of the tokens of a and of b; raises InputError where the inputs do not have two that vary."""
    varying = task.shape.varying
    if len(varying) != 2:
        raise InputError(f"attention to two operands needs two positions that vary, and {task.name} has {len(varying)}")
    return varying[0], varying[1]


def grid_of_ordered_pairs(task: Task) -> Grid:
    """The grid of a task that tells (a, b) from (b, a), as attention does; raises InputError for unordered pairs."""
    grid = grid_of(task)
    if task.n_inputs < grid.p**2:
        raise InputError(f"attention is measured on ordered pairs, and {task.name} leaves half of them out")
    return grid


def pattern_on_grid(weights: Mapping[str, Any], task: Task, network: Any = None) -> np.ndarray:
    """The last layer's attention from the last position, (p, p, n_heads, n_ctx); InputError without attention."""
    network = network_or_recognised(weights, network)
    if not isinstance(network, Transformer):
        raise InputError(f"attention belongs to transformers, and the {network.kind} network has none")
    grid = grid_of_ordered_pairs(task)
    return np.asarray(activity(weights, task, network, ("pattern",))["pattern"][grid.rows])


def linear_form(
    attention: Float64[np.ndarray, "p p n_heads"], frequency: Int[np.ndarray, " n_heads"]
) -> tuple[Float64[np.ndarray, "p p n_heads"], Float64[np.ndarray, " n_heads"], Float64[np.ndarray, " n_heads"]]:
    """0.5 + α(cos w_k a − cos w_k b) + β(sin w_k a − sin w_k b) for each head, (p, p, n_heads), α and β (n_heads,).

    Least squares over all inputs, for attention to a and one frequency a head (appendix C.1). A frequency of 0 gives
    0.5; k = p/2 has no sine, and β = 0.
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


@measure("attention")
def attention(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Attention from the last position, head by head: scores, patterns, their frequencies, and the OV circuit.

    Of the last layer. mean_pattern (n_heads, n_ctx): mean over all inputs. score (n_heads, p): the score q·k/√d_head
    given to the first operand as a function of it (its mean over the second, of which it is no function in a one-layer
    model that ends in '='); score_share (n_heads, p//2): the share of each frequency in its power, without the
    constant; score_frequency (n_heads,): the largest. pattern_frequency, pattern_fve (n_heads,): the frequency of the
    attention to the first operand and the fraction of its variance over inputs in that frequency's 3 × 3 block.
    alpha, beta (n_heads,): attention to a as 0.5 + α(cos w a − cos w b) + β(sin w a − sin w b), by least squares at
    pattern_frequency; linear_fve (n_heads,): 1 − (squared distance to that form) / (variance of the attention).
    ov_share (n_heads, p//2), ov_frequency (n_heads,): power of W_E W_V W_O over the tokens' frequencies, and the best;
    neuron_path_share (p//2,), neuron_path_frequency: of W_E Σ_h W_V W_O W_in (left out without an MLP). These are
    products of matrices alone: layers below, biases and LayerNorms have no part in them. A frequency of 0 stands for
    what does not vary. Raises InputError for a network without attention, or where pairs are unordered.
    """
    network = network_or_recognised(weights, network)
    if not isinstance(network, Transformer):
        raise InputError(f"attention belongs to transformers, and the {network.kind} network has none")
    rows = grid_of_ordered_pairs(task).rows
    first, _ = operand_positions(task)
    doubles = {k: np.asarray(v, np.float64) for k, v in weights.items()}
    block = f"blocks.{network.n_layers - 1}."
    seen = activations(doubles, task.inputs, network, last_only=True)
    pattern = np.asarray(seen[block + "attn.hook_pattern"])[:, :, -1][rows]
    score = np.asarray(seen[block + "attn.hook_attn_scores"])[:, :, -1, first][rows].mean(axis=1).T
    to_first = pattern[..., first]
    pattern_frequency, pattern_fve = best_frequency(single_frequency_fve(to_first))
    fitted, alpha, beta = linear_form(to_first, pattern_frequency)
    variance = np.sum((to_first - to_first.mean(axis=(0, 1))) ** 2, axis=(0, 1))
    distance = np.sum((to_first - fitted) ** 2, axis=(0, 1))
    varies = pattern_frequency > 0
    score_share, score_frequency = _shares(score[:, :, None])
    ov = embedding_matrix(doubles, task) @ doubles[block + "attn.W_V"] @ doubles[block + "attn.W_O"]
    ov_share, ov_frequency = _shares(ov)
    found: dict[str, Any] = {
        "mean_pattern": pattern.mean(axis=(0, 1)),
        "score": score,
        "score_share": score_share,
        "score_frequency": score_frequency,
        "pattern_frequency": pattern_frequency,
        "pattern_fve": pattern_fve,
        "alpha": alpha,
        "beta": beta,
        "linear_fve": np.where(varies, 1 - distance / np.where(varies, variance, 1.0), 0.0),
        "ov_share": ov_share,
        "ov_frequency": ov_frequency,
    }
    if block + "mlp.W_in" in doubles:
        share, best = _shares((ov.sum(axis=0) @ doubles[block + "mlp.W_in"])[None])
        found |= {"neuron_path_share": share[0], "neuron_path_frequency": int(best[0])}
    return found


@measure("attention_2d")
def attention_2d(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Fourier components of the attention from the last position: `absolute` (n_heads, n_ctx, p, p).

    The absolute value of each component of the last layer's pattern over (a, b), for each head and key position; raises
    InputError for a network without attention.
    """
    return {"absolute": np.abs(np.moveaxis(transform_2d(pattern_on_grid(weights, task, network)), (2, 3), (0, 1)))}


def _shares(matrices: Float64[np.ndarray, "n p d"]) -> tuple[np.ndarray, np.ndarray]:
    """Shares of each frequency in the power of matrices (n, p, d) along p, (n, p//2), and the largest ones' k, (n,)."""
    power = np.array([frequency_norms(matrix) ** 2 for matrix in matrices])
    total = power.sum(axis=1, keepdims=True)
    share = power / np.where(total > 0, total, 1.0)
    return share, np.where(total[:, 0] > 0, share.argmax(axis=1) + 1, 0)
