"""How circulant the off-diagonal block of a feature matrix is, and how plain its diagonal blocks are.

A feature matrix that has learnt modular arithmetic is [[A, C'], [C, A]] with A = c1 I + c2 11' and C circulant
(Mallinar et al. 2024, observation 1): constant along its diagonals (Toeplitz) or its anti-diagonals (Hankel), for
products and quotients in the order of discrete logarithms. These four are a block's orientations.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures._feature_matrices import (
    blocks,
    feature_matrix,
    is_kernel_machine,
    neural_feature_matrix,
    operands_of,
)
from groklab.measures._fourier import ROUNDING
from groklab.measures._registry import Rows, Weights, measure
from groklab.tasks import ORIENTATIONS, Task, circulant, is_prime, log_order

Wrapping = Literal["toeplitz", "hankel"]

NAMES = {
    "toeplitz": "Toeplitz",
    "hankel": "Hankel",
    "toeplitz_log": "Toeplitz, log order",
    "hankel_log": "Hankel, log order",
}
#: Below this deviation a block counts as circulant, above the other as not.
CIRCULANT, FAR = 0.2, 0.7
#: In a sentence: what entry (i, j) of such a block is a function of.
ENTRIES = {
    "toeplitz": "wrapped Toeplitz (a function of j − i)",
    "hankel": "wrapped Hankel (a function of i + j)",
    "toeplitz_log": "wrapped Toeplitz in the order of discrete logarithms (a function of log j − log i)",
    "hankel_log": "wrapped Hankel in the order of discrete logarithms (a function of log i + log j)",
}
_COMPARED = {"toeplitz": "a + b", "hankel": "a − b", "toeplitz_log": "a·b", "hankel_log": "a/b"}
#: The sentence for a block that is circulant in more than one way.
ALIKE = "circulant in more than one way, as a multiple of the identity is, which says little about the operation"


def diagonal_means(block: Float64[np.ndarray, "q q"], wrapping: Wrapping) -> Float64[np.ndarray, " q"]:
    """Return means over the wrapped diagonals j − i = k mod q ('toeplitz') or anti-diagonals i + j = k ('hankel')."""
    q = len(block)
    row, k = np.indices((q, q))
    column = row + k if wrapping == "toeplitz" else k - row
    return np.asarray(block[row, column % q].mean(axis=0))


def circulant_deviation(block: Float64[np.ndarray, "q q"]) -> dict[str, float]:
    """Return the share of a block's energy that no circulant explains, for `toeplitz` and `hankel`: D in [0, 1].

    D(B) = |B − C|² / |B|² in Frobenius norms, where C holds the means over wrapped diagonals: the paper's 1/|B|² Σ_j
    Var(S(B)_j) with Var(v) = Σ (v − mean v)² and rows shifted to align diagonals (section 3). Noise of mean zero has 1
    − 1/q; a block of zeros has none, NaN.
    """
    size = np.max(np.abs(block), initial=0.0)
    if size == 0:
        return {"toeplitz": np.nan, "hankel": np.nan}
    scaled = block / size  # so that no square is lost below or above the range of floats
    energy = np.sum(scaled**2)

    def of(wrapping: Wrapping) -> float:
        rest = np.sum((scaled - circulant(diagonal_means(scaled, wrapping), wrapping)) ** 2)
        # a number that is not finite stays one
        return float(np.clip(rest / energy, 0, 1))

    return {"toeplitz": of("toeplitz"), "hankel": of("hankel")}


def logarithmic(block: Float64[np.ndarray, "p p"], generator: int | None = None) -> Float64[np.ndarray, "q q"]:
    """Return a block without row and column 0, in the order of powers of a generator (None: the smallest).

    Raises:
        InputError: where p is not a prime or the generator generates less.
    """
    order = log_order(len(block), generator)
    return np.asarray(block[np.ix_(order, order)])


def deviations(block: Float64[np.ndarray, "p p"], generator: int | None = None) -> dict[str, float]:
    """Return `circulant_deviation` of a block as it is and in the order of logarithms: one number per orientation.

    toeplitz_log and hankel_log are NaN where p is not a prime. Every generator gives the same (the paper's lemma J.1).
    """
    in_order = {"toeplitz": np.nan, "hankel": np.nan}
    if is_prime(len(block)):
        in_order = circulant_deviation(logarithmic(block, generator))
    return {**circulant_deviation(block), **{f"{k}_log": v for k, v in in_order.items()}}


@measure("circulant_deviation", online=True)
def circulance(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, float]:
    """How far the off-diagonal block of the feature matrix is from circulant: 0 circulant, 1 not at all.

    Of the bottom-left p × p block (`feature_matrix`): `toeplitz`, `hankel`, and in the order of logarithms, without row
    and column 0, `toeplitz_log`, `hankel_log` (`circulant_deviation`, section 3). *_paper: the same over q = p, or q =
    p − 1 with logarithms, as the axes of the paper's figures have it. nfm_*: of a network's W1' W1. NaN for a block of
    zeros, such as that of a kernel machine's M at step 0, and with logarithms where p is not a prime. Raises InputError
    as `feature_matrix` does.
    """
    block = blocks(feature_matrix(weights, task, train_rows, network))[2]
    own = deviations(block)
    paper = {f"{k}_paper": own[k] / max(len(block) - k.endswith("_log"), 1) for k in ORIENTATIONS}
    if is_kernel_machine(weights, network):
        return {**own, **paper}
    neural = deviations(blocks(neural_feature_matrix(weights, task, network))[2])
    return {**own, **paper, **{f"nfm_{k}": v for k, v in neural.items()}}


def fit_identity_and_ones(block: Float64[np.ndarray, "p p"]) -> tuple[float, float, float]:
    """Return the c1, c2 of the closest c1 I + c2 11' to a block (least squares), and |block − fit| / |block|.

    Norms are Frobenius's; the residual of a block of zeros is NaN. c2 is the mean of the entries off the diagonal, and
    c1 that of those on it less c2.
    """
    p = len(block)
    trace = float(np.trace(block))
    c2 = (float(block.sum()) - trace) / (p * (p - 1))
    c1 = trace / p - c2
    return c1, c2, _ratio(float(np.linalg.norm(block - c1 * np.eye(p) - c2)), float(np.linalg.norm(block)))


@measure("block_structure", online=True)
def block_structure(weights: Weights, task: Task, train_rows: Rows = None, network: Any = None) -> dict[str, float]:
    """How close the diagonal blocks of the feature matrix are to c1 I + c2 11', and how much is off the diagonal.

    Of the top-left block: `c1`, `c2`, `ratio` = c2 p / c1 (−1 for a multiple of I − 11'/p, as observation 1 has it),
    `residual` = |A − fit| / |A| in Frobenius norms. second_*: of the bottom-right block. off_diagonal_share: share of
    the sum of squares of all entries that is in the two off-diagonal blocks. NaN for a division by zero. Raises
    InputError as `feature_matrix` does.
    """
    matrix = feature_matrix(weights, task, train_rows, network)
    first, upper, lower, second = blocks(matrix)
    # scaled, so that no square is lost below or above the range of floats
    size = float(np.max(np.abs(matrix), initial=0.0)) or 1.0
    energy = float(np.sum((upper / size) ** 2) + np.sum((lower / size) ** 2))
    values = {"off_diagonal_share": _ratio(energy, float(np.sum((matrix / size) ** 2)))}
    for prefix, block in (("", first), ("second_", second)):
        c1, c2, residual = fit_identity_and_ones(block)
        # a difference of two means, each as exact as the largest entry
        differs = abs(c1) > ROUNDING * np.max(np.abs(block), initial=0.0)
        values |= {f"{prefix}c1": c1, f"{prefix}c2": c2, f"{prefix}ratio": _ratio(c2 * len(block), c1 * differs)}
        values[f"{prefix}residual"] = residual
    return values


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")


def compared(orientation: str) -> str:
    """Return what pairs that a kernel machine with such a block puts together share: 'a + b', 'a − b', 'a·b', 'a/b'.

    The product x'Mx' of two pairs holds C[b, a'] + C[b', a], which are the same number for a Toeplitz C where a + b =
    a' + b', and for a Hankel C where a − b = a' − b'. Nothing of the kind follows from a network's block.
    """
    return _COMPARED[orientation]


def is_function_of(task: Task, orientation: str) -> bool:
    """Return whether the task's answer is a function of what an orientation compares, among operands other than 0."""
    try:
        p, operands = operands_of(task)
    except InputError:
        return False
    a, b = operands.T.astype(np.int64)
    inside = (a != 0) & (b != 0)
    if orientation.endswith("_log"):
        if not is_prime(p):
            return False
        place = np.zeros(p, np.int64)
        place[log_order(p)] = np.arange(p - 1)
        a, b, p = place[a], place[b], p - 1
    group = ((a + b if orientation.startswith("toeplitz") else a - b) % p)[inside]
    pairs = np.unique(np.stack([group, task.targets[inside].astype(np.int64)]), axis=1)
    return bool(len(np.unique(group)) == pairs.shape[1])


def is_ambiguous(final: dict[str, Any]) -> bool:
    """Return whether a block is circulant in more than one orientation, so that none says what is compared."""
    return sum(final.get(k) is not None and float(final[k]) <= CIRCULANT for k in ORIENTATIONS) > 1


def best(final: dict[str, Any]) -> str | None:
    """Return the orientation of the smallest deviation, None where there is no number."""
    seen = {k: float(final[k]) for k in ORIENTATIONS if final.get(k) is not None and np.isfinite(final[k])}
    return min(seen, key=lambda k: seen[k]) if seen else None
