"""Split a component into what decides a program (static) and what a program is fed (hyperparameters).

Every `float` field of a component is a hyperparameter: it becomes a traced scalar inside the compiled step, one value
per member, so that learning rates, decays and scales may differ between the members of an ensemble without another
compilation. All other fields are static.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

#: What stands in place of a hyperparameter in a static description.
HYPERPARAMETER = "<hyperparameter>"


class Carried:
    """Carries what a cached function builds from, through the cache, without being part of its key."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Carried)


def later(default: Any) -> Any:
    """Return a field that came after runs were made without it: it is described where it is not at its default."""
    return dataclasses.field(default=default, metadata={"later": True})


def section_of(family: str) -> dict[str, Any]:
    """Return the metadata of a field that holds a component of a family, or None, its default.

    It is a section of its own with a `kind`, and like a field of `later` described where it is given.
    """
    return {"later": True, "family": family}


def sections_of(cls: type) -> dict[str, str]:
    """Return the fields of a component's class that hold components, each with their family."""
    return {f.name: f.metadata["family"] for f in dataclasses.fields(cls) if "family" in f.metadata}


def with_sections(value: Any) -> list[Any]:
    """Return a component, and those that it holds."""
    held = sections_of(type(value)) if dataclasses.is_dataclass(value) else ()
    return [value, *(part for name in held if (part := getattr(value, name)) is not None)]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field; `dataclasses.MISSING` where it has none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def as_json(value: Any) -> Any:
    """Return a component (or any nest of them) as plain JSON values, with its `kind` first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {f: getattr(value, f.name) for f in dataclasses.fields(value)}
        fields = {f.name: as_json(v) for f, v in own.items() if not (f.metadata.get("later") and v == default_of(f))}
        kind = getattr(value, "kind", None)
        return {"kind": kind, **fields} if kind else fields
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    return value


def hyperparameters_of(value: Any, path: str = "") -> dict[str, float]:
    """Return every hyperparameter below `value` by its dotted path."""
    hyperparameters: dict[str, float] = {}
    for name, child in _children(value):
        where = f"{path}.{name}" if path else name
        if isinstance(child, float):
            hyperparameters[where] = child
        else:
            hyperparameters.update(hyperparameters_of(child, where))
    return hyperparameters


def static_of(value: Any) -> Any:
    """Return `as_json(value)` with marks for hyperparameters: equal statics share one compiled program."""

    def mark(node: Any) -> Any:
        if isinstance(node, float):
            return HYPERPARAMETER
        if isinstance(node, dict):
            return {k: mark(v) for k, v in node.items()}
        if isinstance(node, list):
            return [mark(v) for v in node]
        return node

    return mark(as_json(value))


def with_hyperparameters(value: Any, hyperparameters: Mapping[str, Any], path: str = "") -> Any:
    """Return a copy of `value` whose hyperparameters are those given (arrays or tracers), by dotted path.

    Checks in `__post_init__` are not run again: they have passed for every member, and tracers cannot be compared.
    """
    if isinstance(value, float):
        return hyperparameters[path]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for name, child in _children(value):
            object.__setattr__(
                made, name, with_hyperparameters(child, hyperparameters, f"{path}.{name}" if path else name)
            )
        return made
    if isinstance(value, Mapping):
        return {
            k: with_hyperparameters(v, hyperparameters, f"{path}.{k}" if path else str(k)) for k, v in value.items()
        }
    if isinstance(value, tuple):
        return tuple(
            with_hyperparameters(v, hyperparameters, f"{path}.{i}" if path else str(i)) for i, v in enumerate(value)
        )
    return value


def _children(value: Any) -> list[tuple[str, Any]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [(str(k), v) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(i), v) for i, v in enumerate(value)]
    return []
