from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.measures.models import CASES, NETWORKS, case, made

import groklab as gl
from groklab.measures import _fourier as fourier
from groklab.measures import grid_of
from groklab.measures._grid import pair_rows
from groklab.networks import MLP
from groklab.tasks import Arithmetic, Mixture
from groklab.training import build_task


@given(p=st.integers(2, 40))
def test_the_basis_is_orthonormal(p: int) -> None:
    basis = fourier.fourier_basis(p)
    np.testing.assert_allclose(basis @ basis.T, np.eye(p), atol=1e-12)


def test_cosines_come_before_sines() -> None:
    """Named after a bug of public code: sine and cosine labels swapped."""
    p, k = 11, 3
    basis, t = fourier.fourier_basis(p), np.arange(p)
    np.testing.assert_allclose(basis[2 * k - 1], np.cos(2 * np.pi * k * t / p) * np.sqrt(2 / p), atol=1e-12)
    np.testing.assert_allclose(basis[2 * k], np.sin(2 * np.pi * k * t / p) * np.sqrt(2 / p), atol=1e-12)


@given(p=st.integers(2, 30), seed=st.integers(0, 99))
def test_norms_against_the_fast_fourier_transform(p: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(p, 4))
    power = np.abs(np.fft.fft(matrix, axis=0)) ** 2 / p
    folded = [power[k].sum() * (1 if 2 * k == p else 2) for k in range(1, p // 2 + 1)]
    np.testing.assert_allclose(fourier.frequency_norms(matrix) ** 2, folded, rtol=1e-9)
    np.testing.assert_allclose(np.sum(fourier.component_norms(matrix) ** 2), np.sum(matrix**2), rtol=1e-9)


def test_gini_of_known_vectors() -> None:
    assert fourier.gini(np.full(7, 3.0)) == pytest.approx(0)
    assert fourier.gini(np.array([0, 0, 0, 5.0])) == pytest.approx(3 / 4)
    assert np.isnan(fourier.gini(np.zeros(3)))


def test_a_planted_frequency_is_found() -> None:
    task = build_task(gl.preset("demo"))
    p, t = 59, np.arange(59)
    circle = np.stack([np.cos(2 * np.pi * 7 * t / p), np.sin(2 * np.pi * 7 * t / p)], 1)
    noise = np.random.default_rng(0).normal(size=(60, 16)) * 0.01
    weights = {"embed.W_E": noise + np.pad(circle, ((0, 1), (0, 14)))}
    weights |= {"blocks.0.mlp.W_out": np.eye(16), "unembed.W_U": weights["embed.W_E"].T}
    assert gl.MEASURES["embedding_frequencies"](weights, task)["frequencies"] == [7]
    assert gl.MEASURES["key_frequencies"](weights, task)["frequencies"] == [7]
    spectrum = gl.MEASURES["embedding_spectrum"](weights, task)
    assert spectrum["norm"].shape == (29,)
    assert spectrum["share"][6] > 0.95
    assert spectrum["gini_W_E"] > 0.8


def test_measures_over_a_runs_checkpoints() -> None:
    run = gl.train(gl.preset("micro-fast", {"budget.steps": 100}))
    frame = gl.take(run, "embedding_spectrum")
    assert frame["step"].to_list() == run.checkpoints
    assert len(frame["share"][0]) == 11
    norms = gl.take(run, "weight_norms")
    last = run.curves()["weight_norm"][-1]
    assert norms["total"][-1] == pytest.approx(float(last) ** 2, rel=1e-5)
    with pytest.raises(gl.InputError, match="unknown"):
        gl.take(run, "nonsense")


def test_a_task_without_a_modulus_has_no_spectrum() -> None:
    task = build_task(gl.preset("micro", {"task.modular": False}))
    with pytest.raises(gl.InputError, match="modulus"):
        gl.MEASURES["embedding_spectrum"]({"embed.W_E": np.zeros((3, 3))}, task)


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
    basis, transformed = fourier.fourier_basis(len(values)), fourier.transform_2d(values)
    np.testing.assert_allclose(np.sum(transformed**2, axis=(0, 1)), np.sum(values**2, axis=(0, 1)), atol=1e-8)
    np.testing.assert_allclose(np.einsum("fa,gb,fg...->ab...", basis, basis, transformed), values, atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 5), (6, 6, 2), (7, 7, 2, 3)])
