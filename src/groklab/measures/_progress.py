"""Progress measures: how far a model computes by its key frequencies (Nanda et al. 2023, section 5).

Restricted and excluded loss are projections of the logits on functions of s = a ± b. Those are tables over s, so that
nothing of the size of p³ is made but the logits themselves; the fit by Σ α_k cos(w_k(s − c)) reads p × p means. All in
double precision: the losses of a grokked model are near 1e-9, differences of logits near 1e-7 of their size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from groklab.lazy import Array, Float64, Int, jax, jit, jnp
from groklab.measures._activity import activity_function, network_or_recognised
from groklab.measures._fourier import ROUNDING, check_frequencies, fourier_basis, gini_of, last_block, rows_of
from groklab.measures._frequencies import find_frequencies
from groklab.measures._grid import Grid, grid_of, grids_of
from groklab.measures._registry import NamedTable, Result, Rows, Weights, cell, measure
from groklab.networks import with_embedding
from groklab.objectives import exact_cross_entropy
from groklab.tasks import Task, TaskShape

#: Fractions of the logits' variance that the sum of cosines explains, by what is taken off the logits first.
LOGIT_FVES = {
    "logit_fve": "the mean over c",
    "logit_fve_raw": "nothing",
    "logit_fve_mean_centred": "their one mean",
    "logit_fve_input_centred": "the mean over inputs",
    "logit_fve_double_centred": "the means over c and over inputs",
}
#: Numbers that the logits of one batch of models may hold.
BATCH_SIZE = 3_000_000

Tables = dict[str, Array]


def tables_of(grid: Grid, task: Task, train_rows: Rows) -> Tables:
    """Return the arrays that `_measured` needs of a grid, its task and the split."""
    used, place = np.unique(grid.rows, return_inverse=True)
    weights = {"all": grid.weights()}
    if train_rows is not None:
        weights |= {"train": grid.weights(train_rows), "test": grid.weights(grid.other_rows(train_rows))}
    relabelled = {"class_of": jnp.asarray(grid.class_of)} if len(set(grid.answers)) == grid.p else {}
    return relabelled | {
        # of a mixture the rows of one operation
        "inputs": jnp.asarray(task.inputs[used]),
        # pairs by their sum: row s holds the p pairs (a, b) that add up to it
        "order": jnp.asarray(grid.by_sum(place.reshape(grid.p, grid.p)).astype(np.int32)),
        "answers": jnp.asarray(grid.answers.astype(np.int32)),
        **{f"weights_{k}": jnp.asarray(grid.by_sum(v)) for k, v in weights.items()},
    }


def models_at_once(task: Task) -> int:
    """Return how many models `trajectory` measures side by side: 1 to 16, so that their logits fit into BATCH_SIZE."""
    return min(max(1, BATCH_SIZE // (task.n_inputs * task.n_answers)), 16)


def trajectory(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, frequencies: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Take the measure `progress` of many models at once.

    Args:
        weights: by name, each with a leading axis of n_models.
        frequencies: the key frequencies of the final model; None takes those of the last in the stack.

    Returns:
        Values (n_models, …); of a mixture (n_models, n_operations, …) for the operations of `grids_of`, NaN for one
        without a fit.
    """
    network = network_or_recognised({k: v[-1] for k, v in weights.items()}, network)
    grids, _ = grids_of(task)
    if frequencies is None:
        frequencies = find_frequencies({k: v[-1] for k, v in weights.items()}, task, network)
    p = task.modulus
    run = _function(network, task.shape, task.n_answers)
    stack = {k: jnp.asarray(v) for k, v in weights.items()}
    each = []
    for grid in grids.values():
        values = run(stack, tables_of(grid, task, train_rows), _mask(frequencies, p), models_at_once(task))
        each.append({k: np.asarray(v) for k, v in values.items()})
    return _side_by_side(each) if task.algebra.operations else each[0]


