"""The claims on the local learning coefficient: bars on curves made by hand, and one trial on a tiny network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.papers.lau2023 import claims as lau
from groklab.reproduction import PAPERS, Claim, Trainer, Values

CLAIMS: dict[str, Claim] = {c.id: c for c in PAPERS["lau2023"].claims}
GOOD = {"peak_over_start": 3.8, "peak_over_grokked": 0.13, "end_over_peak": 0.47}


def failing(claim: str, values: Values) -> list[str]:
    trial = CLAIMS[claim].quick
    assert trial is not None
    return [bar.value for bar in trial.bars if not bar.passed(values)]


def test_the_curve_must_rise_early_and_fall() -> None:
    assert failing("rises-then-falls", GOOD) == []
    assert failing("rises-then-falls", {**GOOD, "peak_over_start": 1.5}) == ["peak_over_start"]
    assert failing("rises-then-falls", {**GOOD, "peak_over_grokked": 1.0}) == ["peak_over_grokked"]
    # what does not grok has no such ratio
    assert failing("rises-then-falls", {**GOOD, "peak_over_grokked": None}) == ["peak_over_grokked"]
    # the random labels of seed 0
    assert failing("rises-then-falls", {**GOOD, "end_over_peak": 0.82}) == ["end_over_peak"]


def test_correlations_are_of_ranks() -> None:
    losses = np.array([4.0, 12.0, 23.0, 21.0, 18.0, 12.5, 0.1, 0.05])
    assert lau._correlation(losses**3, losses)["rank_correlation"] == pytest.approx(1)
    assert failing("follows-the-test-loss", lau._correlation(-losses, losses)) == ["rank_correlation"]


@pytest.mark.parametrize("claim", list(CLAIMS))
def test_a_trial_gives_its_values_and_a_control(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(name: str, overrides: dict[str, Any]) -> gl.Experiment:
        tiny = {"budget.steps": 20, "evaluation.every": 5, "network.d_mlp": 6, "task.p": 7, "batch_size": 16}
        random = {"task": {"kind": "random_labels", "p": 7, "layout": "a b"}}
        own = {k: v for k, v in tiny.items() if k != "task.p"} | random if "task" in overrides else tiny
        return gl.preset(name, {**overrides, **own, "checkpoints.spacing": "linear", "checkpoints.every": 5})

    monkeypatch.setattr(lau, "preset", small)
    trial = CLAIMS[claim].quick
    assert trial is not None
    outcome = trial.run(Trainer(), 0)
    assert outcome.sentence
    assert outcome.control
    for values in (outcome.values, outcome.control):
        assert {bar.value for bar in trial.bars} <= set(values)
        assert all(v is None or math.isfinite(v) for v in values.values())
    assert all(bar.origin for bar in trial.bars)
    assert CLAIMS[claim].control
