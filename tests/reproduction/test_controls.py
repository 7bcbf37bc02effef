"""The claims of the small systems, trained for in earnest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented import claim, trained

import groklab as gl
from groklab.reproduction import PAPERS, ClaimProgress, Outcome, Paper, Trainer, reproduce
from processes import Program


def by_program(home: Path, *arguments: str) -> dict[str, Any]:
    """The result of `groklab reproduce`, with programs as users have them: four times as quick as in other tests."""
    process = Program("reproduce", *arguments, "--json", environment={"GROKLAB_HOME": str(home), "XLA_FLAGS": ""})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
    return found


def test_the_small_systems_do_as_is_claimed(home: Path) -> None:
    # fewer seeds than the claims' own: the whole of them is in docs/reproductions
    found = by_program(home, "controls", "--seeds", "2")
    assert [c["verdict"] for c in found["claims"]] == ["reproduced"] * 3
    assert found["complete"]
    assert found["seconds_left"] == 0
    assert found["tallies"]["own"] == {"reproduced": 3, "partly": 0, "not reproduced": 0, "not run": 0}
    runs = gl.runs()
    # micro was trained once for two claims
    assert sorted(r.name.rsplit("-", 1)[0] for r in runs) == [
        *(
            "micro-fast-x2",
            "micro-random-labels-x2",
            "micro-x2",
            "never",
            "never",
            "never-enough-pairs",
            "never-enough-pairs",
        ),
    ]
    assert all(r.tags == ["reproduce"] for r in runs)
    groks = found["claims"][0]
    assert groks["command"] == "groklab reproduce controls/micro-groks --quick --seeds 2"
    assert groks["measured"]["grokked_step"]["values"] == [1410, 2010]
    assert groks["measured"]["grokked_step"]["median"] == 1710


def test_stopped_in_the_middle_of_a_training_and_gone_on_to_the_same_bits(home: Path, tmp_path: Path) -> None:
    asked = ("controls/too-few-pairs", "--full", "--seeds", "1")
    whole = by_program(tmp_path / "whole", *asked)
    parts = by_program(home, *asked, "--slice", "0.02")
    assert not parts["complete"]
    assert parts["claims"][0]["verdict"] == "not run"
    assert 0 < parts["seconds_left"] < 5
    run = gl.runs()[0]
    assert run.status.state == "interrupted"
    assert 0 < run.status.step < 20_000
    again = by_program(home, *asked, "--slice", "0.02", "--slices", "400")
    assert again["complete"]
    one, other = (o["claims"][0] for o in (whole, again))
    assert one["measured"] == other["measured"]
    # the time before the stop counts
    assert other["seconds"] > 1.2
    shas = [gl.runs(h)[0].summary()["weights_sha256"] for h in (None, str(tmp_path / "whole"))]
    assert shas[0] == shas[1]


def test_a_view_sees_what_happens(paper: Callable[..., Paper], home: Path) -> None:
    paper(claim(trained, cost=10.0))
    moments: list[ClaimProgress] = []
    reproduce("mine", seeds=2, view=moments.append)
    assert [m.seeds for m in moments if m.training is None] == [(0,), (), (1,), ()]
    assert [m.done for m in moments if m.record is not None] == [1, 2]
    assert any(m.training is not None and m.training.step > 0 for m in moments)
    assert moments[0].seconds_left == pytest.approx(20 / 3)
    assert moments[-1].seconds_left == 0


def test_a_run_that_was_kept_otherwise_is_left_alone(paper: Callable[..., Paper], home: Path) -> None:
    def steps(trainer: Trainer, seed: int) -> Outcome:
        run = trainer.train(gl.preset("micro-fast", {"budget.steps": 60, "seed": seed}))
        values = {"kept": len(run.checkpoints), "name": run.name, "holds": True}
        return Outcome(values, sentence="kept", control={"holds": False})

    other: dict[str, Any] = {"budget.steps": 60, "checkpoints.spacing": "none"}
    gl.train(gl.preset("micro-fast", other))
    gl.train(gl.preset("micro-fast", {"budget.steps": 60, "seed": 1}))
    paper(claim(steps, seeds=2))
    found = reproduce("mine").claims[0].measured
    assert [name.rsplit("-", 1)[0] for name in found["name"].values] == ["micro-fast-reproduce", "micro-fast"]
    assert min(found["kept"].values) > 5
    assert sorted(r.n_members for r in gl.runs()) == [1, 1, 1]


def test_every_trial_says_what_it_trains_and_costs() -> None:
    for published in PAPERS.values():
        for one in published.claims:
            # what cannot be tested here says why
            assert one.quick or one.full or one.counter
            assert one.claim.endswith(".")
            for trial in (one.quick, one.full):
                if trial is not None:
                    assert trial.setting
                    assert trial.cost > 0
                    assert len(set(trial.own_seeds)) == len(trial.own_seeds) > 0
