"""What Furuta et al. 2024 measure, on the page of a run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.measures import MEASURES
from groklab.report._run_page import run_page

KERNEL = {"task.kind": "mixture", "task.p": 7, "task.expressions": ["add", "multiply"], "budget.steps": 3}


def test_a_mixture_has_a_line_and_a_map_for_each_operation(corpus: Corpus) -> None:
    run = corpus["mixture"]
    page = run_page(run)
    pictures = {p.key: p for p in page.pictures}
    assert {"operations", "sparsity", "logits_2d", "logits_2d-1", "logits_2d-2"} <= pictures.keys()
    curves = run.curves()
    names = ["x + y", "x - y", "x*y"]
    for i, name in enumerate(names):
        assert f"{name} {curves[f'test_accuracy_op{i}'][-1]:.1%}" in pictures["operations"].sentence
    lines = json.loads(pictures["operations"].spec)["data"]
    assert [line["name"] for line in lines] == names * 4
    # one legend for all panels
    assert [line["showlegend"] for line in lines] == [True] * 3 + [False] * 9
    for i, column in enumerate(f"{which}_loss_op{j}" for which in ("test", "train") for j in range(3)):
        assert np.isclose(_last(lines[6 + i]["y"]), curves[column][-1], rtol=1e-6)
    found = MEASURES["fourier_sparsity"](run.weights(), run.experiment.task.build(), network=run.experiment.model)
    assert f"FFS of W_E {found['ffs_W_E']:.2f}" in pictures["sparsity"].sentence
    assert any(note.startswith("FFS") for note in page.notes)


@pytest.mark.parametrize("losses", ["sum", "mean"])
def test_losses_are_called_sums_only_where_they_are(corpus: Corpus, losses: str) -> None:
    run = corpus.train(gl.read({}, {**MIXTURE, "task.losses": losses}))
    last = run.metrics.tail(1).to_dicts()[0]
    own = [last[f"test_loss_op{i}"] for i in range(3)]
    assert np.isclose(last["test_loss"], sum(own) / (1 if losses == "sum" else 3), rtol=1e-5)
    page = run_page(run)
    curves = next(p for p in page.pictures if p.key == "curves")
    title = json.loads(curves.spec)["layout"]["yaxis"]["title"]["text"]
    summed = losses == "sum"
    assert title == "cross-entropy (nats)" + (",<br>sum of 3 operations" if summed else "")
    assert ("summed over the 3 operations" in curves.sentence) == summed
    assert sum("sum of the mean losses of its 3 operations" in note for note in page.notes) == summed
    operations = next(p for p in page.pictures if p.key == "operations").sentence
    assert f"own cross-entropy (nats): x + y {own[0]:.3g}, x - y {own[1]:.3g} and x*y {own[2]:.3g}." in operations


def test_a_kernel_machines_loss_of_a_mixture_is_no_sum() -> None:
    run = gl.train(gl.preset("mallinar2024/add-gaussian", KERNEL))
    page = run_page(run)
    title = json.loads(next(p for p in page.pictures if p.key == "curves").spec)["layout"]["yaxis"]["title"]["text"]
    assert title == "mean squared error"
    assert not any("mean losses" in note for note in page.notes)


def test_what_was_measured_on_line_is_drawn() -> None:
    asked = {"measures.names": ["fourier_sparsity"], "measures.every": 10, "checkpoints.spacing": "none"}
    run = gl.train(gl.preset("micro-fast", {**asked, "budget.steps": 40}))
    pictures = {p.key: p for p in run_page(run).pictures}
    assert "operations" not in pictures
    measured = run.measured
    assert measured is not None
    drawn = [line for line in json.loads(pictures["sparsity"].spec)["data"] if line["name"].startswith("W")]
    assert len(drawn) == 6
    assert np.isclose(measured["fourier_sparsity.fcr_W_L"][-1], _last(drawn[3]["y"]), atol=1e-6)


def _last(values: Any) -> float:
    if isinstance(values, dict):
        import base64

        return float(np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])[-1])
    return float(values[-1])
