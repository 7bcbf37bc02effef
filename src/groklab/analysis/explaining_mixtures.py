"""What a model of several operations has found, in words and numbers of each operation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.analysis.explaining_machines import Section
from groklab.analysis.mixtures import MixtureAnalysis, OperationLoss
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.training_stages import FEWEST
from groklab.tasks.base import Task

#: Components over (a, b) that are told by name.
NAMED = 5
CONSTANT = "const · const"


def of_mixture(found: Mapping[str, Any], task: Task) -> MixtureAnalysis:
    """Return the analysis of what `analyse` found."""
    losses = tuple(
        OperationLoss(one["operation"], one["loss"], one["restricted_loss"]) for one in found.get("operations", [])
    )
    return MixtureAnalysis(task.name, task.modulus, tuple(found["key_frequencies"] or ()), losses)


def explain_mixture(found: Mapping[str, Any], weights: Mapping[str, Any], task: Task, network: Any) -> list[Section]:
    """A title and lines for the weights that all operations share and for each operation, of what `analyse` found."""
    components = _components(weights, task, network)
    told: list[Section] = [("Frequencies of the weights", _shared(found, task))]
    for one in found.get("operations", []):
        told.append((f"Operation {one['operation']}", [*_losses(one, task), *components.pop(one["operation"], [])]))
    for name, lines in components.items():
        why = "its answer is no function of a + b or a − b, so it has no restricted loss"
        told.append((f"Operation {name}", [why, *lines]))
    told.append(("More of each operation", ["groklab measure with --measure logit_parts, logits_2d, fourier_sparsity"]))
    return told


def _shared(found: Mapping[str, Any], task: Task) -> list[str]:
    keys, n = found["key_frequencies"], task.modulus // 2
    lines = []
    if keys is not None:
        lines.append(f"key frequencies, {len(keys)} of {n} by the rule {found['rule']}: {_listed(keys)}")
    for name, words in (("W_E", "the embedding W_E"), ("W_L", "the neuron-logit map W_L")):
        ffs, fcr = (found.get("fourier_sparsity", {}).get(f"{kind}_{name}") for kind in ("ffs", "fcr"))
        if ffs is not None and fcr is not None:
            lines.append(
                f"{words}: {ffs:.0%} of its cosines and sines stand out (FFS {ffs:.3f}), and the smaller of the two is "
                f"{fcr:.2f} of the larger on average (FCR)"
            )
    return lines


def _losses(one: Mapping[str, Any], task: Task) -> list[str]:
    sign, chance = "+" if one["direction"] > 0 else "−", float(np.log(task.modulus))
    lines = [
        f"loss: {one['loss']:.3g} on all pairs ({one['train_loss']:.3g} on the training set, {one['test_loss']:.3g} on "
        f"the test set); test accuracy {one['test_accuracy']:.1%}",
        f"restricted to a {sign} b at the key frequencies: {one['restricted_loss']:.3g} on all pairs; without them: "
        f"{one['excluded_loss']:.3g} on the training set (the uniform answer has {chance:.3g})",
    ]
    if one.get("logit_fve") is not None:
        lines.append(f"cosines of a {sign} b less the answer explain {one['logit_fve']:.1%} of its logits' variance")
    ends = {k.removesuffix("_ends").replace("_", " "): v for k, v in one["phases"].items() if k != "rule"}
    if len(one["trajectory"]["step"]) >= FEWEST:
        lines.append(
            _listed(f"{k} ended at step {v:,}" if v is not None else f"{k} had not ended" for k, v in ends.items())
        )
    return lines


def _components(weights: Mapping[str, Any], task: Task, network: Any) -> dict[str, list[str]]:
    """A line for each operation on its logits' largest components over (a, b)."""
    with contextlib.suppress(InputError):
        found = MEASURES["logits_2d"](weights, task, network=network)
        return {
            name: [f"largest components of its logits, of a · of b: {_listed(_largest(names, norms))}"]
            for name, names, norms in zip(found["operations"], found["largest"], found["largest_norm"], strict=True)
        }
    return {}


def _largest(names: list[str], norms: np.ndarray) -> list[str]:
    told = [f"{name} ({norm:.3g})" for name, norm in zip(names, norms, strict=True) if name != CONSTANT]
    return told[:NAMED]


def _listed(items: Any) -> str:
    return ", ".join(map(str, items))
