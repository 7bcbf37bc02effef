"""Key frequencies: which of the w_k = 2πk/p a trained model computes with, by each published rule.

No threshold is published. The default is the rule of Nanda et al. 2023, appendix C.2 (the spectrum of W_L of the final
model) with 'a component above a quarter of the largest'. The constant has no part in any rule: the
largest component is that of the others. Of an untrained model each rule names most frequencies: key frequencies are
those of the final model, and are applied backwards to earlier checkpoints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.lazy import Float64
from groklab.measures._activity import activity
from groklab.measures._fourier import (
    ROUNDING,
    check_frequencies,
    component_norms,
    embedding_matrix,
    fourier_basis,
    neuron_logit_map,
    rows_of,
)
from groklab.measures._grid import grid_of, grids_of
from groklab.measures._neurons import centred_on_inputs, winning_frequencies
from groklab.measures._registry import NamedTable, Result, Weights, measure
from groklab.tasks import Task

#: A component counts above this share of the largest one; of the logits, in which the spread is the square of that in
#: the weights, above this much less.
THRESHOLD = 0.25
LOGIT_THRESHOLD = 0.05
#: The same share in Furuta et al. 2024, who take one number for what is sparse and what is key.
FURUTA_THRESHOLD = 0.5
Rule = Callable[[Mapping[str, Any], Task, Any], tuple[int, ...]]


def find_frequencies(weights: Weights, task: Task, network: Any = None, rule: str | None = None) -> tuple[int, ...]:
    """Return the key frequencies of a model, ascending.

    Args:
        rule: one of RULES; None is the default of the task. 'furuta', 'furuta_union' and 'embedding' apply to every
            task with a modulus, the others where the answer is a function of a + b or a − b.

    Raises:
        InputError: for an unknown rule, or one that needs more than the task or the weights have.
    """
    rule = default_rule(task) if rule is None else rule
    check_choice("rule", rule, RULES)
    if rule not in OF_ANY_TASK and task.algebra.operations:
        raise InputError("rule", rule, f"reads one operation; a mixture needs one of {', '.join(OF_ANY_TASK)}")
    return RULES[rule](weights, task, network)


def default_rule(task: Task) -> str:
    """Return 'neuron_logit_map', or 'logits' where residues share answers, so that answers have no spectrum of their
    own.

    It is 'furuta' for a mixture, since its operations share W_L.

    Raises:
        InputError: where no answer is a function of a ± b.
    """
    if task.algebra.operations:
        grids_of(task)
        return "furuta"
    return "neuron_logit_map" if len(np.unique(grid_of(task).answers)) == task.modulus else "logits"


def residue_map(weights: Weights, task: Task) -> Float64[np.ndarray, "p d_mlp"]:
    """Return W_L with one row for each residue s = a ± b, (p, d_mlp): the row of the class that answers it."""
    return np.asarray(neuron_logit_map(weights, task)[grid_of(task).class_of])


def _by_neuron_logit_map(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(residue_map(weights, task)))


def _by_embedding(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(embedding_matrix(weights, task)))


def _by_logits(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    grid = grid_of(task)
    means = grid.by_sum(activity(weights, task, network)["logits"][grid.rows]).mean(axis=1)
    # what all answers share says nothing
    centred = means - means.mean(1, keepdims=True)
    norms = np.linalg.norm(fourier_basis(len(means)) @ centred, axis=1)
    return _strong(norms, LOGIT_THRESHOLD, float(np.linalg.norm(means)))


def _by_neurons(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    grid = grid_of(task)
    return winning_frequencies(activity(weights, task, network, ("neurons",))["neurons"][grid.rows])


def _by_classes(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(neuron_logit_map(weights, task)), FURUTA_THRESHOLD)


def _by_classes_and_embedding(weights: Weights, task: Task, network: Any) -> tuple[int, ...]:
    embedded = _strong(component_norms(embedding_matrix(weights, task)), FURUTA_THRESHOLD)
    return tuple(sorted({*_by_classes(weights, task, network), *embedded}))


#: Where each rule comes from: App. C.2; section 4.1 and the demo of TransformerLens; the authors' code; our own, which
#: asks for no neurons; and two readings of Furuta et al. 2024 (arXiv 2402.16726), who write none down.
RULES: dict[str, Rule] = {
    "neuron_logit_map": _by_neuron_logit_map,
    "embedding": _by_embedding,
    "neurons": _by_neurons,
    "logits": _by_logits,
    "furuta": _by_classes,
    "furuta_union": _by_classes_and_embedding,
}


#: Those of the weights alone, which ask nothing of the answers.
OF_ANY_TASK = ("embedding", "furuta", "furuta_union")


def rule_tables(result: Mapping[str, Any]) -> list[NamedTable]:
    """Show the key frequencies of each rule."""
    rows = [(rule, ", ".join(map(str, keys)) or "none", str(len(keys))) for rule, keys in result.items()]
    return [NamedTable("Key frequencies", ("rule", "key frequencies", "how many"), rows)]


@measure("key_frequencies", tables=rule_tables)
def key_frequencies(weights: Weights, task: Task, network: Any = None) -> dict[str, list[int]]:
    """Key `frequencies` by the default rule, and by each published one that applies.

    neuron_logit_map: a cosine or sine component of W_L above a quarter of the largest (App. C.2); the constant, to
    which softmax is blind, is left out of the largest, here and below. embedding: the same of W_E (section 4.1).
    neurons: every frequency that is the best of at least one neuron (the authors' code). logits: a component above a
    twentieth, in the logits' means over the pairs of each sum (groklab's own). furuta: a component of W_L over its
    classes above half of the largest; furuta_union: those, and the same of W_E. There is no default,
    and no `frequencies`, where the answer is not a function of a + b or a − b; for a mixture with an operation that is
    one, the default is furuta.
    """
    by_rule: dict[str, list[int]] = {}
    refusal = None
    try:
        default = default_rule(task)
    except InputError as error:
        refusal = error
    else:
        by_rule["frequencies"] = list(find_frequencies(weights, task, network, default))
    for name, rule in RULES.items():
        with contextlib.suppress(InputError):
            by_rule[name] = list(rule(weights, task, network))
    if refusal and not by_rule:
        raise refusal
    return by_rule


def _strong(norms: np.ndarray, threshold: float = THRESHOLD, size: float | None = None) -> tuple[int, ...]:
    """Return the frequencies with a component above a share of the largest, the constant left out of both.

    Args:
        norms: (p,) of the components, the constant first.
        size: of what they are the components; None is their norm. Components that are rounding beside it do not count.
    """
    components = norms[1:]
    rounding = ROUNDING * float(np.linalg.norm(norms) if size is None else size)
    strong = components > max(threshold * components.max(), rounding)
    return tuple(sorted({int(i) // 2 + 1 for i in np.flatnonzero(strong)}))


@dataclass(frozen=True, eq=False)
class Directions(Result):
    """W_L = Σ_k F_cos,k u_k^T + F_sin,k v_k^T with orthonormal Fourier vectors over residues (section 4.2).

    v does not exist for k = p/2: it is zero, and what depends on it is NaN.

    Attributes:
        frequencies: the key frequencies K.
        u, v: (|K|, d_mlp) rows of F W_L.
        u_norm, v_norm: (p//2,) norms for every frequency.
        singular_values: of W_L, min(p, d_mlp) of them.
        residual_ratio: Frobenius norm of W_L without those 2|K| rows over that of W_L, the constant row left out of
            both: it adds the same to every logit, to which softmax is blind. NaN where W_L has no other row.
        residual_ratio_with_constant: the same with the constant row in both; NaN for a W_L of zeros.
        cos_fve, sin_fve: (|K|,) fraction of the variance of u_k^T MLP(a, b) that cos(w_k s) explains, and of
            v_k^T MLP(a, b) that sin(w_k s) does (table 1); NaN without variance.
        cos_coefficient, sin_coefficient: (|K|,) projections on the unit vectors of these waves over the p² inputs.
    """

    frequencies: list[int]
    u: np.ndarray
    v: np.ndarray
    u_norm: np.ndarray
    v_norm: np.ndarray
    singular_values: np.ndarray
    residual_ratio: float
    residual_ratio_with_constant: float
    cos_fve: np.ndarray
    sin_fve: np.ndarray
    cos_coefficient: np.ndarray
    sin_coefficient: np.ndarray


@measure("directions")
def directions(
    weights: Weights, task: Task, network: Any = None, frequencies: Sequence[int] | None = None
) -> Directions:
    """The directions u_k, v_k from which W_L reads cos(w_k s) and sin(w_k s), and how well neurons write them there.

    Raises:
        InputError: where two residues share an answer.
    """
    grid = grid_of(task)
    given = find_frequencies(weights, task, network) if frequencies is None else frequencies
    keys = check_frequencies(given, grid.p)
    to_residues = residue_map(weights, task)
    norms = component_norms(to_residues)
    # a row that is rounding alone has no direction
    is_row = norms > ROUNDING * np.linalg.norm(norms)
    spectrum = np.where(is_row[:, None], fourier_basis(grid.p) @ to_residues, 0.0)
    if grid.p % 2 == 0:
        spectrum, norms = np.pad(spectrum, ((0, 1), (0, 0))), np.append(norms, 0.0)
    values = activity(weights, task, network, ("neurons",))["neurons"][grid.rows]
    rest, centred = np.delete(norms, rows_of(keys, grid.p)), centred_on_inputs(values)
    u, v = (spectrum[[2 * (k - 1) + first for k in keys]] for first in (1, 2))
    fits = {}
    for wave, rows in (("cos", u), ("sin", v)):
        fits[wave] = _fit_wave(*centred, rows, keys, wave, grid.sums)
    return Directions(
        frequencies=list(keys),
        u=u,
        v=v,
        u_norm=norms[1::2],
        v_norm=norms[2::2],
        singular_values=np.linalg.svd(to_residues, compute_uv=False),
        residual_ratio=_ratio(rest[1:], norms[1:], norms),
        residual_ratio_with_constant=_ratio(rest, norms, norms),
        cos_fve=fits["cos"][1],
        sin_fve=fits["sin"][1],
        cos_coefficient=fits["cos"][0],
        sin_coefficient=fits["sin"][0],
    )


def _ratio(part: np.ndarray, total: np.ndarray, size: np.ndarray) -> float:
    """Return the ratio of two norms, NaN where the second is rounding beside a third."""
    below = np.linalg.norm(total)
    return float(np.linalg.norm(part) / below) if below > ROUNDING * np.linalg.norm(size) else float("nan")


def _fit_wave(
    neurons: np.ndarray, energy: np.ndarray, rows: np.ndarray, keys: Sequence[int], wave: str, sums: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit what neurons write along rows (|K|, d_mlp) by a wave of w_k s.

    Args:
        neurons: (p, p, d_mlp), centred over inputs.
        energy: (d_mlp,) their sums of squares.

    Returns:
        Coefficients on the waves' unit vectors, (|K|,), and fractions of variance, NaN without any.
    """
    p = len(sums)
    centred = (neurons.reshape(p * p, -1) @ rows.T).reshape(p, p, -1)
    variance, largest = np.sum(centred**2, axis=(0, 1)), energy.sum() * np.sum(rows**2, axis=1)
    variance = np.where(variance > ROUNDING**2 * largest, variance, np.nan)
    coefficients = np.full(len(keys), np.nan)
    for i, k in enumerate(keys):
        if wave == "cos" or 2 * k != p:
            unit = (np.cos if wave == "cos" else np.sin)(2 * np.pi * (k * sums % p) / p)
            coefficients[i] = np.sum(unit * centred[:, :, i]) / np.linalg.norm(unit)
    return coefficients, coefficients**2 / variance
