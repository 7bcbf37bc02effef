"""Two-dimensional transforms of logits, neurons and attention, against sums over waves written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.measures.models import CASES, case

import groklab as gl
from groklab.measures import transforms
from groklab.networks import MLP


def wave(p: int, row: int) -> np.ndarray:
    """Row of the basis by its meaning: 0 constant, 2k − 1 cosine, 2k sine."""
    x, k = np.arange(p), (row + 1) // 2
    values = np.ones(p) if row == 0 else np.cos(2 * np.pi * k * x / p) if row % 2 else np.sin(2 * np.pi * k * x / p)
    return values / np.linalg.norm(values)


def components(values: np.ndarray) -> np.ndarray:
    p = len(values)
    found = np.zeros(values.shape)
    for f in range(p):
        for g in range(p):
            found[f, g] = sum(
                wave(p, f)[a] * wave(p, g)[b] * values[a, b] for a in range(p) for b in range(p)
            )  # fmt: skip
    return found


grids = st.integers(2, 9).flatmap(
    lambda p: arrays.arrays(np.float64, (p, p, 3), elements=st.floats(-100, 100, allow_subnormal=False))
)


@given(values=grids)
def test_the_sum_of_squares_stays_and_the_way_back_is_exact(values: np.ndarray) -> None:
    transformed = transforms.transform_2d(values)
    np.testing.assert_allclose(np.sum(transformed**2, axis=(0, 1)), np.sum(values**2, axis=(0, 1)), atol=1e-8)
    np.testing.assert_allclose(transforms.inverse_2d(transformed), values, atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 5), (6, 6, 2), (7, 7, 2, 3)])
def test_against_sums_written_out(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(transforms.transform_2d(values), components(values), atol=1e-12)


def test_components_have_the_names_of_their_waves() -> None:
    p = 7
    a, b = np.indices((p, p))
    values = 5 + 2 * np.cos(2 * np.pi * 2 * a / p) * np.sin(2 * np.pi * 3 * b / p)
    norm = np.abs(transforms.transform_2d(values))
    names, norms = transforms.largest_components(norm, 2)
    assert names == ["const · const", "cos 2 · sin 3"]
    np.testing.assert_allclose(norms, [5 * p, 2 * p / 2])
    assert transforms.component_names(4) == ["const", "cos 1", "sin 1", "cos 2"]


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_measures_are_norms_of_components(task_name: str, network_name: str) -> None:
    model = case(task_name, network_name)
    weights, task, network = model.weights, model.task, model.network
    for name, values in (("logits_2d", model.logits), ("neurons_2d", model.neurons)):
        found = gl.MEASURES[name](weights, task, network=network)
        expected = np.sqrt(np.sum(components(model.on_grid(values)) ** 2, axis=2))
        np.testing.assert_allclose(found["norm"], expected, atol=1e-9)
        np.testing.assert_allclose(found["largest_norm"], np.sort(expected.ravel())[::-1][:20], atol=1e-9)
        assert len(found["largest"]) == 20


@pytest.mark.parametrize("task_name", ["add", "subtract", "even"])
def test_attention_by_head_and_position(task_name: str) -> None:
    model = case(task_name, "transformer")
    found = gl.MEASURES["attention_2d"](model.weights, model.task, network=model.network)["absolute"]
    seen = gl.activations(model.weights, model.task.inputs, model.network)
    pattern = model.on_grid(np.asarray(seen["blocks.0.attn.hook_pattern"])[:, :, -1])
    for head in range(2):
        for position in range(3):
            expected = np.abs(components(pattern[:, :, head, position]))
            np.testing.assert_allclose(found[head, position], expected, atol=1e-12)


def test_what_does_not_apply_is_refused() -> None:
    model = case("add", "mlp")
    with pytest.raises(gl.InputError, match="the mlp network has none"):
        gl.MEASURES["attention_2d"](model.weights, model.task, network=MLP(d_mlp=10))
    model = case("add", "transformer")
    half = gl.read({"task": {"p": 7, "expression": "x + y", "pairs": "unordered"}}).task.build()
    with pytest.raises(gl.InputError, match="leaves half of them out"):
        gl.MEASURES["attention_2d"](model.weights, half, network=model.network)
