"""From a file of weights that others wrote, or that `export` wrote, to a run of the collection."""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
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
from groklab.interop._configs import check_sizes
from groklab.interop._own_exports import Described, check_shapes, described
from groklab.interop._weight_files import Source, read_source
from groklab.lazy import jax, jit, jnp, pl
from groklab.learners import METRICS
from groklab.measures import activity_function
from groklab.networks import Transformer, recognise
from groklab.objectives import exact_cross_entropy
from groklab.store import Collection, Environment, Imported, MemberResult, Run, RunWriter, storage
from groklab.tasks import Layout, Split, Task, find_split, make_split, vocabulary_size
from groklab.training import build_task, weight_shapes

_OPTIONS = {"task.p": ("the modulus p", "--p"), "task.expression": ("the operation", "--operation")}
#: Inputs of one forward pass.
_ROWS = 16_384
#: A wrong answer has at most half of the probability, so a mean loss L leaves at most a share L / ln 2 wrong.
_LOSS_OF_AN_ERROR = math.log(2)
#: Recorded losses are of one step before the weights, and may be of another precision: the largest ratio allowed.
_LARGEST_RATIO = 4.0
#: Losses below this are as large as the rounding of single precision, in which others compute them.
_ROUNDING = 1e-6


def import_file(
    path: str | Path,
    *,
    p: int | None = None,
    operation: str | None = None,
    frac_train: float | None = None,
    split_seed: int | None = None,
    weight_decay: float | None = None,
    activation: str | None = None,
    attention_rate: float | None = None,
    mask: str | None = None,
    n_heads: int | None = None,
    trust_plugin: bool = False,
    ignore_losses: bool = False,
    home: str | Path | None = None,
) -> Run:
    """Make a run from a file of weights (.pth, .safetensors or .npz) or from the folder of an export.

    Losses that the file records become the run's metrics; the final ones, and the accuracies, are computed in float64.
    The same file with the same options gives the same run. Nothing in a file is ever executed, but for plug-ins as
    `trust_plugin` has it. A split that nothing records is 'unknown': test numbers are then those of all inputs.

    Args:
        path: the file or folder.
        p: the modulus; this and the next eight are for what the file does not record, and take precedence over what
            it does.
        operation: the name or formula of the task.
        frac_train: the share of the training set.
        split_seed: the seed of Python's shuffle, of the split.
        weight_decay: the strength of the weight decay.
        activation: a setting of the network.
        attention_rate: a setting of the network.
        mask: a setting of the network.
        n_heads: the number of attention heads.
        trust_plugin: run the plug-ins of an export, even if the user has not named them before.
        ignore_losses: import weights that do not have the losses which the file records.
        home: the folder of runs; None is the default one.

    Returns:
        The run. Each assumption is a warning, kept in the run's environment.json under `imported`.

    Raises:
        InputError: for another kind of file, where something is not known, for a model that no network here is, or
            where the parts contradict each other.
    """
    source = read_source(Path(path).expanduser(), n_heads)
    given = {
        "task.p": p,
        "task.expression": operation,
        "split.frac_train": frac_train,
        "split.seed": split_seed,
        "optimiser.weight_decay": weight_decay,
        "network.activation": activation,
        "network.attention_rate": attention_rate,
        "network.mask": mask,
    }
    options = {k: v for k, v in given.items() if v is not None}
    notes = list(source.record.warnings)
    if source.description:
        made = described(source.path, source.weights, source.description, options, trust_plugin)
        notes += made.notes
    else:
        made = _from_others(source, options, ignore_losses, notes)
    collection = Collection(Path(home) if home is not None else None)
    sha256 = hashlib.sha256(f"{source.sha256} {made.experiment.identity}".encode()).hexdigest()
    folder = collection.folder / f"{made.experiment.name}-{sha256[:8]}"
    if not _is_complete(folder):
        imported = Imported(
            file=source.path.name,
            sha256=source.sha256,
            options=options,
            warnings=notes,
            exact_steps=made.exact,
        )
        environment = Environment(
            groklab=groklab.__version__, definition_of_grokking=grokking.DEFINITION, imported=imported
        )
        try:
            with storage.complete_folder(folder, last="experiment.json") as stage:
                _write(stage, made, environment)
        except InputError:
            # another process may have been quicker
            if not _is_complete(folder):
                raise
    run = Run(folder, trust_plugin=trust_plugin)
    for sentence in run.imported.warnings if run.imported else ():
        warnings.warn(sentence, stacklevel=2)
    return run


