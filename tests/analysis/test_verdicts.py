"""A run is judged and worded once: terminal, JSON and page have the same sentences."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab.analysis import CircuitAnalysis, FeatureAnalysis, RepresentationAnalysis
from groklab.analysis._circuits import COMPUTES, PARTLY
from groklab.analysis._feature_history import TurningPoints
from groklab.analysis._key_frequencies import analyse_operation
from groklab.analysis._model import Section
from groklab.cli import main
from groklab.figures import RunContext
from groklab.measures import Attention, grid_of
from groklab.report import write_report
from groklab.report._run_page import run_page
from groklab.tasks import ORIENTATIONS, Arithmetic
from groklab.theory import REACHED

#: Pages that other tests look at, too.
PAGES = {"mlp": "single", "rfm-multiply": "machine", "mixture": "plain-mixture"}
RUNS = ("mlp", "ensemble", "transformer", "mixture", "rfm", "rfm-multiply", "flow", "toy")


def text_of(page: Path) -> str:
    text = re.sub(r"<(script|style).*?</\1>", " ", page.read_text("utf-8"), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.mark.parametrize("name", RUNS)
def test_terminal_json_and_page_give_one_verdict(
    corpus: Corpus, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corpus.copy(name)

    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()
        return " ".join(capsys.readouterr().out.split())

    verdict = json.loads(printed("explain", run.name, "--json"))["verdict"]
    assert verdict.endswith(".")
    assert " ".join(verdict.split()) in printed("explain", run.name)
    assert " ".join(verdict.split()) in printed("measure", run.name).replace(" · ", " ")
    page = corpus.file(f"{PAGES.get(name, name)}.html", lambda path: write_report([corpus[name]], path))
    assert " ".join(verdict.split()) in text_of(page)


@pytest.mark.parametrize("name", RUNS)
def test_page_and_explanation_share_their_sentences(corpus: Corpus, name: str) -> None:
    run = corpus[name]
    explained, page, model = gl.explain(run), run_page(run), RunContext.read(run).model

    def sentences(sections: list[Section]) -> set[str]:
        return {sentence for section in sections for sentence in section.sentences}

    # the page measures more, and of what both measure every sentence is the same
    assert sentences(explained.model.sections()) <= sentences(model.sections())
    assert set(page.parts[1].sentences) <= sentences(explained.sections())
    computes = list(page.parts[0].sentences)
    if run.n_members > 1:
        assert "member 0" in computes.pop(0)
    assert computes == model.sentences()
    assert computes[0] == explained.verdict()
    assert set(computes[1:]) <= sentences(explained.sections())
    # figures of the page take sentences from the same analysis
    shown = {picture.sentence for picture in page.pictures}
    if isinstance(model, CircuitAnalysis):
        assert {model.stages_sentence(), model.coefficients_sentence(), model.readout_sentence()} <= shown


def circuit_of(fve: float | None, keys: tuple[int, ...] = (1, 2)) -> CircuitAnalysis:
    """An analysis of a sum mod 23 by its losses and its share of variance alone."""
    task = Arithmetic(p=23).build()
    final = {"loss": 0.5, "restricted_loss": 0.25} | ({} if fve is None else {"logit_fve": fve})
    values = {k: np.array([v]) for k, v in final.items()}
    grid = grid_of(task)
    operation = analyse_operation(task.name, grid, task, [0], values, pl.DataFrame())
    return CircuitAnalysis(
        **vars(operation),
        task=task,
        network=None,
        grid=grid,
        key_frequencies=keys,
        rule="given",
        weights={},
        metrics=pl.DataFrame(),
        parts={},
        left_out={},
    )


def attention_of(frequency: list[int], linear: list[float], mean: list[float]) -> Attention:
    """Heads by what the sentences on them read."""
    fve = np.where(np.array(frequency) > 0, 0.5, np.nan)
    pattern = np.stack([mean, 1 - np.array(mean), np.zeros(len(mean))], axis=1)
    unread = dict.fromkeys(("score", "score_share", "alpha", "beta", "ov_share", "neuron_path_share"), np.zeros(0))
    return Attention(
        mean_pattern=pattern,
        score_frequency=np.array(frequency),
        pattern_frequency=np.array(frequency),
        pattern_std=np.full(len(mean), 0.001),
        pattern_fve=fve,
        linear_fve=np.array(linear),
        ov_frequency=np.array(frequency),
        neuron_path_frequency=None,
        **unread,
    )


def test_constant_attention_is_said_to_have_no_variance_to_explain() -> None:
    part = attention_of([3, 0, 5], [0.44, np.nan, -47046.0], [0.5, 0.5, 0.99])
    circuit = dataclasses.replace(circuit_of(0.95), parts={"attention": part})
    assert "3 (50%), none and 5 (50%)" in circuit.heads_sentence()
    assert circuit.heads_sentence().endswith("attention is constant, with no variance to explain.")
    linear = circuit.linear_sentence()
    assert "explains 44% and none of the variance" in linear
    assert "of 2 of 3 heads; that of the others is constant" in linear
    assert "away from ½ and varies little (99.0% ± 0.10%)" in linear
    assert "47" not in linear
    constant = dataclasses.replace(circuit, parts={"attention": attention_of([0, 0], [np.nan] * 2, [0.5, 0.5])})
    assert "alike for all inputs, which leaves no variance to explain" in constant.heads_sentence()
    assert constant.linear_sentence() == ""
    one = dataclasses.replace(circuit, parts={"attention": attention_of([0], [np.nan], [0.5])})
    assert "no variance to explain" in one.heads_sentence()


def test_logits_alike_for_all_answers_are_said_to_have_no_variance() -> None:
    circuit = circuit_of(float("nan"))
    assert circuit.share is None
    assert "no variance" in circuit.verdict()
    assert circuit.to_dict()["logit_fve"] is None


@pytest.mark.parametrize(
    ("fve", "share", "sentence"),
    [
        (COMPUTES, "all", "It computes Σ αₖ cos(wₖ(a + b − c)) with k = 1 and 2: that explains 90.0%"),
        (COMPUTES - 1e-3, "part", "It computes partly by Σ αₖ cos(wₖ(a + b − c)) with k = 1 and 2"),
        (PARTLY, "part", "It computes partly by"),
        (PARTLY - 1e-3, "none", "It does not compute by"),
    ],
)
def test_a_formula_is_claimed_only_where_it_explains_the_logits(fve: float, share: str, sentence: str) -> None:
    circuit = circuit_of(fve)
    assert circuit.share == share
    assert circuit.verdict().startswith(sentence)


def test_many_frequencies_are_never_called_the_ones_that_stand_out() -> None:
    assert circuit_of(0.99, (1, 2, 3, 4, 5)).few
    many = circuit_of(0.99, (1, 2, 3, 4, 5, 6))
    assert not many.few
    assert many.verdict().startswith("No small set of frequencies stands out: 6 of the 11 pass the rule")
    assert circuit_of(None).share is None
    assert "no cosine for each" in circuit_of(None).verdict()


def features_of(deviations: dict[str, float | None], accuracy: float | None) -> FeatureAnalysis:
    """An analysis of a kernel machine on a sum mod 23 by the final deviations of its block alone."""
    history = pl.DataFrame({"step": [1], **{k: [v] for k, v in deviations.items()}})
    metrics = pl.DataFrame({"step": [1], "test_accuracy": [accuracy]})
    matrices = {1: np.eye(46)}
    turning = TurningPoints(None, None, 0.05)
    return FeatureAnalysis(Arithmetic(p=23).build(), {}, [1], matrices, history, turning, metrics, {}, {})


def test_features_are_judged_by_their_block() -> None:
    near = {"toeplitz": 0.01, "hankel": 0.9, "toeplitz_log": 0.9, "hankel_log": 0.9}
    assert "pairs with the same a + b, as the task requires" in features_of({**near}, 1.0).verdict()
    other = {**near, "toeplitz": 0.9, "hankel": 0.01}
    assert "which is not what the task requires" in features_of({**other}, None).verdict()
    assert "its accuracy is not recorded" in features_of({**other}, None).verdict()
    assert features_of(dict.fromkeys(ORIENTATIONS, 0.9), 0.1).verdict().startswith("No circulant features")
    assert features_of(dict.fromkeys(ORIENTATIONS), 0.1).verdict().startswith("No features yet")
    assert "circulant in more than one way" in features_of({**near, "hankel": 0.01}, 0.1).verdict()


def test_representations_are_judged_by_their_parallelograms() -> None:
    representation = RepresentationAnalysis({"rqi": REACHED, "n_parallelograms": 70}, "no modulus", {})
    assert not representation.is_structured
    assert dataclasses.replace(representation, values={"rqi": 0.96, "n_parallelograms": 70}).verdict() == (
        "Its representation is that of the operation: 96.0% of all 70 parallelograms hold."
    )
