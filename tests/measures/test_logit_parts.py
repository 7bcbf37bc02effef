"""The logits' key, non-key and residual parts, against projections written out over all inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.measures.brute import cross_entropy, directions, project
from tests.measures.models import NETWORKS, Model, case, made
from tests.measures.test_progress import exact_model

import groklab as gl
from groklab.measures import PARTS, grid_of
from groklab.measures._logit_parts import frequency_tables
from groklab.tasks import Arithmetic, Mixture, Task

#: g(a − b) with a softmax over the vocabulary, even p, and one-hots: few, since compiling takes the time.
CASES = [("subtract", "transformer"), ("even", "transformer"), ("add", "mlp")]


def parts_written_out(task: Task, sign: int, logits: np.ndarray, keys: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The logits (N, n_answers) of each row of the table, by projections over the inputs as they stand."""
    every = {k: project(logits, directions(task, sign, k)) for k in range(1, task.algebra.p // 2 + 1)}
    key = sum((every[k] for k in keys), np.zeros_like(logits))
    non_key = sum((v for k, v in every.items() if k not in keys), np.zeros_like(logits))
    residual = logits - key - non_key
    return {
        "all": logits,
        "key": key,
        "non_key": non_key,
        "residual": residual,
        "key_non_key": key + non_key,
        "key_residual": key + residual,
        "non_key_residual": non_key + residual,
        "key_mean": key + logits.mean(axis=0),
    }


def take(model: Model, train: np.ndarray | None, frequencies: tuple[int, ...] | None = (1, 3)) -> dict[str, Any]:
    return gl.MEASURES["logit_parts"](model.weights, model.task, train, network=model.network, frequencies=frequencies)


def keys_of(found: dict[str, Any]) -> list[tuple[int, ...]]:
    return [tuple(int(i) + 1 for i in np.flatnonzero(row)) for row in found["is_key"]]


def training_rows(task: Task) -> np.ndarray:
    return np.random.default_rng(5).permutation(task.n_inputs)[: task.n_inputs // 3]


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_against_projections_written_out(task_name: str, network_name: str) -> None:
    model = case(task_name, network_name)
    task, n = model.task, model.task.algebra.p // 2
    train = training_rows(task)
    test = np.setdiff1d(np.arange(task.n_inputs), train)
    found, sign = take(model, train), task.algebra.direction
    assert found["direction"] == sign
    assert found["rules"][0] == "given"
    for rule, keys in enumerate(keys_of(found)):
        expected = parts_written_out(task, sign, model.logits, keys)
        assert found["parts"] == list(expected)
        for i, logits in enumerate(expected.values()):
            for name, rows in (("loss", slice(None)), ("train_loss", train), ("test_loss", test)):
                loss = cross_entropy(logits[rows], task.targets[rows])
                assert found[name][rule, i] == pytest.approx(loss, rel=1e-9, abs=1e-12)
    every = [project(model.logits, directions(task, sign, k)) for k in range(1, n + 1)]
    for name, rows in (("", slice(None)), ("train_", train), ("test_", test)):
        losses = [cross_entropy((model.logits - part)[rows], task.targets[rows]) for part in every]
        np.testing.assert_allclose(found[f"{name}loss_without_frequency"], losses, rtol=1e-9)
    variance = np.sum((model.logits - model.logits.mean(axis=0)) ** 2)
    np.testing.assert_allclose(found["share"], [np.sum(part**2) / variance for part in every], rtol=1e-9)
    own = cross_entropy(model.logits[train], task.targets[train])
    rises = found["train_loss_without_frequency"] - own > 1e-9
    np.testing.assert_array_equal(found["dependent"], rises)
    for rule, keys in enumerate(keys_of(found)):
        assert found["n_dependent"][rule] == sum(rises[k - 1] for k in range(1, n + 1) if k not in keys)


@pytest.mark.parametrize("p", [5, 6, 9])
@pytest.mark.parametrize("expression", ["x + y", "x - y", "y - x", "(x - y)^2"])
def test_tables_are_projections_of_random_logits(p: int, expression: str) -> None:
    """The parts are orthogonal and add up, and taking the parts of a part changes nothing."""
    task = Arithmetic(p=p, expression=expression).build()
    grid = grid_of(task)
    logits = np.random.default_rng(p).normal(size=(task.n_inputs, p))
    tables = frequency_tables(logits[grid.rows], grid)
    each = [table[grid.sums] for table in tables]
    for k, part in enumerate(each, 1):
        expected = project(logits, directions(task, grid.direction, k))[grid.rows]
        np.testing.assert_allclose(part, expected, atol=1e-12)
        again = frequency_tables(part, grid)
        np.testing.assert_allclose(again[k - 1], tables[k - 1], atol=1e-12)
        np.testing.assert_allclose(np.delete(again, k - 1, axis=0), 0, atol=1e-12)
    residual = logits[grid.rows] - sum(each)
    np.testing.assert_allclose(frequency_tables(residual, grid), 0, atol=1e-12)
    squares = [np.sum(part**2) for part in (*each, residual)]
    assert sum(squares) == pytest.approx(np.sum(logits**2), rel=1e-12)


def test_it_agrees_with_the_progress_measures_where_they_mean_the_same() -> None:
    model = case("add", "mlp")
    task, keys = model.task, (1, 3)
    train = training_rows(task)
    found = take(model, train, keys)
    known = {"network": model.network, "frequencies": keys}
    by_part = {
        name: dict(zip(found["parts"], found[name][0], strict=True)) for name in ("loss", "train_loss", "test_loss")
    }
    progress = gl.MEASURES["progress"](model.weights, task, train, **known)
    assert by_part["loss"]["key_mean"] == pytest.approx(progress["restricted_loss"], rel=1e-12)
    assert by_part["train_loss"]["key_mean"] == pytest.approx(progress["restricted_loss_train"], rel=1e-12)
    assert by_part["train_loss"]["non_key_residual"] == pytest.approx(progress["excluded_loss"], rel=1e-12)
    assert by_part["train_loss"]["all"] == pytest.approx(progress["train_loss"], rel=1e-12)
    variants = gl.MEASURES["progress_variants"](model.weights, task, train, **known)
    for i, name in enumerate(by_part):
        assert by_part[name]["key"] == pytest.approx(variants["restricted_no_mean"][i], rel=1e-12)
        assert by_part[name]["key_mean"] == pytest.approx(variants["restricted"][i], rel=1e-12)
    each = gl.MEASURES["excluded_by_frequency"](model.weights, task, train, network=model.network)
    np.testing.assert_allclose(found["train_loss_without_frequency"], each["loss"], rtol=1e-12)
    removed = gl.MEASURES["ablations"](model.weights, task, train, **known)
    losses = dict(zip(removed["names"], removed["train_loss"], strict=True))
    for k in keys:
        expected = found["train_loss_without_frequency"][k - 1]
        assert losses[f"logits_without_{k}"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_of_a_model_made_of_two_frequencies_only_those_matter(sign: int) -> None:
    weights, task, network = exact_model(13, (2, 5), sign)
    train = training_rows(task)
    found = gl.MEASURES["logit_parts"](weights, task, train, network=network)
    assert found["rules"] == ["furuta", "furuta_union"]
    assert keys_of(found) == [(2, 5), (2, 5)]
    assert found["direction"] == sign
    assert np.flatnonzero(found["dependent"]).tolist() == [1, 4]
    assert found["n_dependent"].tolist() == [0, 0]
    # cos(w(2a − c)) and cos(w(2b − c)) beside it, of half its size each, are no function of a ± b
    np.testing.assert_allclose(found["share"][[1, 4]], 1 / 3, atol=1e-9)
    assert found["share"].sum() == pytest.approx(2 / 3)
    loss = dict(zip(found["parts"], found["train_loss"][0], strict=True))
    assert loss["non_key"] == pytest.approx(np.log(13), abs=1e-12)
    assert loss["key"] == pytest.approx(loss["key_non_key"], rel=1e-12)
    assert loss["key_residual"] == pytest.approx(loss["all"], rel=1e-12)
    assert loss["non_key_residual"] == pytest.approx(loss["residual"], rel=1e-12)
    assert loss["key"] < loss["all"] < np.log(13) < loss["residual"]


def test_of_a_mixture_each_operation_has_its_own_table() -> None:
    task = Mixture(p=7, expressions=("x + y", "x - y", "x*y")).build()
    model = made(task, NETWORKS["transformer"])
    pairs = np.random.default_rng(1).permutation(49)[:17]
    train = np.concatenate([pairs + 49 * i for i in range(3)])
    found = take(model, train, (2,))
    assert found["operations"] == list(task.algebra.operations[:2])
    assert found["left_out"] == list(task.algebra.operations[2:])
    assert found["direction"].tolist() == [1, -1]
    assert found["loss"].shape == (2, 3, len(PARTS))
    assert found["share"].shape == found["dependent"].shape == (2, 3)
    rest = np.setdiff1d(np.arange(49), pairs)
    for i, sign in enumerate((1, -1)):
        alone = Arithmetic(p=7, expression=("x + y", "x - y")[i]).build()
        logits = model.logits[49 * i : 49 * (i + 1)]
        expected = parts_written_out(alone, sign, logits, (2,))
        for place, values in enumerate(expected.values()):
            for name, rows in (("loss", slice(None)), ("train_loss", pairs), ("test_loss", rest)):
                loss = cross_entropy(values[rows], alone.targets[rows])
                assert found[name][i, 0, place] == pytest.approx(loss, rel=1e-9)


def test_without_a_split_only_all_pairs_have_losses() -> None:
    model = case("add", "mlp")
    found = take(model, None)
    assert np.isfinite(found["loss"]).all()
    assert not [name for name in found if name.startswith(("train_", "test_"))]
    own = cross_entropy(model.logits, model.task.targets)
    np.testing.assert_array_equal(found["dependent"], found["loss_without_frequency"] - own > 1e-9)
    whole = take(model, np.arange(model.task.n_inputs))
    np.testing.assert_allclose(whole["train_loss"], found["loss"], rtol=1e-12)
    assert not [name for name in whole if name.startswith("test_")]


def test_key_frequencies_are_those_of_the_final_model() -> None:
    first, last = case("add", "mlp"), exact_model(7, (2,))[0]
    found = gl.MEASURES["logit_parts"](first.weights, first.task, network=first.network, final=last)
    assert keys_of(found) == [(2,), (2,)]
    run = gl.train(gl.preset("micro-fast", {"budget.steps": 60}))
    frame = gl.take(run, "logit_parts")
    own = gl.MEASURES["key_frequencies"](run.weights(), run.experiments[0].task.build())["furuta"]
    for row in frame["is_key"].to_list():
        assert [i + 1 for i, is_key in enumerate(row[0]) if is_key] == own
    given = gl.take(run, "logit_parts", frequencies=(3, 1))
    assert given["rules"].to_list()[0] == ["given", "furuta", "furuta_union"]
    assert [i + 1 for i, is_key in enumerate(given["is_key"].to_list()[0][0]) if is_key] == [1, 3]


@pytest.mark.parametrize(
    ("task", "frequencies", "says"),
    [
        (Arithmetic(p=7, expression="x*y"), None, "a function of a+b or a−b, and not to x*y mod 7"),
        (Mixture(p=7, expressions=("x*y", "x*y + x")), None, "to no operation of x*y"),
        (Arithmetic(p=7), None, "these weights hold no unembedding"),
        (Arithmetic(p=7), (4,), "needs integers from 1 to 3"),
    ],
)
def test_what_does_not_apply_is_refused(
    task: Arithmetic | Mixture, frequencies: tuple[int, ...] | None, says: str
) -> None:
    with pytest.raises(gl.InputError) as caught:
        gl.MEASURES["logit_parts"]({}, task.build(), network=NETWORKS["mlp"], frequencies=frequencies)
    assert says in str(caught.value)
