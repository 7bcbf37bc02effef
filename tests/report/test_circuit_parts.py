"""The parts of the logits on the page of a run: of one operation, and of each of a mixture."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab.analysis.analysing import analyse_model
from groklab.analysis.circuits import CircuitAnalysis, analyse_circuit
from groklab.analysis.facts import gather, whole_checkpoints
from groklab.report.circuit_parts import parts_of_logits
from groklab.report.single import run_page
from groklab.tasks.arithmetic import Arithmetic
from groklab.tasks.mixture import Mixture
from groklab.tasks.splits import make_split
from groklab.text import loss_of


def test_the_table_is_by_the_pages_own_key_frequencies(corpus: Corpus) -> None:
    run = corpus["mlp"]
    facts = gather(run)
    assert facts.task is not None
    c = analyse_circuit(facts.task, facts.experiment, whole_checkpoints(facts)[0], facts.evaluations())
    assert isinstance(c, CircuitAnalysis)
    apart = parts_of_logits(c)
    rules = apart.tables[0]
    assert rules.rows[0][:2] == (c.rule, ", ".join(map(str, c.key_frequencies)))
    table = {row[0]: row[1:] for row in apart.tables[1].rows}
    assert c.rule in apart.tables[1].title
    # the excluded loss, and the restricted one on the training set
    assert table["non-key + residual"][0] == loss_of(c.last("excluded_loss"))
    assert table["key + bias"][0] == loss_of(c.last("restricted_loss_train"))
    assert loss_of(c.last("excluded_loss")) in apart.pictures[0].sentence
    assert json.loads(apart.pictures[0].spec)["data"][1]["name"] == "train"
    page = run_page(run)
    assert "parts" in {p.key for p in page.pictures}
    assert apart.tables[1].rows in [t.rows for t in page.tables]
    assert any(note.startswith("Parts of the logits") for note in page.notes)
    whole = {k: v for k, v in c.parts["logit_parts"].items() if not k.startswith("test_")}
    apart = parts_of_logits(dataclasses.replace(c, parts={"logit_parts": whole}))
    assert apart.tables[1].head == ("what is kept", "train loss")
    assert [line["name"] for line in json.loads(apart.pictures[0].spec)["data"]] == ["even guesses", "train", "test"]
    without = {k: v for k, v in c.parts.items() if k != "logit_parts"}
    poor = parts_of_logits(dataclasses.replace(c, parts=without, left_out={"logit_parts": "no reason"}))
    assert poor.pictures[0].sentence == "Left out: no reason."
    assert not poor.tables


@pytest.fixture(scope="module")
def mixture(corpus: Corpus) -> gl.Run:
    return corpus["mixture"]


def test_a_mixture_is_told_operation_by_operation(mixture: gl.Run) -> None:
    page, task = run_page(mixture), mixture.experiment.task.build()
    train = make_split(mixture.experiment.split, task, 0).train
    found = gl.MEASURES["logit_parts"](mixture.weights(), task, train, network=mixture.experiment.network)
    told, place = " ".join(page.computes), {name: i for i, name in enumerate(found["parts"])}
    for i, (operation, direction) in enumerate((("x + y", "a + b"), ("x - y", "a − b"))):
        loss, in_training = found["loss"][i, 0], found["train_loss"][i, 0]
        assert f"{operation}: with those frequencies of {direction} alone" in told
        assert f"{loss_of(loss[place['key_mean']])} (restricted; its own {loss_of(loss[place['all']])})" in told
        assert f"{loss_of(in_training[place['non_key_residual']])} (excluded" in told
    assert "x*y is not a function of a + b or a − b" in told
    assert "not measured" not in told
    titles = [t.title for t in page.tables]
    assert "Loss of the parts of the logits of x - y, by the rule furuta" in titles
    assert {"parts", "parts1"} <= {p.key for p in page.pictures}
    drawn = next(p for p in page.pictures if p.key == "parts1")
    assert drawn.title == "The parts of the logits of x - y"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Mixture(p=7, expressions=("x*y", "x*y + x", "x*y + y")), "to no operation of x*y, x*y + x, x*y + y mod 7"),
        (Mixture(p=3, expressions=("x + y", "x*y")), "too few frequencies"),
        (Mixture(p=223, expressions=("x + y", "x*y")), "the measures take longer than a page should"),
        (Arithmetic(p=2), "too few frequencies"),
    ],
)
def test_where_there_are_no_parts_it_says_why(mixture: gl.Run, task: Any, says: str) -> None:
    facts = gather(mixture)
    facts.task = task.build()
    model = analyse_model(facts.task, facts.experiment, {40: mixture.weights()}, facts.evaluations())
    parts = parts_of_logits(model)
    assert not parts.pictures
    assert not parts.tables
    assert says in model.sentences()[-1]
