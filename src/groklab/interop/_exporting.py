"""Write a run as files that other programs read: weights, the configuration of their model, and a model card."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from groklab import components
from groklab.errors import InputError, check_choice
from groklab.experiment import Experiment
from groklab.interop import _own_exports as own
from groklab.interop import _transformer_lens as transformer_lens
from groklab.lazy import pl
from groklab.learners import LOSSES
from groklab.networks import MLP, Transformer, recognise
from groklab.registry import Plugin, loaded_plugins, read_plugin
from groklab.store import Run, atomic_write, digest, write_json
from groklab.store.storage import as_safetensors, complete_folder, is_part
from groklab.tasks import Task
from groklab.text import named_file
from groklab.training import build_task

Format = Literal["transformer-lens", "transformer-lens-bridge", "safetensors"]


def export(
    model: Run | Mapping[str, np.ndarray],
    *,
    to: Format,
    out: str | Path | None = None,
    step: int | None = None,
    member: int | None = None,
    keep_outputs: bool = False,
) -> Path:
    """Write a model into a folder as weights (safetensors), a configuration (JSON) and a model card (Markdown).

    Args:
        model: a run, or the weights of one model by name.
        to: 'transformer-lens' is the state dict of HookedTransformer in TransformerLens 2 and 3,
            'transformer-lens-bridge' that of TransformerBridge.boot_native in 4, 'safetensors' groklab's own layout of
            any network.
        out: the folder; None is `exports/` within the run's.
        step: a kept step; None is the last.
        member: which model of an ensemble.
        keep_outputs: for TransformerLens, keep the outputs that are not answers (as that of '=').

    Returns:
        The folder.

    Raises:
        InputError: where TransformerLens has no such network, or where the run has no such step or member.
    """
    check_choice("--to", to, get_args(Format))
    if isinstance(model, Run):
        source = _of_run(model, step, member)
        folder = model.path / "exports" / f"{to}-step-{source.step}{'' if member is None else f'-member-{member}'}"
    else:
        if out is None:
            raise InputError("out is missing: weights that belong to no run need a folder")
        source = _Source("weights", {k: np.asarray(v) for k, v in model.items()})
    folder = Path(out).expanduser() if out is not None else folder
    _check_folder(folder)
    experiment, config = source.experiment, None
    if to != "safetensors":
        if experiment is not None and experiment.network is None:
            raise InputError("--to", to, f"exports networks; for the learner {experiment.model.kind}: --to safetensors")
        source, config = _for_transformer_lens(source, keep_outputs)
    content = transformer_lens.to_bridge(source.weights) if to == "transformer-lens-bridge" else source.weights
    card, files = _card(to, source), source.files()
    description = {**source.description(files), "sha256": digest(content)} if source.experiment is not None else {}
    metadata = {"format": "pt", **({own.DESCRIPTION: json.dumps(description)} if description else {})}
    with complete_folder(folder, last=own.WEIGHTS, stale=own.ENTRIES) as stage:
        atomic_write(stage / own.CARD, card.encode())
        write_json(stage / own.CONFIG, description if config is None else config)
        if source.metrics is not None:
            atomic_write(stage / own.TABLE, source.metrics.write_csv().encode())
        for file in itertools.chain(*files.values()):
            atomic_write(stage / file.inner, file.content)
        atomic_write(stage / own.WEIGHTS, as_safetensors(content, metadata))
    return folder


@dataclass(frozen=True)
class _Source:
    """The weights of one model, and what is known of them: of weights that belong to no run, only their name.

    Attributes:
        step: updates before these weights.
        results: losses and accuracies, where they were measured at that step.
        metrics: all that was measured up to then, without `member`; None where that was of other weights.
        bounds: of a run that was imported from a file without accuracies.
    """

    name: str
    weights: Mapping[str, np.ndarray]
    experiment: Experiment | None = None
    step: int = 0
    results: Mapping[str, float] = field(default_factory=dict)
    metrics: pl.DataFrame | None = None
    notes: Sequence[str] = ()  # of an import
    bounds: own.Bounds | None = None

    @cached_property
    def task(self) -> Task | None:
        """What the model was trained on."""
        return None if self.experiment is None else build_task(self.experiment)

    def files(self) -> dict[str, list[own.File]]:
        """Return what the task and plug-ins are read from, by setting."""
        if self.experiment is None:
            return {}
        settings = self.experiment.task
        places = {name: Path(value).expanduser() for name in settings.paths if (value := getattr(settings, name))}
        files = {
            f"task.{name}": [
                own.File(f"{own.FILES}/{name}/{place.name}", place, named_file(f"task.{name}", str(place), "table"))
            ]
            for name, place in places.items()
        }
        for i, plugin in enumerate(self.plugins):
            files[f"plugins.{i}"] = own.files_of(plugin, f"{own.FILES}/plugin-{i}/{plugin.file.name}")
        return files

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The plug-ins of the experiment, as they are loaded."""
        loaded = {str(plugin.file): plugin for plugin in loaded_plugins()}
        paths = () if self.experiment is None else self.experiment.plugins
        return [loaded.get(path) or read_plugin(path) for path in paths]

    def description(self, files: Mapping[str, Sequence[own.File]]) -> dict[str, Any]:
        """Return what `import` needs to know of the training."""
        assert self.experiment is not None
        settings = self.experiment.to_dict()
        digests = {k: hashlib.sha256(group[0].content).hexdigest() for k, group in files.items()}
        digests |= {f"plugins.{i}": plugin.sha256 for i, plugin in enumerate(self.plugins)}
        # paths of this machine mean nothing elsewhere
        settings["plugins"] = [files[f"plugins.{i}"][0].inner for i in range(len(self.plugins))]
        settings["task"] |= {k.removeprefix("task."): f[0].inner for k, f in files.items() if k.startswith("task.")}
        if settings["start"] is not None:
            settings["start"] |= {k: Path(v).name for k in ("file", "run") if (v := settings["start"][k]) is not None}
        named = {k: {"path": group[0].inner, "sha256": digests[k]} for k, group in files.items()}
        content = {"format": 2, "experiment": settings, "step": self.step, "files": named, "notes": list(self.notes)}
        return content if self.bounds is None else {**content, "bounds": self.bounds.to_dict()}


