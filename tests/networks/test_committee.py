"""The committee: outputs by a plain formula, a start at zero, and a tangent kernel that predicts lazy training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import groklab as gl
from groklab.papers.kumar2023.claims import RATE, Case, kernel_test_loss
from groklab.tasks import make_split

SMALL = {
    **{"task.d_in": 6, "task.examples": 60, "split.n_train": 20, "network.d_hidden": 40, "dtype": "float64"},
    **{"budget.steps": 200, "evaluation.every": 50},
}


def small(alpha: float, epsilon: float) -> gl.Experiment:
    return gl.preset(
        "kumar2023/rich",
        {**SMALL, "network.alpha": alpha, "network.epsilon": epsilon, "optimiser.learning_rate": 20 / alpha**2},
    )


def test_the_task_is_half_the_square_of_one_direction() -> None:
    task = gl.tasks.QuadraticTarget(d_in=50, examples=4000, data_seed=1).build()
    x, y = task.features, task.values
    assert x is not None
    assert y is not None
    assert x.shape == (4000, 50)
    assert np.linalg.norm(x, axis=1).mean() == pytest.approx(1, abs=0.02)
    assert (y**2).mean() == pytest.approx(0.75, abs=0.1)  # 3/4 for h from N(0, 1)
    # the direction is the top eigenvector of the answers' weighted covariance
    h = x @ np.linalg.eigh(x.T @ (x * y))[1][:, -1]
    assert np.corrcoef(h**2, y[:, 0])[0, 1] > 0.9
    with pytest.raises(gl.InputError, match=r"task\.data_seed"):
        gl.tasks.QuadraticTarget(data_seed=2**64).build()


def test_outputs_follow_the_formula_and_begin_at_zero(home: Path) -> None:
    experiment = small(0.5, 0.3)
    run = gl.train(experiment, view=None)
    task = experiment.task.build()
    w, start = (run.weights()[name] for name in ("hidden.W", "start.W"))
    assert np.array_equal(start, run.weights(0)["hidden.W"])  # the start is kept
    assert not np.array_equal(w, start)

    def plain(weights: np.ndarray) -> np.ndarray:
        h = task.features @ weights
        return 0.5 / 40 * (h + 0.3 / 2 * h**2).sum(1)

    split = make_split(experiment.split, task, 0)
    losses = ((plain(w) - plain(start) - task.values[:, 0]) ** 2)[split.test]
    curves = run.curves()
    assert curves["test_loss"][-1] == pytest.approx(losses.mean(), rel=1e-9)
    assert curves["test_loss"][0] == pytest.approx((task.values[split.test] ** 2).mean(), rel=1e-9)


def test_a_lazy_network_follows_its_kernel_step_for_step(home: Path) -> None:
    """At alpha 1,000 the weights hardly move: the exact regression after 200 steps has the same test loss."""
    alpha = 1000.0
    experiment = gl.preset(
        "kumar2023/rich",
        {**SMALL, "network.alpha": alpha, "network.epsilon": 1.0, "optimiser.learning_rate": RATE / alpha**2 / 25},
    )
    run = gl.train(experiment, view=None)
    task = experiment.task.build()
    split = make_split(experiment.split, task, 0)
    sets = [(task.features[rows], task.values[rows]) for rows in (split.train, split.test)]
    kernel = kernel_test_loss(run.weights()["start.W"], *sets, Case(alpha, 1.0, 25.0), 200)
    assert run.curves()["test_loss"][-1] == pytest.approx(kernel, rel=1e-2)
    rich = gl.train(small(0.5, 1.0), view=None)
    assert abs(rich.curves()["test_loss"][-1] / kernel - 1) > 0.05


def test_tokens_are_refused() -> None:
    with pytest.raises(gl.InputError, match=r"network\.kind = 'committee'"):
        gl.train(gl.preset("micro", {"network.kind": "committee", "objective.kind": "mse"}), view=None)
