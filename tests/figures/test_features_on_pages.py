"""What the page says of features: measured on the run, and honest where there is nothing to say."""

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
from groklab.analysis import FeatureAnalysis, analyse
from groklab.analysis._feature_history import TurningPoints
from groklab.figures import RunContext
from groklab.report import write_report
from groklab.report._html import Picture
from groklab.store import RunWriter
from shared_pages import Pages, pictures_by_key

TINY = {"task.p": 11, "budget.steps": 5}
KEYS = ["hidden_progress", "feature_matrix", "eigenvalues", "block_fourier", "block_power"]


@pytest.fixture(scope="module")
def machine(corpus: Corpus) -> gl.Run:
    return corpus["rfm"]


@pytest.fixture(scope="module")
def tiny(corpus: Corpus) -> gl.Run:
    return corpus["rfm-multiply"]


def analysis_of(run: gl.Run) -> FeatureAnalysis:
    return RunContext.read(run).features


def drawn_of(run: gl.Run, analysis: FeatureAnalysis | None = None) -> list[Picture]:
    """The figures of features, as if the analysis of the run had been another."""
    context = RunContext.read(run)
    if analysis is not None:
        context.feature_analysis = analysis
    return [picture for key, picture in pictures_by_key(context).items() if key in KEYS]


def page_of(run: gl.Run, tmp_path: Path) -> str:
    return write_report([run], tmp_path / "page.html").read_text()


def test_the_numbers_are_those_of_the_analysis(machine: gl.Run) -> None:
    f, said = analysis_of(machine), analyse(machine).to_dict()
    assert f.orientation == said["orientation"] == "toeplitz"
    assert f.determines_answer
    assert vars(f.turning) == said["hidden_progress"]
    for name in ("toeplitz", "full", "off_block", "ratio"):
        assert f.history[name].to_list() == said["trajectory"][name]
    assert f.stratified["n_transpose_free"] == said["stratified_accuracy"]["n_transpose_free"]


def test_every_figure_has_its_sentence(machine: gl.Run, tiny: gl.Run) -> None:
    for run in (machine, tiny):
        f = analysis_of(run)
        drawn = drawn_of(run)
        assert [p.key for p in drawn] == KEYS
        for p in drawn:
            json.loads(p.spec)
        for sentence in (*f.sentences(), *(p.sentence for p in drawn)):
            assert sentence.endswith("."), sentence
            assert not re.search(r"\bnan\b", sentence.lower()), sentence


def test_sentences_say_what_was_measured(machine: gl.Run) -> None:
    f = analysis_of(machine)
    said = f.sentences()
    assert said[0] == f.verdict()
    assert "the same a + b, as the task requires" in said[0]
    said = said[1:]
    assert "wrapped Toeplitz" in said[0]
    assert f"{f.at('toeplitz'):.3g}" in said[0]
    assert f"step {f.turning.accuracy_rises_step}" in said[1]
    assert "c₂p/c₁ = −1" in said[2]
    assert f"on the {f.stratified['n_transpose_free']} test pairs whose transpose is not in the training set" in said[3]
    assert "condition number" in said[4]
    assert "31 classes" in said[5]


def test_poor_runs_have_their_sentences(machine: gl.Run) -> None:
    f = analysis_of(machine)
    start = dataclasses.replace(
        f,
        matrices={0: f.matrices[0]},
        history=f.history.head(1),
        metrics=f.metrics.head(1),
    )
    assert "so nothing is circulant" in start.orientation_sentence()
    assert [p.key for p in drawn_of(machine, start)] == KEYS[:3]
    high = TurningPoints(None, None, 0.05)
    above = f.metrics.with_columns(test_accuracy=pl.lit(0.5))
    assert "from the start" in dataclasses.replace(f, turning=high, metrics=above).hidden_sentence()
    assert "never" in dataclasses.replace(f, turning=high).hidden_sentence()
    strange = f.history.with_columns(pl.lit(0.9).alias("toeplitz"))
    assert "is not circulant" in dataclasses.replace(f, history=strange).orientation_sentence()


def test_the_page_of_a_machine_says_nothing_of_networks(machine: gl.Run, tiny: gl.Run, tmp_path: Path) -> None:
    for run, what in ((machine, "x + y mod 31"), (tiny, "x*y mod 11")):
        body = page_of(run, tmp_path).split('<script type="application/json" id="dark-colours">')[0]
        text = re.sub(r"<script.*?</script>|<[^>]+>", " ", body, flags=re.DOTALL)
        assert f"A Recursive Feature Machine with a Gaussian kernel was trained on {what}" in " ".join(text.split())
        for absent in ("optimiser", "embedding", "gradient norm", "updates", "key frequenc"):
            assert absent not in text.split("All settings")[0], absent
        assert "Size and conditioning" in text
        assert "rfm: kernel gaussian" in text


def test_members_share_a_page(tmp_path: Path) -> None:
    run = gl.train(gl.preset("mallinar2024/multiply-gaussian", TINY), seeds=2)
    page = page_of(run, tmp_path)
    assert "2 members, each a Recursive Feature Machine with a Gaussian kernel, were trained" in page
    assert "is of member 0 (seed 0)" in page
    assert page.count("Member 0 (seed 0): ") == len(KEYS)


def test_a_machine_stands_beside_a_network(machine: gl.Run, corpus: Corpus, tmp_path: Path) -> None:
    network = corpus["mlp"]
    page = write_report([machine, network], tmp_path).read_text()
    assert machine.name in page
    assert network.name in page


def test_a_network_of_one_hidden_layer_has_a_section_of_its_own(corpus: Corpus, pages: Pages) -> None:
    run = corpus["mlp"]
    f = analysis_of(run)
    assert not f.kernel_machine
    assert not any("puts together" in s for s in f.sentences())
    page = pages["single"].read_text()
    assert '<h2 id="looks-at">What it looks at</h2>' in page
    assert "√AGOP" in page
    assert "looks-at" not in pages["transformer"].read_text()


def test_features_that_do_not_apply_are_a_sentence() -> None:
    composite = gl.train(gl.preset("mallinar2024/add-quadratic", {"task.p": 12, "budget.steps": 2}))
    f = analysis_of(composite)
    assert f.orientation in ("toeplitz", "hankel")
    assert not f.reordered
    planted = gl.train(gl.preset("mallinar2024/planted-multiply-quadratic", {"task.p": 11}))
    assert analysis_of(planted).orientation == "toeplitz_log"
    assert "hidden_progress" not in [picture.key for picture in drawn_of(planted)]


def test_a_page_at_p_61_stays_below_8_megabytes(tmp_path: Path) -> None:
    """From made-up matrices of the paper's size: 31 checkpoints in both orders."""
    run = gl.train(gl.preset("mallinar2024/multiply-quadratic", {"budget.steps": 1, "split.frac_train": 0.1}))
    matrix = run.weights(0)["M"]
    noise = np.random.default_rng(0)
    for step in range(31):
        more = noise.normal(size=matrix.shape) / 30
        RunWriter(run).checkpoint(step, {"M": (matrix + more @ more.T)[None]})
    assert len(write_report([run], tmp_path).read_bytes()) < 8e6
