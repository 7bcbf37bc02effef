"""The settings in which experiments differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groklab.experiment._schema import Experiment
from groklab.experiment._yaml_input import dump_yaml
from groklab.text import flattened


def plain(value: Any) -> str:
    """Return a setting as one writes it in YAML or after `=`."""
    return dump_yaml(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def differing(experiments: Sequence[Experiment]) -> dict[str, list[str]]:
    """Return the settings, by dotted name, in which experiments differ, with the value of each in order."""
    flats = [flattened(e.to_dict()) for e in experiments]
    keys = list(dict.fromkeys(k for f in flats for k in f))
    values = {k: [plain(f[k]) if k in f else "–" for f in flats] for k in keys}
    return {k: v for k, v in values.items() if len(set(v)) > 1}
