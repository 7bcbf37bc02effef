"""Presets at a reduced size, for what the documentation and the examples train: they are not about large models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import groklab.training._ensemble
from corpus import TRANSFORMER
from groklab.experiment import PRESETS
from groklab.leaderboard import TRACKS, Scale
from groklab.papers.controls import claims as controls_claims
from groklab.reproduction import PAPERS, Paper
from groklab.sweeps import _executors as executors

#: A `micro` that groks at step 80 to 150.
_MICRO = {"optimiser.learning_rate": 0.03, "optimiser.weight_decay": 3.0, "budget.steps": 200}
_NETWORK = {key: value for key, value in TRANSFORMER.items() if key.startswith("network.")}
_WITHOUT_SIGNS = {**_NETWORK, "task.layout": "a b"}  # all operations share a program
#: What differs from the presets themselves.
SMALL: dict[str, dict[str, Any]] = {
    "micro": _MICRO,
    "micro-fast": {**_MICRO, "network.d_mlp": 32},  # what pages sweep over
    "demo": {**TRANSFORMER, "budget.steps": 200},
    "micro-transformer": {**TRANSFORMER, "budget.steps": 200},
    "never": {"network.d_mlp": 16},
    "rfm-small": {"budget.steps": 12},
    "furuta2024": _WITHOUT_SIGNS,
    "furuta2024/add": _WITHOUT_SIGNS,
    "furuta2024/2x_y": _WITHOUT_SIGNS,
    "furuta2024/mixture-add-multiply": _NETWORK,
    "nanda2023/small-addition": _NETWORK,
    "nanda2023/small-addition-finite": _NETWORK,
}


@contextmanager
def reduced(presets: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Presets with other settings, sweeps that train in this process, and ensembles member by member.

    What one member compiled is then at hand for all others, and for the runs of one seed.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, settings in presets.items():
            preset = PRESETS[name]
            patch.setitem(PRESETS, name, replace(preset, definition={**preset.definition, **settings}))
        patch.setattr(import_module("groklab.sweeps._scheduler"), "connected", _connected)
        patch.setattr(groklab.training._ensemble, "CPU_LANES", 1)
        patch.setitem(PAPERS, "controls", _shorter(PAPERS["controls"]))
        scale = Scale(steps=100, stay=0, trials=2, tuning_seeds=1, seeds=2)
        patch.setitem(TRACKS, "micro", replace(TRACKS["micro"], sizes={"reduced": scale, "full": scale}))
        patch.setattr("groklab.leaderboard._question.TIMED", 0.01)
        yield


def _shorter(controls: Paper) -> Paper:
    """The claims of the controls, the last of them (too few pairs) tested in fewer steps than 4,000 and 20,000."""
    *others, claim = controls.claims
    quick = replace(claim.quick, run=partial(controls_claims._never, 500))
    full = replace(claim.full, run=partial(controls_claims._never, 3_000))
    return replace(controls, claims=(*others, replace(claim, quick=quick, full=full)))


@contextmanager
def _connected(folder: Path, workers: int | None = None, scheduler: str | None = None) -> Iterator[executors.Workers]:
    """As `executors.connected`, but with a worker in this process (as on a GPU) in place of processes."""
    assert workers is scheduler is None, "a page that names its workers needs real ones"
    with executors._inside() as client:
        yield executors.Workers(client, 1, "cpu", None, "1 worker in this process")
