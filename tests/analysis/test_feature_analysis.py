"""A kernel machine's run taken apart: its features instead of frequencies, in numbers, words and at the terminal."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

import groklab as gl
from corpus import Corpus
from groklab.analysis import Analysis, take, to_dict_of_members
from groklab.cli import main
from groklab.cli.live import LiveView, PlainView
from groklab.measures import _circulance as circulance
from groklab.measures import _feature_matrices as feature_matrices
from groklab.measures import alignment
from groklab.report import write_report
from groklab.tasks import ORIENTATIONS, make_split
from groklab.training import Progress, estimate

TINY = {"task.p": 11, "budget.steps": 6}
NEEDED = {
    *("run", "step", "task", "train_loss", "test_loss", "train_accuracy", "test_accuracy", "test_correct_loss"),
    *("circulant_deviation", "orientation", "alignment", "block_structure", "stratified_accuracy"),
    *("condition", "trace", "hidden_progress", "trajectory"),
}


@pytest.fixture
def run(corpus: Corpus) -> gl.Run:
    return corpus["rfm"]


def tiny(**more: object) -> gl.Run:
    return gl.train(gl.preset("mallinar2024/multiply-gaussian", {**TINY, **more}))


def text_of(analysis: Analysis) -> str:
    return " ".join([analysis.verdict(), *(line for s in analysis.sections() for line in s.sentences)])


def test_one_call_gives_the_final_values_and_the_way_there(run: gl.Run) -> None:
    found = gl.analyse(run).to_dict()
    assert set(found) >= NEEDED
    assert set(found["circulant_deviation"]) == set(ORIENTATIONS)
    assert found["orientation"] == "toeplitz"
    trajectory = found["trajectory"]
    assert trajectory["step"] == run.checkpoints
    assert {len(v) for v in trajectory.values()} == {len(run.checkpoints)}
    matrix, last = run.weights(5)["M"], run.weights()["M"]
    block = feature_matrices.blocks(matrix)[2]
    assert trajectory["toeplitz"][5] == pytest.approx(circulance.circulant_deviation(block)["toeplitz"])
    assert trajectory["off_block"][5] == pytest.approx(alignment(block, feature_matrices.blocks(last)[2]))
    assert found["alignment"] == {k: trajectory[k] for k in ("full", "off_block")}
    assert trajectory["toeplitz"][0] is None
    online = run.measured
    assert online is not None
    recorded = online.sort("step")["circulant_deviation.toeplitz"].to_numpy()[1:]
    np.testing.assert_allclose(trajectory["toeplitz"][1:], recorded, rtol=1e-4)
    assert found["trace"] == pytest.approx(np.trace(last))
    assert found["test_loss"] == pytest.approx(float(run.curves()["test_loss"][-1]))
    free = found["stratified_accuracy"]
    assert free["transpose_free_accuracy"] == pytest.approx(found["transpose_free_accuracy"])
    task = run.experiment.task.build()
    assert free["n_transpose_free"] + free["n_transposed"] == len(make_split(run.experiment.split, task, 0).test)
    json.dumps(found, allow_nan=False)


def test_rules_of_frequencies_are_for_networks(run: gl.Run) -> None:
    for asked in ({"rule": "embedding"}, {"frequencies": (1, 2)}):
        with pytest.raises(gl.InputError, match="applies to networks"):
            gl.analyse(run, **asked)  # type: ignore[arg-type]
    for name in ("progress", "logits_2d", "attention", "directions", "neurons"):
        with pytest.raises(gl.InputError):
            take(run, name)
    for name in ("agop_alignment", "class_agops", "stratified_accuracy", "weight_norms"):
        assert take(run, name)["step"].to_list() == run.checkpoints


def test_what_does_not_apply_is_said_and_the_rest_given() -> None:
    three = {"task.expression": "x + y + z", "task.layout": "a b =", "task.p": 5, "measures.names": []}
    other = gl.train(gl.preset("rfm-small", {"budget.steps": 1, **three}))
    found = gl.analyse(other).to_dict()
    assert "operands" in found["does_not_apply"]
    assert found["condition"] > 0
    assert "operands" in gl.explain(other).verdict()
    assert "The measures of features do not apply" in write_report([other]).read_text()


def test_members_are_lists(run: gl.Run) -> None:
    both = gl.train(gl.preset("mallinar2024/multiply-gaussian", TINY), seeds=2)
    each = [gl.analyse(both, member) for member in range(2)]
    found = to_dict_of_members(each)
    assert len(found["orientation"]) == len(found["trace"]) == 2
    assert each[1].to_dict()["trace"] == found["trace"][1]


def test_damaged_checkpoints_are_passed_over(corpus: Corpus) -> None:
    one = corpus.copy("rfm-multiply")
    (one.path / "checkpoints" / "step_000000003.safetensors").write_bytes(b"gone")
    found = gl.analyse(one).to_dict()
    assert found["trajectory"]["toeplitz"][3] is None
    assert found["trajectory"]["toeplitz"][4] is not None
    assert found["step"] == 6


def test_an_explanation_says_what_was_learnt_and_since_when(run: gl.Run) -> None:
    numbers, told = gl.analyse(run).to_dict(), gl.explain(run)
    assert "pairs with the same a + b, as the task requires" in told.verdict()
    assert f"{numbers['test_accuracy']:.1%}" in told.verdict()
    titles = [s.title for s in told.sections()]
    assert titles == [
        "Off-diagonal block of M",
        *("Hidden progress of the features", "Block structure of M", "Commutativity", "The machine", "Classes"),
    ]
    text = text_of(told)
    assert f"at step {numbers['hidden_progress']['accuracy_rises_step']}" in text
    free = numbers["stratified_accuracy"]["n_transpose_free"]
    assert f"on the {free} test pairs whose transpose is not in the training set" in text
    assert "nan" not in text.replace("nance", "")


def test_words_follow_the_operation() -> None:
    product = tiny(**{"split.frac_train": 0.8, "task.p": 23, "budget.steps": 8})
    assert "pairs with the same a·b" in gl.explain(product).verdict()
    quotient = gl.train(gl.preset("mallinar2024/divide-gaussian", {"task.p": 11, "budget.steps": 2}))
    assert "order of operands matters" in text_of(gl.explain(quotient))
    start = gl.train(gl.preset("mallinar2024/multiply-gaussian", {"task.p": 11, "budget.steps": 0}))
    assert "is zero" in gl.explain(start).verdict()


@pytest.mark.parametrize("arguments", [["measure"], ["measure", "--json"], ["explain"], ["report"], ["show"]])
def test_commands_take_such_a_run(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run = corpus.copy("rfm")
    monkeypatch.setattr(sys, "argv", ["groklab", arguments[0], str(run.path), *arguments[1:]])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    if "--json" in arguments:
        assert set(json.loads(out)) >= NEEDED
    if arguments == ["measure"]:
        assert "deviation" in out
        assert "…" not in out


def test_nothing_is_compiled_and_none_says_so() -> None:
    e = gl.preset("rfm-small")
    assert estimate([e]).programs == ()
    assert "initial weights" in estimate([gl.preset("micro")]).programs
    names = {"compiling": "grad_norm", "solving": "condition"}
    for word, column in names.items():
        metrics = {name: np.zeros((0, 1)) for name in (column, "train_loss", "test_accuracy")}
        progress = Progress("run", 0, 30, 0.0, 0.0, True, np.zeros(0, int), metrics, [None], [None])
        console = Console(file=io.StringIO(), width=100)
        PlainView(console)(progress)
        console.print(LiveView(console).picture(progress))
        said = console.file.getvalue()  # type: ignore[attr-defined]
        assert said.count(word) == 2
        assert not any(other in said for other in names if other != word)
