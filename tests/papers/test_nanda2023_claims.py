"""The claims of Nanda et al. 2023 on one trained model, measured on a small transformer instead of the mainline."""

from __future__ import annotations

import math

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.papers.nanda2023.claims import mainline
from groklab.reproduction import Outcome, Trainer

CLAIMS = {claim.id: claim for claim in mainline.CLAIMS}


@pytest.fixture
def run(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> gl.Run:
    """The model that all claims look at; it is too small for most of them to hold, so their values are tested."""
    shared = corpus["transformer"]
    monkeypatch.setattr(mainline, "mainline", lambda trainer, size, seed: shared)
    return shared


def measured(claim: str) -> Outcome:
    trial = CLAIMS[claim].quick
    assert trial is not None
    outcome: Outcome = trial.run(Trainer(), 0)
    return outcome


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_has_its_values_and_a_sentence_of_them(run: gl.Run, claim: str) -> None:
    outcome = measured(claim)
    assert outcome.sentence
    assert outcome.holds in (True, False)
    assert outcome.values
    for name, value in outcome.values.items():
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
    assert fit.holds == (numbers["logit_fve"] >= 0.9 and numbers["trig_loss"] < numbers["loss"])
    assert measured("directions").values["smallest_fve"] <= measured("directions").values["largest_fve"] <= 1
    # cross-entropy does not see what is added to all logits
    assert measured("centring").holds
    assert np.isfinite(measured("low-rank-map").values["gap"])
