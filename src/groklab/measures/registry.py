"""The measures there are, and how a user adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.tasks.base import Task

#: A measure takes weights by name, the task, and the rows trained on, and gives named arrays.
Function = Callable[[Mapping[str, Any], Task, np.ndarray | None], dict[str, Any]]


@dataclass(frozen=True)
class Measure:
    """A registered measure. online: its outputs have a fixed shape, so that it can run during training."""

    name: str
    about: str
    function: Function
    online: bool

    def __call__(self, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray | None = None) -> dict[str, Any]:
        """Take the measure of one set of weights."""
        return self.function(weights, task, train_rows)


MEASURES: dict[str, Measure] = {}


def measure(name: str, *, online: bool = False) -> Callable[[Function], Measure]:
    """Function decorator: register a measure under `name`; the docstring's first line says what it is."""

    def decorate(function: Function) -> Measure:
        about = (function.__doc__ or "").strip().split("\n")[0]
        MEASURES[name] = Measure(name, about, function, online)
        return MEASURES[name]

    return decorate
