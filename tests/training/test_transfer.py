"""Weights of one run in another: what is taken, frozen, and drawn afresh; and mixtures, operation by operation."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.tasks import make_split
from groklab.training import build_task

P = 7
SETTINGS: dict[str, Any] = {
    "task.p": P,
    "task.expression": "add",
    "task.layout": "a op b",
    "task.outputs": "vocabulary",
    "split.frac_train": 0.5,
    "network.positional_embedding": "none",
    "network.biases": "none",
    "network.init_scheme": "furuta2024",
    "network.d_model": 8,
    "network.n_heads": 2,
    "network.d_mlp": 16,
    "optimiser.weight_decay": 1.0,
    "budget.steps": 30,
    "evaluation.every": 10,
}
PLUS = P + 1


@pytest.fixture
def before(corpus: Corpus) -> gl.Run:
    """The run whose weights are taken."""
    return corpus.train(gl.read({}, {**SETTINGS, "name": "source"}))


def taken(run: gl.Run, *parts: str, **changed: Any) -> gl.Experiment:
    start = {"start.run": str(run.path), "start.step": 30, "start.take": list(parts), "start.freeze": True}
    settings = {key.replace("__", "."): value for key, value in changed.items()}
    return gl.read({}, {**SETTINGS, "name": "taken", "task.expression": "2x_y", **start, **settings})


@pytest.mark.parametrize("rows", ["fresh", "train", "keep"])
def test_the_embedding_is_taken_and_stays(before: gl.Run, rows: str) -> None:
    run = gl.train(taken(before, "embedding", start__unused_rows=rows))
    known, first, last = before.weights()["embed.W_E"], run.weights(0)["embed.W_E"], run.weights()["embed.W_E"]
    unseen = [i for i in range(P, P + 5) if i != PLUS]
    np.testing.assert_array_equal(first[:P], known[:P])
    np.testing.assert_array_equal(last[:P], known[:P])
    np.testing.assert_array_equal(first[PLUS], known[PLUS])
    assert np.array_equal(first[unseen], known[unseen]) == (rows == "keep")
    # '=' stands between the operands of 2x + y, and is trained where that is asked for
    assert np.array_equal(first[P], last[P]) == (rows != "train")
    assert not np.array_equal(run.weights(0)["unembed.W_U"], before.weights()["unembed.W_U"])
    assert not np.array_equal(run.weights(0)["unembed.W_U"], run.weights()["unembed.W_U"])


def test_rows_that_were_never_seen_decay_to_nothing_in_the_source(before: gl.Run) -> None:
    first, last = before.weights(0)["embed.W_E"], before.weights()["embed.W_E"]
    np.testing.assert_allclose(last[P], first[P] * (1 - 1e-3) ** 30, rtol=1e-4)


def test_the_transformer_is_taken_and_the_embedding_drawn_afresh(before: gl.Run) -> None:
    run = gl.train(taken(before, "transformer"))
    fresh = gl.train(gl.read({}, {**SETTINGS, "task.expression": "2x_y", "name": "fresh"}))
    for name, last in run.weights().items():
        first, theirs = run.weights(0)[name], name.startswith("blocks.")
        assert np.array_equal(first, last) == theirs
        # drawn outside the compiled program, whose last digit may differ
        np.testing.assert_allclose(first, (before.weights() if theirs else fresh.weights(0))[name], rtol=1e-6)


def test_a_description_may_take_another_part(before: gl.Run) -> None:
    one = taken(before, "embedding")
    assert gl.read(one.to_dict()) == one
    other = gl.read(one.to_dict(), {"start.take": ["transformer"]})
    assert list(other.optimiser.groups) == ["blocks.*"]
    assert one.identity != other.identity


@pytest.mark.parametrize(
    ("parts", "changed", "said"),
    [
        (("embedding",), {"task__p": 11}, r"embed.W_E.*\(12, 8\).*\(16, 8\) here, as the vocabularies differ"),
        (("embedding",), {"network__d_model": 4}, r"embed.W_E.*\(12, 8\).*\(12, 4\) here$"),
        (("body",), {}, "start.take = 'body': unknown; allowed: embedding"),
        (("transformer",), {"network__d_mlp": 8}, r"blocks.0.mlp.W_in.*has shape \(8, 16\).*\(8, 8\) here"),
    ],
)
def test_what_does_not_fit_is_refused(
    before: gl.Run, parts: tuple[str, ...], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(gl.InputError, match=said):
        gl.train(taken(before, *parts, **changed))


def test_freezing_needs_something_taken() -> None:
    with pytest.raises(gl.InputError, match="freeze and unused_rows are of weights that `take` names"):
        gl.read({}, {**SETTINGS, "start.file": "x.npz", "start.freeze": True})


def test_each_operation_of_a_mixture_is_measured(corpus: Corpus) -> None:
    run = corpus["mixture"]
    curves = run.curves()
    for part in ("train", "test"):
        each = [curves[f"{part}_loss_op{i}"] for i in range(3)]
        np.testing.assert_allclose(sum(each), curves[f"{part}_loss"], rtol=1e-5)
        right = [curves[f"{part}_accuracy_op{i}"] for i in range(3)]
        np.testing.assert_allclose(sum(right) / 3, curves[f"{part}_accuracy"], rtol=1e-5)
    # by hand
    task = build_task(run.experiment)
    test = make_split(run.experiment.split, task, run.experiment.seed).test
    assert task.operations is not None
    rows = test[task.operations[test] == 1]
    forward = jax.jit(lambda weights, inputs: run.experiment.network.reference_forward(weights, inputs, task.shape))
    logits = np.asarray(forward(run.weights(), task.inputs[rows]))
    assert (logits[:, -1].argmax(1) == task.targets[rows]).mean() == pytest.approx(curves["test_accuracy_op1"][-1])
    named = run.summary()["operations"]
    assert [o["operation"] for o in named] == ["x + y", "x - y", "x*y"]
    assert named[1]["test_accuracy"] == pytest.approx(curves["test_accuracy_op1"][-1])
    with pytest.raises(gl.InputError, match=r"batch_size.*losses=mean"):
        gl.train(gl.read({}, {**MIXTURE, "batch_size": 4}))


def test_an_embedding_goes_from_one_operation_to_a_mixture_and_back(before: gl.Run) -> None:
    mixed = {key: value for key, value in SETTINGS.items() if not key.startswith("task.")}
    mixed |= {"task.kind": "mixture", "task.p": P, "task.expressions": ["add", "multiply"], "name": "mixed"}
    mixed |= {"task.tokens": "signs", "task.outputs": "vocabulary"}
    given = {"start.run": str(before.path), "start.step": 30, "start.take": ["embedding"], "start.freeze": True}
    both = gl.train(gl.read({}, {**mixed, **given}))
    np.testing.assert_array_equal(
        both.weights()["embed.W_E"][[*range(P), PLUS]], before.weights()["embed.W_E"][[*range(P), PLUS]]
    )
    back = gl.train(taken(both, "embedding", task__expression="multiply"))
    # the mixture has seen the sign of multiplication
    star = P + 3
    np.testing.assert_array_equal(back.weights()["embed.W_E"][star], both.weights()["embed.W_E"][star])


def test_a_member_measured_beside_others_is_as_alone() -> None:
    # an MLP, which compiles faster than a transformer
    mixed = {k: v for k, v in MIXTURE.items() if not k.startswith("network.")}
    mixed |= {"network.kind": "mlp", "network.d_mlp": 16}
    two = gl.train(gl.read({}, mixed), seeds=2)
    one = gl.train(gl.read({}, {**mixed, "seed": 1}))
    for name, curve in two.curves(1).items():
        np.testing.assert_allclose(curve, one.curves()[name], rtol=1e-5, err_msg=name)
