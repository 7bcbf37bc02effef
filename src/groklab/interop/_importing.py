"""From a file of weights that others wrote, or that `export` wrote, to a run of the collection."""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

import groklab
from groklab import components, grokking
from groklab.device import require_memory
from groklab.errors import InputError
from groklab.experiment import MAX_STEPS, Experiment, read
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop._own_exports import TABLE, Described, check_shapes, described
from groklab.interop._weight_files import Source, read_source
from groklab.lazy import jax, jit, jnp, pl
from groklab.learners import METRICS
from groklab.measures import activity_function
from groklab.networks import recognise
from groklab.objectives import exact_cross_entropy
from groklab.store import Collection, Environment, Imported, MemberResult, Run, storage
from groklab.tasks import Layout, Task, find_split, make_split, vocabulary_size
from groklab.training import build_task, weight_shapes

_OPTIONS = {"task.p": ("the modulus p", "--p"), "task.expression": ("the operation", "--operation")}
#: Inputs of one forward pass.
_ROWS = 16_384
#: A wrong answer has at most half of the probability, so a mean loss L leaves at most a share L / ln 2 wrong.
_LOSS_OF_AN_ERROR = math.log(2)
#: Recorded losses are of one step before the weights, and may be of another precision: the largest ratio allowed.
_LARGEST_RATIO = 4.0


def import_file(
    path: str | Path,
    *,
    p: int | None = None,
    operation: str | None = None,
    frac_train: float | None = None,
    split_seed: int | None = None,
    weight_decay: float | None = None,
    n_heads: int | None = None,
    trust_plugin: bool = False,
    home: str | Path | None = None,
) -> Run:
    """Make a run from a file of weights (.pth, .safetensors or .npz) or from the folder of an export.

    Losses that the file records become the run's metrics; the final ones, and the accuracies, are computed in float64.
    The same file with the same options gives the same run. Nothing in a file is ever executed, but for plug-ins as
    `trust_plugin` has it.

    Args:
        path: the file or folder.
        p, operation, frac_train, split_seed, weight_decay, n_heads: what the file does not record; they take
            precedence over what it does. split_seed is that of Python's shuffle.
        trust_plugin: run the plug-ins of an export, even if the user has not named them before.
        home: the folder of runs; None is the default one.

    Returns:
        The run. Each assumption is a warning, kept in the run's environment.json under `imported`.

    Raises:
        InputError: for another kind of file, where something is not known, or where the parts contradict each other.
    """
    source = read_source(Path(path).expanduser(), n_heads)
    given = {
        "task.p": p,
        "task.expression": operation,
        "split.frac_train": frac_train,
        "split.seed": split_seed,
        "optimiser.weight_decay": weight_decay,
    }
    options = {k: v for k, v in given.items() if v is not None}
    notes = list(source.record.warnings)
    if source.description:
        made = described(source.path, source.weights, source.description, options, trust_plugin)
        if not made.recorded:
            notes.append(f"no {TABLE} is beside it: the steps of memorising and grokking are the last, at the latest")
    else:
        made = _from_others(source, options, notes)
    collection = Collection(Path(home) if home is not None else None)
    sha256 = hashlib.sha256(f"{source.sha256} {made.experiment.identity}".encode()).hexdigest()
    folder = collection.folder / f"{made.experiment.name}-{sha256[:8]}"
    if not _is_complete(folder):
        imported = Imported(
            file=source.path.name,
            sha256=source.sha256,
            options=options,
            warnings=notes,
            exact_steps=made.recorded,
        )
        environment = Environment(
            groklab=groklab.__version__, definition_of_grokking=grokking.DEFINITION, imported=imported
        )
        try:
            with storage.complete_folder(folder, last="experiment.json") as stage:
                _write(stage, folder, made, environment)
        except InputError:
            # another process may have been quicker
            if not _is_complete(folder):
                raise
    run = Run(folder, trust_plugin=trust_plugin)
    for sentence in run.imported.warnings if run.imported else ():
        warnings.warn(sentence, stacklevel=2)
    return run


def _write(stage: Path, folder: Path, made: Described, environment: Environment) -> None:
    """Write a run that will be in `folder` into the folder `stage`."""
    run = Run.create(stage, [made.experiment], environment)
    step = int(made.metrics["step"][-1])
    run.write_checkpoint(step, {k: v[None] for k, v in made.weights.items()})
    run.write_metrics(made.metrics)
    run.write_status(state="finished", reason="imported", step=step, seconds=0.0, members=[made.member])
    places = {}
    for file in made.files:
        storage.atomic_write(stage / file.inner, file.content)
        places[str(file.place)] = str(folder.absolute() / file.inner)
    if places:
        description = json.loads((stage / "experiment.json").read_bytes())
        storage.write_json(stage / "experiment.json", _moved(description, places))


