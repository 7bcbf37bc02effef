"""What the page says of how a model computes: measured on the run, and honest where there is nothing to say."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab.analysis.analysing import analyse, analyse_model
from groklab.analysis.checkpoints import Weights
from groklab.analysis.circuits import LABELS, CircuitAnalysis, label_of
from groklab.analysis.facts import Facts, gather, whole_checkpoints
from groklab.analysis.model import ModelAnalysis, NotApplicable
from groklab.report import circuit_pictures, write_report
from groklab.report.pictures import Picture


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> gl.Run:
    return corpus["transformer"]


def analysed(facts: Facts, kept: dict[int, Weights], member: int = 0) -> ModelAnalysis:
    assert facts.task is not None
    return analyse_model(facts.task, facts.experiments[member], kept, facts.evaluations(member))


def analysis_of(run: gl.Run) -> tuple[Facts, CircuitAnalysis]:
    facts = gather(run)
    analysis = analysed(facts, whole_checkpoints(facts)[0])
    assert isinstance(analysis, CircuitAnalysis), analysis
    return facts, analysis


def pictures(facts: Facts, c: CircuitAnalysis) -> dict[str, Picture]:
    drawn = [*circuit_pictures.phase_pictures(c, "loss"), *circuit_pictures.readout_pictures(facts, c, {0: c.weights})]
    drawn += [p for part in circuit_pictures.PARTS for p in part(c)]
    return {p.key: p for p in drawn}


def with_keys(c: CircuitAnalysis, *keys: int) -> CircuitAnalysis:
    """The same model, told with other key frequencies."""
    parts = {name: gl.MEASURES[name](c.weights, c.task, network=c.network, frequencies=keys) for name in c.parts}
    return dataclasses.replace(c, key_frequencies=keys, parts=parts)


def test_the_numbers_are_those_of_the_analysis(trained: gl.Run) -> None:
    _, c = analysis_of(trained)
    said = analyse(trained).to_dict()
    assert list(c.key_frequencies) == said["key_frequencies"]
    assert c.steps == said["trajectory"]["step"]
    for name in ("restricted_loss", "excluded_loss", "gini_W_L", "logit_fve"):
        np.testing.assert_allclose(c.trajectory[name], said["trajectory"][name], rtol=1e-12)
    ends = {f"{k}_ends": v for k, v in vars(c.phases).items()}
    assert ends == {k: v for k, v in said["phases"].items() if k != "rule"}
    assert c.parts["neurons"]["well_explained_neurons"] == said["well_explained_neurons"]


def test_every_part_of_a_transformer_has_its_picture_and_sentence(trained: gl.Run) -> None:
    facts, c = analysis_of(trained)
    drawn = pictures(facts, c)
    assert list(drawn) == [
        *("phases", "coefficients", "readout", "neurons", "examples", "logits2d", "neurons2d"),
        *("attention", "heads", "directions", "ablations", "frequencies"),
    ]
    for p in drawn.values():
        json.loads(p.spec)
        assert p.sentence.endswith("."), p
        assert "nan" not in p.sentence.lower(), p
        assert not re.search(r"\bnone\b|\(\)|  ", p.sentence), p
    assert "aspect-ratio" in drawn["heads"].style
    assert drawn["ablations"].style.startswith("height: ")


def test_sentences_hold_this_runs_numbers(trained: gl.Run) -> None:
    facts, c = analysis_of(trained)
    c = with_keys(c, 2)
    told = c.sentences()
    assert told[0] == c.verdict()
    assert "with k = 2" in told[0]
    assert "of 1 to 5" in told[1]
    well = c.parts["neurons"]["well_explained_neurons"]
    assert (f"{well} of 64 neurons" if well else "None of the 64 neurons") in told[2]
    alpha = c.trajectory["alpha"][-1]
    assert f"{alpha[1]:.2f} for k = 2" in c.coefficients_sentence()
    own = c.parts["ablations"]["loss"][0]
    assert f"{own:.3g}" in c.ablations_sentence().replace("\u00a0×\u00a010", "e") or own < 1e-3
    assert c.named == (2,)
    frequencies = json.loads(pictures(facts, c)["frequencies"].spec)
    assert len(set(frequencies["data"][0]["marker"]["color"])) == 2
    table = circuit_pictures.ablation_tables(c)[0]
    assert len(table.rows) == len(c.parts["ablations"]["names"])
    assert "logits without k = 2" in [row[0] for row in table.rows]


@pytest.mark.parametrize(
    ("fve", "verdict"),
    [(0.97, "so it computes by that sum"), (0.7, "partly by that sum"), (0.03, "does not compute by that sum")],
)
def test_the_formula_is_claimed_only_where_it_explains_the_logits(trained: gl.Run, fve: float, verdict: str) -> None:
    _, c = analysis_of(trained)
    found = {**c.trajectory, "logit_fve": np.full(len(c.steps), fve)}
    told = dataclasses.replace(c, trajectory=found).sentences()
    assert f"{fve:.1%} of the variance" in told[0]
    assert verdict in told[0]


def test_a_model_without_few_frequencies_is_said_to_have_none(trained: gl.Run) -> None:
    facts, c = analysis_of(trained)
    c = with_keys(c, 1, 2, 3, 4, 5)
    assert not c.few
    told = [*c.sentences(), *(p.sentence for p in pictures(facts, c).values())]
    assert sum("No few frequencies stand out" in s for s in told) >= 4
    assert not any("end in a gap" in s for s in told)
    coefficients = json.loads(pictures(facts, c)["coefficients"].spec)
    assert [t["name"] for t in coefficients["data"]] == ["every frequency"]


def test_a_model_of_zeros_computes_nothing(trained: gl.Run) -> None:
    zeros = {k: np.zeros_like(v) for k, v in trained.weights().items()}
    said = analysed(gather(trained), {0: zeros, 20: zeros})
    assert isinstance(said, NotApplicable)
    assert "nothing to say" in said.verdict()


def test_hardly_trained_models_are_told_in_whole_numbers(trained: gl.Run) -> None:
    facts, c = analysis_of(trained)
    dead = {k: np.zeros_like(v) if k.endswith(("W_in", "b_in", "W_K")) else v for k, v in c.weights.items()}
    found = analysed(facts, {0: dead, 20: dead})
    assert isinstance(found, CircuitAnalysis)
    assert "64 never vary" in found.neurons_sentence()
    for p in pictures(facts, found).values():
        assert "nan" not in p.sentence.lower(), p


def test_subtraction_is_told_with_its_own_sum() -> None:
    run = gl.train(gl.preset("micro-fast", {"task.expression": "x - y", "budget.steps": 60, "task.p": 12}))
    facts, c = analysis_of(run)
    told = [*c.sentences(), *(p.sentence for p in pictures(facts, c).values())]
    assert any("a − b" in s for s in told)
    assert not any("a + b" in s for s in told)
    assert pictures(facts, c)["attention"].spec == ""
    assert "MLP" in c.left_out["attention"] or "mlp" in c.left_out["attention"]


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ({"task.expression": "x**2 + x*y"}, "a function of a+b or a−b"),
        ({"task.p": 3, "split.frac_train": 0.5}, "too few frequencies"),
    ],
)
def test_where_the_measures_do_not_apply_one_sentence_says_so(overrides: dict[str, object], why: str) -> None:
    run = gl.train(gl.preset("micro-fast", {**overrides, "budget.steps": 30}))
    facts = gather(run)
    said = analysed(facts, whole_checkpoints(facts)[0])
    assert isinstance(said, NotApplicable)
    assert why in said.verdict()
    assert why in write_report([run]).read_text("utf-8")


def test_damaged_metrics_and_checkpoints_leave_a_page(trained: gl.Run, tmp_path: Path) -> None:
    facts = gather(trained)
    kept, _ = whole_checkpoints(facts)
    facts.metrics = facts.metrics.clear()
    c = analysed(facts, kept)
    assert isinstance(c, CircuitAnalysis)
    assert c.metrics["step"].to_list() == c.steps
    one = analysed(facts, {max(kept): kept[max(kept)]})
    assert isinstance(one, CircuitAnalysis)
    assert circuit_pictures.phase_pictures(one, "loss")[0].spec == ""
    assert isinstance(analysed(facts, {}), NotApplicable)


def test_every_intervention_has_a_label() -> None:
    from groklab.measures.ablations import INTERVENTIONS

    assert set(LABELS) == set(INTERVENTIONS) - {"logits_without_k", "neurons_without_k"}
    labels = [label_of(n, "a − b") for n in LABELS]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 48
    assert label_of("logits_without_14", "a + b") == "logits without k = 14"


def test_the_metrics_shown_are_the_members_own(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    facts = gather(run)
    c = analysed(facts, whole_checkpoints(facts, 1)[0], member=1)
    assert isinstance(c, CircuitAnalysis)
    assert c.metrics["member"].unique().to_list() == [1]
    assert c.trajectory["test_loss"][-1] == pytest.approx(
        run.metrics.filter(pl.col("member") == 1).sort("step")["test_loss"][-1], rel=1e-4
    )
