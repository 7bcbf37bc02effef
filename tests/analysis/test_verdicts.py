"""A run is judged once: terminal, JSON and page say the same sentence of it."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import pytest

from corpus import Corpus
from groklab.analysis.circuits import COMPUTES, PARTLY, CircuitVerdict
from groklab.analysis.features import FeatureVerdict
from groklab.analysis.representations import GOOD, RepresentationAnalysis
from groklab.cli import main
from groklab.report import write_report

#: Pages that other tests look at, too.
PAGES = {"mlp": "single", "rfm-multiply": "machine", "mixture": "plain-mixture"}
RUNS = ("mlp", "ensemble", "transformer", "mixture", "rfm", "rfm-multiply", "flow", "toy")


def said_by(page: Path) -> str:
    text = re.sub(r"<(script|style).*?</\1>", " ", page.read_text("utf-8"), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.mark.parametrize("name", RUNS)
def test_terminal_json_and_page_give_one_verdict(
    corpus: Corpus, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corpus.copy(name)

    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["groklab", "explain", run.name, *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capsys.readouterr().out

    verdict = json.loads(printed("--json"))["verdict"]
    assert verdict.endswith(".")
    assert " ".join(verdict.split()) in " ".join(printed().split())
    page = corpus.file(f"{PAGES.get(name, name)}.html", lambda path: write_report([corpus[name]], path))
    assert " ".join(verdict.split()) in said_by(page)


def circuit_of(fve: float | None, keys: tuple[int, ...] = (1, 2)) -> CircuitVerdict:
    return CircuitVerdict(23, 1, "a + b − c", keys, fve, 0.5, 0.25)


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
    found = circuit_of(fve)
    assert found.share == share
    assert found.verdict().startswith(sentence)


def test_many_frequencies_are_never_called_the_ones_that_stand_out() -> None:
    assert circuit_of(0.99, (1, 2, 3, 4, 5)).few
    many = circuit_of(0.99, (1, 2, 3, 4, 5, 6))
    assert not many.few
    assert many.verdict().startswith("No few frequencies stand out: 6 of the 11 pass the rule")
    assert circuit_of(None).share is None
    assert "no cosine for each" in circuit_of(None).verdict()


def test_features_are_judged_by_their_block() -> None:
    near = {"toeplitz": 0.01, "hankel": 0.9, "toeplitz_log": 0.9, "hankel_log": 0.9}
    assert (
        "pairs of the same a + b, which is what the task asks" in FeatureVerdict(near, "toeplitz", True, 1.0).verdict()
    )
    assert "its accuracy is not recorded" in FeatureVerdict(near, "toeplitz", False, None).verdict()
    far = dict.fromkeys(near, 0.9)
    assert FeatureVerdict(far, "toeplitz", True, 0.1).verdict().startswith("No circulant features")
    assert FeatureVerdict(dict.fromkeys(near), None, False, 0.1).verdict().startswith("Nothing yet")
    both = {**near, "hankel": 0.01}
    assert "circulant in more than one way" in FeatureVerdict(both, "toeplitz", True, 0.1).verdict()


def test_representations_are_judged_by_their_parallelograms() -> None:
    assert not RepresentationAnalysis(GOOD, 70).is_structured
    assert RepresentationAnalysis(0.96, 70).verdict() == (
        "Its representation is that of the operation: 96.0% of all 70 parallelograms hold."
    )
