"""The claims of Liu et al. 2022 on diagrams, permutations, trends and circles: the machinery on tiny settings."""

from __future__ import annotations

import itertools
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
from groklab.papers.liu2022.claims import delays, networks, permutations, runs, toy_regression
from groklab.papers.liu2022.starts import published_start
from groklab.reproduction import Claim, Outcome, Trainer, Trial
from groklab.training._start import read_weights

CLAIMS: dict[str, Claim] = {c.id: c for m in (toy_regression, delays, networks, permutations) for c in m.CLAIMS}


def quick(claim: str) -> Trial:
    trial = CLAIMS[claim].quick
    assert trial is not None
    return trial


def of(claim: str) -> Callable[[Trainer, Any], Any]:
    return quick(claim).run


def check(outcome: Outcome, claim: str) -> None:
    assert outcome.sentence, claim
    assert outcome.control is not None, claim
    for values in (outcome.values, outcome.control):
        # a value that a bar asks for under another name would fail for ever
        assert {bar.value for bar in quick(claim).bars} <= set(values), claim
        for name, value in values.items():
            for one in value if isinstance(value, list) else [value]:
                assert one is None or isinstance(one, str) or math.isfinite(one), (claim, name)


def passes(outcome: Outcome, claim: str) -> bool:
    return quick(claim).passes(outcome.values)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that claims ask for is made tiny: verdicts say nothing, values are all there."""

    def small(name: str, overrides: dict[str, Any] | None = None) -> Experiment:
        asked = {**(overrides or {}), "budget.steps": 40, "evaluation.every": 10, "network.d_mlp": 8}
        if gl.preset(name).measures.names:
            asked |= {"measures.every": 10}
        return gl.preset(name, asked)

    for module in (delays, networks, permutations, toy_regression):
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
    assert outcome.control is not None
    assert outcome.control["steps"] == pytest.approx([855, 939], abs=2)
    assert outcome.values["steps"] == [pytest.approx(924, abs=2), None]
    assert outcome.values["fast_furthest_from_published"] < 0.003
    # two points are no power law
    assert outcome.values["exponent"] is None
    assert not passes(outcome, "val-step-power-law")
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
        words = [v for name, v in outcome.values.items() if name.startswith("phases_at_rate")]
        assert words == ["XX (published XX)"] * 2, published
        assert outcome.values["share_as_published"] == 1
        assert not passes(outcome, claim)
    (run,) = (r for r in gl.runs() if "representation-rate" in r.name)
    rates = [e.optimiser.groups["embed.*"].learning_rate for e in run.experiments if e.optimiser is not None]
    assert rates == pytest.approx([1e-5, 1e-2] * 2)
    assert [e.optimiser.learning_rate for e in run.experiments if e.optimiser] == pytest.approx([1e-5] * 2 + [1e-3] * 2)


def test_claims_on_trends_and_permutations_give_their_values(tiny: None) -> None:
    asked = {claim: of(claim) for claim in ("batch-size", "initial-scale")}
    plane = permutations.Plane((1e-3,), (0.0, 20.0, 50.0, 100.0, 200.0), 40)
    asked["permutations-decay"] = partial(permutations._decay, plane)
    asked["permutations-too-much-decay"] = partial(permutations._too_much_decay, plane)
    for claim, run in asked.items():
        both = list(run(Trainer(), (0, 1)))
        assert len(both) == 2
        for outcome in both:
            check(outcome, claim)
            # in 40 steps nothing is learnt, whatever the decay
            assert not passes(outcome, claim)
    assert both[0].values == {"confused_with_200": 1, "confused_with_100": 1, "phases_at_rate_0.001": "XXXXX"}
    # both claims look at one run
    assert [r.n_members for r in gl.runs() if "permutations" in r.name] == [10]


def _plane(word: str) -> dict[tuple[float, float], str]:
    """Phases at two rates, each of decay 0, 20, 50, 100, 200."""
    decays, rates = (0.0, 20.0, 50.0, 100.0, 200.0), (1e-3, 1e-2)
    return {(rate, decay): word[5 * i + k] for i, rate in enumerate(rates) for k, decay in enumerate(decays)}


@pytest.mark.parametrize(
    ("word", "generalise", "confuse"),
    [
        ("MCGMX MCCMX", True, True),
        ("MCGMX MMCMX", True, True),
        # half of the cells of the fastest decoder are enough, of all cells three in four
        ("MMGMX MMCMX", False, True),
        # at 100 something is learnt, or not; at 200 half of the rates are enough
        ("MCGXX MCCXX", True, False),
        ("MCGMM MCCMX", True, True),
        ("MCGMM MCCMM", True, False),
    ],
)
def test_verdicts_on_permutations(word: str, generalise: bool, confuse: bool) -> None:
    letters = _plane(word.replace(" ", ""))
    assert quick("permutations-decay").passes(permutations._generalising(letters, 20, 50)) == generalise
    assert not quick("permutations-decay").passes(permutations._generalising(letters, 0, 0))
    assert quick("permutations-too-much-decay").passes(permutations._confused(letters, 200, 100)) == confuse


def test_memorising_permutations_takes_as_long_as_published() -> None:
    # decay 0 and rates 2.5e-4, 1e-3, 4e-3, 1e-2 of the published diagram; four seeds, of which the spread is 15%
    rates, published = [10 ** (-5 + k / 5) for k in (7, 10, 13, 15)], [136, 95, 54, 37]
    settings = {"optimiser.weight_decay": 0.0, "budget.steps": 200, "evaluation.every": 1, "name": "memorising"}
    members = [
        gl.preset("liu2022/diagram-s3", {**settings, "optimiser.learning_rate": rate, "seed": seed})
        for rate in rates
        for seed in range(4)
    ]
    assert all((e.network.embed_scale, e.objective.embedding_l1) == (1.0, None) for e in members)  # type: ignore[union-attr]
    run = gl.train(members)
    steps = np.array([runs.phase_until(run, i, 200).train_step for i in range(len(members))], float)
    own = np.median(steps.reshape(4, 4), axis=1)
    assert own == pytest.approx(published, rel=0.2)
    # the later notebook's smaller embeddings take half as long again, and more
    notebook = gl.preset("liu2022/diagram-s3-notebook")
    assert (notebook.network.embed_scale, notebook.objective.embedding_l1) == (0.1, 1e-3)  # type: ignore[union-attr]


def test_the_claim_on_effective_dimension_gives_its_values(tiny: None) -> None:
    outcome = of("effective-dimension")(Trainer(), 0)
    check(outcome, "effective-dimension")
    assert outcome.control is not None
    # in 40 steps nothing is generalised
    assert not passes(outcome, "effective-dimension")
    assert 35 < outcome.values["dimension_at_start"] < 52
    assert outcome.values["circle_share_at_start"] < 0.3
    # the control differs in its answers alone
    assert outcome.control["dimension_at_start"] == outcome.values["dimension_at_start"]
    assert outcome.control["dimension_at_end"] != outcome.values["dimension_at_end"]


def _course(dimension: list[float], share: float) -> dict[str, Any]:
    """What is measured of embeddings of such effective dimensions, which end with such a share of one frequency."""
    n = np.arange(53)
    circle = np.stack([np.cos(2 * np.pi * n / 53), np.sin(2 * np.pi * n / 53)], axis=1)
    noise = np.random.default_rng(0).normal(size=(53, 2))
    mixed = [noise, *[noise] * (len(dimension) - 2), np.sqrt(share) * circle + np.sqrt(1 - share) * 0.1 * noise]
    columns = {"effective_dimension": dimension, "coordinates": [m.tolist() for m in mixed]}
    frame = pl.DataFrame({f"embedding_components.{k}": v for k, v in columns.items()})
    return networks._course(frame.with_columns(step=pl.Series(range(0, 100 * len(dimension), 100))), 200, 300, 400)


@pytest.mark.parametrize(
    ("dimension", "share", "holds"),
    [
        ([40, 44, 42, 36, 32, 30], 1.0, True),
        ([40, 44, 42, 36, 32, 30], 0.0, False),  # no circle
        ([40, 40, 38, 36, 32, 30], 1.0, False),  # no rise
        ([40, 42, 42, 42, 44, 30], 1.0, False),  # rises until it has generalised
        ([40, 44, 42, 42, 41, 40], 1.0, False),  # hardly falls
        ([40, 44, 42, 36, 32, 34], 1.0, False),  # rises again
    ],
)
def test_verdicts_on_effective_dimensions(dimension: list[float], share: float, holds: bool) -> None:
    assert quick("effective-dimension").passes(_course(dimension, share)) == holds


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
    assert toy_regression._furthest(pl.DataFrame({"step": [None, 220], "published": [None, 200]})) == pytest.approx(0.1)
    assert toy_regression._furthest(pl.DataFrame({"step": [None, 300], "published": [50, 300]})) is None


@pytest.mark.parametrize(
    ("one", "other", "times"),
    [
        ((200, False), (100, False), 2),
        ((100, False), (200, False), 0.5),
        ((200, True), (100, True), None),
        # at least twice; at most a half; not known
        ((200, True), (100, False), 2),
        ((100, False), (200, True), 0.5),
        ((300, False), (200, True), None),
        # below an evaluation's distance delays are equal, before and after the fit
        ((10, False), (-40, False), 1),
        # nor with one that did not begin
        ((None, False), (100, False), None),
        ((200, False), (None, False), None),
    ],
)
def test_delays_are_compared_where_that_is_known(one: Any, other: Any, times: float | None) -> None:
    assert delays.Delay("grokking", *one).times(delays.Delay("grokking", *other)) == times


def test_the_published_diagram_passes_the_bars_and_its_phases_dealt_out_do_not() -> None:
    published = published_map("data_add_r")
    rows = [
        {"row": i, "column": j, "rate": rate, "other": decay, "letter": published.letters()[i][j]}
        for i, rate in enumerate(published.rows.values)
        for j, decay in enumerate(published.columns.values)
    ]
    cells = pl.DataFrame(rows).with_columns(published_letter=pl.col("letter"))
    assert quick("phase-diagram").passes(toy_regression._order(cells))
    dealt = [cells.with_columns(letter=cells["letter"].shuffle(seed=seed)) for seed in range(20)]
    assert not any(quick("phase-diagram").passes(toy_regression._order(of)) for of in dealt)
    # a border of comprehension and memorisation without grokking between
    broken = cells.with_columns(letter=pl.when(pl.col("letter") == "G").then(pl.lit("M")).otherwise(pl.col("letter")))
    assert toy_regression._order(broken)["comprehension_beside_memorisation"] == 3


def test_the_published_rates_pass_the_bars_and_the_representations_rate_alone_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = published_map("data_add_r_reprlr")
    letters, rows = published.letters(), []
    for (i, rate), (j, other) in itertools.product(
        enumerate(published.rows.values), enumerate(published.columns.values)
    ):
        train, test = (published.train_steps[i, j], published.test_steps[i, j])
        steps = {
            f"{part}_step": None if np.isnan(step) else int(step) + 1
            for part, step in (("train", train), ("test", test))
        }
        own = {"row": i, "column": j, "rate": rate, "other": other, "letter": letters[i][j], **steps}
        rows.append(own | {"published_letter": letters[i][j]})
    monkeypatch.setattr(toy_regression, "diagram", lambda *_: pl.DataFrame(rows, infer_schema_length=None))
    outcome = of("representation-rate")(Trainer(), runs.PUBLISHED_SEED)
    check(outcome, "representation-rate")
    assert passes(outcome, "representation-rate"), outcome.values
    assert outcome.values["high_generalising"] == 1
    assert outcome.values["low_generalising"] == 0
    assert (outcome.values["high_cells"], outcome.values["low_cells"]) == (45, 91)
    assert outcome.control is not None
    assert (outcome.control["high_cells"], outcome.control["low_cells"]) == (45, 91)
    assert outcome.control["high_generalising"] == pytest.approx(32 / 45)


def test_the_released_column_agrees_with_itself_alone() -> None:
    published = published_map("toy_fig5b")
    rates = [10 ** (-5 + k / 3) for k in range(6)]
    own = {}
    for i, rate in enumerate(rates):
        for part, steps in (("train", published.train_steps), ("test", published.test_steps)):
            own[f"{part}_step_at_{rate:.1e}"] = None if np.isnan(steps[0, i]) else int(steps[0, i])
    agrees, other = (toy_regression._from_row(own, published, rates, decay) for decay in (0.0, 1.0))
    assert agrees == {"largest_difference": 0, "reached_by_one_only": 0}
    assert quick("diagram-column").passes(agrees)
    assert not quick("diagram-column").passes(other)


def test_times_to_a_line_are_ranked_over_all_seeds() -> None:
    def of_size(n: int, forced: bool, seen: int | None) -> networks._Set:
        return networks._Set(n, forced, 10_000 / n, seen)

    sets = [[of_size(5, False, None), of_size(30, True, 900), of_size(50, True, 500)], [of_size(40, True, 700)]]
    values = networks._counts(sets[0]) | networks._orders(sets)
    assert quick("linear-representation").passes(values)
    assert values["rank_correlation_with_theory"] == pytest.approx(1)
    assert values["rank_correlation_with_pairs"] == pytest.approx(-1)
    # one that becomes linear unforced is enough to fail
    sets[0][0] = of_size(5, False, 1000)
    assert not quick("linear-representation").passes(networks._counts(sets[0]) | networks._orders(sets))
    assert networks._orders([[of_size(5, False, None)]])["rank_correlation_with_theory"] is None


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
    assert outcome.control is not None
    assert outcome.values["parallelograms"] == 90
    assert 0.4 < outcome.values["critical_fraction"] < 0.55
    assert outcome.control["critical_fraction"] < outcome.values["critical_fraction"]
    assert not quick("permutations").passes(outcome.control)
    shares = [outcome.values[f"implied_by_{k}_of_36"] for k in networks.S3_SIZES]
    assert shares == sorted(shares)
    assert not gl.runs()
