"""How far a sweep's setting is that in which a published table was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groklab.errors import InputError
from groklab.experiment.presets import PRESETS, preset
from groklab.figures.phase_cells import label
from groklab.papers.published import located
from groklab.sweeps import Sweep
from groklab.text import flattened, listed

#: What is compared, and how it is written.
COMPARED = {
    "task.p": "p = {}",
    "network.kind": "the network {}",
    "network.d_model": "d_model = {}",
    "optimiser.learning_rate": "a learning rate of {}",
    "optimiser.weight_decay": "a weight decay of {}",
    "budget.steps": "up to {} steps",
}


def made_with(source: str) -> dict[str, Any]:
    """What is known of how the table that `read_published` finds was made: some of COMPARED, with their values.

    A file's own `p` and `steps`, and for a paper the settings of the preset that bears its name.
    """
    try:
        content, name = located(source)
        told = json.loads(content)
    except (InputError, ValueError, RecursionError):
        return {}
    paper = source.rpartition("/")[0] if name else source
    found = flattened(preset(paper).to_dict()) if paper in PRESETS else {}
    if isinstance(told, dict):
        found |= {
            key: told[n] for key, n in (("task.p", "p"), ("budget.steps", "steps")) if isinstance(told.get(n), int)
        }
    return {key: found[key] for key in COMPARED if found.get(key) is not None}


def difference(sweep: Sweep, at: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """One sentence on what differs between a sweep's setting and `theirs`, '' where nothing known does.

    at: values at which keys of the grid are held.
    """
    flats = flattened(sweep.experiment(0).to_dict())
    own, published = [], []
    for key, value in theirs.items():
        if any(key.startswith(f"{swept}.") for swept in sweep.keys) or flats.get(key) is None:
            continue
        values = [at[key]] if key in at else sweep.keys.get(key, [flats[key]])
        if values != [value]:
            own.append(COMPARED[key].format(" or ".join(map(_written, values))))
            published.append(COMPARED[key].format(_written(value)))
    if not own:
        return ""
    return f"This sweep has {listed(own)} where the published table has {listed(published)}, so the two need not agree."


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else label(value)
