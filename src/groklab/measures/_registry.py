"""The registered measures, and how a user adds one."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.registry import Discovered, enter, load_all
from groklab.tasks import Task

#: A model's weights by name, and rows of a task, such as those trained on.
Weights: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = np.ndarray | None
#: What a measure's function may take besides weights and task.
ARGUMENTS = ("train_rows", "train_targets", "network", "frequencies", "final", "objective")
#: Measures that also apply to networks that read real inputs.
WITHOUT_TOKENS = ("weight_norms",)


class Result(Mapping[str, Any]):
    """Named arrays and numbers: the fields of a frozen dataclass, which can also be read as a mapping.

    Code reads attributes. Storage and tables, which treat all measures alike, read the mapping; it leaves out the
    fields that are None. A measure without a fixed set of names returns a plain dictionary.
    """

    def __getitem__(self, name: str) -> Any:
        if name not in list(self):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        fields: tuple[Any, ...] = dataclasses.fields(self)  # type: ignore[arg-type]
        return (field.name for field in fields if getattr(self, field.name) is not None)

    def __len__(self) -> int:
        return len(list(iter(self)))


#: What a measure returns.
Values = TypeVar("Values", bound=Mapping[str, Any], covariant=True)


@dataclass(frozen=True)
class NamedTable:
    """A small table of text; its first column names the rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


#: From a measure's result to tables, for people.
Tables = Callable[[Mapping[str, Any]], list[NamedTable]]


@dataclass(frozen=True)
class Measure(Generic[Values]):
    """A registered measure.

    Attributes:
        function: takes weights by name, the task, and those of ARGUMENTS that it names.
        online: whether it can run during training; its outputs then have fixed shapes.
        tables: shows a result as tables, where its arrays are nested.
    """

    name: str
    about: str
    function: Callable[..., Values]
    online: bool
    tables: Tables | None = None

    def __call__(
        self,
        weights: Weights,
        task: Task,
        train_rows: Rows = None,
        *,
        train_targets: Rows = None,
        network: Any = None,
        frequencies: Sequence[int] | None = None,
        final: Weights | None = None,
        objective: Any = None,
    ) -> Values:
        """Take the measure of one set of weights.

        Args:
            train_rows: rows of the task that were trained on; none at all, as where the split is unknown, is as None.
            train_targets: their labels as trained on, some of them wrong where the split has label noise.
            network: what the weights belong to; None recognises it from their names and shapes.
            frequencies: the key frequencies, such as those of the final model; None finds them in these weights.
            final: the final model's weights, for a measure that compares with them.
            objective: the loss that the weights were trained on, for a measure of it; the task then needs the answers
                as they were trained on.
        """
        of_features = network is not None and network.reads_features and not network.is_kernel_machine
        if task.n_ctx == 0 and of_features and self.name not in WITHOUT_TOKENS:
            raise InputError(f"the measure {self.name} needs tokens, and {task.name} has none")
        train_rows = None if train_rows is None or not len(train_rows) else train_rows
        given: dict[str, Any] = {"train_rows": train_rows, "train_targets": train_targets, "network": network}
        given |= {"frequencies": frequencies, "final": final, "objective": objective}
        values = self.function(weights, task, **{k: v for k, v in given.items() if k in self.takes})
        if not isinstance(values, Mapping):
            raise InputError(f"the measure {self.name} needs to return arrays by name, not {type(values).__name__}")
        return values

    @property
    def takes(self) -> frozenset[str]:
        """Names of the function's arguments besides weights and task."""
        return frozenset(list(inspect.signature(self.function).parameters)[2:])


MEASURES: Discovered[Measure[Mapping[str, Any]]] = Discovered(partial(load_all, "groklab.measures"))


def own_measures() -> list[Measure[Mapping[str, Any]]]:
    """Return the measures that plug-ins, scripts and notebooks have registered, by name."""
    return [m for name, m in sorted(MEASURES.items()) if not m.function.__module__.startswith("groklab.")]


def cell(value: float) -> str:
    """Format a number for a table: four figures, a dash for what is not finite."""
    return f"{value:.4g}" if np.isfinite(value) else "–"


def measure(
    name: str, *, online: bool = False, tables: Tables | None = None
) -> Callable[[Callable[..., Values]], Measure[Values]]:
    """Register the decorated function as a measure; its docstring's first line describes it.

    Args:
        tables: shows a result as small tables, which the command line prints.

    Raises:
        InputError: if the function needs an unknown argument, an online measure names `final` (during training there is
            no final model yet), or the name is taken by groklab or by another file.
    """

    def decorate(function: Callable[..., Values]) -> Measure[Values]:
        about = (function.__doc__ or "").strip().split("\n")[0]
        made = Measure(name, about, function, online, tables)
        for argument in list(inspect.signature(function).parameters.values())[2:]:
            if argument.default is argument.empty and not argument.kind.name.startswith("VAR"):
                check_choice(f"argument of the measure {name}", argument.name, ARGUMENTS)
        if online and "final" in made.takes:
            raise InputError(f"the measure {name!r} takes the final model's weights, so it cannot run online")
        enter(MEASURES, "measure", name, made, function.__module__)
        return made

    return decorate
