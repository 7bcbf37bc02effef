"""From the findings of several seeds to a verdict, and to values with their spread."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from groklab.text import in_powers

Verdict = Literal["reproduced", "partly", "not reproduced", "not run"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "partly", "not reproduced", "not run")


def verdict(findings: Mapping[int, dict[str, Any]], asked: int) -> Verdict:
    """Holds in every seed, in some, in none; 'not run' until all `asked` seeds are in."""
    if not findings or len(findings) < asked:
        return "not run"
    holding = sum(f["holds"] for f in findings.values())
    return "reproduced" if holding == len(findings) else "partly" if holding else "not reproduced"


def measured(findings: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    """Each value's list over the seeds, None where a seed has none; for numbers also median, min and max."""
    names = list(dict.fromkeys(name for f in findings.values() for name in f["values"]))
    found: dict[str, Any] = {}
    for name in names:
        values = [f["values"].get(name) for f in findings.values()]
        found[name] = {"values": values}
        numbers = [v for v in values if _is_number(v)]
        if numbers and all(v is None or _is_number(v) for v in values):
            found[name] |= {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}
    return found


def label(name: str) -> str:
    """A value's name for people."""
    return name.replace("_", " ")


def spread(entry: Mapping[str, Any]) -> str:
    """One entry of `measured` in words: `1,480 (1,280–2,010)`, `true in 19 of 20`, `14, 35, 41`."""
    values = entry["values"]
    missing = sum(v is None for v in values)
    rest = f", none in {missing} of {len(values)}" if missing else ""
    if missing == len(values):
        return "none"
    if "median" in entry:
        low, middle, high = (shown(entry[k]) for k in ("min", "median", "max"))
        return (middle if low == high else f"{middle} ({low} to {high})") + rest
    counted = Counter(json.dumps(v) for v in values if v is not None)
    if len(counted) == 1 and not missing:
        return shown(values[0])
    if all(isinstance(v, bool) for v in values):
        return f"true in {sum(values)} of {len(values)}"
    seen = list(dict.fromkeys(json.dumps(v) for v in values if v is not None))
    if max(counted.values()) == 1:
        return "; ".join(shown(json.loads(v)) for v in seen) + rest
    return "; ".join(f"{shown(json.loads(v))} in {counted[v]}" for v in seen) + rest


def shown(value: Any) -> str:
    """One value for people: whole numbers with separators, others to three figures."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(shown(v) for v in value) or "none"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e9):
        return f"{value:,.0f}"
    if isinstance(value, float):
        text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
        return in_powers(text)
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
