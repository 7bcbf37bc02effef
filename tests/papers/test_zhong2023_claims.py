"""The claims on attention rates: bars on values made by hand, and one trial on tiny networks."""

from __future__ import annotations

import pytest

from groklab.analysis import CLOCK, PIZZA
from groklab.papers.zhong2023 import claims as zhong
from groklab.reproduction import PAPERS, Claim, Trainer, Values

CLAIMS: dict[str, Claim] = {c.id: c for c in PAPERS["zhong2023"].claims}
#: Gradient symmetricity and distance irrelevance of the authors' table, by attention rate.
TABLE = {
    0.0: (0.99, 0.21),
    0.5: (0.99, 0.33),
    0.6: (0.89, 0.54),
    0.7: (0.73, 0.65),
    0.8: (0.6, 0.73),
    1.0: (0.43, 0.84),
}


def passes(claim: str, rate: float, accuracy: float = 1.0) -> bool:
    trial = CLAIMS[claim].quick
    assert trial is not None
    symmetricity, irrelevance = TABLE[rate]
    values: Values = {"accuracy": accuracy, "gradient_symmetricity": symmetricity, "distance_irrelevance": irrelevance}
    return trial.passes(values)


def test_the_bars_divide_the_authors_table() -> None:
    for claim in ("symmetric-without-attention", "distances-matter-without-attention"):
        assert [rate for rate in TABLE if passes(claim, rate)] == [0.0, 0.5]
    assert [rate for rate in TABLE if passes("clock-with-attention", rate)] == [0.8, 1.0]
    assert not passes("clock-with-attention", 1.0, accuracy=0.9)
    assert (PIZZA, CLOCK) == ((0.94, 0.43), (0.67, 0.69))


def test_both_rates_are_one_run_and_each_others_control(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"name": "tiny", "task.p": 7, "network.d_model": 8, "network.n_heads": 2, "budget.steps": 10}
    monkeypatch.setitem(zhong.SETTINGS, "quick", small)
    outcomes = {}
    for name, claim in CLAIMS.items():
        assert claim.quick is not None
        outcomes[name] = claim.quick.run(Trainer(), 0)
        assert {bar.value for bar in claim.quick.bars} <= set(outcomes[name].values)
    pizza, clock = outcomes["symmetric-without-attention"], outcomes["clock-with-attention"]
    assert pizza.values == clock.control
    assert pizza.control == clock.values
    assert pizza.values["gradient_symmetricity"] != clock.values["gradient_symmetricity"]
    assert "at rate 0 symmetricity" in pizza.sentence
    assert pizza.values["like"] is None