def _of_run(run: Run, step: int | None, member: int | None) -> _Source:
    if run.n_members > 1 and member is None:
        raise InputError(f"--member is missing: {run.name} has members 0 to {run.n_members - 1}")
    step, weights = run.last_weights(member) if step is None else (step, run.weights(step, member))
    metrics = run.metrics.filter((pl.col("step") <= step) & (pl.col("member") == (member or 0))).sort("step")
    if run.status.state == "finished":
        # a member that has retired stopped before the others
        ended = run.status.members[member or 0].steps
        step = step if ended is None else min(step, ended)
    row = metrics.row(-1, named=True) if len(metrics) and metrics["step"][-1] == step else {}
    results = {name: row[name] for name in LOSSES if row.get(name) is not None and np.isfinite(row[name])}
    name = run.name if run.n_members == 1 else f"{run.name} member {member}"
    curves, notes, bounds = metrics.drop("member") if len(metrics) else None, [], None
    if run.imported is not None:
        notes = run.imported.warnings
        if not run.imported.exact_steps and run.status.members:
            only = run.status.members[0]
            bounds = own.Bounds(memorised_step=only.memorised_step, grokked_step=only.grokked_step)
    return _Source(name, weights, run.experiments[member or 0], step, results, curves, notes, bounds)


def _for_transformer_lens(source: _Source, keep_outputs: bool) -> tuple[_Source, dict[str, Any]]:
    """Return the weights as TransformerLens has them, with the experiment that they are equal to, and its config."""
    experiment, task = source.experiment, source.task
    network = components.as_json(experiment.network if experiment is not None else recognise(source.weights))
    # the first outputs are the answers
    cut = experiment is not None and hasattr(experiment.task, "outputs") and not keep_outputs
    weights = transformer_lens.export_weights(source.weights, network, task.n_answers if cut and task else None)
    if experiment is not None:
        settings = replace(experiment.task, outputs="answers") if cut else experiment.task
        experiment = replace(experiment, task=settings, network=replace(experiment.network, output_scale=1.0))
    same = experiment == source.experiment
    source = replace(source, weights=weights, experiment=experiment, metrics=source.metrics if same else None)
    return source, transformer_lens.config(weights, network)


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder holds anything but an earlier export, or what is left of one."""
    if folder.exists() and not folder.is_dir():
        raise InputError("out", str(folder), "is a file; an export needs a folder")
    entries = list(folder.iterdir()) if folder.is_dir() else []
    held = {entry.name for entry in entries if not is_part(entry)}
    complete = {own.WEIGHTS, own.CONFIG} <= held or any(map(is_part, entries))
    if held and not (complete and held <= set(own.ENTRIES)):
        raise InputError("out", str(folder), "holds other files; give a new folder, or one of an earlier export")


def _facts(source: _Source) -> dict[str, str]:
    """Return what the model card says of a training, by label."""
    e, task = source.experiment, source.task
    if e is None or task is None:
        return {}
    split = f"{e.split.method}, seed {e.seed if e.split.seed is None else e.split.seed}"
    size = e.split.frac_train if e.split.frac_train is not None else f"{e.split.n_train} inputs"
    if e.split.rows is not None:
        size, split = f"{len(e.split.rows):,}", "rows of its own"
    facts = {"task": task.name}
    if task.n_ctx:
        layout = f"`{e.task.layout}`, " if hasattr(e.task, "layout") else ""
        example, answer = (" ".join(map(str, np.ravel(row[-1]))) for row in (task.inputs, task.targets))
        where = "the last position" if task.reads is None else f"positions {task.reads[0]} to {task.reads[1] - 1}"
        facts["tokens"] = f"{layout}such as `{example}`, whose answer is {answer}, read at {where}"
    facts["outputs"] = f"{task.n_classes:,}"
    facts["network" if e.network is not None else "learner"] = e.model.kind
    if e.split.method == "unknown":
        facts["trained on"] = f"an unknown part of {task.n_inputs:,} inputs; test numbers are of all of them"
    elif task.draw is None:
        facts["trained on"] = f"{size} of {task.n_inputs:,} inputs ({split})"
    if e.optimiser is not None:
        rates = f"learning rate {e.optimiser.learning_rate:g}, weight decay {e.optimiser.weight_decay:g}"
        facts["optimiser"] = f"{e.optimiser.kind}, {rates}"
    if source.plugins:
        code = ", ".join(f"`{own.FILES}/plugin-{i}/{plugin.file.name}`" for i, plugin in enumerate(source.plugins))
        facts["plug-ins"] = f"{code}: code, which runs with `--trust-plugin`"
    facts |= {"step": f"{source.step:,}", "trained with": "another program" if source.notes else "groklab"}
    return facts | {f"note {i}": note for i, note in enumerate(source.notes, 1)}


#: For each kind of export: the program that loads it, and how.
_LOAD = {
    "transformer-lens": (
        "TransformerLens 2 and 3",
        """import json

