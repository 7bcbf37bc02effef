"""Grokfast's claims: every trial on a tiny network, and what is made of times that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.papers.grokfast2024 import claims as grokfast
from groklab.reproduction import PAPERS, Trainer

CLAIMS = {claim.id: claim for claim in PAPERS["grokfast2024"].claims}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[gl.Experiment]]:
    """What the trials ask for, by name: experiments are made, and not trained, and all get there at the same step."""
    made: dict[str, list[gl.Experiment]] = {}

    def train(self: Trainer, experiments: list[gl.Experiment]) -> Any:
        made[experiments[0].name.removeprefix("grokfast2024/micro-")] = experiments
        members = [SimpleNamespace(grokked_step=100 * (1 + e.seed)) for e in experiments]
        return SimpleNamespace(status=SimpleNamespace(members=members))

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

    def optimiser(name: str) -> Any:
        return asked[name][0].optimiser

    assert optimiser("baseline").filter is None
    assert optimiser("baseline").l2 == optimiser("baseline").weight_decay == 0
    for which in ("ema", "ma"):
        # the control has the filter's decay, of the same kind
        own, control = optimiser(which), optimiser(f"no-{which}")
        assert own.filter.kind == f"grokfast_{which}"
        assert gl.read(asked[which][0], {"optimiser.filter": None}).identity == asked[f"no-{which}"][0].identity
        assert own.l2 == control.l2 > 0
    assert (optimiser("adamw").kind, optimiser("adamw").weight_decay) == ("adamw", optimiser("ema").l2)
    assert [e.batch_size for e in asked["full-batch"] + asked["full-batch-ema"]] == [None] * 4
    # equal budgets for the tuning, on seeds that are not reported
    tuning = asked["adamw-tuning"]
    assert len(tuning) == len(asked["ema-tuning"]) == 18
    assert not {e.seed for e in tuning} & {e.seed for e in asked["adamw-tuned"] + asked["ema-tuned"]}
    assert [e.seed for e in asked["adamw-tuned"]] == [0, 1, 2, 3]
    for experiments in asked.values():
        assert {e.evaluation.criterion for e in experiments} == {"first_95"}


def test_steps_beyond_the_budget_do_not_count(asked: dict[str, list[gl.Experiment]]) -> None:
    members = [{"seed": seed} for seed in range(4)]
    assert grokfast.steps_of(Trainer(), "quick", "x", members, 300) == [100, 200, 300, None]


def test_two_settings_are_compared_pair_by_pair() -> None:
    slow: grokfast.Steps = [1000, None, 900, 1100, 1200]
    fast: grokfast.Steps = [100, 50, 90, None, 120]
    values = [grokfast.compared(slow, fast, (2000, 400), i) for i in range(5)]
    # a budget that ran out is a lower bound of the slow one's time, and nothing at all of the fast one's
    assert [v["times_as_fast"] for v in values] == [10, 40, 10, None, 10]
    assert {v["ratio_of_medians"] for v in values} == {11}
    assert {v["slow_that_got_there"] for v in values} == {4}
    assert all(v["log_rank_p"] < 0.05 for v in values)
    assert grokfast.compared(slow, slow, (2000, 2000), 0)["log_rank_p"] == pytest.approx(1)


def test_the_tuning_takes_the_shortest_mean_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def steps_of(trainer: Any, size: str, what: str, members: list[dict[str, Any]], budget: int, **common: Any) -> Any:
        asked.extend(members)
        # the third cell is fast with one seed and censored with the other
        times = dict(zip(range(9), [(900, 900), (500, 700), (10, None), *[(None, None)] * 6], strict=True))
        return list(np.array([times[i] for i in range(9)], object).ravel())

    monkeypatch.setattr(grokfast, "steps_of", steps_of)
    best = grokfast._best(Trainer(), "quick", "tuning", "optimiser.weight_decay", {})
    assert best == {"optimiser.learning_rate": 1e-3, "optimiser.weight_decay": 1.0}
    assert len(asked) == 18
    assert {m["seed"] for m in asked} == set(grokfast.TUNING_SEEDS)


def test_a_bar_of_fifty_times_can_fail() -> None:
    for size in ("quick", "full"):
        trial = CLAIMS["fifty-times-ema"].trial(size)
        assert trial is not None
        assert trial.passes({"times_as_fast": 50.0})
        assert not trial.passes({"times_as_fast": 9.0})
        assert not trial.passes({"times_as_fast": None})
    tuned = CLAIMS["tuned-adamw"].quick
    assert tuned is not None
    assert not tuned.passes({"times_as_fast": 1.2, "log_rank_p": 0.3})