def _write(stage: Path, made: Described, environment: Environment) -> None:
    """Write a run into the folder `stage`."""
    places = {str(file.place): os.path.abspath(stage / file.inner) for file in made.files}
    for file in made.files:
        storage.atomic_write(stage / file.inner, file.content)
    task, e = made.experiment.task, made.experiment
    own = {name: places[path] for name in task.paths if (path := getattr(task, name)) in places}
    task = replace(task, **own) if own else task
    writer = RunWriter.create(
        stage, [replace(e, task=task, plugins=tuple(map(places.get, e.plugins, e.plugins)))], environment
    )
    step = int(made.metrics["step"][-1])
    writer.checkpoint(step, {k: v[None] for k, v in made.weights.items()})
    writer.metrics(made.metrics)
    state = "diverged" if made.member.diverged else "finished"
    writer.status(state=state, reason="imported", step=step, seconds=0.0, members=[made.member])


def _is_complete(folder: Path) -> bool:
    """Return whether an import into this folder has ended."""
    try:
        run = Run(folder)
        return run.status.reason == "imported" and bool(run.imported) and bool(run.weights())
    except ValueError:
        return False


def _from_others(source: Source, options: dict[str, Any], ignore_losses: bool, notes: list[str]) -> Described:
    """Return the run that a file of other programs is, and add to `notes` what was assumed.

    options: settings by dotted name, which take precedence over the file's.
    """
    weights = transformer_lens.tidied(source.weights)
    if source.config.get("normalization_type") == "LNPre":
        weights |= transformer_lens.unit_norms(weights)
        notes.append("its normalisation has no gains and biases of its own: they are kept as ones and zeros")
    experiment = _deduced(source, options, weights, notes)
    task = build_task(experiment)
    check_shapes(weights, weight_shapes(experiment, task))
    results = evaluate(experiment, task, weights)
    experiment = _with_split(experiment, source, options, task, results.losses, notes)
    _check_losses(experiment, source, task, results.losses, ignore_losses, notes)
    return Described(experiment, weights, *_records(experiment, source, task, results, weights, notes))


# -- the experiment: what the file records, what the options set, what shapes show --------------------------------


def _deduced(source: Source, options: dict[str, Any], weights: dict[str, np.ndarray], notes: list[str]) -> Experiment:
    network = recognise(weights)
    if isinstance(network, Transformer):
        check_sizes(source.config, weights)
    settings = {**source.record.settings, **options}
    for name, (what, option) in _OPTIONS.items():
        if name not in settings:
            raise InputError(f"{source.path} does not record {what} of its task; give {option}")
    if "split.seed" in options:
        settings["split.method"] = "python_shuffle"
    elif not {"split.frac_train", "split.seed"} <= settings.keys():
        settings = {k: v for k, v in settings.items() if k != "split.seed"} | {"split.method": "unknown"}
    notes += _assumptions(network, settings)
    layout, outputs = _sizes(settings["task.p"], weights)
    if "optimiser.weight_decay" not in settings:
        notes.append("the file does not record the weight decay: taken as 0; --weight-decay sets it")
    steps = source.record.steps
    if type(steps) is not int or not 0 <= steps <= MAX_STEPS:
        notes.append("the file does not record how long its model was trained: its weights are kept as step 0")
        steps = 0
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.path.stem).strip("-._")[:80] or "imported"
    given = {"name": name, "task.layout": layout, "task.outputs": outputs, "budget.steps": steps}
    given["dtype"] = str(weights["unembed.W_U"].dtype)
    if source.record.every > 1:
        given["evaluation.every"] = source.record.every
    base = {"network": components.as_json(network), "split": {"method": "unknown"}}
    return read(base, {**settings, **given})


def _assumptions(network: Any, settings: dict[str, Any]) -> list[str]:
    """Return what is assumed of the network, where neither its weights nor settings show it."""
    for name in settings:
        field = name.removeprefix("network.")
        if field != name and not hasattr(network, field):
            raise InputError(name, settings[name], f"is not a setting of the {network.kind} that these weights are of")
    fields = ["activation"] if network.d_mlp != 0 else []
    if isinstance(network, Transformer):
        # in one layer read at its last position the mask makes no difference
        fields += ["attention_rate", *(["mask"] if network.n_layers > 1 else [])]
    missing = [f for f in fields if f"network.{f}" not in settings]
    if not missing:
        return []
    values = ", ".join(f"{f} {getattr(network, f)}" for f in missing)
    options = ", ".join(f"--{f.replace('_', '-')}" for f in missing)
    return [f"the file does not record how its network computes; assumed: {values} (options: {options})"]


