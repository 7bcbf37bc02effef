"""Key frequencies: which of the w_k = 2πk/p a trained model computes with, by each published rule.

No threshold is published. The declared default is the rule of Nanda et al. 2023, appendix C.2 (the spectrum of W_L of
the final model) with 'a component above a quarter of the largest'. Of an untrained model each rule names most
frequencies: key frequencies are those of the final model, and are applied backwards to earlier checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64
from groklab.measures.activity import activity
from groklab.measures.fourier import (
    check_frequencies,
    component_norms,
    embedding_matrix,
    fourier_basis,
    neuron_logit_map,
    rows_of,
)
from groklab.measures.grid import grid_of, grids_of
from groklab.measures.neurons import centred_on_inputs, winning_frequencies
from groklab.measures.registry import NamedTable, measure
from groklab.tasks.base import Task

#: A component counts above this share of the largest one; of the logits, in which the spread is the square of that in
#: the weights, above this much less.
THRESHOLD = 0.25
LOGIT_THRESHOLD = 0.05
#: The same share in Furuta et al. 2024, who take one number for what is sparse and what is key.
FURUTA_THRESHOLD = 0.5
Rule = Callable[[Mapping[str, Any], Task, Any], tuple[int, ...]]


def find_frequencies(
    weights: Mapping[str, Any], task: Task, network: Any = None, rule: str | None = None
) -> tuple[int, ...]:
    """The key frequencies of a model, ascending, by one of RULES (None: the default of the task).

    Raises InputError for an unknown rule, or one that needs more than the task or the weights have: 'furuta',
    'furuta_union' and 'embedding' apply to every task with a modulus, the others where the answer is a function of
    a + b or a − b, and the default there and to a mixture with such an operation.
    """
    rule = default_rule(task) if rule is None else rule
    if rule not in RULES:
        raise InputError("rule", rule, f"needs to be one of {', '.join(RULES)}")
    if rule not in OF_ANY_TASK and task.algebra.operations:
        raise InputError("rule", rule, f"reads one operation; a mixture needs one of {', '.join(OF_ANY_TASK)}")
    return RULES[rule](weights, task, network)


def default_rule(task: Task) -> str:
    """'neuron_logit_map', or 'logits' where residues share answers, so that answers have no spectrum of their own.

    Of a mixture 'furuta', since its operations share W_L. Raises InputError where no answer is a function of a ± b.
    """
    if task.algebra.operations:
        grids_of(task)
        return "furuta"
    return "neuron_logit_map" if len(np.unique(grid_of(task).answers)) == task.modulus else "logits"


def residue_map(weights: Mapping[str, Any], task: Task) -> Float64[np.ndarray, "p d_mlp"]:
    """W_L with a row for each residue s = a ± b, (p, d_mlp): the row of the class that answers it."""
    return np.asarray(neuron_logit_map(weights, task)[grid_of(task).class_of])


def _by_neuron_logit_map(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(residue_map(weights, task)))


def _by_embedding(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(embedding_matrix(weights, task)))


def _by_logits(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
    grid = grid_of(task)
    means = grid.by_sum(activity(weights, task, network)["logits"][grid.rows]).mean(axis=1)
    # what all answers share says nothing
    return _strong(
        np.linalg.norm(fourier_basis(len(means)) @ (means - means.mean(1, keepdims=True)), axis=1), LOGIT_THRESHOLD
    )


def _by_neurons(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
    grid = grid_of(task)
    return winning_frequencies(activity(weights, task, network, ("neurons",))["neurons"][grid.rows])


def _by_classes(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
    return _strong(component_norms(neuron_logit_map(weights, task)), FURUTA_THRESHOLD)


def _by_classes_and_embedding(weights: Mapping[str, Any], task: Task, network: Any) -> tuple[int, ...]:
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


def rule_tables(found: Mapping[str, Any]) -> list[NamedTable]:
    """The key frequencies of each rule, for people."""
    rows = [(rule, ", ".join(map(str, keys)) or "none", str(len(keys))) for rule, keys in found.items()]
    return [NamedTable("Key frequencies", ("rule", "key frequencies", "how many"), rows)]


@measure("key_frequencies", tables=rule_tables)
def key_frequencies(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Key `frequencies` by the default rule, and by each published one that applies.

    neuron_logit_map: a cosine or sine component of W_L above a quarter of the largest (App. C.2). embedding: the same
    of W_E (section 4.1). neurons: every frequency that is the best of at least one neuron (the authors' code).
    logits: a component above a twentieth, in the logits' means over the pairs of each sum (groklab's own).
    furuta: a component of W_L over its classes above half of the largest; furuta_union: those, and the same of W_E.
    Where the answer is no function of a + b or a − b there is no default, and `frequencies` is left out; of a mixture
    with an operation that is one, the default is furuta.
    """
    found: dict[str, Any] = {}
    refusal = None
    try:
        default = default_rule(task)
    except InputError as error:
        refusal = error
    else:
        found["frequencies"] = list(find_frequencies(weights, task, network, default))
    for name, rule in RULES.items():
        try:
            found[name] = list(rule(weights, task, network))
        except InputError:
            continue
    if refusal and not found:
        raise refusal
    return found


def _strong(norms: np.ndarray, threshold: float = THRESHOLD) -> tuple[int, ...]:
    components = norms[1:]
    return tuple(sorted({int(i) // 2 + 1 for i in np.flatnonzero(components > threshold * components.max())}))


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
