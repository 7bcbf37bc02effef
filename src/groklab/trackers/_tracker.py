"""What an adapter of a tracking program is, and how the installed ones are found."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from groklab.errors import InputError, unknown
from groklab.lazy import pl

#: The group of entry points that adapters register in; a package of one's own may add to it.
GROUP = "groklab.trackers"
#: What to install for an adapter of groklab's own.
PACKAGES = {"mlflow": "MLflow", "wandb": "Weights & Biases", "tensorboard": "TensorBoard"}


@dataclass(frozen=True)
class Record:
    """What a tracking program is to know of one model before its first metric.

    Args:
        name: unique in a folder of runs: the run's, with `#member` for a member of an ensemble.
        group: the run's name.
        settings: of the experiment, by dotted name.
        about: identity, versions and machine.
        tags: the user's.
    """

    name: str
    group: str
    settings: Mapping[str, str | int | float | bool]
    about: Mapping[str, str]
    tags: Sequence[str] = field(default=())


class Tracker(abc.ABC):
    """The record of one model in a tracking program.

    Args:
        record: the model.
        where: a folder or an address; None for the program's own default.
    """

    @abc.abstractmethod
    def __init__(self, record: Record, where: str | None) -> None: ...

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """Where the record is, for people."""

    @abc.abstractmethod
    def last_step(self, metric: str) -> int:
        """Return the last step at which the record has a metric; -1 where it has none."""

    @abc.abstractmethod
    def log(self, rows: pl.DataFrame) -> None:
        """Add metrics: `step`, ascending, and one column of numbers per metric."""

    @abc.abstractmethod
    def finish(self, results: Mapping[str, str | int | float], files: Sequence[Path], complete: bool) -> None:
        """Add results and files, and close the record.

        Args:
            complete: whether training has ended, so that it will not be resumed.
        """


def tracker_names() -> list[str]:
    """Return the names of the installed adapters."""
    return sorted(_entries())


def adapter_of(name: str, option: str) -> type[Tracker]:
    """Return an installed adapter.

    Raises:
        InputError: for an unknown name, or a program that is not installed.
    """
    entries = _entries()
    if name not in entries:
        raise unknown(option, name, sorted(entries))
    try:
        adapter: type[Tracker] = entries[name].load()
    except ImportError as error:
        if name not in PACKAGES:
            raise InputError(option, name, f"cannot be loaded: {error}") from None
        raise InputError(option, name, f"needs {PACKAGES[name]}: pip install 'groklab[{name}]'") from None
    return adapter


def open_tracker(name: str, record: Record, where: str | None, option: str) -> Tracker:
    """Return the record of a model in a tracking program, the existing one where there is one.

    Raises:
        InputError: as `adapter_of`, and where the program refuses.
    """
    adapter = adapter_of(name, option)
    try:
        return adapter(record, where)
    except InputError:
        raise
    except Exception as error:
        # of any kind: it is another's program
        raise InputError(option, name, f"refuses: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return what an error of another program says, on one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
