"""From a run to files that other programs read: weights, the configuration of their model, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import safetensors.numpy

from groklab import components
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.interop import transformer_lens
from groklab.interop.model_card import card
from groklab.interop.weight_files import CONFIG, DESCRIPTION, WEIGHTS
from groklab.networks.hooks import recognise
from groklab.store.run import Run
from groklab.store.storage import atomic_write, digest, write_json
from groklab.tasks.base import Task
from groklab.training.ensemble import build_task

Format = Literal["transformer-lens", "transformer-lens-bridge", "safetensors"]
_REACHED = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")


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

    model: a run, or weights by name of one model. to: 'transformer-lens' is the state dict of HookedTransformer 2 and
    3, 'transformer-lens-bridge' that of TransformerBridge.boot_native 4, 'safetensors' our own layout of any network.
    out: the folder; None is `exports/` within the run's. step: a kept one, None the last. member: of an ensemble.
    keep_outputs: for TransformerLens, keep the outputs that are no answers (as that of '='), which are left out
    otherwise. Returns the folder.
    Raises InputError where TransformerLens has no such network, or where run, step or member are not there.
    """
    if to not in get_args(Format):
        raise InputError("to", to, f"needs to be one of {', '.join(get_args(Format))}")
    if isinstance(model, Run):
        if model.n_members > 1 and member is None:
            raise InputError(f"{model.name} has {model.n_members} members; say which with --member")
        weights = model.weights(step, member if member is not None or model.n_members > 1 else None)
        experiment: Experiment | None = model.experiments[member or 0]
        if step is None:
            step = next(s for s in reversed(model.checkpoints) if _is_of(model, s, member, weights))
        name = model.name if model.n_members == 1 else f"{model.name} member {member}"
        suffix = f"-member-{member}" if model.n_members > 1 else ""
        folder = Path(out).expanduser() if out is not None else model.path / "exports" / f"{to}-step-{step}{suffix}"
    else:
        if out is None:
            raise InputError("out is missing: weights that belong to no run need a folder to go to")
        experiment, weights = None, {k: np.asarray(v) for k, v in model.items()}
        name, folder = "weights", Path(out).expanduser()
    _check_folder(folder)
    if experiment is not None and not experiment.learner.compiled and to != "safetensors":
        raise InputError("--to", to, f"takes networks; the {experiment.learner.kind} {name} goes --to safetensors")
    network = components.as_json(experiment.model if experiment is not None else recognise(weights))
    task = build_task(experiment) if experiment is not None else None
    kept = weights["unembed.W_U"].shape[-1] if "unembed.W_U" in weights else task.n_classes if task is not None else 0
    if to != "safetensors":
        if task is not None and not keep_outputs:
            kept = min(kept, task.algebra.n_answers or kept)
        full = kept == weights["unembed.W_U"].shape[-1]
        weights = transformer_lens.export_weights(weights, network, kept)
        experiment = _equal_to(experiment, network, full)
    described: dict[str, Any] = {}
    if experiment is not None:
        # paths of this machine say nothing elsewhere
        about = {**experiment.to_dict(), "plugins": [], "start": None}
        described = {"format": 1, "experiment": about, "step": step}
    config = described if to == "safetensors" else transformer_lens.config(weights, network)
    content = transformer_lens.to_bridge(weights) if to == "transformer-lens-bridge" else weights
    metadata = {"format": "pt", **({DESCRIPTION: json.dumps(described)} if described else {})}
    plain = {k: np.array(v, order="C", ndmin=0) for k, v in content.items()}
    atomic_write(folder / WEIGHTS, safetensors.numpy.save(plain, metadata=metadata))
    write_json(folder / CONFIG, config)
    reached = _reached(model, step, member) if isinstance(model, Run) else {}
    facts = _facts(experiment, task, step, kept)
    tokens: list[int] = [0] * len(weights.get("pos_embed.W_pos", [0]))
    if task is not None:
        tokens = task.inputs[0].tolist()
    kind = "machine" if "unembed.W_U" not in weights else to
    text = card(kind, name, facts, reached, str(next(iter(weights.values())).dtype), [tokens])
    atomic_write(folder / "README.md", text.encode())
    return folder


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder holds anything but an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise InputError("out", str(folder), "is a file; an export needs a folder")
    held = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    if held and not ({WEIGHTS, CONFIG} <= held <= {WEIGHTS, CONFIG, "README.md"}):
        raise InputError("out", str(folder), "holds other files; give a new folder, or one of an earlier export")


def _equal_to(experiment: Experiment | None, network: dict[str, Any], full: bool) -> Experiment | None:
    """The experiment whose weights these are, once a scale is folded into them and outputs are left out."""
    if experiment is None:
        return None
    changed: dict[str, Any] = {} if full or not hasattr(experiment.task, "outputs") else {"task.outputs": "answers"}
    if network["output_scale"] != 1:
        changed["network.output_scale"] = 1.0
    return experiment.with_overrides(changed) if changed else experiment


def _is_of(run: Run, step: int, member: int | None, weights: Mapping[str, np.ndarray]) -> bool:
    """Whether the checkpoint of a step holds these weights; the newest ones may be damaged."""
    try:
        return digest(run.weights(step, member if run.n_members > 1 else None)) == digest(weights)
    except InputError:
        return False


def _reached(run: Run, step: int | None, member: int | None) -> dict[str, Any]:
    """Losses and accuracies at a step, where they were measured there."""
    rows = run.metrics.filter((pl.col("step") == step) & (pl.col("member") == (member or 0)))
    if rows.is_empty():
        return {}
    row = rows.row(-1, named=True)
    return {name: row[name] for name in _REACHED if row[name] is not None and np.isfinite(row[name])}


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
        "network" if e.learner.compiled else "learner": str(getattr(e.model, "kind", "network")),
        "trained on": f"{size} of {task.n_inputs:,} inputs ({split})",
    }
    if e.optimiser is not None:
        kind = getattr(e.optimiser, "kind", "optimiser")
        rates = f"learning rate {e.optimiser.learning_rate:g}, weight decay {e.optimiser.weight_decay:g}"
        facts["optimiser"] = f"{kind}, {rates}"
    return {**facts, "step": f"{step:,}", "trained with": "groklab"}
