"""What an export of ours says of its weights, and the run that it describes: read without running anything in it.

`model.safetensors` holds the description among its metadata: the experiment, the step, and the digests of the other
files that the run needs. Those lie in the folder `files`, and `metrics.csv` has what was measured up to that step.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from groklab import plugins, registry
from groklab.errors import DamagedError, InputError, shorten
from groklab.experiment import MAX_STEPS, Experiment, read_loaded
from groklab.interop import _transformer_lens as transformer_lens
from groklab.lazy import pl
from groklab.learners import LOSSES
from groklab.store import MemberResult, Step, Stored, digest, storage
from groklab.training import build_task, evaluate, results, weight_shapes

#: The files of an export, the folder of those that its task and plug-ins are read from, and the key of a description.
WEIGHTS, CONFIG, CARD, TABLE, FILES = "model.safetensors", "config.json", "README.md", "metrics.csv", "files"
ENTRIES = (WEIGHTS, CONFIG, CARD, TABLE, FILES)
DESCRIPTION = "groklab_export"
#: Largest differences between what was recorded and what the weights give: of accuracies, and of losses relatively.
_ACCURACY, _LOSS = 0.05, 0.05
#: Losses below this are rounding.
_NO_LOSS = 1e-4


@dataclass(frozen=True)
class File:
    """A file that a run needs: its path in an export and in the run's folder, where it is now, and its content."""

    inner: str
    place: Path
    content: bytes


@dataclass(frozen=True)
class Described:
    """A run as it is described.

    Attributes:
        metrics: of the run; the last row is that of its weights.
        member: the results of its one member.
        files: what its task is read from.
        exact: whether the steps of memorising and grokking are those of its training, and not the latest possible.
        notes: what was assumed.
    """

    experiment: Experiment
    weights: dict[str, np.ndarray]
    metrics: pl.DataFrame
    member: MemberResult
    files: tuple[File, ...] = ()
    exact: bool = False
    notes: tuple[str, ...] = ()


class Bounds(Stored):
    """The latest possible steps of a run that was imported from a file without accuracies."""

    memorised_step: Step | None
    grokked_step: Step | None


def described(
    path: Path,
    content: Mapping[str, np.ndarray],
    description: Mapping[str, Any],
    options: Mapping[str, Any],
    trust_plugin: bool = False,
) -> Described:
    """Return the run that an export describes.

    Args:
        path: of its weights; other files lie beside it.
        content: the arrays in that file.
        description: what it says of them.
        options: settings by dotted name, which take precedence.
        trust_plugin: run plug-ins that the user has not named before, too.

    Raises:
        InputError: where a file is missing, a plug-in may not be run, or the parts contradict each other.
        DamagedError: where one was altered.
    """
    if "sha256" in description and description["sha256"] != digest(content):
        raise DamagedError(f"{path} is damaged: its checksum does not match its content")
    settings, step = description.get("experiment"), description.get("step")
    if not isinstance(settings, dict) or not isinstance(settings.get("task"), dict):
        raise InputError(f"{path} describes no experiment")
    if type(step) is not int or not 0 <= step <= MAX_STEPS:
        raise InputError(f"the step of {path}", step, f"needs to be an integer from 0 to {MAX_STEPS:,}")
    named = description.get("files", {})
    named = dict(named) if isinstance(named, dict) else {}
    code = [
        _plugin(path, setting, named.pop(setting), trust_plugin) for setting in sorted(named) if "plugins" in setting
    ]
    data = {setting: _file(path, setting, entry) for setting, entry in named.items()}
    settings = {**settings, "plugins": [str(modules[0].place) for modules in code]}
    experiment = _experiment(path, settings, data, options)
    task = build_task(experiment)
    weights = _weights(content, experiment, weight_shapes(experiment, task))
    last = evaluate(experiment, weights, step)
    # options may make it another training
    recorded = None if options else _recorded(path.parent / TABLE, last)
    metrics = last if recorded is None else recorded
    member = results(experiment, weights, metrics)
    files = (*data.values(), *itertools.chain(*code))
    bounds = Bounds.of_json(description.get("bounds"))
    if recorded is not None and bounds is not None:
        member = member.model_copy(update={**bounds.to_dict(), "censored": bounds.grokked_step is None})
    missing = f"no {TABLE} is used: the steps of memorising and grokking are the last, at the latest"
    notes = (missing,) if recorded is None else ()
    return Described(experiment, weights, metrics, member, files, not notes and bounds is None, notes)


