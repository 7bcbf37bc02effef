"""Write a run as files that other programs read: weights, the configuration of their model, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors.numpy

from groklab import components
from groklab.errors import InputError, check_choice
from groklab.experiment import Experiment, read
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop._weight_files import CONFIG, DESCRIPTION, WEIGHTS
from groklab.lazy import pl
from groklab.networks import recognise
from groklab.store import Run, atomic_write, digest, write_json
from groklab.tasks import Task
from groklab.training import build_task

Format = Literal["transformer-lens", "transformer-lens-bridge", "safetensors"]
_RESULTS = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")


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
    experiment: Experiment | None = None
    results: dict[str, float] = {}
    if isinstance(model, Run):
        if model.n_members > 1 and member is None:
            raise InputError(f"--member is missing: {model.name} has members 0 to {model.n_members - 1}")
        which = member if model.n_members > 1 else None
        weights = model.weights(step, member)
        experiment = model.experiments[member or 0]
        if step is None:
            step = next(s for s in reversed(model.checkpoints) if _is_of(model, s, which, weights))
        name = model.name if which is None else f"{model.name} member {member}"
        suffix = "" if which is None else f"-member-{member}"
        folder = Path(out).expanduser() if out is not None else model.path / "exports" / f"{to}-step-{step}{suffix}"
        results = _results(model, step, member)
    else:
        if out is None:
            raise InputError("out is missing: weights that belong to no run need a folder")
        weights = {k: np.asarray(v) for k, v in model.items()}
        name, folder = "weights", Path(out).expanduser()
    _check_folder(folder)
    if experiment is not None and experiment.network is None and to != "safetensors":
        raise InputError("--to", to, f"exports networks; for the learner {experiment.learner.kind}: --to safetensors")
    network = components.as_json(experiment.model if experiment is not None else recognise(weights))
    task = build_task(experiment) if experiment is not None else None
    kept = weights["unembed.W_U"].shape[-1] if "unembed.W_U" in weights else task.n_classes if task is not None else 0
    if to != "safetensors":
        if task is not None and not keep_outputs:
            kept = min(kept, task.algebra.n_answers or kept)
        full = kept == weights["unembed.W_U"].shape[-1]
        weights = transformer_lens.export_weights(weights, network, kept)
        experiment = _equal_to(experiment, network, full)
    _write(folder, to, weights, network, experiment, step)
    facts = _facts(experiment, task, step, kept)
    tokens = task.inputs[0].tolist() if task is not None else [0] * len(weights.get("pos_embed.W_pos", [0]))
    kind = "machine" if "unembed.W_U" not in weights else to
    text = _card(kind, name, facts, results, str(next(iter(weights.values())).dtype), [tokens])
    atomic_write(folder / "README.md", text.encode())
    return folder


def _write(
    folder: Path,
    to: Format,
    weights: Mapping[str, np.ndarray],
    network: Mapping[str, Any],
    experiment: Experiment | None,
    step: int | None,
) -> None:
    """Write the weights, which hold a description of the experiment, and the configuration."""
    description: dict[str, Any] = {}
    if experiment is not None:
        # paths of this machine mean nothing elsewhere
        settings = {**experiment.to_dict(), "plugins": [], "start": None}
        description = {"format": 1, "experiment": settings, "step": step}
    config = description if to == "safetensors" else transformer_lens.config(weights, network)
    content = transformer_lens.to_bridge(weights) if to == "transformer-lens-bridge" else weights
    metadata = {"format": "pt", **({DESCRIPTION: json.dumps(description)} if description else {})}
    plain = {k: np.array(v, order="C", ndmin=0) for k, v in content.items()}
    atomic_write(folder / WEIGHTS, safetensors.numpy.save(plain, metadata=metadata))
    write_json(folder / CONFIG, config)


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder holds anything but an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise InputError("out", str(folder), "is a file; an export needs a folder")
    held = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    if held and not ({WEIGHTS, CONFIG} <= held <= {WEIGHTS, CONFIG, "README.md"}):
        raise InputError("out", str(folder), "holds other files; give a new folder, or one of an earlier export")


def _equal_to(experiment: Experiment | None, network: dict[str, Any], full: bool) -> Experiment | None:
    """Return the experiment whose weights these are, once a scale is folded into them and outputs are left out."""
    if experiment is None:
        return None
    changed: dict[str, Any] = {} if full or not hasattr(experiment.task, "outputs") else {"task.outputs": "answers"}
    if network["output_scale"] != 1:
        changed["network.output_scale"] = 1.0
    return read(experiment, changed) if changed else experiment


def _is_of(run: Run, step: int, member: int | None, weights: Mapping[str, np.ndarray]) -> bool:
    """Return whether the checkpoint of a step holds these weights; the newest ones may be damaged."""
    try:
        return digest(run.weights(step, member if run.n_members > 1 else None)) == digest(weights)
    except InputError:
        return False


def _results(run: Run, step: int | None, member: int | None) -> dict[str, float]:
    """Return the losses and accuracies at a step, where they were measured there."""
    rows = run.metrics.filter((pl.col("step") == step) & (pl.col("member") == (member or 0)))
    if rows.is_empty():
        return {}
    row = rows.row(-1, named=True)
    return {name: row[name] for name in _RESULTS if row[name] is not None and np.isfinite(row[name])}


def _facts(experiment: Experiment | None, task: Task | None, step: int | None, kept: int) -> dict[str, str]:
    if experiment is None or task is None:
        return {"outputs": str(kept)}
    e = experiment
    split = f"{e.split.method}, seed {e.seed if e.split.seed is None else e.split.seed}"
    size = e.split.frac_train if e.split.frac_train is not None else f"{e.split.n_train} inputs"
    facts = {"task": task.name}
    if hasattr(e.task, "layout"):
        facts["tokens"] = (
            f"`{e.task.layout}` with the numbers themselves for operands and {e.task.p} for =, read at the last "
            f"position; {kept} outputs"
        )
    facts |= {
        "network" if e.network is not None else "learner": e.model.kind,
        "trained on": f"{size} of {task.n_inputs:,} inputs ({split})",
    }
    if e.optimiser is not None:
        kind = e.optimiser.kind
        rates = f"learning rate {e.optimiser.learning_rate:g}, weight decay {e.optimiser.weight_decay:g}"
        facts["optimiser"] = f"{kind}, {rates}"
    return {**facts, "step": f"{step:,}", "trained with": "groklab"}


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
logits = model(torch.tensor({tokens}))[:, -1]  # of the answers
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
logits = model(torch.tensor({tokens}))[:, -1]  # of the answers
""",
    ),
    "safetensors": (
        "groklab",
        """import groklab as gl
import numpy as np
from safetensors.numpy import load_file

weights = load_file("model.safetensors")
seen = gl.activations(weights, np.array({tokens}))
logits = seen["logits"][:, -1]  # of the answers
""",
    ),
    "machine": (
        "Python",
        """from safetensors.numpy import load_file

M = load_file("model.safetensors")["M"]  # the feature matrix: with the training set it is the complete machine
""",
    ),
}


