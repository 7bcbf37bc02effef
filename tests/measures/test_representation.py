"""Parallelograms and principal components, against listing every quadruple and the published numbers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.measures import MEASURES, normalised, parallelogram_quality, rqi, structure_of
from groklab.networks import EmbeddingDecoder, Transformer
from groklab.tasks import Arithmetic, Group, Task
from groklab.theory import deducible, equations_of


def addition(p: int, **settings: Any) -> Task:
    return Arithmetic(p=p, **{"modular": False, "pairs": "unordered", **settings}).build()


def by_listing(
    e: np.ndarray, task: Task, train: np.ndarray, product: bool, delta_squared: float, over: str
) -> tuple[int, int, float, float]:
    """Parallelograms, how many there are, and predicted accuracy on all and on test inputs, quadruple by quadruple."""
    n = len(e)
    k = round(e.shape[1] ** 0.5)
    columns = [(c - c.mean()) / c.std(ddof=1) for c in e.T]
    e = e / np.sqrt((e**2).mean()) if product else np.stack(columns, axis=1)

    def read(pair: tuple[int, int]) -> np.ndarray:
        a, b = e[pair[0]], e[pair[1]]
        return (a.reshape(k, k) @ b.reshape(k, k)).ravel() if product else a + b

    def close(u: tuple[int, int], v: tuple[int, int]) -> bool:
        squares = (read(u) - read(v)) ** 2
        return bool((squares.mean() if over == "mean" else squares.sum()) < delta_squared)

    rows = [tuple(map(int, row)) for row in task.algebra.operands]
    answer = dict(zip(rows, task.targets.tolist(), strict=True))
    pairs = sorted(rows if product else {tuple(sorted(row)) for row in rows})
    equal = [(u, v) for u, v in itertools.combinations(pairs, 2) if answer[u] == answer[v]]
    assert n == max(max(row) for row in rows) + 1
    known = [rows[i] for i in train]
    right = [any(u == v or (answer[u] == answer[v] and close(u, v)) for v in known) for u in rows]
    tested = [right[i] for i in range(len(rows)) if i not in set(train.tolist())]
    return sum(close(u, v) for u, v in equal), len(equal), float(np.mean(right)), float(np.mean(tested))


@given(
    st.sampled_from(["x + y", "x + y mod", "x + y ordered", "x * y mod", "S3", "D4"]),
    st.integers(0, 1000),
    st.sampled_from([1, 4, 9]),
    st.sampled_from(["mean", "sum"]),
)
def test_quality_is_what_listing_every_quadruple_gives(kind: str, seed: int, d: int, over: Any) -> None:
    product = kind in ("S3", "D4")
    if product:
        task = Group(group=kind).build()
    else:
        pairs = "ordered" if kind.endswith("ordered") else "unordered"
        task = addition(7, expression=kind[:5], modular=kind.endswith("mod"), pairs=pairs)
    rng = np.random.default_rng(seed)
    n = structure_of(task, "product" if product else "sum").n_symbols
    e = rng.normal(size=(n, d))
    train = rng.permutation(task.n_inputs)[: task.n_inputs // 2]
    # so that some quadruples are near and some are not
    delta_squared = 0.8 if product else 0.3
    combine: Any = "product" if product else "sum"
    found = parallelogram_quality(e, task, train, combine=combine, delta_squared=delta_squared, over=over)
    within, count, predicted, on_test = by_listing(e, task, train, product, delta_squared, over)
    assert found["n_parallelograms"] == count
    assert found["rqi"] == pytest.approx(within / count)
    assert found["predicted_accuracy"] == pytest.approx(predicted)
    assert found["predicted_test_accuracy"] == pytest.approx(on_test)
    assert found["rqi"] == rqi(e, task, combine=combine, delta_squared=delta_squared, over=over)
    assert found["ideal_accuracy"] >= len(train) / task.n_inputs


@pytest.mark.parametrize(
    ("task", "combine", "count"),
    [
        (addition(10), "sum", 70),
        (addition(10, pairs="ordered"), "sum", 70),
        (addition(11, modular=True), "sum", 165),
        (Group(group="S3").build(), "product", 90),
    ],
)
def test_parallelograms_are_counted(task: Task, combine: Any, count: int) -> None:
    assert structure_of(task, combine).n_parallelograms == count


def test_a_line_has_all_parallelograms_whatever_its_offset_slope_and_dimension() -> None:
    task = addition(10)
    line = 1e6 + np.outer(np.arange(10), [3.0, -2e-3, 5.0])
    found = parallelogram_quality(line, task, np.arange(0, 55, 2))
    assert found["rqi"] == 1
    # every answer that some training pair has is predicted
    known = np.isin(task.targets, task.targets[::2])
    assert found["predicted_accuracy"] == pytest.approx(known.mean())
    # only where the slope is
    assert rqi(np.outer(np.arange(10), [1, 0]), task) == 1


def test_matrices_that_represent_the_group_have_all_parallelograms() -> None:
    task = Group(group="S3").build()
    table = task.algebra.table
    e = np.stack([np.eye(6)[table[:, g]].ravel() for g in range(6)])
    found = parallelogram_quality(e, task, np.arange(0, 36, 2), combine="product")
    assert found["rqi"] == 1
    assert found["predicted_test_accuracy"] == 1
    assert "null_dimension" not in found
    assert found["ideal_accuracy"] == deducible(task, np.arange(0, 36, 2)).mean()
    assert rqi(e[::-1], task, combine="product") < 1


def test_a_random_start_has_the_published_quality() -> None:
    task = addition(10)
    values = [rqi(np.random.default_rng(seed).random((10, 1)) - 0.5, task) for seed in range(1000)]
    # mean .034, standard deviation .022; three standard errors
    assert np.mean(values) == pytest.approx(0.034, abs=3 * 0.022 / 1000**0.5 + 0.0005)
    assert np.std(values) == pytest.approx(0.022, abs=0.002)


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5]), st.sampled_from(["sum", "product"]))
def test_normalised_embeddings_have_the_published_size(seed: int, d: int, combine: Any) -> None:
    e = normalised(np.random.default_rng(seed).normal(3, 2, (2, 10, d)), combine)
    if combine == "product":
        np.testing.assert_allclose((e**2).mean(axis=(1, 2)), 1)
    else:
        np.testing.assert_allclose(e.mean(axis=1), 0, atol=1e-12)
        np.testing.assert_allclose((e**2).sum(axis=1), 9)
    assert not normalised(np.full((4, 2), 7.0)).any()


def test_implied_answers_are_those_of_the_training_set() -> None:
    task = addition(10)
    train = np.random.default_rng(4).permutation(55)[:26]
    found = parallelogram_quality(np.random.default_rng(0).normal(size=(10, 2)), task, train)
    equations, chosen = equations_of(task), np.isin(np.arange(55), train)
    assert found["ideal_accuracy"] == equations.implied_by_rank(chosen).mean()
    assert found["null_dimension"] == equations.null_dimension(chosen)
    assert found["n_parallelograms_train"] == equations.count(chosen)
    # another training set, the same weights
    other = parallelogram_quality(np.random.default_rng(0).normal(size=(10, 2)), task, np.arange(3))
    assert other["null_dimension"] == equations.null_dimension(np.arange(55) < 3)


def test_transposes_are_no_equations() -> None:
    ordered, unordered = addition(8, pairs="ordered"), addition(8)
    chosen = np.random.default_rng(0).random(36) < 0.6
    keys = np.sort(ordered.algebra.operands, axis=1) @ np.array([100, 1])
    both = np.isin(keys, unordered.algebra.operands[chosen] @ np.array([100, 1]))
    one, two = equations_of(unordered), equations_of(ordered)
    assert one.count(chosen) == two.count(both)
    np.testing.assert_allclose(one.gram(chosen), two.gram(both), atol=1e-12)
    e = np.random.default_rng(1).normal(size=(8, 1))
    assert rqi(e, unordered, delta_squared=0.1) == rqi(e, ordered, delta_squared=0.1)


def test_the_measure_reads_weights_and_the_network_says_how() -> None:
    measure = MEASURES["parallelograms"]
    assert measure.online
    task, rng = addition(6, layout="a b ="), np.random.default_rng(0)
    # a row for the sign, which no symbol has
    weights = {"embed.W_E": rng.normal(size=(7, 3)).astype(np.float32)}
    train = np.arange(10)
    expected = parallelogram_quality(weights["embed.W_E"][:6], task, train)
    assert measure(weights, task, train) == expected
    assert measure(weights, task) == {k: expected[k] for k in ("rqi", "n_parallelograms")}
    assert measure({"embed.0.W": weights["embed.W_E"]}, task, train) == expected
    group = Group(group="S3").build()
    matrices = {"embed.W_E": rng.normal(size=(6, 9))}
    found = measure(matrices, group, np.arange(24), network=EmbeddingDecoder(d_embed=4, combine="product"))
    assert found == parallelogram_quality(matrices["embed.W_E"], group, np.arange(24), combine="product")
    drawn = Transformer(d_model=16, n_heads=2, d_mlp=16)
    assert measure(weights, task, train, network=drawn) == expected


def test_what_has_no_parallelograms_is_refused() -> None:
    measure, e = MEASURES["parallelograms"], {"embed.W_E": np.ones((6, 8))}
    with pytest.raises(InputError, match="commutative"):
        measure(e, Group(group="S3").build())
    with pytest.raises(InputError, match="square matrices"):
        measure(e, Group(group="S3").build(), network=EmbeddingDecoder(d_embed=4, combine="product"))
    with pytest.raises(InputError, match="two operands"):
        measure(e, Arithmetic(p=3, expression="x + y + z").build())
    with pytest.raises(InputError, match="embeds 6 symbols"):
        measure(e, addition(7))
    with pytest.raises(InputError, match="no embedding"):
        measure({"W": np.ones((6, 8))}, addition(6))
    with pytest.raises(InputError, match="there are no parallelograms"):
        measure(e, addition(2))


@given(st.integers(0, 10_000), st.sampled_from([(10, 1), (10, 4), (5, 9)]))
def test_principal_components_are_those_of_the_covariance(seed: int, size: tuple[int, int]) -> None:
    n, d = size
    e = np.random.default_rng(seed).normal(1, 2, (n, d))
    found = MEASURES["embedding_components"]({"embed.W_E": e}, addition(n))
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(e.T)))
    share = np.clip(values[::-1], 0, None)[: min(n, d)] / values.sum()
    np.testing.assert_allclose(found["explained_variance"], share, atol=1e-10)
    entropy = -sum(q * np.log(q) for q in share if q > 1e-12)
    assert found["effective_dimension"] == pytest.approx(np.exp(entropy), rel=1e-6)
    coordinates = found["coordinates"]
    assert coordinates.shape == (n, 3)
    projected = ((e - e.mean(axis=0)) @ vectors[:, ::-1])[:, :3]
    np.testing.assert_allclose(np.abs(coordinates[:, : projected.shape[1]]), np.abs(projected), atol=1e-8)
    assert (coordinates.max(axis=0) >= np.abs(coordinates).max(axis=0)).all()


def test_effective_dimension_counts_equal_directions() -> None:
    task = addition(6)

    def dimension(e: np.ndarray) -> float:
        return float(MEASURES["embedding_components"]({"embed.W_E": e}, task)["effective_dimension"])

    assert dimension(np.eye(6)) == pytest.approx(5)
    assert dimension(np.outer(np.arange(6), [1, 2, 3])) == pytest.approx(1)
    assert np.isnan(dimension(np.ones((6, 4))))
