"""The claims of Liu et al. 2022 that are mathematics: they hold, and they fail where the mathematics is broken."""

from __future__ import annotations

from typing import Any

import pytest

from groklab.papers.liu2022.claims import theory
from groklab.reproduction import Outcome, Trainer
from groklab.theory import Equations

CLAIMS = {claim.id: claim for claim in theory.CLAIMS}


def measured(claim: str, seed: int = 0) -> Outcome:
    trial = CLAIMS[claim].quick
    assert trial is not None
    outcome: Any = trial.run(Trainer(), seed)
    return outcome  # type: ignore[no-any-return]


@pytest.mark.parametrize("claim", ["hessian", "least-training-set", "grokking-rate", "not-modular", "flow"])
def test_what_is_exact_holds(claim: str) -> None:
    outcome = measured(claim)
    assert outcome.holds, outcome.sentence
    assert outcome.values


def test_critical_fractions_hold_with_fewer_draws() -> None:
    outcome = theory._critical(400, Trainer(), 0)
    assert outcome.holds, outcome.sentence
    # from 4 symbols the line is forced by most of the pairs, at 20 by less than a third
    assert theory._sizes((4, 20), 60, Trainer(), 0).holds


def test_another_eigenvalue_is_another_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    gram = Equations.gram

    def wrong(self: Equations, *arguments: Any) -> Any:
        return 1.001 * gram(self, *arguments)

    monkeypatch.setattr(Equations, "gram", wrong)
    assert not measured("hessian").holds
