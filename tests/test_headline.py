from __future__ import annotations

import pytest

from groklab.grokking import Headline, headline_sentence, phases_sentence
from groklab.grokking.learning_phases import learning_phase


@pytest.mark.parametrize(
    ("headline", "sentence"),
    [
        (
            Headline(120, 3740, 4500, 0.9968),
            "memorised at step 120, generalised at step 3,740: a delay of 3,620 steps, 31 times as late; test accuracy "
            "99.7%",
        ),
        (
            Headline(120, None, 600, 0.82),
            "memorised at step 120, not generalised by step 600 (censored); test accuracy 82.0%",
        ),
        (
            Headline(None, None, 600, 0.03, ended=False),
            "not memorised and not generalised by step 600 (so far); test accuracy 3.0%",
        ),
        (
            Headline(None, 500, 600, 1.0),
            "generalised at step 500, not memorised by step 600 (censored); test accuracy 100.0%",
        ),
        (Headline(50, 50, 60, 1.0), "memorised at step 50, generalised at step 50: no delay; test accuracy 100.0%"),
        (
            Headline(0, 10, 60, 1.0),
            "memorised at step 0, generalised at step 10: a delay of 10 steps; test accuracy 100.0%",
        ),
        (
            Headline(10, 30, 60, 1.0, at_most=True),
            "memorised by step 10, generalised by step 30, at the latest; test accuracy 100.0%",
        ),
        (
            Headline(10, None, 60, None, diverged=True),
            "memorised at step 10, not generalised by step 60 (diverged); test accuracy –",
        ),
    ],
)
def test_a_headline_says_when_it_memorised_when_it_generalised_and_the_delay(headline: Headline, sentence: str) -> None:
    assert headline.sentence() == sentence
    assert headline.to_dict()["sentence"] == sentence


def test_members_share_a_headline() -> None:
    members = [Headline(100, 400, 900, 1.0), Headline(200, 600, 900, 1.0), Headline(100, None, 900, 0.4)]
    assert headline_sentence(members) == (
        "3 of 3 memorised (median step 100), 2 of 3 generalised (median step 600): a delay of 500 steps between the "
        "medians, 6.0 times as late; test accuracy 40.0% to 100.0%"
    )
    assert headline_sentence(members[:1]) == members[0].sentence()
    assert headline_sentence([]) == ""


def test_a_phase_comes_with_its_rule_and_a_low_one_with_its_test_accuracy() -> None:
    steps = [0, 100, 2000]
    grokking = learning_phase(steps, [0.1, 0.95, 1], [0, 0.2, 0.97])
    assert grokking.sentence().startswith(
        "grokking: test accuracy reaches 90% 1,900 steps after training accuracy, at least 1,000"
    )
    memorising = learning_phase(steps, [0.1, 0.95, 1], [0, 0.82, 0.8])
    assert memorising.because == "training accuracy reaches 90%, test accuracy does not (at best 82.0%)"
    assert learning_phase(steps, [0, 0, 0], [0, 0, 0.03]).because.endswith("(test: at best 3.0%)")
    assert learning_phase([0, 1], [0, 1], [0, 1]).because == "test accuracy reaches 90% no later than training accuracy"
    exactly = learning_phase([0, 100, 1100], [0, 1, 1], [0, 0, 1], boundary="comprehension")
    assert exactly.because == "test accuracy reaches 90% 1,000 steps after training accuracy, at most 1,000"
    assert phases_sentence([grokking, memorising, memorising]) == (
        "By the phases of Liu et al. (2022) (90%, 1,000 steps): 1 grokking and 2 memorisation (test accuracy at best "
        "82.0%)."
    )
