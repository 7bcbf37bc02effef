"""What a run offers from packages that build on this one: analyses, figures, its page.

They are named here, and imported when they are first used; `_accessors.pyi` gives their types.
"""

from __future__ import annotations

import importlib
import types
from typing import Any


class Accessor:
    """An attribute that a package above this one provides: a function that takes the object as its first argument.

    Args:
        package: by its full name; `name` is in its door.
        is_property: whether the attribute is what the function returns, instead of a method.
    """

    def __init__(self, package: str, name: str, *, is_property: bool = False) -> None:
        self.package, self.name, self.is_property = package, name, is_property

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        function = getattr(importlib.import_module(self.package), self.name)
        if instance is None:
            return function
        return function(instance) if self.is_property else types.MethodType(function, instance)


class RunAccessors:
    """Attributes of a run that other packages provide."""

    analysis = Accessor("groklab.analysis", "analyse")
    explain = Accessor("groklab.analysis", "explain")
    task = Accessor("groklab.analysis", "task_of", is_property=True)
    plot = Accessor("groklab.figures", "plots", is_property=True)
    scrub = Accessor("groklab.figures", "scrub")
    report = Accessor("groklab.report", "report_of")