def _sizes(p: Any, weights: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return the layout and the outputs with which a task mod p has these weights' sizes."""
    if type(p) is not int or p < 2:
        raise InputError("task.p", p, "needs an integer of at least 2")
    tables = [name for name in weights if re.fullmatch(r"embed\.\d+\.W", name)]
    d_vocab, n_ctx = len(weights[tables[0] if tables else "embed.W_E"]), len(weights.get("pos_embed.W_pos", ()))
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
    settings, record = {**source.record.settings, **options}, source.record
    if {"split.frac_train", "split.seed"} <= settings.keys():
        return experiment
    if record.train_rows is not None and not {"split.frac_train", "split.seed"} & options.keys():
        return replace(experiment, split=_recorded_split(record.train_rows, record.test_rows, task))
    recorded = record.last_losses
    match = find_split(task, losses, *recorded) if recorded is not None else None
    if match is None and len({"split.frac_train", "split.seed"} & options.keys()) == 1:
        raise InputError("a split needs both: give --frac-train and --split-seed")
    if match is None:
        agreeing = "" if recorded is None else ", and no published split alone agrees with its losses"
        notes.append(
            f"the file does not record which inputs its model was trained on{agreeing}: the split is unknown, and test "
            "numbers are of all inputs; --frac-train and --split-seed set it"
        )
        return experiment
    split, how = match
    for name, value in (("split.frac_train", split.frac_train), ("split.seed", split.seed)):
        if name in settings and settings[name] != value:
            raise InputError(name, settings[name], f"disagrees with the recorded losses, which belong to {value}")
    notes.append(
        f"the split is not recorded, and was recognised: {split.method}, seed {split.seed}, {split.frac_train}: {how}"
    )
    return replace(experiment, split=split)


def _recorded_split(train: np.ndarray, test: np.ndarray | None, task: Task) -> Split:
    """Return the split into the rows that the file lists, which need to be those of the task, each once."""
    rows = train if test is None else np.concatenate([train, test])
    if len(np.unique(rows)) < len(rows) or rows.max() >= task.n_inputs:
        raise InputError(f"the rows that the file lists are not different ones of the {task.n_inputs:,} of {task.name}")
    if test is not None and len(rows) < task.n_inputs:
        raise InputError(f"the file lists {len(rows):,} rows for training and test; {task.name} has {task.n_inputs:,}")
    return Split(rows=tuple(np.sort(train).tolist()))


def _check_losses(
    experiment: Experiment, source: Source, task: Task, losses: np.ndarray, ignore: bool, notes: list[str]
) -> None:
    """Raise InputError where weights have other losses (n_inputs,) than the file records, or add that to `notes`."""
    recorded = source.record.last_losses
    if recorded is None:
        return
    rows = make_split(experiment.split, task, experiment.seed)
    ours = [float(losses[part].mean()) for part in (rows.train, rows.test) if len(part)]
    # the mean over all inputs lies between those over their two parts
    theirs = recorded if len(ours) == 2 else [min(max(ours[0], min(recorded)), max(recorded))]
    pairs = list(zip(ours, theirs, strict=True))
    floored = [[max(loss, _ROUNDING) for loss in pair] for pair in pairs]
    if all(a / _LARGEST_RATIO <= b <= a * _LARGEST_RATIO for a, b in floored):
        return
    difference = (
        f"the weights have losses of {' and '.join(f'{loss:.3g}' for loss in ours)}, and the file records "
        f"{recorded[0]:.3g} in training and {recorded[1]:.3g} in test"
    )
    if not ignore:
        advice = "the task, the split or the network is another (--ignore-losses imports it anyway)"
        raise InputError(f"{source.path}: {difference}: {advice}")
    notes.append(f"{difference}: the task, the split or the network may be another")


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
    known = {which: part for which, part in parts.items() if len(part)}
    last = {f"{which}_loss": float(results.losses[part].mean()) for which, part in known.items()}
    last |= {f"{which}_accuracy": float(results.correct[part].mean()) for which, part in known.items()}
    last["weight_norm"] = math.sqrt(sum(float(np.square(w, dtype=np.float64).sum()) for w in weights.values()))

    final, record = experiment.budget.steps, source.record
    steps = np.zeros(0, np.int64)
    curves: dict[str, np.ndarray] = {}
    if record.train_losses is not None:
        steps = np.arange(0, min(len(record.train_losses), final), record.every)
        curves = {"train_loss": record.train_losses[steps]}
        if record.test_losses is not None:
            curves["test_loss"] = record.test_losses[: len(steps)]
    events: dict[str, int | None] = {}
    for which, event in (("train", "memorised"), ("test", "grokked")):
        if which not in known:
            events[f"{event}_step"] = None
            continue
        curve = curves.get(f"{which}_loss", np.zeros(0))
        accuracy = np.append(1 - curve / _LOSS_OF_AN_ERROR, last[f"{which}_accuracy"])
        criterion = experiment.evaluation.criterion if which == "test" else "sustained_99"
        cadence = max(record.every, grokking.default_every(task.n_inputs))
        at = np.append(steps[: len(curve)], final)
        events[f"{event}_step"] = grokking.reached_step(at, accuracy, criterion, cadence)
    doubt = "the losses leave no doubt, the latest possible" if len(steps) else "the weights show it, the last"
    note = f"no accuracies are recorded: the steps of memorising and grokking are those by which {doubt}"
    notes += [] if note in notes else [note]

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
