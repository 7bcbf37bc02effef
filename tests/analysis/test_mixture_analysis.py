"""A run of a mixture taken apart, operation by operation."""

from __future__ import annotations

import json

import numpy as np
import pytest

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.analysis import to_dict_of_members
from groklab.measures import find_frequencies
from groklab.tasks import make_split
from groklab.text import listed, loss_of
from groklab.training import build_task


@pytest.fixture
def run(corpus: Corpus) -> gl.Run:
    return corpus["mixture"]


@pytest.fixture(scope="module")
def products(corpus: Corpus) -> gl.Run:
    settings = {**MIXTURE, "task.expressions": ["x*y", "x*y + x"], "budget.steps": 10}
    return corpus.train(gl.read({}, settings))


def test_each_operation_has_its_losses_at_every_checkpoint(run: gl.Run) -> None:
    found = gl.analyse(run).to_dict()
    task, network = build_task(run.experiment), run.experiment.network
    train = make_split(run.experiment.split, task, run.experiment.seed).train
    keys = find_frequencies(run.weights(), task, network, "furuta")
    assert (found["rule"], found["key_frequencies"]) == ("furuta", list(keys))
    assert "does_not_apply" not in found
    assert [one["operation"] for one in found["operations"]] == ["x + y", "x - y"]
    assert [one["direction"] for one in found["operations"]] == [1, -1]
    assert found["left_out"] == ["x*y"]
    for at, step in enumerate(run.checkpoints):
        own = gl.MEASURES["progress"](run.weights(step), task, train, network=network, frequencies=keys)
        for i, one in enumerate(found["operations"]):
            assert one["trajectory"]["step"] == run.checkpoints
            for name in ("restricted_loss", "excluded_loss", "train_loss", "logit_fve"):
                assert one["trajectory"][name][at] == pytest.approx(own[name][i], rel=1e-9)
    curves = run.curves()
    for i, one in enumerate(found["operations"]):
        assert one["test_loss"] == pytest.approx(float(curves[f"test_loss_op{i}"][-1]), rel=1e-4)
        assert one["restricted_loss"] == one["trajectory"]["restricted_loss"][-1]
        assert len(one["by_frequency"]["alpha"][-1]) == 3
        assert "memorisation_ends" in one["training_stages"]
    sparse = gl.MEASURES["fourier_sparsity"](run.weights(), task)
    assert found["fourier_sparsity"]["ffs_W_L"] == pytest.approx(sparse["ffs_W_L"])
    assert found["test_loss"] == pytest.approx(float(curves["test_loss"][-1]))
    json.dumps(found, allow_nan=False)


def test_frequencies_and_rules_can_be_given(run: gl.Run) -> None:
    found = gl.analyse(run, frequencies=(3, 1)).to_dict()
    assert (found["rule"], found["key_frequencies"]) == ("given", [1, 3])
    assert gl.analyse(run, rule="embedding").to_dict()["rule"] == "embedding"
    with pytest.raises(gl.InputError, match="reads one operation; a mixture needs one of embedding"):
        gl.analyse(run, rule="neurons")


def test_an_explanation_has_a_section_for_each_operation(run: gl.Run) -> None:
    found, told = gl.analyse(run).to_dict(), gl.explain(run).explanation()
    titles = [section["title"] for section in told["sections"]]
    assert titles[:4] == ["Frequencies of the weights", *(f"Operation {name}" for name in ("x + y", "x - y", "x*y"))]
    for one in found["operations"]:
        assert f"{one['operation']} has a loss of {loss_of(one['restricted_loss'])}" in told["verdict"]
        lines = " ".join(next(s["lines"] for s in told["sections"] if s["title"] == f"Operation {one['operation']}"))
        sign = "+" if one["direction"] > 0 else "−"
        assert f"with only the key frequencies of a {sign} b in the logits the loss on all pairs is" in lines
        assert (
            f"is {loss_of(one['restricted_loss'])} (restricted loss; complete model: {loss_of(one['loss'])})" in lines
        )
        assert f"{loss_of(one['excluded_loss'])} (excluded loss; complete model: {loss_of(one['train_loss'])}" in lines
    shared, product = told["sections"][0]["lines"], told["sections"][3]["lines"]
    assert f"the key frequencies {listed(found['key_frequencies'])} of 1 to 3" in shared[0]
    assert "not a function of a + b or a − b" in product[0]
    task = build_task(run.experiment)
    strongest = gl.MEASURES["logits_2d"](run.weights(), task, network=run.experiment.network)["largest"][2]
    assert next(name for name in strongest if name != "const · const") in product[1]


def test_where_no_operation_has_these_losses_it_is_said_and_the_rest_given(products: gl.Run) -> None:
    found, told = gl.analyse(products).to_dict(), gl.explain(products).explanation()
    assert found["key_frequencies"] is None
    assert "to no operation of" in found["does_not_apply"]
    assert 0 < found["fourier_sparsity"]["ffs_W_E"] <= 1
    assert told["verdict"].startswith("No operation of x*y, x*y + x mod 7 is a function of a + b or a − b")
    assert [s["title"] for s in told["sections"]][1:3] == ["Operation x*y", "Operation x*y + x"]
    assert "largest components" in told["sections"][1]["lines"][1]


@pytest.mark.usefixtures("one_lane")
def test_an_ensemble_gives_each_member_its_own_operations() -> None:
    both = gl.train(gl.read({}, {**MIXTURE, "budget.steps": 10, "checkpoints.spacing": "none"}), seeds=2)
    found = to_dict_of_members([gl.analyse(both, member) for member in range(2)])
    assert len(found["operations"]) == len(found["key_frequencies"]) == 2
    first, second = found["operations"]
    assert [one["operation"] for one in first] == [one["operation"] for one in second] == ["x + y", "x - y"]
    assert first[0]["loss"] != second[0]["loss"]


def test_a_measure_can_be_taken_of_some_checkpoints(run: gl.Run) -> None:
    last = run.checkpoints[-1]
    every, one = gl.take(run, "logit_parts"), gl.take(run, "logit_parts", steps=[last])
    assert one["step"].to_list() == [last]
    assert one["loss"].to_list() == every["loss"].to_list()[-1:]
    with pytest.raises(gl.InputError, match="keeps no checkpoint of step 7"):
        gl.take(run, "logit_parts", steps=[7])
    assert np.shape(gl.take(run, "progress")["restricted_loss"].to_list()) == (len(run.checkpoints), 2)
