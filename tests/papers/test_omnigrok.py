"""Omnigrok's presets: the paper's numbers, and what each control changes."""

from __future__ import annotations

import numpy as np
import pytest

import groklab as gl
from groklab.tasks import make_split
from groklab.training import build_task, weight_shapes

#: Little of everything: 60 digits, narrow layers.
TINY = {"task.first": 60, "split.n_train": 40, "network.d_hidden": 16, "batch_size": 10, "evaluation.every": 10}


def test_mnist_has_the_papers_numbers() -> None:
    e = gl.preset("omnigrok/mnist")
    assert (e.task.kind, e.split.n_train, e.batch_size, e.budget.steps) == ("mnist", 1000, 200, 100_000)
    assert (e.network.init_scale, e.network.activation, e.objective.kind) == (8, "relu", "mse")
    o = e.optimiser
    assert (o.kind, o.learning_rate, o.weight_decay, o.b1, o.b2) == ("adamw", 1e-3, 0.01, 0.9, 0.999)
    task = build_task(e)
    assert sum(np.prod(s) for s in weight_shapes(e, task).values()) == 785 * 200 + 201 * 200 + 201 * 10
    assert len(make_split(e.split, task, e.seed).test) == 4000


@pytest.mark.parametrize(
    ("name", "base", "changes"),
    [
        ("mnist-small", "mnist", {"optimiser.weight_decay": 0.1, "budget.steps": 30_000}),
        ("mnist-no-delay", "mnist", {"network.init_scale": 1.0, "budget.steps": 10_000}),
        ("mnist-no-decay", "mnist-small", {"optimiser.weight_decay": 0.0}),
        ("mnist-phases", "mnist-small", {"optimiser.groups.unembed.*.learning_rate": 1e-3}),
        (
            "landscape",
            "mnist",
            {
                "network.init_scale": 1.0,
                "split.n_train": 200,
                "optimiser.weight_decay": 0.0,
                "optimiser.clamp": "initial",
                "batch_size": 100,
                "budget.steps": 10_000,
            },
        ),
    ],
)
def test_presets_differ_from_one_another_in_what_they_say(name: str, base: str, changes: dict[str, object]) -> None:
    made = gl.preset(f"omnigrok/{base}", {**changes, "name": f"omnigrok/{name}"})
    assert gl.preset(f"omnigrok/{name}").to_dict() == made.to_dict()


def test_the_landscape_keeps_the_norm_of_the_start_and_still_learns() -> None:
    members = [gl.preset("omnigrok/landscape", {**TINY, "budget.steps": 60, "network.init_scale": a}) for a in (1, 3)]
    run = gl.train(members)
    for i in (0, 1):
        curves = run.curves(i)
        np.testing.assert_allclose(curves["weight_norm"], curves["weight_norm"][0], rtol=1e-5)
        assert curves["train_loss"][-1] < 0.9 * curves["train_loss"][0]
    assert run.curves(1)["weight_norm"][0] == pytest.approx(3 * run.curves(0)["weight_norm"][0], rel=1e-5)


def test_the_last_layers_own_rate_moves_it_alone() -> None:
    changes = {**TINY, "budget.steps": 1, "optimiser.weight_decay": 0.0, "evaluation.every": 1}
    rates = [0.0, 1e-3, 1e-2]
    pattern = "optimiser.groups.unembed.*.learning_rate"
    run = gl.train([gl.preset("omnigrok/mnist-phases", {**changes, pattern: r}) for r in rates])
    for i, rate in enumerate(rates):
        first, last = (run.weights(step, member=i) for step in (0, 1))
        moved = {name: float(abs(last[name] - first[name]).max()) for name in first}
        # Adam's first step is the learning rate in every entry with a gradient
        assert moved["unembed.b_U"] == pytest.approx(rate, rel=1e-3, abs=1e-9)
        assert moved["hidden.1.W"] == pytest.approx(1e-3, rel=1e-2)


def test_large_weights_delay_what_small_ones_do_at_once() -> None:
    changes = {
        "task.first": 400,
        "split.n_train": 100,
        "network.d_hidden": 100,
        "batch_size": 100,
        "optimiser.learning_rate": 2e-3,
        "optimiser.weight_decay": 1.0,
        "budget.steps": 600,
        "evaluation.every": 25,
    }
    run = gl.train([gl.preset("omnigrok/mnist-small", {**changes, "network.init_scale": a}) for a in (1.0, 6.0)])
    reached = {}
    for i, name in enumerate(("small", "large")):
        curves = run.curves(i)
        for part, threshold in (("train", 0.9), ("test", 0.6)):
            hits = np.flatnonzero(curves[f"{part}_accuracy"] >= threshold)
            assert len(hits), (name, part)
            reached[name, part] = curves["step"][hits[0]]
        if name == "large":
            assert curves["weight_norm"][-1] < 0.5 * curves["weight_norm"][0]
    # measured: 25 and 25 steps, 100 and 400
    assert reached["small", "test"] <= reached["small", "train"] + 25
    assert reached["large", "test"] > 2 * reached["large", "train"]
    assert reached["large", "test"] > 4 * reached["small", "test"]