def _located(path: Path, setting: str, entry: Any) -> tuple[str, Path, str]:
    """Return the path of a file within an export, where it is, and its recorded digest."""
    inner, sha256 = (str(entry.get(key)) for key in ("path", "sha256")) if isinstance(entry, dict) else ("", "")
    place = path.parent / inner
    # neither a name nor a link leads out of the folder
    if Path(inner).parts[:1] != (FILES,) or not place.resolve().is_relative_to((path.parent / FILES).resolve()):
        raise InputError(f"{setting} of {path}", inner, f"needs to be in the folder {FILES} beside it")
    if not place.is_file():
        raise InputError(f"{path} needs the file {inner} beside it, as it was exported")
    return inner, Path(os.path.abspath(place)), sha256


def _file(path: Path, setting: str, entry: Any) -> File:
    """Return a file that a task is read from."""
    inner, place, sha256 = _located(path, setting, entry)
    content = storage.read_bytes(place, "table")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedError(f"{place} is damaged: its checksum does not match its content")
    return File(inner, place, content)


def _plugin(path: Path, setting: str, entry: Any, trusted: bool) -> list[File]:
    """Import a plug-in of an export, if that is allowed, and return its files, the plug-in's own first."""
    inner, place, sha256 = _located(path, setting, entry)
    plugin = registry.read_plugin(place)
    if plugin.sha256 != sha256:
        raise DamagedError(f"{place} is damaged: its checksum does not match its content")
    # from where it is loaded already, if it is
    file = plugins.load_recorded(str(place), sha256, f"the export {path.parent}", trusted)
    return [replace(module, place=file) if module.place == place else module for module in files_of(plugin, inner)]


def files_of(plugin: registry.Plugin, inner: str) -> list[File]:
    """Return the modules of a plug-in, its own file first, at `inner` and beside it."""
    folder = Path(inner).parent
    modules = [(file, code) for file, code in plugin.modules.values() if file.is_file()]
    return [File(str(folder / file.relative_to(plugin.file.parent)), file, code) for file, code in modules]


def _experiment(
    path: Path, settings: dict[str, Any], files: Mapping[str, File], options: Mapping[str, Any]
) -> Experiment:
    # a name of its own, or the beginning of the original run's would fit both
    name = f"imported-{str(settings.get('name', 'weights')).removeprefix('imported-')}"[:81]
    places = {setting: str(file.place) for setting, file in files.items()}
    experiment = read_loaded({**settings, "name": name}, {**places, **options})
    for setting in experiment.task.paths:
        value = getattr(experiment.task, setting)
        if value is not None and f"task.{setting}" not in files:
            raise InputError(f"task.{setting}", value, f"is not among the files of the export {path.parent}")
    return experiment


def _weights(
    content: Mapping[str, np.ndarray], experiment: Experiment, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Return the weights that the experiment's network has."""
    weights = dict(content)
    if transformer_lens.is_bridge(weights):
        weights = transformer_lens.from_bridge(weights, experiment.network.n_heads)
    weights = transformer_lens.tidied(weights, shapes)
    check_shapes(weights, shapes)
    return weights


def check_shapes(weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise InputError unless weights have these names and shapes."""
    for name in sorted({*shapes, *weights}):
        shape = weights[name].shape if name in weights else "nothing"
        if shape != shapes.get(name):
            raise InputError(f"the weight {name} is {shape}; this network and task need {shapes.get(name, 'none')}")


def _recorded(path: Path, last: pl.DataFrame) -> pl.DataFrame | None:
    """Return the metrics beside an export, up to and with the step of its weights; None where there are none.

    Args:
        last: what the weights give, one row.

    Raises:
        InputError: where they are those of other weights.
        DamagedError: where they cannot be read.
    """
    if not path.is_file():
        return None
    step = last["step"][0]
    try:
        frame = pl.read_csv(storage.read_bytes(path, "table"), schema_overrides=last.schema)
        frame = frame.with_columns(member=pl.lit(0, pl.Int32)).select(last.columns)
        steps = frame["step"].to_list()
        if None in steps or steps != sorted(set(steps)) or any(not 0 <= s <= step for s in steps):
            raise ValueError(f"its steps are not ascending ones from 0 to {step:,}")
    except (ValueError, pl.exceptions.PolarsError) as error:
        first = str(error).partition("\n")[0]
        raise DamagedError(f"{path} cannot be read: {shorten(first)}") from None
    if not steps or steps[-1] < step:
        return pl.concat([frame, last])
    for name in LOSSES:
        then, now = float(frame[name][-1] or 0), float(last[name][0])
        allowed = _ACCURACY if name.endswith("accuracy") else _LOSS * max(abs(then), abs(now)) + _NO_LOSS
        if abs(then - now) > allowed:
            what = name.replace("_", " ")
            raise InputError(f"{path} records a {what} of {then:.6g} at step {step:,}; these weights have {now:.6g}")
    return frame
