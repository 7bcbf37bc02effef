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
from groklab.analysis import CircuitAnalysis, NotApplicable, Weights, analyse
from groklab.analysis._circuits import analyse_circuit
from groklab.analysis._interventions import LABELS, label_of
from groklab.figures import RunContext
from groklab.figures._registry import FIGURES
from groklab.report import write_report
from groklab.report._html import Picture
from shared_pages import pictures_by_key

#: Figures of a circuit alone, in the order of the page.
OF_CIRCUIT = [
    *("stages", "coefficients", "readout", "neurons", "neuron_examples", "logits_2d", "neurons_2d"),
    *("attention", "attention_maps", "directions", "ablations", "frequencies"),
]


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> gl.Run:
    return corpus["transformer"]


def analysed(run: gl.Run, checkpoints: dict[int, Weights] | None = None) -> RunContext:
    context = RunContext.read(run)
    if checkpoints is not None:
        context.checkpoints = checkpoints
    return context


def pictures(context: RunContext, c: CircuitAnalysis) -> dict[str, Picture]:
    """The figures of a circuit, as if the analysis of the run had been c."""
    context.model = c
    return {name: picture for name, picture in pictures_by_key(context).items() if name in OF_CIRCUIT}


def with_keys(c: CircuitAnalysis, *keys: int) -> CircuitAnalysis:
    """The same model, told with other key frequencies."""
    parts = {name: gl.MEASURES[name](c.weights, c.task, network=c.network, frequencies=keys) for name in c.parts}
    return dataclasses.replace(c, key_frequencies=keys, parts=parts)


def test_the_numbers_are_those_of_the_analysis(trained: gl.Run) -> None:
    c = analysed(trained).circuit
    said = analyse(trained).to_dict()
    assert list(c.key_frequencies) == said["key_frequencies"]
    assert c.steps == said["trajectory"]["step"]
    for name in ("restricted_loss", "excluded_loss", "gini_W_L", "logit_fve"):
        np.testing.assert_allclose(c.trajectory[name], said["trajectory"][name], rtol=1e-12)
    ends = {f"{k}_ends": v for k, v in vars(c.stages).items()}
    assert ends == {k: v for k, v in said["training_stages"].items() if k != "rule"}
    assert c.parts["neurons"]["well_explained_neurons"] == said["well_explained_neurons"]


def test_every_part_of_a_transformer_has_its_picture_and_sentence(trained: gl.Run) -> None:
    context = analysed(trained)
    c = context.circuit
    drawn = pictures(context, c)
    assert list(drawn) == OF_CIRCUIT
    for p in drawn.values():
        json.loads(p.spec)
        assert p.sentence.endswith("."), p
        assert "nan" not in p.sentence.lower(), p
        assert not re.search(r"\bnone\b|\(\)|  ", p.sentence), p
    assert "aspect-ratio" in drawn["attention_maps"].style
    assert drawn["ablations"].style.startswith("--height: ")


def test_sentences_hold_this_runs_numbers(trained: gl.Run) -> None:
    context = analysed(trained)
    c = context.circuit
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
    frequencies = json.loads(pictures(context, c)["frequencies"].spec)
    assert len(set(frequencies["data"][0]["marker"]["color"])) == 2
    (drawing,) = FIGURES["ablations"].drawings(context)
    (table,) = drawing.tables
    assert len(table.rows) == len(c.parts["ablations"]["names"])
    assert "logits without k = 2" in [row[0] for row in table.rows]


@pytest.mark.parametrize(
    ("fve", "verdict"),
    [(0.97, "so it computes by that sum"), (0.7, "partly by that sum"), (0.03, "does not compute by that sum")],
)
def test_the_formula_is_claimed_only_where_it_explains_the_logits(trained: gl.Run, fve: float, verdict: str) -> None:
    c = analysed(trained).circuit
    found = {**c.trajectory, "logit_fve": np.full(len(c.steps), fve)}
    told = dataclasses.replace(c, trajectory=found).sentences()
    assert f"{fve:.1%} of the variance" in told[0]
    assert verdict in told[0]


