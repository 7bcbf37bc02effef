"""Muon's claims: presets that differ as they say, tiny trials end to end, and ratios made by hand."""

from __future__ import annotations

from typing import Any

import pytest

import groklab as gl
from groklab.experiment import Experiment
from groklab.optimisers import AdamW, Muon
from groklab.papers.muon2025 import claims as muon
from groklab.papers.muon2025.presets import LOSSES, TASKS, epoch
from groklab.reproduction import Outcome, Trainer
from groklab.tasks import make_split

CLAIMS = {claim.id: claim for claim in muon.CLAIMS}
TINY = {
    "task.p": 5,
    "network.n_layers": 1,
    "network.n_heads": 1,
    "network.d_model": 4,
    "network.d_mlp": 4,
    "network.layer_norm": "none",
    "network.biases": "none",
    "budget.steps": 20,
    "evaluation.every": 10,
}


def test_presets_are_seven_tasks_by_three_losses() -> None:
    for task in TASKS:
        for loss, form in LOSSES.items():
            made = gl.preset(f"muon2025/{task}-{loss}")
            assert isinstance(made.optimiser, Muon)
            assert made.objective is not None
            assert made.objective.form == form  # type: ignore[attr-defined]
            # an evaluation is an epoch
            rows = len(make_split(made.split, made.task.build(), 0).train)
            assert -(-rows // 32) == epoch(task) == made.evaluation.every


def test_locked_settings_are_those_of_their_repository() -> None:
    made, twin = gl.preset("muon2025/na00s").optimiser, gl.preset("muon2025/na00s-adamw").optimiser
    assert isinstance(made, Muon)
    assert isinstance(twin, AdamW)
    rates = {name: made.group_of(name) for name in ("embed.W_E", "pos_embed.W_pos", "unembed.W_U", "blocks.0.mlp.W_in")}
    assert (made.learning_rate, made.weight_decay, made.beta, made.ns_steps) == (0.03, 0.1, 0.95, 5)
    for name, rate in (("embed.W_E", 1e-3), ("pos_embed.W_pos", 1e-3), ("unembed.W_U", 2.5e-4)):
        assert (rates[name].learning_rate, rates[name].weight_decay) == (rate, 1.0)
    assert rates["blocks.0.mlp.W_in"].learning_rate is None
    assert (twin.learning_rate, twin.weight_decay, twin.b2) == (1e-3, 3.0, 0.999)


def small(name: str, overrides: dict[str, Any] | None = None) -> Experiment:
    return gl.preset(name, {**(overrides or {}), **TINY})


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_every_claim_measures_what_its_bars_ask_for(claim: str, home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "preset", small)
    monkeypatch.setattr(muon, "WIDTHS", (4,))
    monkeypatch.setattr(muon, "BATCHES", (None,))
    trial = CLAIMS[claim].quick
    assert trial is not None
    for found in trial.outcomes(Trainer(), (0,)):
        assert isinstance(found, Outcome)
        assert found.control is not None
        for bar in trial.bars:
            assert {bar.value} <= found.values.keys() & found.control.keys()


def test_what_has_not_grokked_counts_against_its_own_side() -> None:
    pair = muon.Pair(muon=600, adamw=None, other=900, budget=1000)
    assert pair.values()["ratio"] == 0.6
    assert pair.control()["ratio"] == 0.9
    assert muon.Pair(None, 500, 500, 1000).values()["ratio"] is None
    # against Muon's advantage: a Muon that has not grokked is late, an AdamW that has not proves nothing
    assert muon._no_sooner(None, 500)["ratio"] == muon.COMPARED_STEPS / 500
    assert muon._no_sooner(500, None)["ratio"] is None
    assert muon.SOONER.passed(pair.values())
    assert not muon.SOONER.passed(pair.control())


def test_tuning_takes_the_setting_that_groks_soonest(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(trainer: Trainer, members: list[Experiment]) -> list[int | None]:
        found = []
        for member in members:
            optimiser = member.optimiser
            assert optimiser is not None
            best = (optimiser.learning_rate, optimiser.weight_decay, member.network.d_model, member.batch_size)
            # one that groks soonest with one seed, and never with the other
            found.append(300 if best == (0.03, 0.1, 64, 256) else (10 if member.seed == 100 else None))
        return found

    monkeypatch.setattr(muon, "_steps", steps)
    assert muon._tune(Trainer(), "small") == {
        "optimiser.learning_rate": 0.03,
        "optimiser.weight_decay": 0.1,
        "network.d_model": 64,
        "network.d_mlp": 128,
        "batch_size": 256,
    }
