"""Answers on corrupted training rows, by plain counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import groklab as gl
from groklab.measures import MEASURES
from groklab.measures._predictions import outputs
from groklab.tasks import make_split


def test_shares_are_those_of_plain_counting(home: Path) -> None:
    settings = {"split.label_noise": 0.4, "budget.steps": 60, "task.p": 11, "measures.names": ["label_noise"]}
    run = gl.train(gl.preset("micro-fast", {**settings, "measures.every": 30}), view=None)
    experiment = run.experiments[0]
    task = experiment.task.build()
    split = make_split(experiment.split, task, experiment.seed)
    values = outputs(run.weights(), task, split.train)
    answers = values.argmax(1)
    wrong = split.train_targets != task.targets[split.train]
    assert wrong.sum() == int(0.4 * len(split.train))
    frame = gl.take(run, "label_noise")
    last = frame.tail(1).to_dicts()[0]
    rows = split.train[wrong]
    assert last["corrupted"] == wrong.sum()
    assert last["corrupted_as_trained"] == pytest.approx((answers[rows] == split.train_targets[wrong]).mean())
    assert last["corrupted_as_true"] == pytest.approx((answers[rows] == task.targets[rows]).mean())
    clean = split.train[~wrong]
    assert last["clean"] == pytest.approx((answers[clean] == task.targets[clean]).mean())
    test = np.setdiff1d(np.arange(task.n_inputs), split.train)
    assert last["test"] == pytest.approx((answers[test] == task.targets[test]).mean())
    assert last["corrupted_as_trained"] > 0.5 > last["corrupted_as_true"]  # it has memorised them
    measured = run.measured
    assert measured is not None
    online = measured.filter(pl.col("step") == 60).to_dicts()[0]
    assert online["label_noise.corrupted_as_trained"] == last["corrupted_as_trained"]


def test_rows_of_no_noise_have_no_share(home: Path) -> None:
    experiment = gl.preset("micro-fast", {"task.p": 11, "budget.steps": 10})
    run = gl.train(experiment, view=None)
    last = gl.take(run, "label_noise").tail(1).to_dicts()[0]
    assert last["corrupted"] == 0
    assert np.isnan(last["corrupted_as_trained"])
    with pytest.raises(gl.InputError, match="needs train_targets"):
        MEASURES["label_noise"](run.weights(), experiment.task.build(), np.arange(5))
