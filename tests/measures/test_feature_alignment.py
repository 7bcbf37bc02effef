"""Alignment with the final model, and of a network's two feature matrices with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.measures.feature_doubles import NETWORK_CASES, Kernel, metric, network_case, task_of

import groklab as gl
from groklab.analysis import take
from groklab.measures import MEASURES, alignment, feature_matrix, measure
from groklab.measures._feature_alignment import correlation
from groklab.tasks import Task

matrices = arrays.arrays(np.float64, (3, 3), elements=st.integers(-999, 999).map(lambda k: k / 10))


@given(a=matrices, b=matrices, scale=st.floats(1e-150, 1e150))
def test_alignment_is_a_cosine(a: np.ndarray, b: np.ndarray, scale: float) -> None:
    if not (a.any() and b.any()):
        assert np.isnan(alignment(a, b))
        return
    assert alignment(a, a) == pytest.approx(1, abs=1e-12)
    assert alignment(a, -scale * a) == pytest.approx(-1, abs=1e-12)
    assert -1 <= alignment(a, b) == alignment(b, a) <= 1
    dot = sum(x * y for x, y in zip(a.ravel(), b.ravel(), strict=True))
    assert alignment(a, b) == pytest.approx(dot / np.sqrt(sum(a.ravel() ** 2) * sum(b.ravel() ** 2)), abs=1e-9)


def test_agops_align_with_the_final_one() -> None:
    taken, task = gl.MEASURES["agop_alignment"], task_of("add")
    now, then = metric(10, 0), metric(10, 1)
    found = taken({"M": now}, task, network=Kernel(), final={"M": then})
    assert set(found) == {"full", "off_block"}
    assert found["full"] == pytest.approx(np.sum(now * then) / np.linalg.norm(now) / np.linalg.norm(then))
    a, b = now[5:, :5], then[5:, :5]
    assert found["off_block"] == pytest.approx(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))
    same = taken({"M": 3 * now}, task, network=Kernel(), final={"M": now})
    assert same == pytest.approx({"full": 1, "off_block": 1})
    assert np.isnan(taken({"M": np.eye(10)}, task, network=Kernel(), final={"M": then})["off_block"])

    model = network_case("add", "quadratic")
    other = {k: v + 0.5 for k, v in model.weights.items()}
    found = taken(model.weights, task, model.train, network=model.network, final=other)
    m, n = (feature_matrix(w, task, model.train, model.network) for w in (model.weights, other))
    assert found["full"] == pytest.approx(np.sum(m * n) / np.linalg.norm(m) / np.linalg.norm(n))
    with pytest.raises(gl.InputError, match="needs its weights"):
        taken({"M": now}, task, network=Kernel())


def test_what_compares_with_the_final_model_cannot_run_on_line() -> None:
    assert not gl.MEASURES["agop_alignment"].online

    def compared(weights: Mapping[str, Any], task: Task, final: Mapping[str, Any]) -> dict[str, Any]:
        """Compared."""
        return {}

    with pytest.raises(gl.InputError, match="cannot run online"):
        measure("too_early", online=True)(compared)
    assert "too_early" not in MEASURES


def test_over_the_checkpoints_of_a_run() -> None:
    small = {"task.p": 5, "network.d_mlp": 8, "budget.steps": 20, "checkpoints.per_decade": 1}
    run = gl.train(gl.preset("micro", small))
    found = take(run, "agop_alignment")
    assert found["step"].to_list() == run.checkpoints
    assert (found["full"][-1], found["off_block"][-1]) == pytest.approx((1, 1))
    assert found["full"][0] < 1


@pytest.mark.parametrize(("task_name", "network_name"), NETWORK_CASES)
def test_the_neural_feature_ansatz(task_name: str, network_name: str) -> None:
    model = network_case(task_name, network_name)
    taken = gl.MEASURES["neural_feature_ansatz"]
    found = taken(model.weights, model.task, model.train, network=model.network)
    values, vectors = np.linalg.eigh(np.mean([j.T @ j for j in model.jacobians()], axis=0))
    root = vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
    nfm = model.w1.T @ model.w1
    off = [(i, j) for i in range(10) for j in range(10) if i != j]
    assert found["full"] == pytest.approx(np.corrcoef(root.ravel(), nfm.ravel())[0, 1])
    listed = np.array([[m[place] for place in off] for m in (root, nfm)])
    assert found["off_diagonal"] == pytest.approx(np.corrcoef(listed)[0, 1])
    zeroed = [m - np.diag(np.diag(m)) for m in (root, nfm)]
    assert found["zeroed"] == pytest.approx(np.corrcoef([m.ravel() for m in zeroed])[0, 1])
    with pytest.raises(gl.InputError, match="weights of a network"):
        taken({"M": np.eye(10)}, task_of("add"), network=Kernel())


def test_a_constant_correlates_with_nothing() -> None:
    assert np.isnan(correlation(np.ones(4), np.arange(4.0)))
    assert correlation(np.arange(4.0), 5 - 2 * np.arange(4.0)) == pytest.approx(-1)
