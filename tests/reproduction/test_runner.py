"""What is kept between calls: outcomes by claim, size and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented import Counted, claim

from groklab.errors import InputError, Interrupted, OutOfTime
from groklab.reproduction import Outcome, Paper, PaperResult, Trainer, reproduce, results
from groklab.training import stop_requests
from groklab.training.interrupts import deadline

Publish = Callable[..., Paper]


def one(result: PaperResult) -> dict[str, Any]:
    return dict(result.to_dict()["claims"][0])


@pytest.mark.parametrize(
    ("holding", "verdict"),
    [({0, 1, 2}, "reproduced"), ({1}, "partly"), (set(), "not reproduced")],
)
def test_verdicts(paper: Publish, holding: set[int], verdict: str) -> None:
    paper(claim(Counted(holds=holding)))
    assert one(results("mine"))["verdict"] == "not run"
    assert one(reproduce("mine"))["verdict"] == verdict
    assert one(results("mine"))["verdict"] == verdict


def test_without_a_trial_of_a_size_a_claim_is_not_run(paper: Publish) -> None:
    paper(claim(Counted()))
    found = reproduce("mine", "full")
    assert found.complete
    assert (one(found)["verdict"], one(found)["command"], one(found)["cost_seconds"]) == ("not run", None, None)
    assert "--quick has one" in one(found)["note"]


def test_a_finding_is_measured_once(paper: Publish) -> None:
    run = Counted()
    paper(claim(run))
    first = reproduce("mine")
    assert reproduce("mine") == first
    assert run.asked == [0, 1, 2]
    assert one(reproduce("mine", seeds=5))["seeds"] == [0, 1, 2, 3, 4]
    assert run.asked == [0, 1, 2, 3, 4]
    assert one(reproduce("mine", seeds=2))["seeds"] == [0, 1]
    reproduce("mine", seeds=2, again=True)
    assert run.asked == [0, 1, 2, 3, 4, 0, 1]
    assert one(results("mine", seeds=5))["verdict"] == "reproduced"


@pytest.mark.parametrize("change", [{"setting": "another"}, {"version": 2}])
def test_a_changed_claim_is_measured_again(paper: Publish, change: dict[str, Any]) -> None:
    run = Counted()
    paper(claim(run))
    reproduce("mine")
    paper(claim(run, counter="words alone change nothing", cost=7.0))
    reproduce("mine")
    assert run.asked == [0, 1, 2]
    paper(claim(run, **change))
    assert one(results("mine"))["verdict"] == "not run"
    reproduce("mine")
    assert run.asked == [0, 1, 2, 0, 1, 2]


def test_seeds_that_share_an_ensemble_are_measured_together(paper: Publish) -> None:
    asked = []

    def run(trainer: Trainer, seeds: tuple[int, ...]) -> list[Outcome]:
        asked.append(seeds)
        return [Outcome({"seed": s, "holds": True}, sentence="so", control={"holds": False}) for s in seeds]

    paper(claim(run, together=True))
    assert one(reproduce("mine"))["measured"]["seed"]["values"] == [0, 1, 2]
    reproduce("mine")
    reproduce("mine", seeds=4)
    assert asked == [(0, 1, 2), (0, 1, 2, 3)]


def test_fixed_seeds_are_not_added_to(paper: Publish) -> None:
    paper(claim(Counted(), seeds=1, fixed=True))
    found = one(reproduce("mine", seeds=5))
    assert found["seeds"] == [0]
    assert found["command"] == "groklab reproduce mine/one --quick"


def test_what_several_claims_train_costs_once(paper: Publish) -> None:
    both = [claim(Counted(), id=name, cost=cost, shares="run") for name, cost in (("one", 6.0), ("two", 9.0))]
    paper(*both, claim(Counted(), id="three", cost=3.0))
    assert results("mine").seconds_left == 12
    assert reproduce("mine/one").complete
    assert results("mine").seconds_left == 3
    # what is trained already costs nothing more, and is not measured for that
    reproduce("mine/three")
    assert (results("mine").seconds_left, results("mine").complete) == (0, False)
    assert reproduce("mine").complete


def test_values_that_are_no_numbers(paper: Publish, home: Path) -> None:
    values = {
        "lost": math.nan,
        "endless": np.float32(np.inf),
        "steps": np.arange(2),
        "flag": np.bool_(True),
        "word": "so",
        "absent": None,
        "mixed": [1.0, math.nan],
    }
    paper(claim(Counted(values)))
    found = reproduce("mine")
    json.dumps(found.to_dict(), allow_nan=False)
    seen = {name: entry["values"][0] for name, entry in one(found)["measured"].items()}
    assert seen == {
        "lost": None,
        "endless": None,
        "steps": [0, 1],
        "flag": True,
        "word": "so",
        "absent": None,
        "mixed": [1.0, None],
        "holds": True,
    }
    assert "median" not in one(found)["measured"]["lost"]
    json.loads((home / "reproductions" / "mine.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "content",
    [b"", b'{"outcomes": {"one', b"[1]", b'{"outcomes": 3}', b"\xff\x00", b"[" * 9999, b'{"outcomes": {"x": NaN}}'],
)
def test_a_damaged_file_is_set_aside(paper: Publish, home: Path, content: bytes) -> None:
    run = Counted()
    paper(claim(run))
    whole = reproduce("mine")
    path = home / "reproductions" / "mine.json"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="set aside as mine.json.damaged"):
        assert one(reproduce("mine"))["measured"] == one(whole)["measured"]
    assert (home / "reproductions" / "mine.json.damaged").read_bytes() == content
    assert len(run.asked) == 6
    reproduce("mine")
    assert len(run.asked) == 6


@pytest.mark.parametrize("record", [3, {}, {"holds": "yes"}, {"seconds": -1}, {"seconds": "x"}, {"values": 3}])
def test_a_damaged_finding_is_measured_again(paper: Publish, home: Path, record: Any) -> None:
    run = Counted()
    paper(claim(run))
    whole = reproduce("mine")
    path = home / "reproductions" / "mine.json"
    content = json.loads(path.read_text())
    kept = content["outcomes"]["one/quick/1"]
    # an empty one stands for a record that is lost
    changed = {**kept, **record} if isinstance(record, dict) and record else record
    content["outcomes"]["one/quick/1"] = changed
    path.write_text(json.dumps(content))
    assert one(reproduce("mine"))["measured"] == one(whole)["measured"]
    assert run.asked == [0, 1, 2, 1]


def test_a_deadline_between_findings(paper: Publish) -> None:
    run = Counted()

    def slow(trainer: Trainer, seed: int) -> Outcome:
        import time

        time.sleep(0.35)
        return run(trainer, seed)

    paper(claim(slow, seeds=4))
    found = reproduce("mine", minutes=0.3 / 60)
    assert (len(run.asked), found.complete) == (1, False)
    assert one(found)["note"].startswith("1 of 4 seeds measured so far")
    assert one(found)["verdict"] == "not run"
    reproduce("mine", minutes=0.3 / 60, slices=2)
    assert run.asked == [0, 1, 2]


def test_a_trial_may_look_at_the_clock(paper: Publish) -> None:
    def long(trainer: Trainer, seed: int) -> Outcome:
        while True:
            trainer.check_time()

    paper(claim(long))
    assert not reproduce("mine", minutes=0.1 / 60).complete


def test_a_deadline_is_told_from_ctrl_c() -> None:
    def train() -> None:
        with stop_requests() as asked:
            if asked():
                raise Interrupted("a run")

    train()
    with deadline(0.0), pytest.raises(OutOfTime, match="a run"):
        train()


def test_refusals() -> None:
    for words, changes in (
        ("seeds = 0", {"seeds": 0}),
        ("seeds = 1001", {"seeds": 1001}),
        ("slice = 0", {"minutes": 0}),
        ("slice = nan", {"minutes": math.nan}),
        ("slices = 0", {"slices": 0}),
        ("size = 'huge'", {"size": "huge"}),
    ):
        with pytest.raises(InputError, match=words):
            reproduce("controls", **changes)
    with pytest.raises(InputError, match="did you mean controls"):
        reproduce("control")
    with pytest.raises(InputError, match="did you mean micro-groks"):
        reproduce("controls/micro-grok")
    with pytest.raises(InputError, match="claim of controls = ''"):
        reproduce("controls/")
