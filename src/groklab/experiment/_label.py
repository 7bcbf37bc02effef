"""Tasks in a few words, for lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def task_label(settings: Any) -> str:
    """Return a task in a few words, from its settings alone."""
    if not isinstance(settings, Mapping):
        return str(settings)
    expression = settings.get("expressions") or settings.get("expression")
    formula = ", ".join(map(str, expression)) if isinstance(expression, list) else expression
    kind = str(settings.get("kind", "")).replace("_", " ")
    what = str(formula) if formula else str(settings.get("group") or settings.get("name") or kind)
    p = settings.get("p")
    if p is None:
        return what
    return f"{what} mod {p}" if formula and settings.get("modular", True) else f"{what}, p = {p}"
