"""Which operations grok at which fraction: as Furuta et al. 2024 have published it, and as it was measured here.

The published numbers are tables 4, 5 and 6 of the paper's version 1 (arXiv 2402.16726); what was measured here is a
table of rows in a file of its own, which may be absent.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab.errors import DamagedError

DATA = Path(__file__).parent.parent / "data"
MEASURED = DATA / "furuta2024_table.json"
_ROW = ("operation", "frac_train", "p", "seeds", "grokked", "best_test_accuracy")


@lru_cache
def published() -> dict[str, Any]:
    """The published tables.

    `source`, `p`, `seeds`, `steps` (the budget), and for each of `grokked` (table 5), `grokked_after_transfer` (its
    columns with frozen parts), `smallest_fraction` (table 6) and `loss_of_parts` (table 4) what it is `about` and its
    numbers by `operations`.
    """
    found: dict[str, Any] = json.loads((DATA / "furuta2024_published.json").read_text("utf-8"))
    return found


def published_of(operation: str) -> dict[str, Any] | None:
    """What the paper says of one operation, or None.

    `by_fraction`: for '0.3', ..., '0.9' True where it grokked, otherwise its best test accuracy in percent;
    `smallest_fraction`: with parts of other models frozen, where the paper tried, otherwise None; `source`, `p`,
    `seeds`.
    """
    tables = published()
    if operation not in tables["grokked"]["operations"]:
        return None
    return {
        "source": tables["source"],
        "p": tables["p"],
        "seeds": tables["seeds"],
        "by_fraction": tables["grokked"]["operations"][operation],
        "smallest_fraction": tables["smallest_fraction"]["operations"].get(operation),
    }


def measured(path: Path = MEASURED) -> list[dict[str, Any]]:
    """The rows of a table of what was measured here; none where the file is absent.

    Each row: `operation`, `frac_train`, `p`, `seeds`, `grokked` (how many of the seeds) and `best_test_accuracy`, from
    0 to 1, None where it was not kept. The file is a JSON list of them, or an object that holds it as `rows`.
    Raises DamagedError if it is not.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DamagedError(str(path), path.name, f"is no readable table ({error})") from None
    rows = rows.get("rows") if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(_ROW) <= set(row) for row in rows):
        raise DamagedError(str(path), path.name, f"needs rows that hold {', '.join(_ROW)}")
    return [{key: row[key] for key in _ROW} for row in rows]


def measured_of(operation: str, path: Path = MEASURED) -> list[dict[str, Any]]:
    """The rows of one operation, by modulus and fraction; raises as `measured`."""
    rows = [row for row in measured(path) if row["operation"] == operation]
    return sorted(rows, key=lambda row: (row["p"], row["frac_train"]))
