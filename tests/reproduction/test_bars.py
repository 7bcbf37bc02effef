"""Bars and controls: what passes, what fails, and what a control that passes does to a claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from invented import claim

from groklab.reproduction import PAPERS, Bar, Outcome, Paper, Trainer, Values, reproduce, results, verdict_of

Publish = Callable[..., Paper]
LATE = Bar("times_as_late", ">=", 5, "the paper: 'five times as late'")


@pytest.mark.parametrize(
    ("relation", "threshold", "passing", "failing"),
    [
        (">=", 5, [5, 7.5], [4.9, math.nan, None]),
        (">", 5, [5.1], [5, math.nan, None]),
        ("<=", 0.1, [0.1, -3], [0.2, math.nan, None]),
        ("<", 0.1, [0.0], [0.1, math.nan, None]),
        ("==", [14, 35], [[14, 35]], [[35, 14], None]),
        ("==", True, [True], [False, None]),
    ],
)
def test_a_bar_is_what_its_relation_says(
    relation: Any, threshold: object, passing: list[object], failing: list[object]
) -> None:
    bar = Bar("x", relation, threshold, "here")
    assert all(bar.passed({"x": value}) for value in passing)
    assert not any(bar.passed({"x": value}) for value in failing)
    assert not bar.passed({})


def test_a_bar_in_words() -> None:
    assert LATE.text == "times as late ≥ 5"
    assert Bar("keys", "==", [14, 35], "appendix C").text == "keys = 14, 35"


@pytest.mark.parametrize(("relation", "origin"), [("=>", "here"), (">=", "")])
def test_a_bar_that_says_nothing_is_refused(relation: Any, origin: str) -> None:
    with pytest.raises(ValueError, match="bar"):
        Bar("x", relation, 1, origin)


def trial(values: Values, control: Values | None) -> Callable[[Trainer, int], Outcome]:
    return lambda trainer, seed: Outcome(values, sentence=f"seed {seed}", control=control)


@pytest.mark.parametrize(
    ("values", "control", "verdict", "note"),
    [
        (
            {"times_as_late": 7},
            {"times_as_late": None},
            "reproduced",
            "holds in 3 of 3 seeds (95% interval 44% to 100%)",
        ),
        (
            {"times_as_late": 2},
            {"times_as_late": 1},
            "not reproduced",
            "holds in 0 of 3 seeds (95% interval 0% to 56%)",
        ),
        (
            {"times_as_late": 7},
            {"times_as_late": 6},
            "not reproduced",
            "holds in 3 of 3 seeds (95% interval 0% to 56%); the control passes in 3 of 3",
        ),
    ],
)
def test_a_claim_that_its_control_passes_is_not_reproduced(
    paper: Publish, values: Values, control: Values, verdict: str, note: str
) -> None:
    paper(claim(trial(values, control), bars=(LATE,), control="another"))
    (found,) = reproduce("mine").claims
    assert (found.verdict, found.note) == (verdict, note)


def test_every_bar_counts(paper: Publish) -> None:
    second = Bar("accuracy", ">", 0.9, "here")
    paper(claim(trial({"times_as_late": 7, "accuracy": 0.5}, None), bars=(LATE, second), kind="check"))
    assert reproduce("mine").claims[0].verdict == "fails"


@pytest.mark.parametrize(
    ("kind", "control"), [("claim", None), ("claim", {}), ("own", {"late": 1}), ("check", {"late": 1})]
)
def test_a_control_that_was_not_measured_supports_nothing(paper: Publish, kind: str, control: Values | None) -> None:
    paper(claim(trial({"times_as_late": 7}, control), bars=(LATE,), kind=kind))
    with pytest.raises(ValueError, match="one: the trial measured no times_as_late of its control"):
        reproduce("mine")
    # what fails by itself needs none
    paper(claim(trial({"times_as_late": 2}, control), bars=(LATE,), kind=kind))
    assert reproduce("mine").claims[0].verdict in ("not reproduced", "fails")


def test_a_bar_that_is_moved_is_measured_again(paper: Publish) -> None:
    run = trial({"times_as_late": 4}, {"times_as_late": 1})
    paper(claim(run, bars=(LATE,)))
    assert reproduce("mine").claims[0].verdict == "not reproduced"
    paper(claim(run, bars=(Bar("times_as_late", ">=", 3, "lowered"),)))
    assert results("mine").claims[0].verdict == "not run"


def test_checks_and_findings_of_groklab_are_counted_apart(paper: Publish) -> None:
    run = trial({"times_as_late": 7}, {"times_as_late": None})
    kinds = ("claim", "check", "check", "own")
    paper(*(claim(run, id=f"c{i}", kind=kind, bars=(LATE,)) for i, kind in enumerate(kinds)))
    found = reproduce("mine")
    assert found.counts == [
        "claims: 1 reproduced",
        "checks of the code: 2 holds",
        "groklab's own findings: 1 reproduced",
    ]
    assert found.tally["reproduced"] == 1


@pytest.mark.parametrize(("holds", "verdict"), [([True], "holds"), ([True, False], "partly"), ([False], "fails")])
def test_a_check_holds_or_fails_and_is_not_reproduced(holds: list[bool], verdict: str) -> None:
    assert verdict_of("check", holds) == verdict
    assert verdict_of("check", holds, complete=False) == verdict_of("check", []) == "not run"


def test_each_bar_stands_beside_what_was_measured_for_it(paper: Publish) -> None:
    def run(trainer: Trainer, seed: int) -> Outcome:
        values = {"times_as_late": 4 + seed, "absent": None, "steps": 9}
        return Outcome(values, control={"times_as_late": 5 * (seed == 2), "absent": None})

    paper(claim(run, bars=(LATE, Bar("absent", ">", 0, "here")), control="another"))
    late, absent = reproduce("mine").claims[0].judged
    assert (late.measured.text, late.passed) == ("5 (4 to 6)", (False, True, True))
    assert late.control is not None
    assert (late.control.text, late.control_passed) == ("0 (0 to 5)", (False, False, True))
    assert (absent.measured.text, absent.passed, absent.control_passed) == ("none", (False,) * 3, (False,) * 3)


def test_without_a_control_nothing_is_said_of_one(paper: Publish) -> None:
    paper(claim(trial({"times_as_late": 7}, None), bars=(LATE,), kind="check"))
    (late,) = reproduce("mine").claims[0].judged
    assert (late.control, late.control_passed) == (None, ())


def test_a_claim_whose_bar_holds_a_list_is_listed_as_others() -> None:
    assert hash(Bar("pairs", "==", [1, 2], "counted")) == hash(Bar("pairs", "==", [3], "counted"))
    assert Bar("pairs", "==", [1, 2], "counted").passed({"pairs": [1, 2]})
    assert not Bar("pairs", "==", [1, 2], "counted").passed({"pairs": [2, 1]})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bars": ()}, "mine/one: its quick trial needs bars"),
        ({"full": claim(str, bars=()).quick}, "mine/one: its full trial needs bars"),
        ({"control": ""}, "mine/one: needs a control"),
        ({"control": "", "kind": "own"}, "mine/one: needs a control"),
        ({"kind": "finding"}, "kind 'finding' is not one of claim, check, own"),
    ],
)
def test_a_claim_that_nothing_could_refute_is_not_published(
    paper: Publish, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        paper(claim(trial({}, None), **changes))


def test_a_check_needs_no_control_and_a_claim_without_trials_nothing(paper: Publish) -> None:
    paper(claim(trial({}, None), kind="check", control=""), claim(trial({}, None), id="two", quick=None, control=""))


@pytest.mark.parametrize("cost", [0, -1, math.nan])
def test_no_trial_without_a_cost(cost: float) -> None:
    with pytest.raises(ValueError, match="cost above 0"):
        claim(trial({}, None), cost=cost)


def test_every_claim_has_a_cost_or_says_why_it_has_no_trial() -> None:
    for name, of in PAPERS.items():
        for one in of.claims:
            assert one.quick or one.full or one.counter, f"{name}/{one.id}"
