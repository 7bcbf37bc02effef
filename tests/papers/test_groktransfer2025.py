"""GrokTransfer's claims: one seed end to end on a tiny system, and the numbers that are judged, made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.papers.groktransfer2025 import claims as transfer
from groklab.reproduction import Outcome, Trainer
from groklab.store import MemberResult

#: Tiny networks on few pairs, which grok by chance or not at all.
TINY = {"task.p": 5, "split.frac_train": 0.8, "network.d_mlp": 8, "evaluation.every": 10}
SIZES = {
    "weak": {**TINY, "network.d_embed": 3},
    "target": {**TINY, "network.d_embed": 6, "network.embedding_rank": 3},
    "plain": {**TINY, "network.d_embed": 6},
}
CLAIMS = {claim.id: claim for claim in transfer.CLAIMS}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, home: Any) -> None:
    monkeypatch.setitem(transfer.SIZES, "quick", SIZES)
    monkeypatch.setitem(transfer.STEPS, "quick", 100)
    monkeypatch.setitem(transfer.WEAK_STEPS, "quick", 100)
    monkeypatch.setattr(transfer, "RATES", (1e-2,))
    monkeypatch.setattr(transfer, "STOP", 0.0)


def outcome(claim: str) -> Outcome:
    trial = CLAIMS[claim].quick
    assert trial is not None
    assert trial.run is not None
    found = trial.run(Trainer(), 0)
    assert isinstance(found, Outcome)
    return found


def test_every_claim_measures_what_its_bars_ask_for(tiny: None) -> None:
    for name, claim in CLAIMS.items():
        found = outcome(name)
        assert found.control is not None
        assert claim.quick is not None
        for bar in claim.quick.bars:
            assert bar.value in found.values, (name, bar.value)
            assert bar.value in found.control, (name, bar.value)
        for value in (*found.values.values(), *found.control.values()):
            assert value is None or math.isfinite(value)
    # one weak network and one plain target serve all claims of a task
    assert sum("weak" in run.name for run in gl.runs()) == 2


def test_a_random_embedding_has_the_spectrum_of_the_learnt_one(tiny: None) -> None:
    systems = transfer.Systems(Trainer(), "quick", 0)
    assert systems.stop == 0
    learnt = systems.weak.weights(0)["embed.W_E"]
    taken, drawn = systems.from_weak(0), systems.same_spectrum()
    np.testing.assert_array_equal(taken.weights(0)["embed.A"], learnt)
    made = drawn.weights(0)["embed.A"]
    np.testing.assert_allclose(*(np.linalg.svd(w, compute_uv=False) for w in (made, learnt)), rtol=1e-5)
    assert np.abs(made - learnt).max() > 0.1
    np.testing.assert_allclose(drawn.weights(0)["embed.B"], taken.weights(0)["embed.B"], rtol=1e-6)


def result(memorised: int | None, grokked: int | None) -> MemberResult:
    made: Any = MemberResult.model_construct(memorised_step=memorised, grokked_step=grokked)
    return made  # type: ignore[no-any-return]


def test_the_weak_network_counts(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    systems = transfer.Systems(Trainer(), "quick", 0)
    plain, target = systems.plain(), systems.from_weak(0)

    class Grokked:
        def __init__(self, run: gl.Run, grokked: int | None) -> None:
            self.experiment = run.experiment
            self.status = type("Status", (), {"members": [result(20, grokked)]})()

    monkeypatch.setattr(systems, "plain", lambda: Grokked(plain, 1020))
    values = systems.measured(Grokked(target, 120), 400)  # type: ignore[arg-type]
    assert (values["delay"], values["delay_over_plain"], values["times_as_late"]) == (100, 0.1, 6)
    assert (values["steps_with_weak"], values["steps_over_plain"]) == (520, 520 / 1020)
    # both tiny networks have the same hidden width, so the same operations
    assert values["operations_over_plain"] == pytest.approx(520 / 1020)
    never = systems.measured(Grokked(target, None), 400)  # type: ignore[arg-type]
    assert [never[name] for name in ("delay_over_plain", "steps_over_plain", "operations_over_plain")] == [None] * 3
    for bar in (transfer.TOGETHER, transfer.HALVED, *transfer.CHEAPER):
        assert not bar.passed(never)
    assert transfer.HALVED.passed(values)
    assert not transfer.TOGETHER.passed(values)
