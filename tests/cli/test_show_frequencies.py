"""`groklab show`: the frequencies of a network that has learnt some, and nothing of one that has not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.store import RunWriter

COMMAND = "show"


@pytest.mark.parametrize("p", [11, 59])
@pytest.mark.parametrize("learnt", [True, False])
def test_frequencies_are_named_where_the_network_has_learnt_some(program: Any, p: int, learnt: bool) -> None:
    run = gl.train(gl.preset("micro-fast", {"task.p": p, "network.d_mlp": 16, "budget.steps": 2}))
    if learnt:
        angles = 2 * np.pi * 3 * np.arange(p)[:, None] / p + np.arange(16)
        weights = {k: np.cos(angles).astype(v.dtype) if k.startswith("embed") else v for k, v in run.weights().items()}
        RunWriter(run).checkpoint(2, {k: v[None] for k, v in weights.items()})
    out, _ = program(run.name)
    assert ("frequencies that carry the embedding: 3 (100%)" in out) == learnt, out
    assert ("frequencies that carry" in out) == learnt
