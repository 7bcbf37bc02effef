"""The claims on delays, lazy training and wrong labels: how trainings become values, by plain references."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from groklab.papers.doshi2023 import claims as doshi
from groklab.papers.kumar2023 import claims as kumar
from groklab.papers.separation2026 import claims as separation
from groklab.papers.separation2026.claims import CELLS, Grid
from groklab.reproduction import PAPERS, Outcome, Trainer


def grid(a: float, b: float, ratio: float = 0.5) -> Grid:
    """Delays of exactly 500 · (rate / 0.001)^a · decay^b; the longest cell is censored."""
    rate, decay = np.array(CELLS).T
    delay = 500 * (rate / 1e-3) ** a * decay**b
    return Grid(rate, decay, delay, delay < delay.max(), np.full(len(rate), ratio))


def passes(paper: str, claim: str, values: dict[str, object]) -> bool:
    (trial,) = (c.quick for c in PAPERS[paper].claims if c.id == claim)
    assert trial is not None
    return trial.passes(values)


def test_delays_of_the_law_pass_and_permuted_ones_fail() -> None:
    lawful = grid(-1, -1)
    assert passes("separation2026", "delay-law", separation._law_values(lawful))
    assert not passes("separation2026", "delay-law", separation._law_values(lawful.permuted(0)))
    assert not passes("separation2026", "delay-law", separation._law_values(grid(-1, -1, ratio=1.5)))
    assert not passes("separation2026", "delay-law", separation._law_values(grid(-1, -0.3)))


def test_exponents_are_judged_one_by_one() -> None:
    values = separation._exponents(grid(-1, -0.3))
    assert values["exponent_of_rate"] == pytest.approx(-1, abs=0.01)
    assert values["exponent_of_decay"] == pytest.approx(-0.3, abs=0.01)
    assert passes("separation2026", "inverse-in-rate", values)
    assert not passes("separation2026", "inverse-in-decay", values)
    few = grid(-1, -1)
    assert (
        separation._exponents(Grid(few.rate, few.decay, few.delay, np.arange(12) < 3, few.norm_ratio))[
            "exponent_of_rate"
        ]
        is None
    )


def test_the_cells_of_a_seed_are_all_combinations() -> None:
    assert list(product(separation.RATES, separation.DECAYS)) == list(CELLS)
    experiment = separation.cell(2e-3, 4.0, 3)
    assert (experiment.optimiser.learning_rate, experiment.optimiser.weight_decay, experiment.seed) == (2e-3, 4.0, 3)


def test_delays_must_grow_from_alpha_to_alpha() -> None:
    grown = kumar._delays({0.25: (100, 110, False), 1.0: (300, 500, False), 4.0: (900, 4000, True)})
    assert grown == {
        **{"delay_1": 10, "delay_2": 200, "delay_3": 3100},
        **{"least_growth": 190, "last_delay_over_fit": pytest.approx(3100 / 900)},
    }
    assert passes("kumar2023", "delay-grows-with-alpha", grown)
    alike = kumar._delays({0.0: (300, 500, False), 1.0: (300, 490, False), 2.0: (310, 520, False)})
    assert not passes("kumar2023", "delay-grows-with-alpha", alike)


def test_a_rate_alone_stretches_steps_and_not_their_ratio() -> None:
    halved = kumar._ratios((300, 500, False), (600, 1000, False))
    assert halved == {"generalised_ratio": 2.0, "relative_change": 0.0}
    assert passes("kumar2023", "delay-in-steps-is-the-rates", halved)
    later = kumar._ratios((300, 500, False), (300, 1000, False))
    assert later == {"generalised_ratio": 2.0, "relative_change": 1.0}
    assert not passes("kumar2023", "delay-in-steps-is-the-rates", later)
    assert kumar._ratios((300, 500, False), (300, 900, True))["generalised_ratio"] is None


def test_wrong_labels_are_learnt_and_forgotten(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick trial end to end at p = 17, where decay begins to win within 300 steps."""
    small = {"task.p": 17, "network.d_mlp": 96, "budget.steps": 300, "split.frac_train": 0.8, "name": "small"}
    (outcome,) = doshi._inversion(small, Trainer(home), [0])
    assert isinstance(outcome, Outcome)
    assert outcome.control is not None
    assert outcome.control["corrupted_as_trained"] == 1.0
    assert outcome.control["corrupted_as_true"] == 0.0
    assert outcome.values["corrupted_as_trained"] < outcome.values["most_as_trained"]
    assert not passes("doshi2023", "decay-unlearns-wrong-labels", outcome.control)
    right = {"most_as_trained": 1.0, "test": 0.99, "corrupted_as_true": 0.8, "corrupted_as_trained": 0.1}
    assert passes("doshi2023", "decay-unlearns-wrong-labels", right)
