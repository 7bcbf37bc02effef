"""Kernel machines as experiments: runs, ensembles, resuming, starts, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.learners import RFM
from groklab.store import Run
from groklab.training import _engine as engine
from groklab.training import training

SMALL = {"task.p": 11, "split.frac_train": 0.7, "budget.steps": 6, "checkpoints.rolling_seconds": 1e-9}


def experiment(**settings: Any) -> gl.Experiment:
    return gl.preset("rfm-small", {**SMALL, **{k.replace("__", "."): v for k, v in settings.items()}})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)


def test_a_run_is_the_machine_iterated(tmp_path: Path) -> None:
    run = training.train(experiment(), home=tmp_path)
    e = run.experiment
    task = gl.tasks.Arithmetic(p=11, layout="a b").build()
    machine = RFM(kernel="gaussian").start(task, gl.tasks.make_split(e.split, task, 0).train)
    curves = run.curves()
    assert run.checkpoints == list(range(7))
    for step in range(7):
        np.testing.assert_array_equal(run.weights(step)["M"], machine.M)
        row = machine.step()
        for name in ("test_loss", "test_accuracy", "condition", "test_correct_loss", "transpose_free_accuracy"):
            assert curves[name][step] == row[name], name
    assert run.measured is not None
    assert run.measured["circulant_deviation.toeplitz"].is_nan()[0]  # the identity has no block
    assert run.measured["circulant_deviation.toeplitz"][6] < run.measured["circulant_deviation.toeplitz"][1]


def test_members_go_side_by_side_as_they_would_alone(tmp_path: Path) -> None:
    asked = [*training.members_of(experiment(), 3), experiment(learner__bandwidth=4.0, seed=1)]
    together = training.train(asked, home=tmp_path / "a")
    for number, member in enumerate(asked):
        alone = training.train(member, home=tmp_path / str(number))
        np.testing.assert_array_equal(together.weights(6, number)["M"], alone.weights(6)["M"])
    # another kernel is another program
    with pytest.raises(InputError, match="not in program"):
        training.train([experiment(), experiment(learner__kernel="quadratic")], home=tmp_path)


def test_an_even_cadence_measures_every_other_iteration(tmp_path: Path) -> None:
    every = training.train(experiment(), home=tmp_path / "a")
    other = training.train(experiment(evaluation__every=2), home=tmp_path / "b")
    assert other.curves()["step"].tolist() == [0, 2, 4, 6]
    np.testing.assert_array_equal(other.curves()["test_loss"], every.curves()["test_loss"][::2])
    np.testing.assert_array_equal(other.weights(6)["M"], every.weights(6)["M"])


def test_features_learnt_by_one_run_start_another(tmp_path: Path) -> None:
    first = training.train(experiment(), home=tmp_path)
    planted = experiment(start__run=first.name, start__step=6, budget__steps=0, learner__bandwidth=3.0)
    again = training.train(planted, home=tmp_path)
    np.testing.assert_array_equal(again.weights(0)["M"], first.weights(6)["M"])


def test_one_machine_learns_a_mixture(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"task.p": 7, "budget.steps": 2, "measures.every": 1}
    run = training.train(gl.preset("mallinar2024/two-tasks", settings), home=tmp_path)
    assert run.weights(1)["M"].shape == (15, 15)
    assert run.curves()["train_accuracy"].tolist() == [1, 1, 1]


def test_it_takes_a_users_own_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 6)) * 3
    answers = rng.integers(3, size=60)
    np.savez(tmp_path / "mine.npz", inputs=centres[answers] + rng.standard_normal((60, 6)), answers=answers)
    asked = gl.read(
        {
            "learner": {"kind": "rfm", "kernel": "laplace", "bandwidth": 5, "ridge": 1e-3},
            "task": {"kind": "vectors", "path": str(tmp_path / "mine.npz")},
            "split": {"frac_train": 0.5},
            "budget": {"steps": 2},
        }
    )
    run = training.train(asked, home=tmp_path)
    assert run.weights()["M"].shape == (6, 6)
    assert run.curves()["test_accuracy"][-1] > 0.8
    with pytest.raises(InputError, match="whose inputs are not tokens"):
        training.train(gl.read(asked, {"learner.kind": "gradient_descent", "network.kind": "mlp"}), home=tmp_path)


def test_the_learner_decides_which_sections_there_are_and_what_is_default() -> None:
    machine = gl.preset("micro", {"learner": "rfm"})
    assert (machine.network, machine.objective, machine.optimiser) == (None, None, None)
    assert (machine.dtype, machine.budget.steps, machine.evaluation.every) == ("float64", 30, 1)
    assert gl.read(machine.to_dict()) == machine
    assert gl.preset("micro", {"learner": "rfm", "dtype": "float32"}).dtype == "float32"
    back = gl.read(machine, {"learner.kind": "gradient_descent"})
    assert back.network.kind == "transformer"
    assert gl.preset("micro").to_dict()["learner"] == {"kind": "gradient_descent"}
    # as experiments were written before there were other learners
    assert gl.read({**gl.preset("micro").to_dict(), "learner": "gradient_descent"}) == gl.preset("micro")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network.d_mlp": 5}, "network: the learner rfm has no such section; it reads task, split, learner"),
        ({"batch_size": 5}, "batch_size: the learner rfm has no such section"),
        ({"learner.bandwidth": 0}, r"^learner\.bandwidth = 0\.0: needs to be above 0"),
        ({"learner.ridge": -1}, r"^learner\.ridge = -1\.0: needs to be 0 or above"),
        ({"learner.kind": "forest"}, "learner.kind = 'forest': unknown; allowed: .*gradient_descent, rfm"),
        ({"learner.features": "toeplitz_log", "task.p": 15}, "15: has no discrete logarithm: it needs to be a prime"),
        ({"learner.features": "toeplitz", "task.expression": "x + y + z", "task.p": 3}, "learner.features"),
        ({"learner.path": "pairs", "task.expression": "x + y + z", "task.p": 3}, "learner.path"),
        ({"split.schedule": [{"step": 2, "frac_train": 0.8}]}, "split.schedule"),
        ({"start": {"run": "nothing"}}, "nothing"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        training.train(experiment(**settings), home=tmp_path)
    assert not list(tmp_path.glob("rfm*"))


def test_a_singular_machine_says_so_and_at_which_iteration(tmp_path: Path) -> None:
    np.savez(tmp_path / "twice.npz", inputs=np.ones((6, 2)), answers=np.arange(6) % 2)
    asked = {
        "learner": "rfm",
        "task": {"kind": "vectors", "path": str(tmp_path / "twice.npz")},
        "split": {"frac_train": 0.7},
    }
    with (
        pytest.warns(UserWarning, match="LU"),
        pytest.raises(InputError, match="iteration 0: the kernel matrix is sing"),
    ):
        training.train(gl.read(asked), home=tmp_path)


def test_measures_of_noisy_labels_are_those_of_the_machine_that_learnt_them(tmp_path: Path) -> None:
    asked = experiment(split__label_noise=0.3, measures__names=["errors"], budget__steps=2)
    run = training.train(asked, home=tmp_path)
    taken = gl.take(run, "errors")
    assert run.measured is not None
    for name, column in (("test_accuracy", "test_accuracy"), ("test_loss", "test_mse"), ("train_loss", "train_mse")):
        np.testing.assert_allclose(taken[column], run.curves()[name], rtol=1e-6, atol=1e-20)
        np.testing.assert_allclose(run.measured[f"errors.{column}"], run.curves()[name], rtol=1e-6, atol=1e-20)
    assert run.curves()["train_loss"].max() < 1e-20


def test_a_machine_that_becomes_singular_keeps_what_came_before(tmp_path: Path) -> None:
    # so small a machine that its features collapse within a few iterations
    asked = experiment(task__p=7, task__expression="x^2 + y^2", split__frac_train=0.8, budget__steps=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rounding decides whether LU is tried first
        with pytest.raises(InputError, match=r"iteration \d+: the kernel matrix is singular"):
            training.train(asked, home=tmp_path)
    run = Run(next(tmp_path.glob("rfm*")))
    status = run.status
    assert status.state == "interrupted"
    assert status.step >= 1
    assert run.curves()["step"][-1] == status.step - 1
    assert status.members[0].test_accuracy is not None


def test_the_card_of_an_exported_machine_names_no_activations(corpus: Corpus, tmp_path: Path) -> None:
    folder = gl.export(corpus["rfm"], to="safetensors", out=tmp_path / "out")
    assert "gl.activations" not in (folder / "README.md").read_text()
    with pytest.raises(InputError, match="exports networks; for the learner rfm: --to safetensors"):
        gl.export(corpus["rfm"], to="transformer-lens", out=tmp_path / "other")


def test_what_would_fit_is_true() -> None:
    shape = gl.tasks.Arithmetic(p=401, layout="a b").build().shape
    with pytest.raises(InputError, match=r"n = ([\d,]+) would fit, or learner.solver = iterative") as refused:
        RFM(kernel="gaussian", solver="cholesky").bytes_needed(shape, 200_000, 10, "float64")
    words = str(refused.value)
    fits = int(words.split(": n = ")[1].split(" would")[0].replace(",", ""))
    assert RFM(kernel="gaussian", solver="cholesky").bytes_needed(shape, int(0.9 * fits), 10, "float64") > 0