def _card(
    to: str, name: str, facts: Mapping[str, Any], results: Mapping[str, float], dtype: str, tokens: list[list[int]]
) -> str:
    """Return a model card: Markdown with front matter as model hubs read it.

    facts: what the model is, by label. results: losses and accuracies by name. tokens: of some inputs.
    """
    library = "groklab" if to in ("safetensors", "machine") else "transformer-lens"
    front: dict[str, Any] = {"library_name": library, "tags": ["grokking", "mechanistic-interpretability", "groklab"]}
    if results:
        metrics = [{"type": k.split("_")[1], "name": k.replace("_", " "), "value": v} for k, v in results.items()]
        task = {"type": "other", "name": str(facts.get("task", "unknown"))}
        front["model-index"] = [{"name": name, "results": [{"task": task, "metrics": metrics}]}]
    # JSON is YAML, and needs no quoting of its own
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---", "", f"# {name}", ""]
    lines += [f"- {label}: {value}" for label, value in facts.items()]
    lines += [f"- {key.replace('_', ' ')}: {value:.6g}" for key, value in results.items()]
    where, code = _LOAD[to]
    lines += ["", f"## Load it in {where}", "", "In this folder:", "", "```python"]
    lines += [code.replace("{dtype}", dtype).replace("{tokens}", str(tokens)).rstrip(), "```", ""]
    if to != "machine":
        lines += ["## Load it in groklab", "", "```bash", "groklab import .", "```", ""]
    return "\n".join(lines)