def _side_by_side(each: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack the values of operations on a second axis, NaN where one lacks what another has."""
    shapes = {k: v for one in each for k, v in one.items()}
    return {k: np.stack([one.get(k, np.full(v.shape, np.nan)) for one in each], axis=1) for k, v in shapes.items()}


def operation_tables(result: Mapping[str, Any]) -> list[NamedTable]:
    """Show the numbers of each operation of a mixture side by side; no table for one operation."""
    names = result.get("operations", [])
    rows = [(k, *map(cell, v)) for k, v in result.items() if names and k != "operations" and np.ndim(v) == 1]
    return [NamedTable("By operation", ("measure", *names), rows)] if names else []


@measure("progress", online=True, tables=operation_tables)
def progress(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, frequencies: Sequence[int] | None = None
) -> dict[str, Any]:
    """Restricted and excluded loss, the trigonometric fit of the logits, Gini coefficients and norms.

    loss, train_loss, test_loss: cross-entropy (nats) on all p² pairs and on either set; likewise …accuracy.
    restricted_loss(_train, _test): that of P_K L + mean of L over inputs, on all pairs (and on either set).
    excluded_loss: that of L − P_K L on the training set; excluded_loss_all, excluded_loss_test elsewhere. P_K projects
    on cos(w_k s) and sin(w_k s) for the key frequencies K (section 5.1). alpha (p//2,): least-squares coefficients of
    cos(w_k(s − c)) in the logits; cosine (p//2,): their cosine similarity with the logits; logit_fve: the fraction of
    variance of the logits, centred over c, that Σ_K α_k cos(w_k(s − c)) explains; logit_fve_raw, …_mean_centred,
    …_input_centred, …_double_centred: the same of logits centred otherwise (`logit_fractions`); trig_loss: the loss of
    that sum (section 4.1 and table 1). Where residues share answers there is no such fit, and these are left out;
    cosines and fractions are NaN where there is no variance. gini_W_E, gini_W_L: of the Fourier components' norms;
    sum_of_squares: of all weights (section 5.2). Without train_rows, what needs a split is left out. Of a mixture each
    has a leading axis, one entry for each of `operations`, those whose answer is a function of a ± b.

    Raises:
        InputError: where no answer is a function of a ± b.
    """
    stacked = {k: np.asarray(v)[None] for k, v in weights.items()}
    values = trajectory(stacked, task, train_rows, network, frequencies)
    names = {"operations": list(grids_of(task)[0])} if task.algebra.operations else {}
    return names | {k: v[0] if v[0].ndim else float(v[0]) for k, v in values.items()}


@measure("trigonometric_fit", online=True)
def trigonometric_fit(weights: Weights, task: Task, network: Any = None) -> dict[str, Any]:
    """The part of `progress` that needs no key frequencies: alpha and cosine (p//2,), gini_W_E, gini_W_L.

    Of a mixture each has a leading axis, as of `progress`.
    """
    stacked = {k: np.asarray(v)[None] for k, v in weights.items()}
    values = trajectory(stacked, task, None, network, ())
    return {k: values[k][0] for k in ("alpha", "cosine", "gini_W_E", "gini_W_L") if k in values}


@dataclass(frozen=True, eq=False)
class ExcludedByFrequency(Result):
    """Loss (nats) without each of some frequencies, and the largest."""

    frequencies: np.ndarray
    loss: np.ndarray
    maximum: float


@measure("excluded_by_frequency")
def excluded_by_frequency(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, frequencies: Sequence[int] | None = None
) -> ExcludedByFrequency:
    """Loss on the training set (or on all pairs) without one frequency at a time: `loss` of each of `frequencies`.

    Of every frequency 1..p//2 unless some are given; `maximum` needs no key frequencies (section 5.1, footnote).
    """
    p = int(grid_of(task).p)
    ks = np.arange(1, p // 2 + 1) if frequencies is None else np.array(check_frequencies(frequencies, p), int)
    network = network_or_recognised(weights, network)
    tables = tables_of(grid_of(task), task, train_rows)
    run = activity_function(network, task.shape, task.n_answers)
    logits = run({k: jnp.asarray(v, jnp.float64) for k, v in weights.items()}, tables["inputs"])["logits"]
    masks = jnp.stack([_mask([int(k)], p) for k in ks]) if len(ks) else jnp.zeros((0, p))
    which = "all" if train_rows is None else "train"
    loss = np.asarray(_excluded_each(logits[tables["order"]], tables["answers"], tables[f"weights_{which}"], masks))
    return ExcludedByFrequency(ks, loss, float(loss.max(initial=0.0)))


@measure("weight_norms", online=True)
def weight_norms(weights: Weights, task: Task) -> dict[str, float]:
    """Sum of squares of each weight by its name, and of all together as `total` (Nanda et al. 2023, section 5.2)."""
    squares = {k: float(np.sum(np.square(np.asarray(v, np.float64)))) for k, v in weights.items()}
    return {**squares, "total": sum(squares.values())}


def split_by_sum(
    logits: Float64[Array, "p p n_answers"], mask: Float64[Array, " p"], basis: Float64[Array, "p p"]
) -> tuple[Float64[Array, "p n_answers"], Float64[Array, " n_answers"]]:
    """Return P_K L as a table over s, (p, n_answers), and the mean of L over inputs, (n_answers,).

    Args:
        logits: [s, a, c], pairs ordered by their sum.
        mask: 1 on the rows of the Fourier basis that belong to K.
    """
    means = logits.mean(axis=1)
    return basis.T @ (mask[:, None] * (basis @ means)), means.mean(axis=0)


def cube_coefficients(means: Float64[Array, "p p"]) -> tuple[Float64[Array, " k"], Float64[Array, " k"]]:
    """Return α_k of Σ α_k cos(w_k(s − c)), by least squares, and the cubes' squared norms over p², (p//2,) each.

    The cubes are orthogonal, so that each α_k is a projection; and each is a function of s − c alone, so that p numbers
    hold all that it needs.

    Args:
        means: [s, c], the mean logit of residue c over the pairs of sum s.
    """
    p = means.shape[0]
    s, m = np.indices((p, p))
    total = means[s, (s - m) % p].sum(axis=0)  # over s, for each s − c = m
    k = np.arange(1, p // 2 + 1)
    cosines = np.cos(2 * np.pi * (k[:, None] * np.arange(p) % p) / p)
    squares = p * (cosines**2).sum(axis=1)
    return (cosines @ total) / squares, jnp.asarray(squares)


def logit_fractions(by_sum: Float64[Array, "p p p"], explained: Float64[Array, ""]) -> dict[str, Float64[Array, ""]]:
    """Return the fractions of the logits' variance that a fit L̂ explains, by what is taken off the logits first.

    With sums over all pairs and classes, and means over c, over inputs (a, b) and over both:

    - logit_fve: 1 − Σ(L − L̄_c − L̂)² / Σ(L − L̄_c)², the one to read: softmax does not see L̄_c(a, b);
    - logit_fve_raw: 1 − Σ(L − L̂)² / ΣL²;
    - logit_fve_mean_centred: 1 − Σ(L − L̄ − L̂)² / Σ(L − L̄)², L̄ the one mean of all;
    - logit_fve_input_centred: 1 − Σ(L − L̄_ab − L̂)² / Σ(L − L̄_ab)², which leaves out the bias of each class;
    - logit_fve_double_centred: 1 − Σ(L − L̄_c − L̄_ab + L̄ − L̂)² / Σ(L − L̄_c − L̄_ab + L̄)².

    L̂ is a least-squares sum of cosines of w_k(s − c), whose means over c and over inputs are zero: what is taken off
    changes neither the fit nor Σ L̂², and each fraction is Σ L̂² over its own denominator. NaN where that is rounding.

    Args:
        by_sum: logits [s, a, c].
        explained: Σ L̂² over all pairs and classes.
    """
    centred = by_sum - by_sum.mean(axis=2, keepdims=True)
    left = {
        "logit_fve": centred,
        "logit_fve_raw": by_sum,
        "logit_fve_mean_centred": by_sum - by_sum.mean(),
        "logit_fve_input_centred": by_sum - by_sum.mean(axis=(0, 1)),
        "logit_fve_double_centred": centred - centred.mean(axis=(0, 1)),
    }
    sizes = {name: jnp.sum(values**2) for name, values in left.items()}
    least = ROUNDING**2 * sizes["logit_fve_raw"]
    return {name: explained / jnp.where(size > least, size, jnp.nan) for name, size in sizes.items()}


def loss_and_accuracy(
    logits: Float64[Array, "*cells n_answers"], answers: Int[Array, "*cells"], weights: Float64[Array, "*cells"]
) -> tuple[Float64[Array, ""], Float64[Array, ""]]:
    """Return the weighted mean cross-entropy (nats), exact at any margin, and the accuracy, where a tie counts as
    wrong.
    """
    flat, targets = logits.reshape(-1, logits.shape[-1]), answers.reshape(-1)
    own = jnp.take_along_axis(flat, targets[:, None], axis=1)[:, 0]
    others = jnp.where(jnp.arange(flat.shape[1]) == targets[:, None], -jnp.inf, flat).max(axis=1)
    by_row = weights.reshape(-1)
    # by what is wrong, so that all right is exactly 1
    accuracy = jnp.clip(1 - jnp.sum(jnp.where(own > others, 0, by_row)), 0, 1)
    return jnp.sum(exact_cross_entropy(flat, targets) * by_row), accuracy


def _measured(weights: Mapping[str, jax.Array], logits: jax.Array, tables: Tables, mask: jax.Array) -> Tables:
    """Compute the values of `progress` for one model."""
    p = tables["order"].shape[0]
    basis = jnp.asarray(fourier_basis(p))
    sets = [k.removeprefix("weights_") for k in tables if k.startswith("weights_")]
    by_sum = logits[tables["order"]]
    answers = jnp.broadcast_to(tables["answers"][:, None], (p, p))
    values: Tables = {}
    projected, mean = split_by_sum(by_sum, mask, basis)
    versions = {"": by_sum, "restricted_": projected + mean, "excluded_": by_sum - projected[:, None]}
    for version, edited in versions.items():
        for name in sets:
            w = tables[f"weights_{name}"]
            # a table over s needs no pair twice
            cells = (tables["answers"], w.sum(axis=1)) if edited.ndim == 2 else (answers, w)
            loss, accuracy = loss_and_accuracy(edited, *cells)
            label, end = _names(version, name)
            values[f"{label}loss{end}"], values[f"{label}accuracy{end}"] = loss, accuracy
    if "class_of" in tables:
        values |= _fit(by_sum[:, :, tables["class_of"]], mask)
    return values | _sizes(weights, tables, basis)


def _names(version: str, split: str) -> tuple[str, str]:
    """Return what precedes and follows 'loss': restricted is on all pairs and excluded on the training set."""
    if not version:
        return ("" if split == "all" else f"{split}_"), ""
    usual = "all" if version == "restricted_" else "train"
    return version, "" if split == usual else f"_{split}"


def _fit(by_sum: jax.Array, mask: jax.Array) -> Tables:
    """Compute the trigonometric fit, from logits [s, a, residue]."""
    p = by_sum.shape[0]
    centred = by_sum - by_sum.mean(axis=2, keepdims=True)
    alpha, squares = cube_coefficients(centred.mean(axis=1))
    key = jnp.stack([mask[2 * k - 1] for k in range(1, p // 2 + 1)])
    explained = alpha**2 * squares * p
    s, c = np.indices((p, p))
    k = np.arange(1, p // 2 + 1)
    of_difference = (key * alpha) @ np.cos(2 * np.pi * (k[:, None] * np.arange(p) % p) / p)
    residues = jnp.arange(p, dtype=jnp.int32)
    loss, accuracy = loss_and_accuracy(of_difference[(s - c) % p], residues, jnp.full(p, 1 / p))
    fractions = logit_fractions(by_sum, jnp.sum(key * explained))
    size = jnp.sum(centred**2)
    size = jnp.where(size > ROUNDING**2 * jnp.sum(by_sum**2), size, jnp.nan)
    return {
        "alpha": alpha,
        "cosine": jnp.sign(alpha) * jnp.sqrt(explained / size),
        **fractions,
        "trig_loss": loss,
        "trig_accuracy": accuracy,
    }


def _sizes(weights: Mapping[str, jax.Array], tables: Tables, basis: jax.Array) -> Tables:
    p = basis.shape[0]
    values: Tables = {"sum_of_squares": sum((jnp.sum(w * w) for w in weights.values()), jnp.zeros(()))}
    unfolded = with_embedding(weights)
    embedding = next((unfolded[k][:p] for k in ("embed.W_E", "embed.0.W") if k in unfolded), None)
    if embedding is not None:
        values["gini_W_E"] = gini_of(jnp.linalg.norm(basis @ embedding, axis=1))
    if "unembed.W_U" in weights and "class_of" in tables:
        block = last_block(weights)
        to_logits = weights["unembed.W_U"]
        if block + "mlp.W_out" in weights:
            to_logits = weights[block + "mlp.W_out"] @ to_logits
        values["gini_W_L"] = gini_of(jnp.linalg.norm(basis @ to_logits.T[tables["class_of"]], axis=1))
    return values


def _mask(frequencies: Sequence[int], p: int) -> jax.Array:
    mask = np.zeros(p)
    mask[rows_of(check_frequencies(frequencies, p), p)] = 1
    return jnp.asarray(mask)


@jit
def _excluded_each(by_sum: jax.Array, answers: jax.Array, weights: jax.Array, masks: jax.Array) -> jax.Array:
    p = by_sum.shape[0]
    basis = jnp.asarray(fourier_basis(p))
    cells = jnp.broadcast_to(answers[:, None], (p, p))

    def one(mask: jax.Array) -> jax.Array:
        return loss_and_accuracy(by_sum - split_by_sum(by_sum, mask, basis)[0][:, None], cells, weights)[0]

    losses: jax.Array = jax.lax.map(one, masks)
    return losses


def _function(network: Any, shape: TaskShape, answers: int) -> Callable[..., Tables]:
    """Return the compiled function (stack, tables, mask, at_once) -> values with the stack's leading axis."""
    return _measuring(activity_function(network, shape, answers))


@lru_cache(maxsize=64)
def _measuring(forward: Callable[..., Any]) -> Callable[..., Tables]:
    def measured(stack: Mapping[str, jax.Array], tables: Tables, mask: jax.Array, at_once: int) -> Tables:
        def one(weights: Mapping[str, jax.Array]) -> Tables:
            doubles = {k: v.astype(jnp.float64) for k, v in weights.items()}
            return _measured(doubles, forward(doubles, tables["inputs"])["logits"], tables, mask)

        values: Tables = jax.lax.map(one, stack, batch_size=None if at_once == 1 else at_once)
        return values

    return jax.jit(measured, static_argnums=3)
