"""The claims on ⊥Grad and StableMax: every trial on a tiny network, and what is made of times that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.papers.prieto2025 import claims as prieto
from groklab.reproduction import PAPERS, Trainer

CLAIMS = {claim.id: claim for claim in PAPERS["prieto2025"].claims}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[gl.Experiment]]:
    """What the trials ask for, by name: experiments are made, and not trained, and all get there at the same step."""
    made: dict[str, list[gl.Experiment]] = {}

    def train(self: Trainer, experiments: list[gl.Experiment]) -> Any:
        made[experiments[0].name.removeprefix("prieto2025/")] = experiments
        members = [SimpleNamespace(memorised_step=90, grokked_step=100 * (1 + e.seed)) for e in experiments]
        curves = {"step": np.array([0, 100, 1000]), "test_accuracy": np.array([0.0, 0.4, 1.0])}
        return SimpleNamespace(status=SimpleNamespace(members=members), curves=lambda member: curves)

    monkeypatch.setattr(Trainer, "train", train)
    return made


def test_every_quick_trial_gives_its_values_of_fair_comparisons(asked: dict[str, list[gl.Experiment]]) -> None:
    for name, claim in CLAIMS.items():
        assert claim.quick is not None
        for outcome in claim.quick.outcomes(Trainer(), (0, 1)):
            assert outcome.sentence
            assert outcome.control is not None
            for values in (outcome.values, outcome.control):
                assert {bar.value for bar in claim.quick.bars} <= set(values), name
                assert all(v is None or math.isfinite(v) for v in values.values()), name
    first = {name: experiments[0] for name, experiments in asked.items()}
    # the filter, the loss and the decay are all that differ
    plain = first["prieto2025"].identity
    for name, back in {
        "perpgrad": {"optimiser.filter": None},
        "exact": {"objective.form": "float32"},
        "both": {"optimiser.filter": None, "objective.form": "float32"},
        "strong-decay": {"optimiser.weight_decay": 0.0},
    }.items():
        assert first[name].identity != plain == gl.read(first[name], back).identity, name
    assert not {e.seed for e in asked["tuning"]} & {e.seed for e in asked["tuned"]}
    assert len(asked["tuned"]) == 4
    losses = {"stablemax-small": "stablemax", "float32-small": "float32", "exact-small": "exact"}
    assert {gl.read(first[n], {"objective.form": "exact"}).identity for n in losses} == {first["exact-small"].identity}
    assert {n: first[n].objective.form for n in losses if first[n].objective} == losses


def test_what_came_after_the_budget_does_not_count(asked: dict[str, list[gl.Experiment]]) -> None:
    """A run that is kept may be longer, as it is shared between sizes."""
    values = prieto.of_seeds(Trainer(), "prieto2025", [0, 3], 300)
    assert [v["grokked_step"] for v in values] == [100, None]
    assert [v["best_test_accuracy"] for v in values] == [0.4, 0.4]
    assert values[0]["times_as_late"] == pytest.approx(100 / 90)


def test_bars_can_fail() -> None:
    trial = CLAIMS["perpgrad-groks"].quick
    assert trial is not None
    assert trial.passes({"grokked_step": 130, "times_as_late": 1.1})
    assert not trial.passes({"grokked_step": 290, "times_as_late": 5.8})
    assert not trial.passes({"grokked_step": None, "times_as_late": None})
    never = CLAIMS["plain-never"].quick
    assert never is not None
    assert never.passes({"memorised_step": 50, "best_test_accuracy": 0.01})
    assert not never.passes({"memorised_step": None, "best_test_accuracy": 0.01})
    assert prieto._ratio([230, None], [130, 120], 1)["times_as_long"] is None
    assert prieto._ratio([260, 250], [130, 125], 0)["times_as_long"] == 2
