"""The experiment that a file of weights comes from: what the file tells, what the options say, what shapes show."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from groklab import components
from groklab.errors import InputError
from groklab.experiment.reading import read
from groklab.experiment.schema import MAX_STEPS, Experiment
from groklab.interop import transformer_lens
from groklab.interop.weight_files import Source
from groklab.networks.hooks import recognise
from groklab.tasks.layouts import Layout, vocabulary_size
from groklab.training.ensemble import build_task, weight_shapes

#: Kinds of tasks that a description in a file may name; others would read files of its choosing.
_KINDS = ("arithmetic", "random_labels")
_OPTIONS = {"task.p": ("the modulus p", "--p"), "task.expression": ("the operation", "--operation")}


def describe(source: Source, options: dict[str, Any], said: list[str]) -> tuple[Experiment, dict[str, np.ndarray]]:
    """The experiment, whose split is to be looked into yet, and the weights that its network has.

    options: settings by dotted name, which go before the file's own. Adds to `said` what was assumed.
    Raises InputError where p or the operation is missing, or where shapes contradict them.
    """
    if source.description:
        experiment = _described(source, options)
        shapes = weight_shapes(experiment, build_task(experiment))
        weights = transformer_lens.tidied(source.weights, shapes)
    else:
        weights = transformer_lens.tidied(source.weights)
        experiment = _deduced(source, options, weights, said)
        shapes = weight_shapes(experiment, build_task(experiment))
    for name in sorted({*shapes, *weights}):
        found = weights[name].shape if name in weights else "nothing"
        if found != shapes.get(name):
            raise InputError(f"the weight {name} is {found}; this network and task need {shapes.get(name, 'none')}")
    return experiment, weights


def step_of(source: Source, experiment: Experiment) -> int:
    """After how many updates the weights are; 0 where nothing tells."""
    step = source.description.get("step") if source.description else experiment.budget.steps
    return step if type(step) is int and 0 <= step <= MAX_STEPS else 0


def _described(source: Source, options: dict[str, Any]) -> Experiment:
    """The experiment that `export` wrote beside the weights; the file may be a stranger's all the same."""
    asked = source.description.get("experiment")
    if not isinstance(asked, dict) or not isinstance(asked.get("task"), dict):
        raise InputError(f"{source.path} is described by no experiment")
    kind = asked["task"].get("kind")
    if kind not in _KINDS:
        raise InputError("task.kind", kind, f"cannot be imported: that needs one of {', '.join(_KINDS)}")
    # a name of its own, or the beginning of the original run's would fit both
    name = f"imported-{str(asked.get('name', 'weights')).removeprefix('imported-')}"[:81]
    return read({**asked, "name": name, "plugins": [], "start": None}, options)


def _deduced(source: Source, options: dict[str, Any], weights: dict[str, np.ndarray], said: list[str]) -> Experiment:
    network = recognise(weights)
    if source.config and hasattr(network, "activation"):
        network = replace(network, activation=transformer_lens.activation_of(source.config))
    settings = {**source.told.settings, **options}
    for name, (what, option) in _OPTIONS.items():
        if name not in settings:
            raise InputError(f"{source.path} does not say {what} of its task; give {option}")
    if "split.seed" in options:
        settings["split.method"] = "python_shuffle"
    layout, outputs = _sizes(settings["task.p"], source, weights)
    if "optimiser.weight_decay" not in settings:
        said.append("the file does not tell the weight decay: recorded as 0; --weight-decay says otherwise")
    steps = source.told.steps
    if steps is None or not 0 <= steps <= MAX_STEPS:
        said.append("the file does not tell how long its model was trained: its weights are kept as step 0")
        steps = 0
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.path.stem).strip("-._")[:80] or "imported"
    given = {"name": name, "task.layout": layout, "task.outputs": outputs, "budget.steps": steps}
    given["dtype"] = str(weights["unembed.W_U"].dtype)
    if source.told.every > 1:
        given["evaluation.every"] = source.told.every
    base = {"network": components.as_json(network), "split": {"frac_train": 0.3}}
    return read(base, {**settings, **given})


def _sizes(p: Any, source: Source, weights: dict[str, np.ndarray]) -> tuple[str, str]:
    """Layout and outputs with which a task mod p has these weights' sizes."""
    if type(p) is not int or p < 2:
        raise InputError("task.p", p, "needs an integer of at least 2")
    if "embed.W_E" not in weights or "blocks.0.attn.W_Q" not in weights:
        raise InputError(f"{source.path} holds no transformer: others can be imported only as groklab exports them")
    d_vocab, n_ctx = weights["embed.W_E"].shape[0], len(weights.get("pos_embed.W_pos", ()))
    n_classes = weights["unembed.W_U"].shape[1]
    outputs = "answers" if n_classes == p else "vocabulary" if n_classes == d_vocab else None
    for layout in get_args(Layout):
        if outputs and vocabulary_size(layout, p) == d_vocab and n_ctx in (0, len(layout.split())):
            return layout, outputs
    raise InputError(
        f"p = {p} contradicts the weights, which are of {d_vocab} tokens, {n_ctx} positions and {n_classes} outputs"
    )
