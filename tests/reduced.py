"""Presets at a reduced size, for what the documentation and the examples train: they are not about large models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from corpus import TRANSFORMER
from groklab.papers.presets import PRESETS
from groklab.sweeps import executors

#: A `micro` that groks at step 100 to 150.
_MICRO = {"optimiser.learning_rate": 0.03, "optimiser.weight_decay": 3.0, "budget.steps": 250}
_NETWORK = {key: value for key, value in TRANSFORMER.items() if key.startswith("network.")}
#: What differs from the presets themselves.
SMALL: dict[str, dict[str, Any]] = {
    "micro": _MICRO,
    "micro-fast": {**_MICRO, "network.d_mlp": 32},  # what pages sweep over, in eight lanes
    "demo": TRANSFORMER,
    "never": {"network.d_mlp": 16},
    "furuta2024": {**_NETWORK, "task.layout": "a b"},  # without signs all operations share a program
    "furuta2024/add": _NETWORK,
    "furuta2024/2x_y": _NETWORK,
    "furuta2024/mixture-add-multiply": _NETWORK,
    "nanda2023/small-addition": _NETWORK,
    "nanda2023/small-addition-finite": _NETWORK,
}


@contextmanager
def reduced(presets: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Presets with other settings, and sweeps that train in this process, where what it has compiled is at hand."""
    with pytest.MonkeyPatch.context() as patch:
        for name, settings in presets.items():
            preset = PRESETS[name]
            patch.setitem(PRESETS, name, replace(preset, settings={**preset.settings, **settings}))
        patch.setattr(import_module("groklab.sweeps.sweep"), "connected", _connected)
        yield


@contextmanager
def _connected(folder: Path, workers: int | None = None, scheduler: str | None = None) -> Iterator[executors.Workers]:
    """As `executors.connected`, but with a worker in this process (as on a GPU) in place of processes."""
    assert workers is scheduler is None, "a page that names its workers needs real ones"
    with executors._inside() as client:
        yield executors.Workers(client, 1, "cpu", None, "1 worker in this process")
