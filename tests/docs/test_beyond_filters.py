"""The tables on gradient filters say what the saved results say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fenced import ROOT

#: What each cell of a table shows: whose median, of which value; the budget is named where there is none.
CELLS = {
    "grokfast": ("grokfast2024", [("measured", "fast_step"), ("measured", "slow_step")]),
    "perpgrad-stablemax": ("prieto2025", [("measured", "grokked_step"), ("control", "grokked_step")]),
}
#: Rows that show other values: the two of a comparison, or accuracies.
OTHER: dict[str, list[tuple[str, ...]]] = {
    "full-batch": [("measured", "slow_step"), ("measured", "fast_step")],  # the other way round
    "faster-than-tuned-adamw": [("measured", "fast_step", "slow_step"), ("control", "fast_step", "slow_step")],
    "stablemax-groks": [("measured", "best_test_accuracy"), ("control", "best_test_accuracy")],
}


def shown(trial: dict[str, Any], cell: tuple[str, ...]) -> list[str]:
    words = []
    for name in cell[1:]:
        value = trial[cell[0]][name].get("median")
        words.append("none" if value is None else f"{value:.0%}" if "accuracy" in name else f"{value:,.0f}")
    return words


@pytest.mark.parametrize("page", CELLS)
def test_a_page_shows_medians_and_verdicts_as_saved(page: str) -> None:
    paper, cells = CELLS[page]
    saved = json.loads((ROOT / "docs" / "reproductions" / f"{paper}.json").read_text("utf-8"))
    claims = {claim["id"]: claim["quick"] for claim in saved["claims"]}
    text = (ROOT / "docs" / "beyond" / f"{page}.md").read_text("utf-8")
    rows = {name: rest.split(" | ") for name, rest in re.findall(r"^\| \[`([a-z-]+)`\]\S+: (.*) \|$", text, re.M)}
    assert set(rows) == set(claims)
    for name, (_, *numbers, verdict) in rows.items():
        assert verdict == claims[name]["verdict"], name
        for words, cell in zip(numbers, OTHER.get(name, cells), strict=True):
            found = re.findall(r"none|[0-9,]+%?", words.partition(" by ")[0])
            assert found == shown(claims[name], cell), name