def _moved(value: Any, places: Mapping[str, str]) -> Any:
    """Return JSON with paths of files replaced by others."""
    if isinstance(value, dict):
        return {places.get(k, k): _moved(v, places) for k, v in value.items()}
    if isinstance(value, list):
        return [_moved(v, places) for v in value]
    return places.get(value, value) if isinstance(value, str) else value


def _is_complete(folder: Path) -> bool:
    """Return whether an import into this folder has ended."""
    try:
        run = Run(folder)
        return run.status.reason == "imported" and bool(run.imported) and bool(run.weights())
    except ValueError:
        return False


def _from_others(source: Source, options: dict[str, Any], notes: list[str]) -> Described:
    """Return the run that a file of other programs is, and add to `notes` what was assumed.

    options: settings by dotted name, which take precedence over the file's.
    """
    weights = transformer_lens.tidied(source.weights)
    experiment = _deduced(source, options, weights, notes)
    task = build_task(experiment)
    check_shapes(weights, weight_shapes(experiment, task))
    results = evaluate(experiment, task, weights)
    experiment = _with_split(experiment, source, options, task, results.losses, notes)
    return Described(experiment, weights, *_records(experiment, source, task, results, weights, notes))


# -- the experiment: what the file records, what the options set, what shapes show --------------------------------


def _deduced(source: Source, options: dict[str, Any], weights: dict[str, np.ndarray], notes: list[str]) -> Experiment:
    network = recognise(weights)
    if source.config and hasattr(network, "activation"):
        network = replace(network, activation=transformer_lens.activation_of(source.config))
    settings = {**source.record.settings, **options}
    for name, (what, option) in _OPTIONS.items():
        if name not in settings:
            raise InputError(f"{source.path} does not record {what} of its task; give {option}")
    if "split.seed" in options:
        settings["split.method"] = "python_shuffle"
    layout, outputs = _sizes(settings["task.p"], source, weights)
    if "optimiser.weight_decay" not in settings:
        notes.append("the file does not record the weight decay: taken as 0; --weight-decay sets it")
    steps = source.record.steps
    if steps is None or not 0 <= steps <= MAX_STEPS:
        notes.append("the file does not record how long its model was trained: its weights are kept as step 0")
        steps = 0
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.path.stem).strip("-._")[:80] or "imported"
    given = {"name": name, "task.layout": layout, "task.outputs": outputs, "budget.steps": steps}
    given["dtype"] = str(weights["unembed.W_U"].dtype)
    if source.record.every > 1:
        given["evaluation.every"] = source.record.every
    base = {"network": components.as_json(network), "split": {"frac_train": 0.3}}
    return read(base, {**settings, **given})


