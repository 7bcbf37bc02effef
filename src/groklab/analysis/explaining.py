"""What algorithm a trained model has found, in words and numbers of that model."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.analysis.checkpoints import NotApplicable
from groklab.analysis.circuits import CircuitVerdict
from groklab.analysis.explaining_machines import Section, explain_machine
from groklab.analysis.explaining_mixtures import explain_mixture, of_mixture
from groklab.analysis.explaining_representations import representation_lines
from groklab.analysis.features import FeatureVerdict
from groklab.analysis.measuring import Told, analyse
from groklab.analysis.representations import RepresentationAnalysis
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.circulance import is_asked
from groklab.measures.fourier import component_norms, embedding_matrix, rows_of
from groklab.measures.grid import grid_of
from groklab.measures.training_stages import FEWEST
from groklab.store.run import Run
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.training.ensemble import build_task

#: Neuron clusters and ablations that are told one by one.
FEW = 8


def explain(run: Run, member: int = 0, told: Told = lambda done, total: None) -> dict[str, Any]:
    """The found algorithm of a run's final model: `verdict`, one sentence, and `sections`, a title and lines each.

    Everything said is measured on this model; see `analyse` for the numbers. Where the task's answer is no function of
    a ± b there is a verdict that says so, and no section; where it is a sum or product that is not reduced, the
    representation's parallelograms are told instead; of a mixture there is a section for each operation. Raises
    InputError where there are no weights to look at, or for a member that the run does not have.
    """
    if not 0 <= member < run.n_members:
        raise InputError("member", member, f"{run.name} has members 0 to {run.n_members - 1}")
    experiment = run.experiments[member]
    task = build_task(experiment)
    found = analyse(run, members=[member], told=told)
    head = {"run": run.name, "member": member, "seed": experiment.seed, "step": found["step"], "task": task.name}
    if experiment.network is None and "circulant_deviation" in found:
        sections = explain_machine(found, task)
        return {
            **head,
            "verdict": _of_machine(found, task).verdict(),
            "sections": [{"title": t, "lines": lines} for t, lines in sections if lines],
        }
    if found["representation"] is not None:
        lines = representation_lines(found["representation"])
        return {
            **head,
            "verdict": RepresentationAnalysis.of(found["representation"]).verdict(),
            "sections": [{"title": "Representation", "lines": lines}],
        }
    if task.algebra.operations and experiment.network is not None:
        sections = explain_mixture(found, run.weights(found["step"], member), task, experiment.network)
        return {
            **head,
            "verdict": of_mixture(found, task).verdict(),
            "sections": [{"title": t, "lines": lines} for t, lines in sections if lines],
        }
    if "does_not_apply" in found:
        return {
            **head,
            "verdict": NotApplicable.because(found["does_not_apply"]).reason,
            "sections": [],
        }
    weights = run.weights(found["step"], member)
    train = make_split(experiment.split, task, experiment.seed).train
    taken: dict[str, dict[str, Any]] = {}
    for name in ("neurons", "directions", "attention", "ablations"):
        try:
            taken[name] = MEASURES[name](
                weights, task, train, network=experiment.network, frequencies=found["key_frequencies"]
            )
        except InputError:
            continue
    sections = [_embedding(weights, task, found)]
    if "attention" in taken:
        sections.append(_attention(taken["attention"]))
    if "neurons" in taken:
        sections.append(_neurons(taken["neurons"], found))
    if "directions" in taken:
        sections.append(_directions(taken["directions"]))
    sections.append(_logits(found, task))
    if "ablations" in taken:
        sections.append(_ablations(taken["ablations"], found))
    sections.append(_history(found))
    return {
        **head,
        "verdict": CircuitVerdict.of(grid_of(task), found["key_frequencies"], found).verdict(),
        "sections": [{"title": t, "lines": lines} for t, lines in sections],
    }


def _of_machine(found: dict[str, Any], task: Task) -> FeatureVerdict:
    orientation = found["orientation"]
    asked = orientation is not None and is_asked(task, orientation)
    return FeatureVerdict(found["circulant_deviation"], orientation, asked, found["test_accuracy"])


def _embedding(weights: dict[str, np.ndarray], task: Task, found: dict[str, Any]) -> Section:
    try:
        power = component_norms(embedding_matrix(weights, task)) ** 2
    except InputError as error:
        return "Embedding", [f"{error}."]
    p = len(power)
    share = {k: float(power[rows_of([k], p)].sum() / max(power.sum(), 1e-300)) for k in found["key_frequencies"]}
    told = _few([f"{k} ({v:.0%})" for k, v in sorted(share.items(), key=lambda item: -item[1])])
    return "Embedding", [
        f"key frequencies carry {sum(share.values()):.0%} of its power: {told}",
        f"Gini coefficient of its Fourier components: {found['gini_W_E']:.3f} (0 is even, {1 - 1 / p:.2f} one alone)",
    ]


def _attention(found: dict[str, Any]) -> Section:
    pattern = np.asarray(found["mean_pattern"])
    lines = [f"the last position attends to itself by {pattern[:, -1].min():.2%} to {pattern[:, -1].max():.2%}"]
    for head, (k, fve, linear) in enumerate(
        zip(found["pattern_frequency"], found["pattern_fve"], found["linear_fve"], strict=True)
    ):
        if k == 0:
            lines.append(f"head {head} attends to every input alike")
            continue
        lines.append(
            f"head {head}: attention to a varies with frequency {k} ({fve:.0%} of its variance; "
            f"{max(linear, 0.0):.0%} by ½ + α(cos w a − cos w b) + β(sin w a − sin w b))"
        )
    return "Attention", lines


def _neurons(found: dict[str, Any], all_found: dict[str, Any]) -> Section:
    n, well = len(found["fve"]), int(found["well_explained_neurons"])
    clusters = np.asarray(found["clustered_by_frequency"])
    order = [int(i) for i in np.argsort(-clusters, kind="stable") if clusters[i]]
    told = _few([f"{clusters[i]} at {i + 1}" for i in order]) or "none"
    lines = [
        f"{well} of {n} neurons ({well / n:.0%}) have at least 85% of their variance in quadratic polynomials of one "
        f"frequency: {told}"
    ]
    off = [i + 1 for i in order if i + 1 not in all_found["key_frequencies"]]
    if off:
        lines.append(f"of these frequencies {_listed(off)} {'is' if len(off) == 1 else 'are'} not key")
    if found["dead_neurons"]:
        lines.append(f"{found['dead_neurons']} neurons never vary")
    return "Neurons", lines


def _directions(found: dict[str, Any]) -> Section:
    singular = np.asarray(found["singular_values"])
    n = sum(int(np.isfinite(x)) for x in [*found["cos_fve"], *found["sin_fve"]])
    fve = [x for x in [*found["cos_fve"], *found["sin_fve"]] if np.isfinite(x)]
    lines = [f"the {n} directions of its key frequencies leave {found['residual_ratio']:.1%} of W_L's norm"]
    if 0 < n < len(singular) and singular[n] > 0:
        lines.append(
            f"after {n} singular values W_L falls by {singular[n - 1] / singular[n]:.3g} times, "
            f"from {singular[n - 1]:.3g} to {singular[n]:.3g}"
        )
    lines.append(f"along them the neurons write cos and sin of w_k s: {min(fve):.1%} to {max(fve):.1%} of the variance")
    return "Output map W_L", lines


def _logits(found: dict[str, Any], task: Task) -> Section:
    lines = []
    if "alpha" in found["by_frequency"]:
        alpha = found["by_frequency"]["alpha"][-1]
        order = sorted(found["key_frequencies"], key=lambda k: -abs(alpha[k - 1]))
        told = _few([f"α_{k} = {alpha[k - 1]:.2f}" for k in order])
        lines = [
            f"coefficients: {told}",
            f"the formula alone has a loss of {found['trig_loss']:.3g}; the model has {found['loss']:.3g} on all pairs "
            f"({found['train_loss']:.3g} on the training set, {found['test_loss']:.3g} on the test set)",
        ]
    chance = float(np.log(task.modulus))
    lines.append(
        f"restricted to its key frequencies: {found['restricted_loss']:.3g} on all pairs; without them: "
        f"{found['excluded_loss']:.3g} on the training set (the uniform answer has {chance:.3g})"
    )
    return "Logits", lines


def _ablations(found: dict[str, Any], all_found: dict[str, Any]) -> Section:
    loss = dict(zip(found["names"], found["loss"], strict=True))
    base = loss["base"]
    lines = []
    for name, words in (
        ("polynomials_all", "every neuron replaced by its polynomial"),
        ("key_sums_all", "neurons reduced to cos and sin of w_k s at key frequencies"),
        ("complement", "neurons without the directions of W_L"),
        ("attention_output_zero", "without attention's output"),
        ("skip_around_mlp_zero", "without the path around the MLP"),
    ):
        if name in loss:
            lines.append(f"{words}: {loss[name]:.3g} (base {base:.3g})")
    others = np.delete(np.asarray(found["loss_without_frequency"]), np.array(all_found["key_frequencies"], int) - 1)
    if len(others):
        worst = float(np.max(np.abs(others / max(base, 1e-300) - 1)))
        lines.append(f"without any one other frequency the loss changes by at most {worst:.1%}")
    return "Ablations: loss on all pairs", lines


def _history(found: dict[str, Any]) -> Section:
    kept = len(found["trajectory"]["step"])
    if kept < FEWEST:
        return "How it came about", [f"{kept} checkpoint{'s' * (kept != 1)} cannot tell the phases of training"]
    ends = {k.removesuffix("_ends").replace("_", " "): v for k, v in found["phases"].items() if k != "rule"}
    told = [
        f"{name} ended at step {step:,}" if step is not None else f"{name} had not ended" for name, step in ends.items()
    ]
    return "How it came about", [_listed(told), f"by the rule: {found['phases']['rule']}"]


def _few(items: list[str]) -> str:
    """The first of a list, and how many more there are."""
    rest = len(items) - FEW
    return _listed(items[:FEW]) + (f" and {rest} more" if rest > 0 else "")


def _listed(items: list[Any]) -> str:
    return ", ".join(map(str, items))
