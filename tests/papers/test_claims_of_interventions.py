"""The claims on ungrokking, tickets and held norms: how trainings become values, by plain references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from groklab.papers.criticalnorm2026 import claims as critical
from groklab.papers.tickets2023 import claims as tickets
from groklab.papers.varma2023 import claims as varma
from groklab.reproduction import PAPERS, Trainer


def passes(paper: str, claim: str, values: dict[str, object]) -> bool:
    (trial,) = (c.quick for c in PAPERS[paper].claims if c.id == claim)
    assert trial is not None
    return trial.passes(values)


def test_ungrokking_is_a_fall_of_what_had_generalised(home: Path) -> None:
    """Test accuracies of the quick trial become its values: the subset below falls, the one above does not."""
    curves = {"step": np.array([0, 10, 20]), "train_accuracy": np.array([0, 1, 1.0])}
    curves["test_accuracy"] = np.array([0, 0.99, 0.1])
    assert varma.before_and_after(curves, 20) == (0.99, 1.0, 0.1)
    assert varma.before_and_after(curves, None) == (None, None, None)
    fallen = {f"{k}_{case}": v for case in varma.DECAYS for k, v in (("test_before", 1.0), ("train_after", 1.0))}
    fallen |= {"test_after_strong": 0.1, "test_after_weak": 0.1, "test_from_scratch": 0.0}
    assert passes("varma2023", "ungrokking", fallen)
    for name in ("test_after_strong", "test_after_weak", "test_from_scratch"):
        assert not passes("varma2023", "ungrokking", {**fallen, name: 0.9})
    assert not passes("varma2023", "ungrokking", {**fallen, "test_before_weak": None})


def test_cases_of_ungrokking_change_decay_then_data() -> None:
    weak, scratch = varma.experiment(0.2, "weak", 3), varma.experiment(0.2, "scratch", 3)
    assert [e.kind for e in weak.interventions] == ["set", "training_set"]
    assert weak.interventions[0].settings == {"optimiser.weight_decay": 0.1}
    assert (weak.split.frac_train, scratch.split.frac_train) == (0.65, 0.2)
    assert not scratch.interventions


def test_a_ticket_is_judged_beside_the_best_of_its_controls() -> None:
    assert tickets.delay(200, 1200) == 1000
    assert tickets.delay(200, None) is None
    assert tickets.ratio(100, 1000) == 0.1
    assert tickets.ratio(None, 1000) is None
    controls = [{"test": 0.1, "delay_ratio": None}, {"test": 1.0, "delay_ratio": 0.7}, {"test": None, "delay_ratio": 2}]
    assert tickets.best(controls) == {"test": 1.0, "delay_ratio": 0.7}
    assert passes("tickets2023", "no-delay", {"test": 1.0, "delay_ratio": 0.05})
    assert not passes("tickets2023", "no-delay", tickets.best(controls))
    assert not passes("tickets2023", "no-delay", {"test": 1.0, "delay_ratio": None})


def test_tickets_are_trained_again_from_their_start(home: Path) -> None:
    """A ticket and a random mask that prune early: times count from the rewinding on."""
    at = {"kind": "prune", "share": 0.4, "rewind": "initial", "step": 20}
    about = {"name": "small", "budget.steps": 60, "network.d_mlp": 16}
    run = Trainer(home).train([tickets.preset("tickets2023/micro", {**about, "interventions": [at]})])
    values = tickets.again(run, 0)
    assert values["delay_ratio"] is None
    assert values["test"] == run.curves(0)["test_accuracy"][-1]


def test_the_exponent_is_that_of_exact_times() -> None:
    times = [float(100 * np.exp(7.5 * norm / 30)) for norm in critical.NORMS]
    alpha, r2 = critical.alpha_of(times, 30.0)
    assert (alpha, r2) == (pytest.approx(7.5), pytest.approx(1.0))
    assert passes("criticalnorm2026", "exponential-in-norm", {"alpha": alpha, "r2": r2})
    moved = critical._shuffled(list(times), 0)
    for seed in range(20):
        assert not {*enumerate(times)} & {*enumerate(critical._shuffled(list(times), seed))}
    other, spread = critical.alpha_of(moved, 30.0)
    assert not passes("criticalnorm2026", "exponential-in-norm", {"alpha": other, "r2": spread})
    assert critical.alpha_of([*times[:3], None, None], 30.0) == (None, None)
    # a time beyond the budget of 8,000 steps counts as one: without it the trend of the others, none, would be all
    flat, _ = critical.alpha_of([2000.0, 2000.0, 2000.0, 2000.0, None], 30.0)
    assert flat is not None
    assert flat > 1
    assert passes("criticalnorm2026", "temperature-mediates", {"share": 0.86})
    assert not passes("criticalnorm2026", "temperature-mediates", {"share": 0.5})


def test_a_temperature_gives_the_logits_of_a_larger_norm() -> None:
    """Scaling all weights of micro by c scales its logits by c³, which is what the temperature undoes."""
    larger = critical.experiment("temperature", 2 * critical.NORMS[0], 0)
    assert larger.objective.temperature == pytest.approx(1 / 8)
    assert larger.interventions[0].value == critical.NORMS[0]
    assert critical.experiment("norm", 43.0, 0).interventions[0].value == 43.0
