"""The claims of Nanda et al. 2023: on one trained model, measured on a small transformer instead of the mainline; and
the numbers from which bars decide, on curves that are known.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.papers.nanda2023.claims import mainline, progress, runs, sequences, variations
from groklab.papers.nanda2023.claims.runs import other_frequencies
from groklab.reproduction import SIZES, Outcome, Trainer, reproduce

CLAIMS = {claim.id: claim for claim in (*mainline.CLAIMS, *progress.CLAIMS)}
ON_ONE_MODEL = [id for id, claim in CLAIMS.items() if claim.quick is not None]


@pytest.fixture
def run(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> gl.Run:
    """The model that all claims look at; it is too small for most of them to hold, so their values are tested."""
    shared = corpus["transformer"]
    for name in ("mainline", "enough_data", "random_labels"):
        for module in (mainline, progress):
            monkeypatch.setattr(module, name, lambda trainer, size, seed: shared, raising=False)
    return shared


def measured(claim: str) -> Outcome:
    trial = CLAIMS[claim].quick
    assert trial is not None
    outcome: Outcome = trial.run(Trainer(), 0)
    return outcome


@pytest.mark.parametrize("claim", ON_ONE_MODEL)
def test_a_claim_has_its_values_and_a_sentence_of_them(run: gl.Run, claim: str) -> None:
    outcome, found = measured(claim), CLAIMS[claim]
    assert outcome.sentence
    assert (outcome.control is None) == (found.kind == "check")
    assert found.quick is not None
    for bar in found.quick.bars:
        assert bar.value in outcome.values
        assert outcome.control is None or bar.value in outcome.control
    for values in (outcome.values, outcome.control or {}):
        for name, value in values.items():
            for one in value if isinstance(value, list) else [value]:
                assert one is None or isinstance(one, str) or math.isfinite(one), name


def test_values_are_those_of_the_run(run: gl.Run) -> None:
    member, numbers = run.status.members[0], gl.analyse(run).to_dict()
    groks = measured("groks")
    assert groks.values["grokked_step"] == member.grokked_step
    assert groks.values["memorised_step"] == member.memorised_step
    assert measured("key-frequencies").values["n_key_frequencies"] == len(numbers["key_frequencies"])
    fit = measured("trigonometric-logits")
    assert fit.values["logit_fve"] == numbers["logit_fve"]
    assert fit.values["trig_loss"] == numbers["trig_loss"]
    assert fit.values["trig_over_test_loss"] == pytest.approx(numbers["trig_loss"] / numbers["test_loss"])
    assert fit.control is not None
    assert fit.control["logit_fve"] <= fit.values["logit_fve"]
    # cross-entropy does not see what is added to all logits
    assert measured("centring").values["largest_relative_change"] < 1e-9


def test_what_a_rank_leaves_is_what_numpy_says(run: gl.Run) -> None:
    values = measured("low-rank-map").values
    weights = run.weights()
    w = (weights["blocks.0.mlp.W_out"] @ weights["unembed.W_U"]).astype(float).T[:11]
    singular = np.linalg.svd(w, compute_uv=False)
    n = values["directions"]
    assert values["rank_residual"] == pytest.approx(np.sqrt((singular[n:] ** 2).sum() / (w**2).sum()), rel=1e-5)
    assert values["wave_residual"] >= values["rank_residual"]
    assert values["wave_residual_of_squares"] == pytest.approx(values["wave_residual"] ** 2)


class Asked:
    """Stands in for a trainer, and returns what it was asked to train."""

    def train(self, experiment: gl.Experiment) -> gl.Experiment:
        return experiment


@pytest.mark.parametrize("size", SIZES)
def test_controls_differ_from_the_mainline_in_what_they_control_alone(size: str) -> None:
    asked: Any = Asked()
    own, enough, random = (f(asked, size, 1) for f in (runs.mainline, runs.enough_data, runs.random_labels))
    assert (own.network, own.optimiser, own.seed) == (enough.network, enough.optimiser, enough.seed)
    assert (own.network, own.optimiser, own.seed) == (random.network, random.optimiser, random.seed)
    assert (enough.task, enough.split.frac_train) == (own.task, 0.8)
    assert random.split == own.split
    assert random.task.build().shape == own.task.build().shape
    assert random.task.build().algebra.operation == "random_labels"


def test_other_frequencies_are_none_of_the_key_ones_and_as_many() -> None:
    for seed in range(5):
        others = other_frequencies([3, 8, 9], 23, seed)
        assert len(set(others)) == 3
        assert not {3, 8, 9} & set(others)
        assert set(others) <= set(range(1, 12))
    assert other_frequencies([1, 2, 3], 11, 0) == [4, 5]
    # where all are key a control passes as the model does, and the claim is not supported
    assert other_frequencies([1, 2, 3, 4, 5], 11, 0) == [1, 2, 3, 4, 5]


def test_harm_is_the_least_of_the_key_frequencies_and_the_most_of_the_others() -> None:
    circuit = {"key_frequencies": [2, 4], "loss": 0.5, "excluded_loss": 6.0, "restricted_loss": 0.25}
    values = mainline._harm(circuit, np.array([0.51, 2.5, 0.4, 5.5]), 3.0)
    assert values["least_key_times"] == pytest.approx(5)
    assert values["another_over_least_key"] == pytest.approx(0.005)
    assert (values["excluded_over_uniform"], values["restricted_over_loss"]) == (2, 0.5)
    # the sign counts: a loss that falls without another frequency does no harm, one that rises does
    assert mainline._harm(circuit, np.array([0.4, 2.5, 0.4, 5.5]), 3.0)["another_over_least_key"] == 0
    assert mainline._harm(circuit, np.array([0.5, 0.4, 0.5, 5.5]), 3.0)["another_over_least_key"] is None


def test_a_rise_is_followed_to_one_nat() -> None:
    path = {
        "step": [0, 10, 20, 30, 40],
        "excluded_loss": [3.0, 0.1, 0.5, 1.5, 6.0],
        "train_loss": [3.0, 0.05, 0.04, 0.03, 0.02],
        "test_loss": [3.0, 9.0, 9.0, 8.0, 1.0],
    }
    values = progress._rise(path, 35, 4.0)
    assert (values["step_of_minimum"], values["passes_1_at"]) == (10, 30)
    assert values["train_change"] == pytest.approx(0.02)
    assert values["test_over_uniform"] == 2
    assert progress._rise({**path, "excluded_loss": [3.0, 0.1, 0.5, 0.6, 0.7]}, 35, 4.0)["passes_1_at"] is None


def test_courses_and_stages() -> None:
    course = progress._course([0, 100], [0.0, 10.0], (10, 20, 40))
    assert course == ([1.0, 2.0, 4.0], pytest.approx(0.1), pytest.approx(0.1))
    assert progress._falling([4.0, 2.0, 1.0], -0.2, -0.4)["slope_ratio"] == pytest.approx(2)
    assert progress._falling([4.0, 5.0, 1.0], 0.2, -0.4)["slope_ratio"] is None
    ends = {"memorisation_ends": 100, "circuit_formation_ends": 400, "cleanup_ends": None}
    assert progress._lengths(ends)["formation_over_memorisation"] == 4
    assert progress._lengths(ends)["cleanup_over_formation"] is None
    path = {"step": [0, 1, 2, 3, 4], "restricted_loss": [4, 1, 1, 1, 1], "test_loss": [1, 4, 5, 3, 1]}
    # the test loss counts from its peak on: before, it has not been learnt
    assert progress._halves(path, 2.0)["restricted_over_test"] == 0.25


def fake_run(**curves: Any) -> Any:
    members = [SimpleNamespace(memorised_step=10, grokked_step=80)]
    arrays = {k: np.asarray(v) for k, v in curves.items()}
    return SimpleNamespace(curves=lambda: arrays, status=SimpleNamespace(members=members))


def test_the_exponent_of_a_decay() -> None:
    assert variations._exponent(1000, 100, (0.1, 1.0)) == pytest.approx(1)
    assert variations._exponent(200, 100, (1.0, 4.0)) == pytest.approx(0.5)
    assert variations._exponent(None, 100, (0.1, 1.0)) is None


def test_learning_at_a_falling_rate_is_no_phase_change() -> None:
    steps = np.arange(0, 1001, 20)
    decay = fake_run(step=steps, test_loss=4 * np.exp(-steps / 150), test_accuracy=steps / 1000)
    assert sequences._turn(decay)["later_over_earlier_fall"] < 1
    even = fake_run(step=steps, test_loss=4 - steps / 250, test_accuracy=steps / 1000)
    assert sequences._turn(even)["later_over_earlier_fall"] is None
    sharp = fake_run(step=steps, test_loss=1 + 3 / (1 + np.exp((steps - 500) / 20)), test_accuracy=steps / 1000)
    assert sequences._turn(sharp)["later_over_earlier_fall"] > 2
    bars = [bar for bar in sequences.TURN if bar.value == "later_over_earlier_fall"]
    assert [bars[0].passed(sequences._turn(x)) for x in (decay, even, sharp)] == [False, False, True]


def test_falls_in_order() -> None:
    values = sequences._order([(10, 20, 30), (40, 40, 60), (80, 100, 200)])
    assert values == {"spread": 5, "smallest_ratio": 2, "slowest_fall": 3}
    assert sequences._order([(10, 20, 30), (40, 40, None)])["spread"] is None


def test_delays_spikes_and_bests() -> None:
    run = fake_run(
        step=[0, 10, 20, 30], test_loss=[4.0, 8.0, 5.0, 1.0], test_accuracy=[0.1, 0.95, 0.2, 0.3], train_loss=[1.0] * 4
    )
    values = sequences._delay(run)
    assert (values["half_of_peak_over_memorised"], values["least_over_peak"]) == (3, 0.125)
    assert variations._best(run, 30)["best_test_accuracy"] == 0.95
    assert variations._best(run, 5)["best_test_accuracy"] == 0.1
    losses = [9.0, 1e-3, 1e-9, 1.1920929e-6, 1e-9]
    late = fake_run(step=[0, 1100, 1200, 1300, 1400], train_loss=losses)
    assert variations._spike(late) == pytest.approx(10)
    assert variations._shared([1, 2, 3], [3, 4, 5, 6]) == {"n_key_frequencies": 3, "shared": pytest.approx(1 / 3)}


def test_a_check_from_end_to_end() -> None:
    result = reproduce("nanda2023/fourier-identities")
    assert [c.verdict for c in result.claims] == ["holds"]
    assert result.tallies["check"]["holds"] == 1
