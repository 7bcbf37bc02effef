"""The split that losses belong to is found, and no other is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

import groklab as gl
from groklab.tasks.base import Task
from groklab.tasks.published_splits import candidates, find_split
from groklab.tasks.splits import Split, make_split


@pytest.fixture(scope="module")
def task() -> Task:
    return gl.preset("demo", {"task.p": 29}).task.build()  # type: ignore[no-any-return]


def losses_of(task: Task, split: Split, train: float, test: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    losses = test * rng.lognormal(0, 1, task.n_inputs)
    rows = make_split(split, task, 0).train
    losses[rows] = train * rng.lognormal(0, 1, len(rows))
    return losses


@pytest.mark.parametrize("number", range(0, 101, 9))
def test_each_is_found(number: int, task: Task) -> None:
    split = list(candidates())[number]
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    found = find_split(task, losses, losses[rows.train].mean() * 1.0001, losses[rows.test].mean() * 1.0001)
    assert found is not None
    assert found[0] == split
    assert "agree" in found[1]


def test_the_demonstrations_own(task: Task) -> None:
    split = Split(method="torch_randperm", seed=598, frac_train=0.3)
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    found = find_split(task, losses, losses[rows.train].mean(), losses[rows.test].mean())
    assert found is not None
    assert found[0] == split


def test_what_tells_nothing_is_not_taken(task: Task) -> None:
    alike = np.full(task.n_inputs, 1e-7)
    assert find_split(task, alike, 1e-7, 1e-7) is None
    other = losses_of(task, Split(method="random", seed=4, frac_train=0.3), 1e-8, 1e-6)
    assert find_split(task, other, 1e-8, 1e-6) is None
    for nothing in (0.0, np.nan, np.inf):
        assert find_split(task, other, nothing, 1e-6) is None


def test_the_papers_fraction_is_taken_of_two_that_agree_alike(task: Task) -> None:
    split = Split(method="python_shuffle", seed=2, frac_train=0.28)
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    # a step of noise that hides the difference of two per cent of the inputs
    found = find_split(task, losses, losses[rows.train].mean() * 1.2, losses[rows.test].mean() * 1.1)
    assert found is None or found[0].seed == 2
