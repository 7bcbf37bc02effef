"""Measures are registered by their modules, and their results are dataclasses that read as named arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.measures.models import case

import groklab as gl
from groklab.measures import Attention, Measure, Result


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes(Result):
    largest: float
    by_row: np.ndarray
    of_test_set: float | None = None


def test_a_result_reads_as_its_fields_and_leaves_out_those_that_are_none() -> None:
    sizes = Sizes(2.0, np.arange(3))
    assert list(sizes) == ["largest", "by_row"]
    assert len(sizes) == 2
    assert sizes["largest"] == sizes.largest == 2
    assert sizes["by_row"] is sizes.by_row
    assert "of_test_set" not in sizes
    for name in ("of_test_set", "keys", "nothing"):
        with pytest.raises(KeyError):
            sizes[name]
    assert list(dataclasses.replace(sizes, of_test_set=1.0)) == ["largest", "by_row", "of_test_set"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        sizes.largest = 3.0  # type: ignore[misc]


def test_a_measure_returns_the_same_type_by_name_and_by_hand() -> None:
    model = case("add", "transformer")
    heads = gl.MEASURES["attention"](model.weights, model.task, network=model.network)
    assert isinstance(heads, Attention)
    assert heads["alpha"].shape == heads.alpha.shape == heads.linear_fve.shape


def test_a_users_measure_may_return_a_plain_dictionary() -> None:
    @gl.measure("largest_weight")
    def largest_weight(weights, task):
        """The largest weight of each matrix."""
        return {name: float(np.max(w)) for name, w in weights.items()}

    try:
        assert largest_weight({"a": np.arange(3)}, case("add", "mlp").task) == {"a": 2.0}
        assert gl.MEASURES["largest_weight"].about == "The largest weight of each matrix."
    finally:
        del gl.MEASURES["largest_weight"]


def test_a_measure_that_cannot_be_taken_is_refused() -> None:
    def needy(weights: Any, task: Any, fourier: Any) -> dict[str, Any]:
        return {}

    with pytest.raises(gl.InputError, match="argument of the measure needy = 'fourier': unknown; allowed: train_rows"):
        gl.measure("needy")(needy)
    assert "needy" not in gl.MEASURES
    unnamed: Any = Measure("unnamed", "", lambda weights, task: 3, online=False)
    with pytest.raises(gl.InputError, match="the measure unnamed needs to return arrays by name, not int"):
        unnamed({}, gl.preset("micro").task.build())
