"""FFS, FCR and their shift-invariant form: against sums written out, planted matrices, and untrained networks."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groklab as gl
from groklab.measures import _fourier_sparsity as sparsity
from groklab.measures import find_frequencies, fourier_basis, neuron_logit_map
from groklab.measures._frequencies import RULES
from groklab.networks import MLP, EmbeddingDecoder, Transformer
from groklab.tasks import Arithmetic, Mixture, Task

moduli = st.integers(3, 24)
seeds = st.integers(0, 999)


def random_matrix(p: int, seed: int, d: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(p, d))


def planted(p: int, cosines: dict[int, float], sines: dict[int, float], d: int = 6) -> np.ndarray:
    """A matrix (p, d) whose μ_k and ν_k have these norms, in directions of their own."""
    t, matrix = np.arange(p), np.full((p, d), 3.0)
    for waves, wave, seed in ((cosines, np.cos, 0), (sines, np.sin, 1)):
        for k, size in waves.items():
            direction = np.random.default_rng([seed, k]).normal(size=d)
            values = wave(2 * np.pi * k * t / p)
            matrix += size * np.outer(values / np.linalg.norm(values), direction / np.linalg.norm(direction))
    return matrix


def written_out(matrix: np.ndarray, threshold: float, residues: range) -> tuple[float, float]:
    """FFS and FCR by sums over residues, term by term."""
    p, n = len(matrix), (len(matrix) - 1) // 2
    mu, nu = [], []
    for k in range(1, n + 1):
        mu.append(np.linalg.norm(sum(matrix[t] * np.cos(2 * np.pi * k * t / p) for t in residues)))
        nu.append(np.linalg.norm(sum(matrix[t] * np.sin(2 * np.pi * k * t / p) for t in residues)))
    counted = sum(int(m / max(mu) > threshold) + int(v / max(nu) > threshold) for m, v in zip(mu, nu, strict=True))
    return counted / (2 * n), float(np.mean([min(m / v, v / m) for m, v in zip(mu, nu, strict=True)]))


@given(p=moduli, seed=seeds, threshold=st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_against_sums_written_out(p: int, seed: int, threshold: float) -> None:
    matrix = random_matrix(p, seed)
    for half_range, residues in ((False, range(p)), (True, range(1, p // 2 + 1))):
        ffs, fcr = written_out(matrix, threshold, residues)
        assert sparsity.frequency_sparsity(matrix, threshold, half_range) == pytest.approx(ffs, abs=1e-12)
        assert sparsity.coefficient_ratio(matrix, half_range) == pytest.approx(fcr, rel=1e-9)


def test_the_whole_range_is_the_default() -> None:
    matrix = random_matrix(13, 0)
    whole = sparsity.coefficient_ratio(matrix)
    assert whole == sparsity.coefficient_ratio(matrix, half_range=False)
    assert abs(whole - sparsity.coefficient_ratio(matrix, half_range=True)) > 0.01
    mu, nu = sparsity.wave_vectors(matrix)
    np.testing.assert_allclose(np.concatenate([mu[:1], nu[:1]]), fourier_basis(13)[1:3] @ matrix, atol=1e-12)
    half, _ = sparsity.wave_vectors(matrix, half_range=True)
    expected = 2 / 6 * sum(matrix[t] * np.cos(2 * np.pi * 2 * t / 13) for t in range(1, 7))
    np.testing.assert_allclose(half[1], expected, atol=1e-12)


def test_planted_waves_are_counted_by_their_kind() -> None:
    # of cosines 4, 2.1 and 1.9 two are above half of the largest, and both sines are
    matrix = planted(23, {2: 4.0, 5: 2.1, 7: 1.9}, {3: 1.0, 5: 0.7})
    assert sparsity.frequency_sparsity(matrix) == pytest.approx(4 / 22)
    assert sparsity.frequency_sparsity(matrix, 0.4) == pytest.approx(5 / 22)
    assert sparsity.coefficient_ratio(matrix) == pytest.approx(0.7 / 2.1 / 11)
    mu, nu = sparsity.wave_vectors(matrix)
    np.testing.assert_allclose(np.linalg.norm(mu, axis=1)[[1, 2, 4, 6]], [4, 0, 2.1, 1.9], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(nu, axis=1)[[1, 2, 4, 6]], [0, 1, 0.7, 0], atol=1e-12)


def test_smallest_and_largest_values() -> None:
    assert sparsity.frequency_sparsity(planted(97, {8: 1.0}, {8: 1.0})) == pytest.approx(2 / 96)
    every = {k: 1.0 for k in range(1, 49)}
    assert sparsity.frequency_sparsity(planted(97, every, every)) == 1
    assert sparsity.coefficient_ratio(planted(97, every, every)) == pytest.approx(1)
    assert sparsity.coefficient_ratio(planted(97, every, {})) == 0


@given(p=moduli, seed=seeds)
def test_swapping_cosines_and_sines_changes_neither(p: int, seed: int) -> None:
    """So that names that are swapped, as in the published program, cannot be told by these two numbers."""
    matrix, n = random_matrix(p, seed), (p - 1) // 2
    order = [0, *(i for k in range(1, n + 1) for i in (2 * k, 2 * k - 1)), *range(2 * n + 1, p)]
    basis = fourier_basis(p)
    swapped = basis.T @ (basis @ matrix)[order]
    for number in (sparsity.frequency_sparsity, sparsity.coefficient_ratio, sparsity.singular_ratio):
        assert number(swapped) == pytest.approx(number(matrix), rel=1e-9)


@given(p=moduli, seed=seeds, shift=st.integers(1, 30), scale=st.floats(1e-3, 1e3))
def test_singular_ratio_is_of_the_weights_not_of_where_residues_begin(
    p: int, seed: int, shift: int, scale: float
) -> None:
    matrix = random_matrix(p, seed)
    found = sparsity.singular_ratio(matrix)
    assert sparsity.singular_ratio(scale * np.roll(matrix, shift, axis=0)) == pytest.approx(found, rel=1e-9)
    mu, nu = (vectors[: (p - 1) // 2] for vectors in sparsity.wave_vectors(matrix))
    sigma = np.linalg.svd(np.stack([mu, nu], axis=1), compute_uv=False)
    assert found == pytest.approx((sigma[:, 1] / sigma[:, 0]).mean(), rel=1e-9)
    assert found <= sparsity.coefficient_ratio(matrix) + 1e-12
    assert sparsity.coefficient_ratio(scale * matrix) == pytest.approx(sparsity.coefficient_ratio(matrix), rel=1e-9)


def test_a_shift_changes_the_coefficient_ratio() -> None:
    """As it does from a·b to ab + a + b, which is (a + 1)(b + 1) − 1."""
    p = 31
    cosines = planted(p, {k: 1.0 for k in range(1, 16)}, {})
    shifted = np.roll(cosines, 1, axis=0)
    angle = 2 * np.pi * np.arange(1, 16) / p
    ratio = np.abs(np.tan(angle))
    assert sparsity.coefficient_ratio(cosines) == 0
    assert sparsity.coefficient_ratio(shifted) == pytest.approx(np.minimum(ratio, 1 / ratio).mean())
    assert max(sparsity.singular_ratio(cosines), sparsity.singular_ratio(shifted)) < 1e-12


@pytest.mark.parametrize("matrix", [np.zeros((7, 3)), np.full((7, 3), 1e3), np.zeros((8, 3))])
def test_what_does_not_vary_has_neither(matrix: np.ndarray) -> None:
    found = [sparsity.frequency_sparsity(matrix), sparsity.frequency_sparsity(matrix, 0.0)]
    found += [f(matrix) for f in (sparsity.coefficient_ratio, sparsity.singular_ratio, sparsity.cosine_led)]
    assert np.isnan(found).all()


def test_half_an_even_modulus_is_left_out() -> None:
    """k = p/2 has no sine to compare with."""
    waves = {k: 1.0 for k in range(1, 4)}
    matrix = planted(8, waves | {4: 100.0}, waves)
    assert sparsity.frequency_sparsity(matrix) == 1
    assert sparsity.coefficient_ratio(matrix) == pytest.approx(1)
    mu, nu = sparsity.wave_vectors(matrix)
    assert mu.shape == nu.shape == (4, 6)
    assert np.linalg.norm(mu[3]) == pytest.approx(100)
    assert not nu[3].any()


def test_one_column_has_no_second_direction() -> None:
    assert sparsity.singular_ratio(random_matrix(9, 0, d=1)) < 1e-12
    assert sparsity.coefficient_ratio(random_matrix(9, 0, d=1)) > 0


@pytest.mark.parametrize("matrix", [np.ones(5), np.ones((2, 4)), np.full((5, 2), np.nan)])
def test_what_is_no_matrix_over_residues_is_refused(matrix: np.ndarray) -> None:
    for number in (sparsity.frequency_sparsity, sparsity.coefficient_ratio, sparsity.singular_ratio):
        with pytest.raises(gl.InputError, match="needs two axes, three rows or more, and finite numbers"):
            number(matrix)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(gl.InputError, match="threshold = "):
        sparsity.frequency_sparsity(np.eye(5), threshold)


# -- of networks ---------------------------------------------------------------------------------------------------


def test_untrained_networks_of_the_paper() -> None:
    """20 seeds at p = 97: FFS 1.000 throughout, FCR 0.932 ± 0.010 (W_E) and 0.929 ± 0.006 (W_L), σ₂/σ₁ 0.888."""
    task = Arithmetic(p=97, layout="a op b", outputs="vocabulary").build()
    network = Transformer(d_model=128, n_heads=4, d_mlp=512, init_scheme="furuta2024", biases="none")
    draw = jax.jit(lambda key: network.init(key, task.shape, "float32"))
    taken = [gl.MEASURES["fourier_sparsity"](draw(jax.random.key(seed)), task) for seed in range(20)]
    for name, mean, spread in (("W_E", 0.932, 0.010), ("W_L", 0.929, 0.006)):
        assert {found[f"ffs_{name}"] for found in taken} == {1.0}
        ratios = [found[f"fcr_{name}"] for found in taken]
        assert np.mean(ratios) == pytest.approx(mean, abs=0.005)
        assert np.std(ratios) == pytest.approx(spread, rel=0.6)
        assert np.mean([found[f"sigma_ratio_{name}"] for found in taken]) == pytest.approx(0.888, abs=0.012)
        assert 0.4 < np.mean([found[f"cosine_led_{name}"] for found in taken]) < 0.6
        assert taken[0][f"cos_norm_{name}"].shape == taken[0][f"sin_norm_{name}"].shape == (48,)


def test_cosines_and_sines_have_their_own_names() -> None:
    """Named after a bug of the published example program, whose labels are swapped."""
    p = 11
    task = Arithmetic(p=p, expression="x*y", layout="a op b", outputs="vocabulary").build()
    embedded = planted(p, {k: 2.0 for k in range(1, 6)}, {k: 1.0 for k in range(1, 6)})
    answers = planted(p, {2: 1.0}, {k: 3.0 for k in range(1, 6)})
    # the rows of signs are no numbers, and must not count
    weights = {
        "embed.W_E": np.concatenate([embedded, np.full((5, 6), 1e4) * np.arange(5)[:, None]]),
        "blocks.0.mlp.W_out": np.eye(6),
        "unembed.W_U": np.concatenate([answers, 1e4 * np.eye(5, 6)]).T,
    }
    found = gl.MEASURES["fourier_sparsity"](weights, task)
    np.testing.assert_allclose(found["cos_norm_W_E"], 2, atol=1e-9)
    np.testing.assert_allclose(found["sin_norm_W_E"], 1, atol=1e-9)
    np.testing.assert_allclose(found["cos_norm_W_L"], [0, 1, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(found["sin_norm_W_L"], 3, atol=1e-9)
    assert (found["cosine_led_W_E"], found["cosine_led_W_L"]) == (1, 0)
    assert found["fcr_W_E"] == pytest.approx(1 / 2)
    assert found["ffs_W_L"] == pytest.approx(6 / 10)


def test_of_a_matrix_that_is_not_there_nothing_is_said() -> None:
    task = Arithmetic(p=7).build()
    embedding = {"embed.W_E": random_matrix(8, 0)}
    found = gl.MEASURES["fourier_sparsity"](embedding, task)
    assert {name.split("_W_")[1] for name in found} == {"E"}
    answers = gl.MEASURES["fourier_sparsity"]({"unembed.W_U": random_matrix(7, 1).T}, task)
    assert {name.split("_W_")[1] for name in answers} == {"L"}
    with pytest.raises(gl.InputError, match="neither an embedding"):
        gl.MEASURES["fourier_sparsity"]({"pos_embed.W_pos": np.eye(3)}, task)
    # a decoder to vectors has no row for an answer
    network = EmbeddingDecoder(d_embed=3, d_mlp=5)
    weights = network.init(jax.random.key(0), Arithmetic(p=7, layout="a b").build().shape, "float64")
    assert {name.split("_W_")[1] for name in gl.MEASURES["fourier_sparsity"](weights, task)} == {"E"}


@pytest.mark.parametrize(("p", "modular"), [(2, True), (5, False)])
def test_a_task_without_frequencies_is_refused(p: int, modular: bool) -> None:
    with pytest.raises(gl.InputError, match="a modulus of 3 or more"):
        gl.MEASURES["fourier_sparsity"]({"embed.W_E": np.eye(6)}, Arithmetic(p=p, modular=modular).build())


def test_it_runs_on_line_at_fixed_shapes() -> None:
    settings = {"measures": {"names": ["fourier_sparsity"], "every": 50}, "budget.steps": 100}
    run = gl.train(gl.preset("micro-fast", settings))
    frame, taken = run.measured, gl.take(run, "fourier_sparsity")
    assert frame is not None
    assert frame["step"].to_list() == [0, 50, 100]
    p = int(run.experiments[0].task.p)
    assert {len(row) for row in frame["fourier_sparsity.cos_norm_W_L"]} == {p // 2}
    last = taken["fcr_W_E"].to_list()[-1]
    assert frame["fourier_sparsity.fcr_W_E"].to_list()[-1] == pytest.approx(last, rel=1e-12)


# -- the rule of key frequencies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        Arithmetic(p=13, expression="x*y").build(),
        Arithmetic(p=13, expression="(x + y)^2").build(),
        Mixture(p=13, expressions=("x + y", "x*y")).build(),
    ],
)
def test_key_frequencies_of_any_task_with_a_modulus(task: Task) -> None:
    rows = planted(13, {2: 2.0, 3: 0.9}, {2: 0.1, 6: 1.1})
    weights = {"embed.W_E": planted(13, {1: 1.0, 2: 0.6}, {5: 0.4}), "unembed.W_U": rows.T}
    assert find_frequencies(weights, task, MLP(d_mlp=6), "furuta") == (2, 6)
    assert find_frequencies(weights, task, MLP(d_mlp=6), "furuta_union") == (1, 2, 6)
    np.testing.assert_array_equal(neuron_logit_map(weights, task), rows)
    if task.algebra.direction is None:
        # the default is for functions of a ± b, and for mixtures with one
        told = gl.MEASURES["key_frequencies"](weights, task, network=MLP(d_mlp=6))
        default = {"frequencies": [2, 6]} if task.algebra.operation == "mixture" else {}
        assert told == {**default, "embedding": [1, 2, 5], "furuta": [2, 6], "furuta_union": [1, 2, 6]}


def test_key_frequencies_of_nothing() -> None:
    task = Arithmetic(p=7).build()
    assert RULES["furuta"]({"unembed.W_U": np.zeros((3, 7))}, task, None) == ()
    with pytest.raises(gl.InputError, match="no unembedding"):
        RULES["furuta"]({"embed.W_E": np.eye(8)}, task, None)
    with pytest.raises(gl.InputError, match=r"a function of a\+b or a−b"):
        gl.MEASURES["key_frequencies"]({}, Arithmetic(p=7, expression="x*y").build())
