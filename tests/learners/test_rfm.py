"""The fast machine against the slow reference, automatic differentiation, and an independent implementation's runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import rfm_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from amounts import amount
from groklab.components import hyperparameters_of
from groklab.errors import InputError
from groklab.experiment import component
from groklab.learners import RFM, Pairs, Rows, fit, kernel_of
from groklab.learners._rfm.machine import Data
from groklab.tasks import Task, TaskShape
from ways import FAST, forced

GOLDEN = Path(__file__).parents[1] / "data" / "mallinar2024_golden.json"
#: How many of the 30 iterations of each known run are followed: by the 15th all four have learnt 75% of the pairs.
FOLLOWED = amount(10, full=30)
KERNELS = ["quadratic", "gaussian", "laplace", "general_quadratic"]


def arithmetic(p: int, expression: str = "x + y", **more: Any) -> Task:
    return component("task", {"kind": "arithmetic", "p": p, "expression": expression, "layout": "a b", **more}).build()  # type: ignore[no-any-return]


def metric(d: int, seed: int = 0) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((d, d))
    return np.eye(d) + root @ root.T / d


def fitted(kernel: str, points: Any, targets: np.ndarray, m: np.ndarray, ridge: float = 0.0) -> Any:
    room = np.empty((points.n, points.n), m.dtype)
    return fit(kernel_of(kernel, 2.5), points, targets, m, ridge, room)[0]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("centre", [True, False])
def test_look_ups_and_matrix_products_mean_the_same(kernel: str, centre: bool) -> None:
    rng = np.random.default_rng(1)
    p, n = 7, 25
    rows = np.sort(rng.permutation(p * p)[:n])
    pairs = Pairs(rows // p, rows % p, p)
    others = np.setdiff1d(np.arange(p * p), rows)
    rest = Pairs(others // p, others % p, p)
    targets = np.eye(p)[(rows // p + rows % p) % p]
    m = metric(2 * p)
    looked_up = fitted(kernel, pairs, targets, m, 1e-3)
    multiplied = fitted(kernel, Rows(pairs.dense(np.float64)), targets, m, 1e-3)
    np.testing.assert_allclose(
        looked_up.predict(rest), multiplied.predict(Rows(rest.dense(np.float64))), rtol=1e-10, atol=1e-10
    )
    a, b = looked_up.agop(centre), multiplied.agop(centre)
    np.testing.assert_allclose(a, b, atol=1e-10 * np.abs(b).max())
    by_class = looked_up.agop(centre, by_class=True)
    np.testing.assert_allclose(by_class, multiplied.agop(centre, by_class=True), atol=1e-10 * np.abs(b).max())
    np.testing.assert_allclose(by_class.sum(0), b, atol=1e-10 * np.abs(b).max())


@pytest.mark.parametrize("kernel", KERNELS)
def test_real_rows_agree_with_automatic_differentiation(kernel: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((14, 5)), np.eye(3)[rng.integers(3, size=14)]
    m, ridge = metric(5), 0.1
    machine = fitted(kernel, Rows(x), y, m, ridge)
    X, Y, M = jnp.asarray(x), jnp.asarray(y), jnp.asarray(m)
    alpha = reference.fit(kernel, X, Y, M, 2.5, ridge)
    expected = np.asarray(reference.predict(kernel, X, X, alpha, M, 2.5))
    np.testing.assert_allclose(machine.predict(Rows(x)), expected, rtol=1e-10, atol=1e-10)
    jacobians = reference.jacobians(kernel, X, X, alpha, M, 2.5, automatic=True)
    for centre in (True, False):
        expected = np.asarray(reference.agop(jacobians, centre))
        np.testing.assert_allclose(machine.agop(centre), expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("kernel", KERNELS)
def test_iterations_follow_the_reference(kernel: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROKLAB_WAY", way)
    task = arithmetic(5)
    rows = np.sort(np.random.default_rng(3).permutation(25)[:15])
    rest = np.setdiff1d(np.arange(25), rows)
    eye = np.eye(5)
    x, y = np.concatenate([eye[task.inputs[:, 0]], eye[task.inputs[:, 1]]], axis=1), eye[task.targets]
    expected = reference.iterate(x[rows], y[rows], x[rest], y[rest], kernel, 3, ridge=1e-3, power=0.75)
    machine = RFM(kernel=kernel, ridge=1e-3, agop_power=0.75).start(task, rows)  # type: ignore[arg-type]
    for known in expected:
        row = machine.step()
        for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
            assert row[name] == pytest.approx(known[name], rel=1e-8)
        assert row["test_correct_loss"] == pytest.approx(known["test_correct_class_loss"], rel=1e-8)
        np.testing.assert_allclose(machine.M, known["M_next"], atol=1e-8 * np.abs(known["M_next"]).max())


@pytest.mark.long
@pytest.mark.parametrize(("way", "followed"), [("tables", FOLLOWED), ("dense", amount(3, full=30))])
@pytest.mark.parametrize("number", range(4))
def test_the_four_known_runs_are_followed_iteration_by_iteration(
    number: int, way: str, followed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROKLAB_WAY", way)
    run = json.loads(GOLDEN.read_text())["runs"][number]
    names = {"x+y": "add", "x*y": "multiply", "x/y": "divide"}
    task = arithmetic(run["p"], names[run["operation"]])
    rows = np.array(run["train_index"])
    if run["operation"] == "x/y":
        # listed as (x, y), shown as (x*y, y) with the answer x
        x, y = rows // (run["p"] - 1), rows % (run["p"] - 1) + 1
        rows = (x * y % run["p"]) * (run["p"] - 1) + y - 1
    machine = RFM(kernel=run["kernel"]).start(task, rows)
    known = run["iterations"]
    assert len(known["acc"]) == 30
    for t in range(followed):
        row = machine.step()
        assert row["test_accuracy"] == known["acc"][t]
        assert row["test_loss"] == pytest.approx(known["mse"][t], rel=1e-8)
        assert row["test_correct_loss"] == pytest.approx(known["corr"][t], rel=1e-8)
        assert float(np.trace(machine.M)) == pytest.approx(known["trM"][t], rel=1e-8)
        # of every run: the training set is fitted from the start
        assert row["train_accuracy"] == 1
        assert row["train_loss"] < (1e-30 if run["kernel"] == "quadratic" else 2e-24)


def test_single_precision_takes_the_same_course() -> None:
    run = json.loads(GOLDEN.read_text())["runs"][0]
    task = arithmetic(61, "add")
    machine = RFM().start(task, np.array(run["train_index"]), dtype="float32")
    for t in range(14):
        assert machine.step()["test_accuracy"] == run["iterations"]["acc"][t]
    assert machine.M.dtype == np.float32


@pytest.mark.parametrize("way", FAST)
@pytest.mark.parametrize("kernel", ["quadratic", "gaussian"])
def test_conjugate_gradients_solve_the_same_system(kernel: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROKLAB_WAY", way)
    task = arithmetic(11)
    rows = np.random.default_rng(4).permutation(121)[:70]
    held = RFM(kernel=kernel).start(task, rows)  # type: ignore[arg-type]
    free = RFM(kernel=kernel, solver="iterative").start(task, rows)  # type: ignore[arg-type]
    for _ in range(2):
        true = float(np.linalg.cond(_kernel(held, kernel)))
        a, b = held.step(), free.step()
        assert b["test_loss"] == pytest.approx(a["test_loss"], rel=1e-8)
        # what Lanczos sees lies inside the spectrum, and near its ends by the time the system is solved
        assert 0.7 * true < b["condition"] < 1.01 * true


def _kernel(machine: Any, kernel: str) -> np.ndarray:
    x = jnp.asarray(machine.data.train.dense(np.float64))
    return np.asarray(reference.kernel(kernel, x, x, jnp.asarray(machine.M), 2.5))


@pytest.mark.parametrize(("kernel", "low", "high"), [("quadratic", 0.3, 1.01), ("gaussian", 0.3, 1.01)])
def test_the_condition_number_is_estimated_from_below(kernel: str, low: float, high: float) -> None:
    machine = RFM(kernel=kernel).start(arithmetic(13), np.random.default_rng(5).permutation(169)[:90])  # type: ignore[arg-type]
    true = float(np.linalg.cond(_kernel(machine, kernel)))
    assert low * true < machine.evaluate()["condition"] < high * true


def test_a_singular_system_is_a_sentence_and_a_ridge_mends_it() -> None:
    x = np.random.default_rng(6).standard_normal((12, 2))  # twelve points, three monomials of degree two
    targets = np.eye(3)[np.arange(12) % 3]
    with pytest.warns(UserWarning, match="no Cholesky factor"), pytest.raises(InputError, match="singular"):
        fitted("quadratic", Rows(x), targets, np.eye(2))
    assert np.isfinite(fitted("quadratic", Rows(x), targets, np.eye(2), 0.1).predict(Rows(x))).all()


def test_a_machine_without_a_factor_goes_to_the_host_and_a_singular_one_is_refused() -> None:
    with forced("dense"):
        x = np.random.default_rng(6).standard_normal((12, 2))
        data = Data(
            Rows(x),
            np.arange(12) % 3,
            Rows(x),
            np.arange(12) % 3,
            np.ones(12, bool),
            TaskShape(0, 0, 3, ()),
            "float64",
            True,
        )
        machine = RFM()
        with pytest.warns(UserWarning, match="no Cholesky factor"), pytest.raises(InputError, match="singular"):
            machine.step({"M": np.eye(2)}, data, hyperparameters_of(machine, "learner"), True, True)


def test_lu_takes_over_where_there_is_no_cholesky_factor() -> None:
    from groklab.learners._rfm.solving import solve

    indefinite = np.array([[1.0, 2.0, 0.5], [2.0, 1.0, 0.1], [0.5, 0.1, 3.0]])
    right = np.eye(3)[:, :2]

    def fill(room: np.ndarray) -> None:
        room[np.triu_indices(3)] = indefinite[np.triu_indices(3)]

    with pytest.warns(UserWarning, match="using LU"):
        found = solve(fill, np.empty((3, 3)), 0.0, right)
    np.testing.assert_allclose(indefinite @ found.coefficients, right, atol=1e-14)
    assert found.condition == pytest.approx(np.linalg.cond(indefinite, 1), rel=0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(0, 1000), st.sampled_from(KERNELS))
def test_pairs_in_any_order_give_the_same_machine(p: int, seed: int, kernel: str) -> None:
    rng = np.random.default_rng(seed)
    task = arithmetic(p)
    rows = rng.permutation(p * p)[: max(2, p * p // 2)]
    learner = RFM(kernel=kernel, ridge=0.01)  # type: ignore[arg-type]
    one = learner.start(task, rows)
    other = learner.start(task, rng.permutation(rows))
    one.step(), other.step()
    np.testing.assert_allclose(one.M, other.M, atol=1e-9 * np.abs(one.M).max())


def test_scale_of_the_metric_does_not_move_quadratic_predictions() -> None:
    task, rows = arithmetic(7), np.arange(0, 49, 2)
    seen = [RFM().outputs({"M": metric(14) * scale}, task, rows) for scale in (1.0, 7.0)]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)


def test_normalising_divides_by_the_largest_entry_or_the_mean_of_the_diagonal() -> None:
    task, rows = arithmetic(7), np.arange(0, 49, 2)
    plain, largest, trace = (RFM(normalise=n).start(task, rows) for n in ("none", "max", "trace"))  # type: ignore[arg-type]
    for machine in (plain, largest, trace):
        machine.step()
    np.testing.assert_allclose(largest.M, plain.M / plain.M.max())
    np.testing.assert_allclose(trace.M, plain.M / np.trace(plain.M) * 14)


def test_accuracy_without_transposes_leaves_out_what_commutativity_gives_away() -> None:
    task = arithmetic(7)
    rows = np.sort(np.random.default_rng(7).permutation(49)[:30])
    machine = RFM(kernel="gaussian").start(task, rows)
    for _ in range(3):
        row = machine.step()
        outputs = machine.learner.outputs({"M": machine.M}, task, rows)
    row = machine.evaluate()
    outputs = machine.learner.outputs({"M": machine.M}, task, rows)
    test = [i for i in range(49) if i not in rows]
    free = [i for i in test if task.inputs[i, 1] * 7 + task.inputs[i, 0] not in rows]
    right = outputs.argmax(1) == task.targets
    assert row["test_accuracy"] == pytest.approx(right[test].mean())
    assert row["transpose_free_accuracy"] == pytest.approx(right[free].mean())
    assert np.isnan(RFM().start(arithmetic(7, "x + 2*y"), rows).evaluate()["transpose_free_accuracy"])


def test_three_operands_and_a_tables_tokens_go_the_dense_way() -> None:
    task = arithmetic(3, "x + y + z")
    machine = RFM(kernel="gaussian").start(task, np.arange(0, 27, 2))
    assert isinstance(machine.data.train, Rows)
    assert machine.M.shape == (9, 9)
    assert machine.step()["train_accuracy"] == 1


def test_planted_features_are_the_first_metric() -> None:
    task = arithmetic(31)
    rows = np.sort(np.random.default_rng(8).permutation(961)[:480])
    right = RFM(features="toeplitz").start(task, rows).evaluate()["test_accuracy"]
    wrong = RFM(features="hankel").start(task, rows).evaluate()["test_accuracy"]
    assert right > 0.95
    assert wrong < 0.15


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"bandwidth": 0.0}, "learner.bandwidth = 0.0: needs to be above 0"),
        ({"bandwidth": -1.0}, "learner.bandwidth"),
        ({"ridge": -1e-9}, "learner.ridge = -1e-09: needs to be 0 or above"),
        ({"agop_power": 0.0}, "learner.agop_power"),
        ({"kernel": "cubic"}, "learner.kernel"),
        ({"features_seed": -1}, "learner.features_seed"),
    ],
)
def test_bad_settings_are_one_sentence(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        component("learner", {"kind": "rfm", **given_})


def test_what_cannot_fit_is_said_before_it_is_allocated() -> None:
    shape = arithmetic(5).shape
    with pytest.raises(InputError, match=r"n = 10,000,000 .* bytes\), but only .* are free: n = [\d,]+ would fit"):
        RFM(solver="cholesky").bytes_needed(shape, 10_000_000, 10, "float64")
    # without the matrix it would
    assert RFM().bytes_needed(shape, 10_000_000, 10, "float32") < 2e11