import torch
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

config = json.load(open("config.json"))
model = HookedTransformer(HookedTransformerConfig(**config, device="cpu", dtype=torch.{dtype}))
model.load_state_dict(load_file("model.safetensors"), strict=False)  # it makes its own causal mask
model.eval()
logits = model(torch.tensor({tokens}))[:, {reads}]  # of the answers
""",
    ),
    "transformer-lens-bridge": (
        "TransformerLens 4",
        """import json

import torch
from safetensors.torch import load_file
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

config = json.load(open("config.json"))
model = TransformerBridge.boot_native(TransformerBridgeConfig(**config, dtype=torch.{dtype}))
model.load_state_dict(load_file("model.safetensors"))
model.eval()
logits = model(torch.tensor({tokens}))[:, {reads}]  # of the answers
""",
    ),
    "weights": (
        "groklab",
        """import groklab as gl
import numpy as np
from safetensors.numpy import load_file

weights = load_file("model.safetensors")
seen = gl.activations(weights, np.array({tokens}))
logits = seen["logits"][:, {reads}]  # of the answers
""",
    ),
    "safetensors": (
        "groklab",
        """import groklab as gl

run = gl.import_file(".")
weights = run.weights()
""",
    ),
}
#: For networks whose intermediates groklab shows.
_LOGITS = """seen = gl.activations(weights, {tokens}, run.experiment.network)
logits = seen["logits"][:, {reads}]  # of the answers
"""


def _card(to: str, source: _Source) -> str:
    """Return a model card: Markdown with front matter as model hubs read it."""
    task, results = source.task, source.results
    library = "groklab" if to == "safetensors" else "transformer-lens"
    front: dict[str, Any] = {"library_name": library, "tags": ["grokking", "mechanistic-interpretability", "groklab"]}
    if task is not None and results:
        metrics = [{"type": k.split("_")[1], "name": k.replace("_", " "), "value": v} for k, v in results.items()]
        about = {"type": "other", "name": task.name}
        front["model-index"] = [{"name": source.name, "results": [{"task": about, "metrics": metrics}]}]
    # JSON is YAML, and needs no quoting of its own
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---", "", f"# {source.name}", ""]
    lines += [f"- {label}: {value}" for label, value in _facts(source).items()]
    lines += [f"- {key.replace('_', ' ')}: {value:.6g}" for key, value in results.items()]
    program, code = _loading(to, source)
    lines += ["", f"## Load it in {program}", "", "In this folder:", "", "```python", code.rstrip(), "```", ""]
    lines += ["## Load it in groklab", "", "```bash", "groklab import .", "```", ""]
    return "\n".join(lines)


def _loading(to: str, source: _Source) -> tuple[str, str]:
    """Return the program that loads an export, and the lines that do it there."""
    task, experiment = source.task, source.experiment
    program, code = _LOAD[to if to != "safetensors" or task is not None else "weights"]
    if to == "safetensors" and experiment is not None and isinstance(experiment.network, Transformer | MLP):
        code += _LOGITS
    tokens, reads = [[0] * len(source.weights.get("pos_embed.W_pos", [0]))], "-1"
    if task is not None:
        # the first and the last, in which everything differs that varies
        tokens = task.inputs[[0, -1]].tolist()
        reads = "-1" if task.reads is None else f"{task.reads[0]}:{task.reads[1]}"
    dtype = str(next(iter(source.weights.values())).dtype)
    for place, text in (("{dtype}", dtype), ("{tokens}", str(tokens)), ("{reads}", reads)):
        code = code.replace(place, text)
    return program, code
