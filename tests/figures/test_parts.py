"""The parts of the logits on the page of a run: of one operation, and of each of a mixture."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab.figures import Drawing, RunContext
from groklab.figures._registry import FIGURES
from groklab.measures import NamedTable
from groklab.report._run_page import run_page
from groklab.tasks import Arithmetic, Mixture, make_split
from groklab.text import loss_of


def parts_of(run: RunContext) -> tuple[list[Drawing], list[NamedTable]]:
    drawings = FIGURES["logit_parts"].drawings(run)
    return drawings, [table for drawing in drawings for table in drawing.tables]


def test_the_table_is_by_the_pages_own_key_frequencies(corpus: Corpus) -> None:
    run = corpus["mlp"]
    context = RunContext.read(run)
    c = context.circuit
    (drawing,), (rules, losses, *_) = parts_of(context)
    assert rules.rows[0][:2] == (c.rule, ", ".join(map(str, c.key_frequencies)))
    table = {row[0]: row[1:] for row in losses.rows}
    assert c.rule in losses.title
    # the excluded loss, and the restricted one on the training set
    assert table["other frequencies and residual"][0] == loss_of(c.last("excluded_loss"))
    assert table["key frequencies and the mean"][0] == loss_of(c.last("restricted_loss_train"))
    assert loss_of(c.last("excluded_loss")) in drawing.sentence
    assert drawing.plot is not None
    assert drawing.plot.data[1].name == "train"
    page = run_page(run)
    assert "logit_parts" in {p.key for p in page.pictures}
    assert losses.rows in [t.rows for p in page.pictures for t in p.tables]
    assert any(note.startswith("Parts of the logits") for note in page.notes)
    without_test = {k: v for k, v in c.parts["logit_parts"].items() if not k.startswith("test_")}
    context.model = dataclasses.replace(c, parts={"logit_parts": without_test})
    (drawing,), (_, losses, *_) = parts_of(context)
    assert losses.head == ("what is kept", "train loss")
    assert drawing.plot is not None
    assert [line.name for line in drawing.plot.data] == ["uniform guessing", "train", "test"]
    without = {k: v for k, v in c.parts.items() if k != "logit_parts"}
    context.model = dataclasses.replace(c, parts=without, left_out={"logit_parts": "no reason"})
    (drawing,), tables = parts_of(context)
    assert drawing.sentence == "Left out: no reason."
    assert not tables


@pytest.fixture(scope="module")
def mixture(corpus: Corpus) -> gl.Run:
    return corpus["mixture"]


def test_a_mixture_is_told_operation_by_operation(mixture: gl.Run) -> None:
    page, task = run_page(mixture), mixture.experiment.task.build()
    train = make_split(mixture.experiment.split, task, 0).train
    found = gl.MEASURES["logit_parts"](mixture.weights(), task, train, network=mixture.experiment.network)
    sentences, place = " ".join(page.parts[0].sentences), {name: i for i, name in enumerate(found["parts"])}
    for i, (operation, direction) in enumerate((("x + y", "a + b"), ("x - y", "a − b"))):
        loss, in_training = found["loss"][i, 0], found["train_loss"][i, 0]
        assert f"{operation}: with only the key frequencies of {direction} in the logits" in sentences
        assert (
            f"{loss_of(loss[place['key_mean']])} (restricted loss; complete model: {loss_of(loss[place['all']])})"
            in sentences
        )
        assert f"{loss_of(in_training[place['non_key_residual']])} (excluded" in sentences
    assert "x*y is not a function of a + b or a − b" in sentences
    assert "not measured" not in sentences
    titles = [t.title for p in page.pictures for t in p.tables]
    assert "Loss of the parts of the logits of x - y, by the rule furuta" in titles
    assert {"logit_parts", "logit_parts-1"} <= {p.key for p in page.pictures}
    drawn = next(p for p in page.pictures if p.key == "logit_parts-1")
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
    context = RunContext.read(mixture)
    context.task = task.build()
    context.checkpoints = {40: mixture.weights()}
    assert parts_of(context) == ([], [])
    assert says in context.model.sentences()[-1]
