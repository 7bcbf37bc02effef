"""The claims of Liu et al. 2022 on diagrams, permutations, trends and circles: the machinery on tiny settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import groklab as gl
from groklab.experiment import Experiment
from groklab.grokking import LETTERS
from groklab.papers import published_map
from groklab.papers.liu2022.claims import networks, runs, toy_regression
from groklab.papers.liu2022.starts import published_start
from groklab.reproduction import Claim, Outcome, Trainer
from groklab.training._start import read_weights

CLAIMS: dict[str, Claim] = {c.id: c for m in (toy_regression, networks) for c in m.CLAIMS}


def of(claim: str) -> Callable[[Trainer, Any], Any]:
    trial = CLAIMS[claim].quick
    assert trial is not None
    return trial.run


def check(outcome: Outcome, claim: str) -> None:
    assert outcome.sentence, claim
    assert isinstance(outcome.holds, bool), claim
    for name, value in outcome.values.items():
        for one in value if isinstance(value, list) else [value]:
            assert one is None or isinstance(one, str) or math.isfinite(one), (claim, name)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that claims ask for is made tiny: verdicts say nothing, values are all there."""

    def small(name: str, overrides: dict[str, Any] | None = None) -> Experiment:
        asked = {**(overrides or {}), "budget.steps": 40, "evaluation.every": 10, "network.d_mlp": 8}
        if gl.preset(name).measures.names:
            asked |= {"measures.every": 10}
        return gl.preset(name, asked)

    for module in (networks, toy_regression):
        monkeypatch.setattr(module, "preset", small)


def test_ids_are_those_that_people_type() -> None:
    assert list(CLAIMS) == [
        "seed-58", "diagram-column", "phase-diagram", "val-step-power-law", "representation-rate", "batch-size",
        "initial-scale", "predicted-accuracy", "linear-representation", "effective-dimension", "permutations",
        "permutations-decay", "permutations-too-much-decay",
    ]  # fmt: skip


def test_a_diagram_from_the_published_start_has_the_published_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # rates 2.5e-4 and 4e-4 without decay: 90% at the published steps 854 and 923, and at 938 and never
    monkeypatch.setitem(toy_regression.POWER_LAW, "quick", (runs.grid((7, 8), (0,), 1000, every=1),))
    outcome = of("val-step-power-law")(Trainer(), runs.PUBLISHED_SEED)
    check(outcome, "val-step-power-law")
    # counted from 1; rounding may move a crossing by a step or two
    assert outcome.values["train_steps"] == pytest.approx([855, 939], abs=2)
    assert outcome.values["test_steps"] == [pytest.approx(924, abs=2), None]
    assert outcome.values["fast_furthest_from_published"] < 0.003
    # two points are no power law
    assert not outcome.holds
    assert outcome.values["test_exponent"] is None
    # a run that went further is looked at until the budget
    [run] = gl.runs()
    until = [runs.phase_until(run, 0, steps) for steps in (800, 900, 1000)]
    assert [LETTERS[of.phase] for of in until] == ["X", "M", "C"]


def test_claims_on_maps_give_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(toy_regression.DIAGRAM, "quick", (runs.grid((5, 10), (0, 10), 20, every=10),))
    monkeypatch.setitem(toy_regression.RATES, "quick", (runs.grid((0, 8), (0, 12), 20, every=10),))
    for claim, published in (("phase-diagram", "data_add_r"), ("representation-rate", "data_add_r_reprlr")):
        outcome = of(claim)(Trainer(), 3)
        check(outcome, claim)
        # nothing is learnt in 20 steps, and by then nothing was in the published runs
        assert outcome.values["map"] == "XX XX", published
        assert outcome.values["share_as_published"] == 1
        assert not outcome.holds
    (run,) = (r for r in gl.runs() if "representation-rate" in r.name)
    rates = [e.optimiser.groups["embed.*"].learning_rate for e in run.experiments if e.optimiser is not None]
    assert rates == pytest.approx([1e-5, 1e-2] * 2)
    assert [e.optimiser.learning_rate for e in run.experiments if e.optimiser] == pytest.approx([1e-5] * 2 + [1e-3] * 2)


def test_claims_on_trends_and_permutations_give_their_values(tiny: None) -> None:
    asked = {claim: of(claim) for claim in ("batch-size", "initial-scale")}
    plane = networks.Plane((1e-3,), (20.0, 100.0), 40)
    asked["permutations-decay"] = partial(networks._decay, plane, "CG", 20, 50, 0.5, "generalise")
    asked["permutations-too-much-decay"] = partial(networks._decay, plane, "X", 100, 200, 1, "learn nothing")
    for claim, run in asked.items():
        both = list(run(Trainer(), (0, 1)))
        assert len(both) == 2
        for outcome in both:
            check(outcome, claim)
    # in 40 steps nothing is learnt, whatever the decay; both claims look at one run
    assert both[0].values == {"rate_0.001_decay_100": "X", "share": 1}
    assert both[0].holds
    assert [r.n_members for r in gl.runs() if "permutations" in r.name] == [4]