def test_against_sums_written_out(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(fourier.transform_2d(values), components(values), atol=1e-12)


def test_components_have_the_names_of_their_waves() -> None:
    p = 7
    a, b = np.indices((p, p))
    values = 5 + 2 * np.cos(2 * np.pi * 2 * a / p) * np.sin(2 * np.pi * 3 * b / p)
    norm = np.abs(fourier.transform_2d(values))
    names, norms = fourier.largest_components(norm, 2)
    assert names == ["const · const", "cos 2 · sin 3"]
    np.testing.assert_allclose(norms, [5 * p, 2 * p / 2])
    assert fourier.component_names(4) == ["const", "cos 1", "sin 1", "cos 2"]


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


def norms_written_out(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(components(values), axis=2))


@pytest.mark.parametrize("pairs", ["ordered", "unordered"])
def test_logits_and_neurons_of_answers_that_are_no_function_of_sums(pairs: str) -> None:
    task = gl.read({"task": {"p": 5, "expression": "x*y", "pairs": pairs}}).task.build()
    model = made(task, NETWORKS["mlp"])
    on_grid = model.on_grid(model.logits)
    if pairs == "unordered":
        # a pair that is not shown answers as its mirror image
        a, b = np.triu_indices(5)
        on_grid[b, a] = on_grid[a, b]
    found = gl.MEASURES["logits_2d"](model.weights, task, network=model.network)
    np.testing.assert_allclose(found["norm"], norms_written_out(on_grid), atol=1e-9)
    assert "operations" not in found
    assert gl.MEASURES["neurons_2d"](model.weights, task, network=model.network)["norm"].shape == (5, 5)


def test_of_a_mixture_each_operation_has_an_entry() -> None:
    task = Mixture(p=5, expressions=("x + y", "x*y", "x^2 + x*y + y^2")).build()
    model = made(task, NETWORKS["transformer"])
    found = gl.MEASURES["logits_2d"](model.weights, task, network=model.network)
    assert found["operations"] == list(task.algebra.operations)
    assert found["norm"].shape == (3, 5, 5)
    assert found["largest_norm"].shape == (3, 20)
    x, y, place = task.algebra.operands.T
    for i in range(3):
        on_grid = np.zeros((5, 5, 5))
        on_grid[x[place == i], y[place == i]] = model.logits[place == i]
        norm = norms_written_out(on_grid)
        np.testing.assert_allclose(found["norm"][i], norm, atol=1e-9)
        names = fourier.largest_components(norm)[0]
        assert found["largest"][i][:5] == names[:5]
    assert not np.allclose(found["norm"][0], found["norm"][1])


def test_rows_of_pairs_hold_the_pairs() -> None:
    task = Mixture(p=7, expressions=("x + y", "x*y", "x - y")).build()
    a, b = np.indices((7, 7))
    for i, answers in enumerate((a + b, a * b, a - b)):
        rows = pair_rows(task, i)
        assert sorted(rows.ravel()) == list(range(49 * i, 49 * (i + 1)))
        np.testing.assert_array_equal(task.targets[rows], answers % 7)
    assert [grid_of(task, i).direction for i in (0, 2)] == [1, -1]


def test_of_token_ids_that_stand_for_one_residue_the_number_itself_counts() -> None:
    """The published code lets operands run over signs, too, that then stand for 0, 1, …"""
    task = Arithmetic(p=7, layout="a op b", outputs="vocabulary", operand_range="vocabulary").build()
    rows = pair_rows(task)
    np.testing.assert_array_equal(task.inputs[rows][:, :, [0, 2]], np.moveaxis(np.indices((7, 7)), 0, 2))
    grid = grid_of(task)
    assert grid.weights(np.arange(task.n_inputs)).sum() == pytest.approx(1)
    assert len(grid.other_rows(rows[0])) == 42


def test_of_a_mixture_only_the_operations_own_rows_are_weighed() -> None:
    task = Mixture(p=5, expressions=("x + y", "x - y")).build()
    train = np.concatenate([np.arange(10), 25 + np.arange(10)])
    for i in (0, 1):
        grid = grid_of(task, i)
        np.testing.assert_array_equal(grid.weights(train), np.where(np.arange(25).reshape(5, 5) < 10, 0.1, 0))
        np.testing.assert_array_equal(grid.other_rows(train), 25 * i + np.arange(10, 25))


@pytest.mark.parametrize(
    ("task", "operation", "says"),
    [
        (Mixture(p=5, expressions=("x + y", "x*y")), 2, "operation = 2: needs the place of one of the 2 operations"),
        (Mixture(p=5, expressions=("x + y", "x*y")), None, "logits_2d and fourier_sparsity apply to a mixture"),
        (Arithmetic(p=5), 0, "operation = 0: needs the place of one of the 0 operations"),
        (Arithmetic(p=5, expression="x + y + z"), None, "applies to two operands mod p"),
        (Arithmetic(p=5, modular=False), None, "applies to two operands mod p"),
        (Arithmetic(p=5, expression="x*y", exclude_zeros="any"), None, "needs every pair mod 5, and x*y mod 5 leaves"),
    ],
)
def test_rows_of_what_has_no_grid_are_refused(task: Mixture | Arithmetic, operation: int | None, says: str) -> None:
    with pytest.raises(gl.InputError) as caught:
        pair_rows(task.build(), operation)
    assert says in str(caught.value)


def test_an_operation_that_is_no_function_of_sums_has_rows_but_no_grid() -> None:
    task = Mixture(p=5, expressions=("x + y", "x*y")).build()
    with pytest.raises(gl.InputError, match=r"a function of a\+b or a−b, and not to the operation x\*y"):
        grid_of(task, 1)