def _sizes(p: Any, source: Source, weights: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return the layout and the outputs with which a task mod p has these weights' sizes."""
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


# -- the split: recorded, or found from the losses ----------------------------------------------------------------


def _with_split(
    experiment: Experiment,
    source: Source,
    options: dict[str, Any],
    task: Task,
    losses: np.ndarray,
    notes: list[str],
) -> Experiment:
    """Return the experiment with the split of the file or the options, or else the one that its losses show.

    losses: (n_inputs,) of the weights. Adds to `notes` where the split comes from, and where recorded losses disagree.
    """
    settings = {**source.record.settings, **options}
    train, test = source.record.train_losses, source.record.test_losses
    recorded = (float(train[-1]), float(test[-1])) if train is not None and test is not None else None
    if {"split.frac_train", "split.seed"} <= settings.keys():
        if recorded is not None:
            notes += _disagreements(experiment, task, losses, recorded)
        return experiment
    match = find_split(task, losses, *recorded) if recorded is not None else None
    if match is None:
        why = "does not record which inputs its model was trained on"
        if recorded is not None:
            why += ", and no published split alone agrees with its losses"
        raise InputError(f"{source.path} {why}; give --frac-train and --split-seed")
    split, how = match
    for name, value in (("split.frac_train", split.frac_train), ("split.seed", split.seed)):
        if name in settings and settings[name] != value:
            raise InputError(name, settings[name], f"disagrees with the recorded losses, which belong to {value}")
    notes.append(
        f"the split is not recorded, and was recognised: {split.method}, seed {split.seed}, {split.frac_train}: {how}"
    )
    return replace(experiment, split=split)


def _disagreements(experiment: Experiment, task: Task, losses: np.ndarray, recorded: tuple[float, float]) -> list[str]:
    rows = make_split(experiment.split, task, experiment.seed)
    notes = []
    for which, part, value in zip(("train", "test"), (rows.train, rows.test), recorded, strict=True):
        loss = float(losses[part].mean())
        if not loss / _LARGEST_RATIO <= value <= loss * _LARGEST_RATIO:
            notes.append(
                f"the weights have a {which} loss of {loss:.4g} on this split, and the file records {value:.4g}: "
                "the task or the split may be another"
            )
    return notes


# -- what the weights do, and the rows that this and the recorded losses make -------------------------------------


@dataclass(frozen=True)
class InputResults:
    """The losses of all inputs (n_inputs,), in float64, and whether their answers are correct."""

    losses: np.ndarray
    correct: np.ndarray


def evaluate(experiment: Experiment, task: Task, weights: dict[str, np.ndarray]) -> InputResults:
    """Compute the loss (cross-entropy over all classes) and the answer on every input, in float64."""
    widest = max(array.shape[-1] for array in weights.values())
    require_memory("importing this", 8 * 4 * widest * min(_ROWS, task.n_inputs))
    run = activity_function(experiment.network, task.shape, task.n_classes)
    wide = {name: jnp.asarray(array, jnp.float64) for name, array in weights.items()}
    parts = [slice(start, start + _ROWS) for start in range(0, task.n_inputs, _ROWS)]
    results = [_judge(run(wide, jnp.asarray(task.inputs[p]))["logits"], jnp.asarray(task.targets[p])) for p in parts]
    losses, correct = (np.concatenate([np.asarray(x) for x in column]) for column in zip(*results, strict=True))
    return InputResults(losses, correct)


@jit
def _judge(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    return exact_cross_entropy(logits, targets), logits.argmax(axis=1) == targets


def _records(
    experiment: Experiment,
    source: Source,
    task: Task,
    results: InputResults,
    weights: dict[str, np.ndarray],
    notes: list[str],
) -> tuple[pl.DataFrame, MemberResult]:
    """Return the run's metrics, and the results of its one member. Adds to `notes` what is known only in part.

    The last row is computed from the weights; the ones before are what the file records, at the steps for which it
    has both losses, since a line between gaps cannot be drawn.
    """
    rows = make_split(experiment.split, task, experiment.seed)
    parts = {"train": rows.train, "test": rows.test}
    last = {f"{which}_loss": float(results.losses[part].mean()) for which, part in parts.items()}
    last |= {f"{which}_accuracy": float(results.correct[part].mean()) for which, part in parts.items()}
    last["weight_norm"] = math.sqrt(sum(float(np.square(w, dtype=np.float64).sum()) for w in weights.values()))

    final, record = experiment.budget.steps, source.record
    steps = np.zeros(0, np.int64)
    curves: dict[str, np.ndarray] = {}
    if record.train_losses is not None:
        steps = np.arange(0, min(len(record.train_losses), final), record.every)
        curves = {"train_loss": record.train_losses[steps]}
        if record.test_losses is not None:
            curves["test_loss"] = record.test_losses[: len(steps)]
    events = {}
    for which, event in (("train", "memorised"), ("test", "grokked")):
        curve = curves.get(f"{which}_loss", np.zeros(0))
        accuracy = np.append(1 - curve / _LOSS_OF_AN_ERROR, last[f"{which}_accuracy"])
        criterion = experiment.evaluation.criterion if which == "test" else "sustained_99"
        cadence = max(record.every, grokking.default_every(task.n_inputs))
        at = np.append(steps[: len(curve)], final)
        events[f"{event}_step"] = grokking.reached_step(at, accuracy, criterion, cadence)
    known = "the losses leave no doubt, the latest possible" if len(steps) else "the weights show it, the last"
    notes.append(f"no accuracies are recorded: the steps of memorising and grokking are those by which {known}")

    blank = [None] * len(steps)
    metrics = {name: [*curves.get(name, blank), last.get(name)] for name in METRICS}
    frame = pl.DataFrame(
        {
            "step": pl.Series([*steps, final], dtype=pl.Int64),
            "member": pl.Series([0] * (len(steps) + 1), dtype=pl.Int32),
            **{name: pl.Series(values, dtype=pl.Float32) for name, values in metrics.items()},
        }
    )
    member = MemberResult(
        **events,
        censored=events["grokked_step"] is None,
        **{name: last.get(name) for name in METRICS},
        diverged=False,
        weights_sha256=storage.digest(weights),
        seed=experiment.seed,
    )
    return frame, member