def test_the_claim_on_effective_dimension_gives_its_values(tiny: None) -> None:
    outcome = of("effective-dimension")(Trainer(), 0)
    check(outcome, "effective-dimension")
    # in 40 steps nothing is generalised
    assert not outcome.holds
    assert 35 < outcome.values["dimension_at_start"] < 52
    assert outcome.values["circle_share_at_start"] < 0.3


def test_start_weights_are_written_once_and_named_by_their_content(home: Path) -> None:
    first, again, other = (runs.started(Trainer(), seed) for seed in (58, 58, 1))
    assert first == again
    assert first["start.sha256"] != other["start.sha256"]
    assert Path(first["start.file"]).is_relative_to(home)
    weights, rows = published_start(58, recipe="notebook")
    assert rows == first["split.rows"]
    found = read_weights(first["start.file"])
    assert all(np.array_equal(found[k], v) for k, v in weights.items())
    # all answers follow from this training set
    assert runs.implied(58) == 1
    # the folder of weights is not a run
    assert not gl.runs()


def test_a_published_map_that_ends_sooner() -> None:
    published = published_map("data_add_r")
    cut = runs.published_until(published, 10_000)
    # 1,650 to 18,911 steps to fit, 2,076 to never to generalise
    assert published.letters()[5] == "CCCCGGGGGGM"
    assert cut.letters()[5] == "CCCCGGGMXXX"
    assert runs.published_until(published, 100_000).letters() == published.letters()


def _cells(*words: str) -> pl.DataFrame:
    rows = [{"row": i, "column": j, "letter": letter} for i, w in enumerate(words) for j, letter in enumerate(w)]
    return pl.DataFrame(rows)


def test_phases_out_of_order_are_counted() -> None:
    published = published_map("data_add_r").letters()
    assert toy_regression._steps_back(_cells(*published[:8])) == (0, 80)
    assert toy_regression._steps_back(_cells("CGMX", "GCMM", "MGCX")) == (3, 9)
    assert runs.lines(_cells("CG", "MX")) == ["CG", "MX"]


def test_the_published_steps_are_the_published_power_law() -> None:
    published = published_map("data_add_r")
    table = pl.DataFrame({"rate": published.rows.values[:8], "test": published.test_steps[:8, 0]})
    assert toy_regression._exponent(table, "test") == pytest.approx(-0.97, abs=0.005)
    assert toy_regression._exponent(table[:2], "test") is None


def test_how_far_steps_are_from_the_published_ones() -> None:
    columns = {"train_step": [100, 220], "test_step": [None, 300], "published_train": [100, 200]}
    assert toy_regression._furthest(pl.DataFrame({**columns, "published_test": [None, 300]})) == pytest.approx(0.1)
    assert toy_regression._furthest(pl.DataFrame({**columns, "published_test": [50, 300]})) is None


@pytest.mark.parametrize(
    ("one", "other", "longer"),
    [
        ((200, False), (100, False), True),
        ((100, False), (200, False), False),
        ((200, True), (100, False), True),
        ((100, True), (200, False), None),
        ((100, False), (200, True), False),
        ((300, False), (200, True), None),
        # which of two unfinished delays is longer is not known; nor with one that did not begin
        ((200, True), (100, True), None),
        ((None, False), (100, False), None),
        ((200, False), (None, False), None),
    ],
)
def test_delays_are_compared_where_that_is_known(one: Any, other: Any, longer: bool | None) -> None:
    assert toy_regression.Delay("grokking", *one).longer(toy_regression.Delay("grokking", *other)) is longer


@pytest.mark.parametrize("frequency", [1, 5, 26])
def test_a_circle_of_one_frequency_is_known(frequency: int) -> None:
    angle = 2 * np.pi * frequency * np.arange(53) / 53 + 0.3
    points = 3 + np.stack([2 * np.cos(angle), np.sin(angle)], axis=1)
    assert networks.on_one_circle(points) == (frequency, pytest.approx(1))
    noise = np.random.default_rng(0).normal(size=(53, 2))
    assert networks.on_one_circle(noise)[1] < 0.25


def test_permutations_need_half_of_the_table() -> None:
    outcome = networks._closure(30, Trainer(), 0)
    check(outcome, "permutations")
    assert outcome.values["parallelograms"] == 90
    assert 0.4 < outcome.values["critical_fraction"] < 0.55
    shares = [outcome.values[f"implied_by_{k}_of_36"] for k in networks.S3_SIZES]
    assert shares == sorted(shares)
    assert not gl.runs()
