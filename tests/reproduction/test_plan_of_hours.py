"""Plans: what is measured first in so many hours, and that a stopped plan continues as it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invented import Counted, claim

from groklab.errors import InputError
from groklab.reproduction import Claim, ClaimProgress, Outcome, Paper, Plan, Trainer, information, plan, reproduce

Publish = Callable[..., Paper]
HOUR = 3600.0


def full(run: Any = None, *, id: str = "one", hours: float = 1.0, seeds: int = 3, **changes: Any) -> Claim:
    """A claim with a full trial of so many hours; `quick` gives it a quick one that holds with these seeds."""
    holding = changes.pop("quick", None)
    trial = claim(run or Counted(), id=id, cost=HOUR * hours, seeds=seeds, **changes)
    quick = None if holding is None else claim(Counted(holds=holding), seeds=3).quick
    return replace(trial, quick=quick, full=trial.quick)


def order(planned: Plan) -> list[str]:
    return [f"{step.claim.id} {step.place}" for step in planned.steps]


def test_information_is_the_entropy_of_the_verdict() -> None:
    # one seed of a claim of which nothing is known: a coin
    assert information([], 1) == pytest.approx(1)
    # two seeds: by Jeffreys' prior both agree with 3/8 each way
    assert information([], 2) == pytest.approx(-(2 * 3 / 8 * math.log2(3 / 8) + math.log2(1 / 4) / 4))
    # seeds that disagree have decided it
    assert information([True, False], 1) == 0
    assert information([], 0) == information([True], 0) == 0
    # a split quick trial leaves more open than one that every seed supports, and that more than many seeds
    split, clear = information([], 3, [True, False, True]), information([], 3, [True] * 3)
    assert information([], 3) > split > clear > information([], 3, [True] * 20) > 0
    assert information([], 3, [True] * 3) == pytest.approx(information([], 3, [False] * 3))


def test_what_tells_most_per_hour_comes_first(paper: Publish) -> None:
    paper(
        full(id="sure", quick={0, 1, 2}),
        full(id="open"),
        full(id="split", quick={0, 1}),
        full(id="long", hours=9),
        full(id="short", hours=0.1),
    )
    reproduce("mine")
    assert order(plan("mine", hours=24)) == [f"{id} fits" for id in ("short", "open", "split", "sure", "long")]


def test_a_shared_training_counts_once(paper: Publish) -> None:
    # two hours for three claims tell more than one and a half for one
    shared = [full(id=f"shared-{i}", hours=2, shares="run") for i in range(3)]
    paper(full(id="alone", hours=1.5), *shared)
    planned = plan("mine", hours=24)
    assert [(s.claim.id, s.seconds) for s in planned.steps] == [
        ("shared-0", 2 * HOUR),
        *((f"shared-{i}", 0) for i in (1, 2)),
        ("alone", 1.5 * HOUR),
    ]
    assert [row[3] for row in planned.rows] == ["2 h 00 min", "shared", "shared", "1 h 30 min"]
    assert planned.notes == ["shared: another claim trains for it"]
    # once one of them is measured the others cost nothing
    reproduce("mine/shared-1", "full")
    assert [s.seconds for s in plan("mine", hours=24).steps] == [0, 0, 1.5 * HOUR]


def test_what_does_not_fit_is_named(paper: Publish) -> None:
    paper(full(id="a", hours=1), full(id="b", hours=1.5), full(id="c", hours=9), full(id="d", hours=20))
    planned = plan("mine", hours=3)
    assert order(planned) == ["a fits", "b fits", "c begins", "d left out"]
    assert (
        planned.summary
        == "3 h 00 min for full trials: 2 claims fit, by estimate in 2 h 30 min; 2 more would take 29 h 00 min"
    )
    assert [row[0] for row in planned.rows] == ["now", "1 h 00 min", "2 h 30 min", "left out"]
    text = repr(planned)
    assert "2 h 30 min  mine/c  3 seeds  9 h 00 min\n" in text
    assert "left out  mine/d  3 seeds  20 h 00 min\n" in text
    assert "mine/c does not fit in what is left: begun, saved at the end" in text
    assert "mine/c does not fit" in planned._repr_html_()


def test_a_plan_is_worked_in_its_order_and_says_what_does_not_fit(paper: Publish) -> None:
    runs = {id: Counted() for id in "abc"}
    paper(
        full(runs["a"], id="a", hours=20), full(runs["b"], id="b", hours=1), full(runs["c"], id="c", hours=0.5, seeds=2)
    )
    seen: list[ClaimProgress] = []
    (result,) = plan("mine", hours=2).work(seen.append)
    assert result.complete
    assert [p.claim.id for p in seen if p.seeds] == [*"cc", *"bbb", *"aaa"]
    # what was left out is begun, since there is time, and it is said
    notes = {p.claim.id: p.note for p in seen if p.note}
    assert set(notes) == {"a"}
    assert "takes about 20 h 00 min and does not fit in the" in notes["a"]
    assert [c.verdict for c in result.claims] == ["reproduced"] * 3


def test_a_stopped_plan_continues_as_it_was(paper: Publish) -> None:
    class Stop(Exception):
        pass

    first, other = Counted(), Counted(holds=False)

    def second(trainer: Trainer, seed: int) -> Outcome:
        if seed == 1 and len(other.asked) < 2:
            other(trainer, seed)
            raise Stop
        return other(trainer, seed)

    paper(full(first, id="first", hours=0.1), full(second, id="second", hours=0.2), full(id="third", hours=0.3))
    begun = plan("mine", hours=1)
    with pytest.raises(Stop):
        begun.work(None)
    # by what is measured now 'second' would come last: its verdict is nearly sure
    again = plan("mine", hours=1)
    assert order(again) == ["first measured", "second fits", "third fits"]
    assert again.worked > 0
    assert again.seconds_left == pytest.approx(HOUR - again.worked)
    # other hours are another plan
    assert plan("mine", hours=1.5).worked == 0
    again.work(None)
    assert first.asked == [0, 1, 2]
    assert plan("mine", hours=1).steps == ()
    assert plan("mine", hours=1).summary == "nothing is left to measure at full size"


def test_the_hours_of_a_plan_end_it(paper: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    run, now = Counted(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(trainer: Trainer, seed: int) -> Outcome:
        now[0] += 0.2
        return run(trainer, seed)

    paper(full(slow, hours=1e-5, seeds=9))
    (result,) = plan("mine", hours=0.3 / HOUR).work(None)
    assert not result.complete
    assert run.asked == [0, 1]
    # its hours are over: the next is a plan of its own
    assert plan("mine", hours=0.3 / HOUR).worked == 0


@pytest.mark.parametrize("content", [b"", b"[3]", b'{"worked": -1, "steps": []}', b'{"worked": 1, "steps": [{}]}'])
def test_a_damaged_plan_is_made_again(paper: Publish, home: Path, content: bytes) -> None:
    paper(full())
    planned = plan("mine", hours=1)
    planned.keep(7)
    assert plan("mine", hours=1).worked == 7
    (path,) = (home / "reproductions" / "plans").iterdir()
    path.write_bytes(content)
    assert plan("mine", hours=1) == planned


def test_a_plan_of_claims_that_have_changed_is_made_again(paper: Publish) -> None:
    paper(full())
    plan("mine", hours=1).keep(7)
    paper(full(setting="another"))
    assert plan("mine", hours=1).worked == 0


def test_several_papers_in_one_plan(paper: Publish) -> None:
    paper(full(id="one"), full(id="two"))
    both = plan(["mine/one", "controls"], hours=1)
    assert {s.paper.name for s in both.steps} == {"mine", "controls"}
    assert [s.claim.id for s in both.steps].count("one") == 1
    # a paper and its claim: each claim once
    assert len(plan(["mine/one", "mine", "mine/one"], hours=9).steps) == 2
    assert {s.name for s in plan("all", "quick", hours=9000 / 2).steps} >= {"controls/micro-groks"}


@pytest.mark.parametrize(
    ("what", "changes", "words"),
    [
        ("controls", {"hours": 0}, "hours = 0: needs a number above 0, at most 8,760"),
        ("controls", {"hours": -1}, "hours = -1"),
        ("controls", {"hours": math.nan}, "hours = nan"),
        ("controls", {"hours": math.inf}, "hours = inf"),
        ("controlls", {"hours": 1}, "did you mean controls"),
        (["controls", "controls/micro-grok"], {"hours": 1}, "did you mean micro-groks"),
        ([], {"hours": 1}, "needs the name of a paper"),
        ("controls", {"hours": 1, "seeds": 0}, "seeds = 0"),
        ("controls", {"hours": 1, "size": "huge"}, "size = 'huge'"),
    ],
)
def test_refusals(home: Path, what: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan(what, **changes)
    assert not home.exists()
