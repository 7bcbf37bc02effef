"""The presets of Mallinar et al. 2024: the paper's numbers, and what those show that take seconds or less."""

from __future__ import annotations

import numpy as np
import pytest

import groklab as gl
from groklab.papers.mallinar2024.presets import EPOCH, OPERATIONS, SMALL_EPOCH
from groklab.tasks import make_split
from groklab.training import build_task


def test_networks_have_the_papers_numbers() -> None:
    for operation in OPERATIONS:
        e = gl.preset(f"mallinar2024/{operation}-network")
        assert (e.task.p, e.split.frac_train, e.network.d_mlp, e.batch_size) == (61, 0.5, 1024, 32)
        assert (e.network.activation, e.network.init_scheme, e.objective.kind) == ("quadratic", "torch", "mse")
        o = e.optimiser
        assert (o.learning_rate, o.b1, o.b2, o.weight_decay) == (1e-3, 0.9, 0.98, 1.0)
        assert e.budget.steps == 50 * e.evaluation.every


@pytest.mark.parametrize(("name", "steps"), [("add-network", EPOCH), ("planted-add-network", SMALL_EPOCH)])
def test_epochs_are_converted_to_steps(name: str, steps: int) -> None:
    e = gl.preset(f"mallinar2024/{name}")
    n = len(make_split(e.split, build_task(e), e.seed).train)
    assert -(-n // e.batch_size) == steps


def test_planted_networks_differ_from_their_controls_in_features_alone() -> None:
    for operation in ("add", "multiply"):
        planted, control = (
            gl.preset(f"mallinar2024/{k}-{operation}-network").to_dict() for k in ("planted", "one-hot")
        )
        assert planted["network"].pop("features") == OPERATIONS[operation][1]
        assert control["network"].pop("features") == "one_hot"
        del planted["name"], control["name"]
        assert planted == control


def test_regularisers_differ_from_plain_descent_in_one_number() -> None:
    for small in ("", "-small"):
        plain, decay, penalty = (
            gl.preset(f"mallinar2024/{k}{small}") for k in ("unregularised", "weight-decay", "agop-penalty")
        )
        assert plain.optimiser.kind == "sgd"
        assert (plain.optimiser.weight_decay, plain.objective.agop_penalty) == (0, None)
        assert decay.optimiser.weight_decay == (1e-4 if small else 1e-5)
        assert penalty.objective.agop_penalty == (6e-4 if small else 1e-3)
        for other, section in ((decay, "optimiser"), (penalty, "objective")):
            one, two = plain.to_dict(), other.to_dict()
            del one["name"], two["name"], one[section], two[section]
            assert one == two


@pytest.mark.parametrize("operation", ["add", "multiply"])
def test_weights_that_are_written_down_are_right_on_every_pair(operation: str) -> None:
    run = gl.train(gl.preset(f"mallinar2024/gromov-{operation}", {"network.d_mlp": 512}))
    found = run.summary()
    assert (found["train_accuracy"], found["test_accuracy"]) == (1, 1)
    assert np.isfinite(found["test_loss"])