def test_a_model_without_few_frequencies_is_said_to_have_none(trained: gl.Run) -> None:
    context = analysed(trained)
    c = context.circuit
    c = with_keys(c, 1, 2, 3, 4, 5)
    assert not c.few
    told = [*c.sentences(), *(p.sentence for p in pictures(context, c).values())]
    assert sum("No small set of frequencies stands out" in s for s in told) >= 4
    assert not any("end in a gap" in s for s in told)
    coefficients = json.loads(pictures(context, c)["coefficients"].spec)
    assert [t["name"] for t in coefficients["data"]] == ["every frequency"]


def test_a_model_of_zeros_computes_nothing(trained: gl.Run) -> None:
    zeros = {k: np.zeros_like(v) for k, v in trained.weights().items()}
    analysis = analysed(trained, {0: zeros, 20: zeros}).model
    assert isinstance(analysis, NotApplicable)
    assert "nothing to say" in analysis.verdict()


def test_hardly_trained_models_are_told_in_whole_numbers(trained: gl.Run) -> None:
    context = analysed(trained)
    c = context.circuit
    dead = {k: np.zeros_like(v) if k.endswith(("W_in", "b_in", "W_K")) else v for k, v in c.weights.items()}
    context = analysed(trained, {0: dead, 20: dead})
    assert "64 never vary" in context.circuit.neurons_sentence()
    for p in pictures(context, context.circuit).values():
        assert "nan" not in p.sentence.lower(), p


def test_subtraction_is_told_with_its_own_sum() -> None:
    run = gl.train(gl.preset("micro-fast", {"task.expression": "x - y", "budget.steps": 60, "task.p": 12}))
    context = analysed(run)
    c = context.circuit
    told = [*c.sentences(), *(p.sentence for p in pictures(context, c).values())]
    assert any("a − b" in s for s in told)
    assert not any("a + b" in s for s in told)
    assert "attention" not in pictures(context, c)
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
    analysis = analysed(run).model
    assert isinstance(analysis, NotApplicable)
    assert why in analysis.verdict()
    assert why in write_report([run]).read_text("utf-8")


def test_damaged_metrics_and_checkpoints_leave_a_page(trained: gl.Run, tmp_path: Path) -> None:
    context = analysed(trained)
    context.metrics = context.metrics.clear()
    assert context.circuit.metrics["step"].to_list() == context.circuit.steps
    last = {max(context.checkpoints): context.final_weights}
    one = analysed(trained, last)
    assert not FIGURES["stages"].drawings(one)
    one.status = dataclasses.replace(one.status, state="running")
    assert FIGURES["stages"].drawings(one)[0].plot is None
    assert isinstance(analysed(trained, {}).model, NotApplicable)


def test_every_intervention_has_a_label() -> None:
    from groklab.measures._ablations import INTERVENTIONS

    assert set(LABELS) == set(INTERVENTIONS) - {"logits_without_k", "neurons_without_k"}
    labels = [label_of(n, "a − b") for n in LABELS]
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= 48
    assert label_of("logits_without_14", "a + b") == "logits without k = 14"


def test_the_metrics_shown_are_the_members_own(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    experiment, metrics = run.experiments[1], run.metrics.filter(pl.col("member") == 1)
    weights = {step: run.weights(step, 1) for step in run.checkpoints}
    c = analyse_circuit(experiment.task.build(), experiment, weights, metrics)
    assert isinstance(c, CircuitAnalysis)
    assert c.metrics["member"].unique().to_list() == [1]
    assert c.trajectory["test_loss"][-1] == pytest.approx(
        run.metrics.filter(pl.col("member") == 1).sort("step")["test_loss"][-1], rel=1e-4
    )
