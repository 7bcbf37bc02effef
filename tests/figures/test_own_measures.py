"""Measures of one's own on pages, in notebooks and in `groklab measure --plugin`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab import figures
from groklab.cli import main
from groklab.measures import MEASURES
from groklab.report import write_report

PLUGIN = """
import groklab as gl
import numpy as np

@gl.measure("largest")
def largest(weights, task):
    "Largest weight of each matrix."
    return {**{k: np.abs(v).max() for k, v in weights.items()}, "rows": np.ones(3) * task.modulus, "words": ["a"]}

@gl.measure("refusing")
def refusing(weights, task):
    "Refuses."
    raise gl.InputError("this task has too few <b>inputs</b>")

@gl.measure("broken")
def broken(weights, task):
    "Is broken."
    return weights["no such weight"]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    before = dict(MEASURES)
    file = tmp_path / "of_mine.py"
    file.write_text(PLUGIN)
    yield file
    for name in set(MEASURES) - set(before):
        del MEASURES[name]


def test_measures_of_a_plugin_are_on_the_page_with_their_numbers(corpus: Corpus, plugin: Path, tmp_path: Path) -> None:
    run = corpus["mlp"]
    assert "own_measures" not in figures.list_figures(run).names
    gl.load_plugin(str(plugin))
    assert "own_measures" in figures.list_figures(run).names
    drawings = {d.title: d for d in figures.plots(run)["own_measures"].drawings()}
    assert list(drawings) == ["broken", "largest", "largest: rows", "refusing"]
    frame = drawings["largest"].plot.data_frame
    step = int(frame["step"].max())  # type: ignore[arg-type]
    expected = np.abs(run.weights(step)["embed.0.W"]).max()
    np.testing.assert_allclose(frame.filter(step=step)["embed.0.W"].item(), expected, rtol=1e-6)
    assert "Largest weight of each matrix. At step" in drawings["largest"].sentence
    assert drawings["largest"].sentence.endswith("Not drawn: words.")
    assert set(drawings["largest: rows"].plot.data_frame["rows"]) == {23.0}
    assert "KeyError" in drawings["broken"].sentence
    page = write_report([run], tmp_path / "page.html").read_text()
    assert "Left out: this task has too few &lt;b&gt;inputs&lt;/b&gt;." in page
    assert "Largest weight of each matrix." in page


def test_measures_of_a_plugin_are_printed_below_the_others(
    corpus: Corpus, plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin.write_text(PLUGIN.split('@gl.measure("broken")')[0])
    run = corpus.copy("mlp")

    def printed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["groklab", "measure", run.name, "--plugin", str(plugin), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    out = printed()
    assert "\nlargest\n" in out
    assert "embed.0.W" in out
    assert "refusing: left out: this task has too few" in out
    taken = json.loads(printed("--json"))
    assert taken["measures"]["largest"]["step"] == run.checkpoints
    assert taken["measures"]["refusing"].startswith("left out: ")
    alone = json.loads(printed("--measure", "largest", "--json"))
    assert alone["embed.0.W"] == taken["measures"]["largest"]["embed.0.W"]
