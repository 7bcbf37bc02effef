"""Progress measures of each operation of a mixture, and what measures tell in tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from tests.measures.models import NETWORKS, Model, case, made

import groklab as gl
from groklab.measures import NamedTable, default_rule, find_frequencies
from groklab.measures._logit_parts import PART_NAMES
from groklab.measures._registry import cell
from groklab.tasks import Arithmetic, Mixture

P = 7
SUMS = ("x + y", "x - y", "x*y")


@lru_cache
def mixed(expressions: tuple[str, ...] = SUMS) -> tuple[Model, np.ndarray]:
    model = made(Mixture(p=P, expressions=expressions).build(), NETWORKS["transformer"])
    pairs = np.random.default_rng(1).permutation(P**2)[:17]
    return model, np.concatenate([pairs + P**2 * i for i in range(len(expressions))])


def take(name: str, model: Model, train: np.ndarray | None = None, **known: Any) -> dict[str, Any]:
    return gl.MEASURES[name](model.weights, model.task, train, network=model.network, **known)


def test_restricted_and_excluded_loss_are_those_of_each_operations_parts() -> None:
    model, train = mixed()
    found = take("progress", model, train, frequencies=(1, 3))
    parts = take("logit_parts", model, train, frequencies=(1, 3))
    assert found["operations"] == parts["operations"] == list(model.task.algebra.operations[:2])
    place = {name: i for i, name in enumerate(parts["parts"])}
    for mine, theirs, part in (
        ("loss", "loss", "all"),
        ("train_loss", "train_loss", "all"),
        ("test_loss", "test_loss", "all"),
        ("restricted_loss", "loss", "key_mean"),
        ("restricted_loss_test", "test_loss", "key_mean"),
        ("excluded_loss", "train_loss", "non_key_residual"),
        ("excluded_loss_all", "loss", "non_key_residual"),
    ):
        np.testing.assert_allclose(found[mine], np.asarray(parts[theirs])[:, 0, place[part]], rtol=1e-9)
    assert found["alpha"].shape == (2, P // 2)


def test_an_operation_without_a_fit_has_none() -> None:
    model, train = mixed(("x + y", "(x + y)^2"))
    found = take("progress", model, train, frequencies=(2,))
    assert np.isfinite(found["alpha"][0]).all()
    assert np.isnan(found["alpha"][1]).all()
    assert np.isfinite(found["restricted_loss"]).all()


def test_the_default_rule_of_a_mixture_reads_what_its_operations_share() -> None:
    model, train = mixed()
    assert default_rule(model.task) == "furuta"
    own = take("key_frequencies", model)
    assert own["frequencies"] == own["furuta"]
    given = take("progress", model, train, frequencies=own["furuta"])
    np.testing.assert_array_equal(take("progress", model, train)["restricted_loss"], given["restricted_loss"])
    with pytest.raises(gl.InputError, match="a mixture needs one of embedding, furuta, furuta_union"):
        find_frequencies(model.weights, model.task, model.network, "neurons")
    with pytest.raises(gl.InputError, match="to no operation of"):
        default_rule(Mixture(p=P, expressions=("x*y", "x*y + x")).build())


def test_measures_of_one_operation_name_those_of_mixtures() -> None:
    with pytest.raises(gl.InputError, match="mixes 3: progress, logit_parts, logits_2d and fourier_sparsity"):
        take("neurons", mixed()[0])


# -- in tables -----------------------------------------------------------------------------------------------------


def told(name: str, found: dict[str, Any]) -> dict[str, NamedTable]:
    tables = gl.MEASURES[name].tables
    assert tables is not None
    return {table.title: table for table in tables(found)}


def test_the_parts_are_told_for_each_operation_and_rule() -> None:
    model, train = mixed()
    found = take("logit_parts", model, train, frequencies=(2,))
    tables = told("logit_parts", found)
    for i, operation in enumerate(("x + y", "x - y")):
        table = tables[f"Loss of the parts of the logits of {operation}, by the rule given"]
        assert table.head == ("what is kept", "train loss", "test loss")
        assert [row[0] for row in table.rows] == list(PART_NAMES.values())
        for part, row in zip(PART_NAMES, table.rows, strict=True):
            at = found["parts"].index(part)
            assert row[1:] == (cell(found["train_loss"][i, 0, at]), cell(found["test_loss"][i, 0, at]))
    rows = tables["Key frequencies"].rows
    assert [row[0] for row in rows] == found["rules"]
    assert rows[0] == ("given", "2", "1 of 3", *(str(n) for n in found["n_dependent"][:, 0]))


def test_one_operation_has_one_table_a_rule_and_without_a_split_one_loss() -> None:
    model = case("add", "mlp")
    found = dict(take("logit_parts", model, frequencies=(1, 3)))
    # a rule that names the same frequencies as one before is not told again
    found["is_key"] = np.array([found["is_key"][0], found["is_key"][0], ~found["is_key"][0]])
    tables = told("logit_parts", found)
    assert list(tables) == [
        "Key frequencies",
        "Loss of the parts of the logits, by the rule given",
        "Loss of the parts of the logits, by the rule furuta_union",
    ]
    last = tables["Loss of the parts of the logits, by the rule furuta_union"]
    assert last.head == ("what is kept", "loss")
    assert last.rows[0] == ("everything", cell(found["loss"][2, 0]))


def test_the_largest_components_are_told_by_name() -> None:
    model = mixed()[0]
    found = take("logits_2d", model)
    tables = told("logits_2d", found)
    assert list(tables) == [f"Largest components of {name}" for name in model.task.algebra.operations]
    rows = tables["Largest components of x - y"].rows
    assert len(rows) == 10
    norm, every = found["largest_norm"][1][0], found["norm"][1]
    assert rows[0] == (found["largest"][1][0], cell(norm), f"{norm**2 / np.sum(every**2):.1%}")
    one = take("logits_2d", case("add", "mlp"))
    assert [row[0] for row in told("logits_2d", one)["Largest components"].rows] == one["largest"][:10]


def test_other_nested_measures_have_a_row_for_each_name() -> None:
    model = case("add", "mlp")
    known: dict[str, Any] = {"train": np.arange(20), "frequencies": (1, 3)}
    removed, variants = take("ablations", model, **known), take("progress_variants", model, **known)
    table = told("ablations", removed)["Loss after each intervention"]
    assert table.rows[0][:2] == ("base", cell(removed["loss"][0]))
    assert len(table.rows) == len(removed["names"])
    table = told("progress_variants", variants)["Loss in each published form"]
    assert table.rows[0] == ("restricted", *(cell(v) for v in variants["restricted"]))
    assert told("key_frequencies", {"furuta": [2, 5], "logits": []})["Key frequencies"].rows == [
        ("furuta", "2, 5", "2"),
        ("logits", "none", "0"),
    ]
    # numbers with names of their own need no table
    assert told("progress", take("progress", model, **known)) == {}
    mixture, train = mixed()
    found = take("progress", mixture, train, frequencies=(2,))
    rows = {row[0]: row[1:] for row in told("progress", found)["By operation"].rows}
    assert rows["restricted_loss"] == tuple(cell(v) for v in found["restricted_loss"])
    assert "alpha" not in rows


def test_what_is_not_finite_is_a_dash() -> None:
    assert [cell(v) for v in (np.nan, np.inf, 0.0, 1.2345678e-8)] == ["–", "–", "0", "1.235e-08"]
    nothing = {"largest": ["const · const"], "largest_norm": [0.0], "norm": np.zeros((3, 3))}
    assert told("logits_2d", nothing)["Largest components"].rows == [("const · const", "0", "–")]


def test_a_measure_of_ones_own_may_tell_tables() -> None:
    name = "told_for_this_test"
    try:

        @gl.measure(name, tables=lambda found: [NamedTable("Sizes", ("weight", "size"), [("W", cell(found["W"]))])])
        def sizes(weights: Any, task: Any) -> dict[str, Any]:
            return {"W": float(np.sum(weights["W"]))}

        found = gl.MEASURES[name]({"W": np.ones(3)}, Arithmetic(p=5).build())
        assert told(name, found)["Sizes"].rows == [("W", "3")]
    finally:
        gl.MEASURES.pop(name, None)
