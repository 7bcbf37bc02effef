"""What a run was computed from besides its settings: its plug-ins and its task's files, known by their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import plugins
from groklab.errors import InputError

if TYPE_CHECKING:
    from groklab.experiment import Experiment

#: SHA-256 of plug-ins and of the task's files, by their absolute paths, as they were when training began.
Sources = dict[str, str]


def sources_of(experiments: Sequence[Experiment]) -> Sources:
    """Return the digests of all files that experiments name; raises InputError where one cannot be read."""
    sources: Sources = {}
    for e in experiments:
        if set(e.plugins) - sources.keys():
            sources |= e.plugin_sources
        files = _files_of(e.task)
        if set(files) - sources.keys():
            sources |= dict.fromkeys(files, e.task.fingerprint())
    return sources


def changes(experiments: Sequence[Experiment], sources: Sources, owner: str) -> list[str]:
    """Return a sentence on each file that is missing or has changed since; nothing is imported.

    Args:
        experiments: as they are recorded.
        sources: the digests that are recorded with them.
        owner: the run or sweep, for the sentences.
    """
    named = dict.fromkeys(path for e in experiments for path in e.plugins)
    of_plugins = (plugins.change_of_plugin(path, sources.get(path), owner) for path in named)
    return [sentence for sentence in (*of_plugins, *_changes_of_data(experiments, sources, owner)) if sentence]


def load_plugins(experiments: Sequence[Experiment], sources: Sources, owner: str, trusted: bool) -> dict[str, str]:
    """Import the plug-ins of experiments, and return where each is now; the arguments are those of `changes`.

    Args:
        trusted: import plug-ins that may be another's, too, or have changed.

    Raises:
        InputError: a plug-in is missing, has changed, or is not the user's own.
    """
    named = dict.fromkeys(path for e in experiments for path in e.plugins)
    return {path: str(plugins.load_recorded(path, sources.get(path), owner, trusted)) for path in named}


def check_data(experiments: Sequence[Experiment], sources: Sources, owner: str) -> None:
    """Raise InputError where a file of a task is missing or has changed; the arguments are those of `changes`."""
    for sentence in _changes_of_data(experiments, sources, owner):
        raise InputError(f"{sentence}; put it back as it was, or train again")


def moved(settings: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Return an experiment's settings with each text of its task, and each plug-in, put to another place."""

    def put(value: Any) -> Any:
        return place(value) if isinstance(value, str) else value

    task, plugins = settings.get("task"), settings.get("plugins", [])
    return {
        **settings,
        **({"task": {name: put(value) for name, value in task.items()}} if isinstance(task, dict) else {}),
        **({"plugins": [put(path) for path in plugins]} if isinstance(plugins, list) else {}),
    }


def within(folder: Path) -> Callable[[str], str]:
    """Return the function that makes paths inside a run's folder relative to it, so that it can be moved."""
    prefix = f"{os.path.abspath(folder)}{os.sep}"
    return lambda path: path.removeprefix(prefix)


def below(folder: Path) -> Callable[[str], str]:
    """Return the inverse of `within`: relative paths of files that are in a run's folder become absolute."""

    def place(path: str) -> str:
        inner = os.path.abspath(folder / path) if os.sep in path and not os.path.isabs(path) else ""
        return inner if os.path.isfile(inner) else path

    return place


def _changes_of_data(experiments: Sequence[Experiment], sources: Sources, owner: str) -> list[str]:
    """Return a sentence on each file of groklab's own tasks that is missing or has changed."""
    seen: set[str] = set()
    sentences = []
    for task in (e.task for e in experiments):
        files = set(_files_of(task))
        if files <= seen:
            continue
        seen |= files
        try:
            now = task.fingerprint()
        except InputError as error:
            sentences.append(f"{owner} was trained with a file that cannot be read now: {error}")
            continue
        of_files = (plugins.change_of_file(path, sources.get(path), now, owner) for path in sorted(files))
        sentences += filter(None, of_files)
    return sentences


def _files_of(task: Any) -> list[str]:
    """Return the files that a task is read from."""
    return [str(path) for path in (getattr(task, name) for name in task.paths) if path is not None]
