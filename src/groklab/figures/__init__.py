"""Plotly figures as plain functions of tidy data frames, and the registry of those on the page of a run.

A module holds a figure's data frame, its drawing and its place on the page. Every public function of a module can be
imported from this package.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any


@cache
def load_all() -> dict[str, Any]:
    """Import every module of the package, so that its figures are registered; return their public functions by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in load_all():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load_all()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *load_all()})
