"""The claims of Liu et al. 2022 that are mathematics: they hold, and they fail where the mathematics is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from groklab.papers.liu2022.claims import theory
from groklab.reproduction import Outcome, Trainer, Trial
from groklab.theory import Equations

CLAIMS = {claim.id: claim for claim in theory.CLAIMS}


def trial(claim: str) -> Trial:
    quick = CLAIMS[claim].quick
    assert quick is not None
    return quick


def measured(claim: str, seed: int = 0) -> Outcome:
    outcome: Any = trial(claim).run(Trainer(), seed)
    return outcome  # type: ignore[no-any-return]


@pytest.mark.parametrize("claim", ["hessian", "least-training-set", "not-modular", "flow"])
def test_checks_pass_their_bars(claim: str) -> None:
    assert CLAIMS[claim].kind == "check"
    outcome = measured(claim)
    assert trial(claim).passes(outcome.values), outcome.sentence
    # each bar is of a value that is measured, and fails without it
    for bar in trial(claim).bars:
        assert bar.value in outcome.values
        assert not bar.passed({})


def test_critical_fractions_hold_with_fewer_draws_and_their_controls_fail() -> None:
    outcome, bars = theory._critical(400, Trainer(), 0), trial("critical-fraction")
    assert outcome.control is not None
    assert bars.passes(outcome.values), outcome.sentence
    assert not bars.passes(outcome.control)
    # half of the pairs at p = 8: not to be taken for 0.4
    assert outcome.control["critical_fraction"] == pytest.approx(0.49, abs=0.02)
    outcome, bars = theory._sizes((4, 10, 20), 60, Trainer(), 0), trial("critical-fraction-of-p")
    assert outcome.control is not None
    assert bars.passes(outcome.values), outcome.values
    assert not bars.passes(outcome.control)
    assert outcome.control["last_over_first"] == pytest.approx(1, abs=0.1)


def test_rates_of_random_answers_vanish_and_grow_but_are_not_those_of_addition() -> None:
    outcome = measured("grokking-rate")
    assert outcome.control is not None
    assert trial("grokking-rate").passes(outcome.values), outcome.sentence
    failed = [bar.value for bar in trial("grokking-rate").bars if not bar.passed(outcome.control)]
    assert failed == ["furthest_from_known"]


def test_another_eigenvalue_is_another_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    gram = Equations.gram

    def wrong(self: Equations, *arguments: Any) -> Any:
        return 1.001 * gram(self, *arguments)

    monkeypatch.setattr(Equations, "gram", wrong)
    assert not trial("hessian").passes(measured("hessian").values)


def test_the_published_counts_are_their_own_measure() -> None:
    # as many of 10,000 draws force the line at each size as in the notebook: no deviation at all
    counts = np.array(theory.PUBLISHED_COUNTS)
    sizes = np.repeat(np.arange(14, 41), np.diff(np.maximum.accumulate(counts), prepend=0))

    class Published:
        n_pairs = 55

    def drawn(*_: Any) -> Any:
        return sizes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory, "critical_sizes", drawn)
        values = theory._critical_of(Published(), 10_000, 0)  # type: ignore[arg-type]
    # two counts of the notebook are below the one before
    assert values["largest_deviation_in_errors"] < 2
    assert 0.40 < values["critical_fraction"] < 0.42
