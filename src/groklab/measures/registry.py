"""The measures there are, and how a user adds one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.tasks.base import Task

#: Measures of networks that read no tokens.
WITHOUT_TOKENS = ("weight_norms",)
#: A measure takes weights by name and the task, and those of train_rows, network, frequencies and final that it names.
Function = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class NamedTable:
    """A small table of what a measure gave, for people: text throughout, the first column names the rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


#: What a measure gave, told in tables; none where its numbers speak by their names alone.
Tables = Callable[[Mapping[str, Any]], list[NamedTable]]


@dataclass(frozen=True)
class Measure:
    """A registered measure. online: its outputs have a fixed shape, so that it can run during training.

    tables: tells what the measure gave of one set of weights in words, where its arrays are nested.
    """

    name: str
    about: str
    function: Function
    online: bool
    tables: Tables | None = None

    def __call__(
        self,
        weights: Mapping[str, Any],
        task: Task,
        train_rows: np.ndarray | None = None,
        *,
        network: Any = None,
        frequencies: Sequence[int] | None = None,
        final: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Take the measure of one set of weights.

        train_rows: rows of the task that were trained on. network: what the weights belong to; None recognises it
        from their names and shapes. frequencies: the key frequencies, such as those of the final model; None finds
        them in these weights. final: the final model's weights, for a measure that compares with them.
        """
        of_features = network is not None and network.reads_features and not network.is_kernel_machine
        if task.n_ctx == 0 and of_features and self.name not in WITHOUT_TOKENS:
            raise InputError(f"the measure {self.name} is of tokens, and {task.name} has none")
        given = {"train_rows": train_rows, "network": network, "frequencies": frequencies, "final": final}
        return self.function(weights, task, **{k: v for k, v in given.items() if k in self.takes})

    @property
    def takes(self) -> frozenset[str]:
        """Names of what the function asks for besides weights and task."""
        return frozenset(list(inspect.signature(self.function).parameters)[2:])


MEASURES: dict[str, Measure] = {}


def cell(value: float) -> str:
    """A number in a table: four figures, a dash for what is not finite."""
    return f"{value:.4g}" if np.isfinite(value) else "–"


def measure(name: str, *, online: bool = False, tables: Tables | None = None) -> Callable[[Function], Measure]:
    """Function decorator: register a measure under `name`; the docstring's first line says what it is.

    tables: a function of what the measure gave, which tells it in small tables: the command line prints those.
    Raises InputError for one that would run on line and names `final`: there is no final model yet.
    """

    def decorate(function: Function) -> Measure:
        about = (function.__doc__ or "").strip().split("\n")[0]
        made = Measure(name, about, function, online, tables)
        if online and "final" in made.takes:
            raise InputError(f"the measure {name!r} takes the final model's weights, so it cannot run on line")
        MEASURES[name] = made
        return made

    return decorate
