"""The kinds of things an experiment can name, and how users add their own.

A *component* is a frozen dataclass: its fields are its settings, its docstring its help, its `kind` the name
under which an experiment refers to it. Fields annotated `float` change no shape and may differ between the
members of an ensemble; every other field decides which program is compiled.
"""

from __future__ import annotations

import abc
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

from groklab.errors import InputError, check_choice
from groklab.registry._entries import enter

T = TypeVar("T", bound=type)

#: What components there are.
COMPONENT_FAMILIES = ("task", "learner", "network", "objective", "optimiser", "gradient_filter", "intervention")
#: family -> kind -> component class
FAMILIES: dict[str, dict[str, type]] = {}
#: family -> the abstract class that says what its components offer, with defaults
BASES: dict[str, type[abc.ABC]] = {}


def kinds(family: str) -> dict[str, type]:
    """Return the registered components of a family, such as 'task' or 'optimiser'."""
    return FAMILIES.setdefault(family, {})


def base_of(family: str) -> Callable[[T], T]:
    """Class decorator: every component of the family subclasses this class, or is given what it lacks of it."""

    def decorate(cls: T) -> T:
        BASES[family] = cls
        return cls

    return decorate


@dataclass_transform(frozen_default=True, kw_only_default=True)
def register(family: str, kind: str) -> Callable[[T], T]:
    """Class decorator: make the class a frozen dataclass and let experiments name it as `kind`.

    A class that does not subclass its family's base, such as `groklab.networks.Network`, takes the base's defaults.

    Raises:
        InputError: for an unknown family, a kind that another file or groklab itself has already, or a class that lacks
            a method that the family needs.
    """
    check_choice("family", family, COMPONENT_FAMILIES)

    def decorate(cls: T) -> T:
        made: Any = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        made.kind = kind
        # by this attribute pydantic refuses unknown keys
        made.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}
        base = BASES.get(family)
        if base is not None and not issubclass(made, base):
            _adopt(made, base, f"the {family} {kind!r}")
        enter(kinds(family), family, kind, made, cls.__module__)
        return made  # type: ignore[no-any-return]

    return decorate


def _adopt(cls: Any, base: Any, name: str) -> None:
    """Make `cls` a virtual subclass of `base`, with the defaults of what it does not define."""
    for attribute in dir(base):
        value = inspect.getattr_static(base, attribute)
        if attribute.startswith("_") or hasattr(cls, attribute):
            continue
        if getattr(value, "__isabstractmethod__", False):
            raise InputError(f"{name} needs a method {attribute}()")
        setattr(cls, attribute, value)
    base.register(cls)
