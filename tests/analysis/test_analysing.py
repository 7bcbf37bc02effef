"""A whole run taken apart: key frequencies of the final model, applied to every checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.analysis import to_dict_of_members
from groklab.measures import find_frequencies, grid_of
from groklab.tasks import make_split

SMALL = {"task.p": 11, "budget.steps": 1500, "checkpoints.per_decade": 5}
NEEDED = {
    *("key_frequencies", "train_loss", "test_loss", "restricted_loss", "excluded_loss"),
    *("gini_W_E", "gini_W_L", "logit_fve", "well_explained_neurons"),
}


@pytest.fixture
def run(corpus: Corpus) -> gl.Run:
    return corpus.train(gl.preset("micro", SMALL))


def test_one_call_gives_the_final_values_and_the_way_there(run: gl.Run) -> None:
    found = gl.analyse(run).to_dict()
    assert set(found) >= NEEDED
    task = run.experiment.task.build()
    train = make_split(run.experiment.split, task, 0).train
    keys = find_frequencies(run.weights(), task, run.experiment.network)
    assert found["key_frequencies"] == list(keys)
    steps = found["trajectory"]["step"]
    assert steps == run.checkpoints
    for i in (0, len(steps) // 2, -1):
        by_hand = gl.MEASURES["progress"](
            run.weights(steps[i]), task, train, network=run.experiment.network, frequencies=keys
        )
        for name in ("restricted_loss", "excluded_loss", "logit_fve", "gini_W_L", "train_loss"):
            assert found["trajectory"][name][i] == pytest.approx(by_hand[name], rel=1e-9)
    assert found["train_loss"] == found["trajectory"]["train_loss"][-1]
    recorded = run.curves()
    assert found["test_loss"] == pytest.approx(float(recorded["test_loss"][-1]), rel=1e-4)
    json.dumps(found, allow_nan=False)


@pytest.mark.usefixtures("one_lane")
def test_an_ensemble_gives_lists_and_each_member_its_own_frequencies() -> None:
    run = gl.train(gl.preset("micro", SMALL), seeds=2)
    each = [gl.analyse(run, member) for member in range(2)]
    found = to_dict_of_members(each)
    assert len(found["key_frequencies"]) == len(found["restricted_loss"]) == 2
    second = each[1].to_dict()
    assert found["seed"] == [0, 1]
    assert {k: found[k][1] for k in NEEDED} == {k: second[k] for k in NEEDED}


def test_frequencies_and_rules_can_be_given(run: gl.Run) -> None:
    assert gl.analyse(run, frequencies=(3, 1)).to_dict()["key_frequencies"] == [1, 3]
    assert gl.analyse(run, rule="embedding").to_dict()["rule"] == "embedding"
    with pytest.raises(gl.InputError, match="unknown"):
        gl.analyse(run, rule="eyes")
    with pytest.raises(gl.InputError, match="integers from 1 to 5"):
        gl.analyse(run, frequencies=(6,))


def test_progress_is_reported_to_the_end(run: gl.Run) -> None:
    seen: list[tuple[int, int]] = []
    gl.analyse(run, view=lambda progress: seen.append((progress.done, progress.total)))
    assert seen[-1] == (len(run.checkpoints),) * 2
    assert seen == sorted(seen)


def test_where_progress_measures_do_not_apply_it_is_said() -> None:
    run = gl.train(gl.preset("micro", {**SMALL, "task.expression": "x*y", "budget.steps": 50}))
    found = gl.analyse(run).to_dict()
    assert found["key_frequencies"] is None
    assert "a function of a+b or a−b" in found["does_not_apply"]
    assert np.isfinite(found["test_loss"])
    assert gl.explain(run).model.sections() == []


def test_damaged_checkpoints_are_passed_over() -> None:
    run = gl.train(gl.preset("micro", {**SMALL, "budget.steps": 100}))
    steps = run.checkpoints
    (run.path / "checkpoints" / f"step_{steps[1]:09d}.safetensors").write_bytes(b"gone")
    assert gl.analyse(run).to_dict()["trajectory"]["step"] == [steps[0], *steps[2:]]


def test_an_explanation_is_about_this_model(run: gl.Run) -> None:
    numbers, explained = gl.analyse(run).to_dict(), gl.explain(run)
    assert f"{numbers['logit_fve']:.1%}" in explained.verdict()
    # p = 11 is too small for this network to be sparse
    assert len(numbers["key_frequencies"]) == 5
    assert "5 of the 5 pass the rule" in explained.verdict()
    assert [s.title for s in explained.sections()] == [
        *("Embedding", "Neurons", "Output map W_L", "Logits", "Ablations", "How it forms"),
        *("Off-diagonal block of √AGOP", "Hidden progress of the features", "Block structure of √AGOP"),
        *("Commutativity", "Classes"),
    ]
    untrained = gl.train(gl.preset("micro", {**SMALL, "budget.steps": 10}))
    assert "it does not compute by that sum" in gl.explain(untrained).verdict()
    with pytest.raises(gl.InputError, match="only member 0"):
        gl.explain(run, member=1)


@pytest.mark.parametrize(
    ("expression", "formula"),
    [("x + y", "a + b − c"), ("x - y", "a − b − c"), ("y - x", "a − b + c"), ("2*x + 2*y", "a + b − s(c)")],
)
def test_the_formula_is_that_of_the_operation(expression: str, formula: str) -> None:
    """A model that is the sum of cosines it is said to be: the words are checked against its own logits."""
    run = gl.train(gl.preset("micro", {**SMALL, "task.expression": expression, "budget.steps": 60}))
    assert formula in gl.explain(run).verdict()
    grid = grid_of(run.experiment.task.build())
    a, b = np.indices((11, 11))
    c = grid.answers[grid.sums]
    residue_of = np.argsort(grid.answers)
    value = {"a + b − c": a + b - c, "a − b − c": a - b - c, "a − b + c": a - b + c}.get(formula, a + b - residue_of[c])
    assert (value % 11 == 0).all()


def test_the_representation_of_a_sum_is_told_of_any_learner() -> None:
    settings = {"budget.steps": 3000, "evaluation.every": 50, "checkpoints.every": 3000}
    flow = gl.train(gl.preset("liu2022/theory", settings))
    told = gl.analyse(flow).to_dict()
    assert told["learning_phase"]["phase"] == "comprehension"
    assert told["representation"]["n_parallelograms"] == 70
    assert told["representation"]["rqi"] == pytest.approx(float(flow.curves()["rqi"][-1]))
    explained = gl.explain(flow)
    assert "of all 70 parallelograms hold" in explained.verdict()
    assert any("dimensions free" in line for line in explained.sections()[0].sentences)
    toy = gl.train(gl.preset("liu2022/addition", {"budget.steps": 5, "network.d_mlp": 8, "measures.names": []}))
    assert gl.analyse(toy).to_dict()["representation"]["rqi"] < 0.5
    assert "is not that of the operation" in gl.explain(toy).verdict()
    # modulo p a line is no solution
    assert gl.analyse(gl.train(gl.preset("micro", {"budget.steps": 2}))).to_dict()["representation"] is None
