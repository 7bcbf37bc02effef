"""Restricted and excluded loss, the trigonometric fit and the rules for key frequencies, against brute force."""

from __future__ import annotations

from functools import lru_cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import log_softmax
from tests.measures import brute
from tests.measures.models import initial_weights

import groklab as gl
from groklab.measures import _frequencies as frequencies
from groklab.measures import _grid as grid
from groklab.measures import _progress as progress
from groklab.measures import _variants as variants
from groklab.measures import gini
from groklab.networks import MLP, Transformer

TASKS = {
    "add": {"p": 7, "expression": "x + y"},
    "subtract": {"p": 7, "expression": "x - y", "outputs": "vocabulary"},
    "relabelled": {"p": 7, "expression": "3*x + 3*y + 2"},
    "mirrored": {"p": 7, "expression": "y - x"},
    "even": {"p": 6, "expression": "x + y"},
}
NETWORKS = {
    "transformer": Transformer(d_model=8, n_heads=2, d_mlp=12),
    "mlp": MLP(d_mlp=10, activation="quadratic", init_scheme="fan_in"),
}


@lru_cache
def case(task_name: str, network_name: str):
    task = gl.read({"task": TASKS[task_name]}).task.build()
    network = NETWORKS[network_name]
    weights = {k: 3 * v for k, v in initial_weights(network, task, 3).items()}
    n_answers = task.algebra.n_answers
    forward = jax.jit(lambda w, x: network.apply(w, network.prepare(x, task.shape), task.shape))
    logits = forward(weights, task.inputs)
    train = np.sort(np.random.default_rng(0).permutation(task.n_inputs)[: task.n_inputs // 3])
    return task, network, weights, np.asarray(logits)[:, :n_answers], train


# few shapes: compiling is what these tests spend their time on
CASES = [*((t, "transformer") for t in TASKS), ("add", "mlp"), ("even", "mlp")]


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_losses_against_projections_written_out(task_name: str, network_name: str) -> None:
    task, network, weights, logits, train = case(task_name, network_name)
    keys = (1, 3) if task_name != "relabelled" and task_name != "mirrored" else (2,)
    found = progress.progress(weights, task, train, network=network, frequencies=keys)
    vectors = [v for k in keys for v in brute.directions(task, task.algebra.direction, k)]
    kept = brute.project(logits, vectors)
    test = np.setdiff1d(np.arange(task.n_inputs), train)
    edited = {"": logits, "restricted_": kept + logits.mean(0), "excluded_": logits - kept}
    usual = {"": None, "restricted_": "all", "excluded_": "train"}
    for version, value in edited.items():
        for name, rows in {"all": slice(None), "train": train, "test": test}.items():
            key = f"{version}loss" + ("" if name == usual[version] else f"_{name}")
            if not version:
                key = "loss" if name == "all" else f"{name}_loss"
            assert found[key] == pytest.approx(brute.cross_entropy(value[rows], task.targets[rows]), rel=1e-9), key
            right = np.mean(value[rows].argmax(1) == task.targets[rows])
            assert found[key.replace("loss", "accuracy")] == pytest.approx(right, abs=1e-12), key
    squares = sum(np.sum(w**2) for w in weights.values())
    assert found["sum_of_squares"] == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_the_fit_against_cubes_written_out(task_name: str, network_name: str) -> None:
    task, network, weights, logits, train = case(task_name, network_name)
    p = task.algebra.p
    keys = (1, 2)
    found = progress.progress(weights, task, train, network=network, frequencies=keys)
    centred = logits - logits.mean(1, keepdims=True)
    answer_of = grid.grid_of(task).answers
    total = np.zeros_like(logits)
    for k in range(1, p // 2 + 1):
        cube = brute.cubes(task, answer_of, k)
        alpha = np.sum(cube * centred) / np.sum(cube**2)
        assert found["alpha"][k - 1] == pytest.approx(alpha, abs=1e-12)
        cosine = np.sum(cube * centred) / np.linalg.norm(cube) / np.linalg.norm(centred)
        assert found["cosine"][k - 1] == pytest.approx(cosine, abs=1e-12)
        if k in keys:
            total += alpha * cube
    over_inputs = logits.mean(0)
    versions = {
        "": centred,
        "_raw": logits,
        "_mean_centred": logits - logits.mean(),
        "_input_centred": logits - over_inputs,
        "_double_centred": centred - over_inputs + logits.mean(),
    }
    for version, values in versions.items():
        explained = 1 - np.sum((values - total) ** 2) / np.sum(values**2)
        assert found[f"logit_fve{version}"] == pytest.approx(explained, abs=1e-12), version
    assert found["trig_loss"] == pytest.approx(brute.cross_entropy(total, task.targets), rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e6])
def test_logits_alike_for_all_answers_have_no_variance_to_explain(offset: float) -> None:
    """But an offset shared by the answers of an input, to which softmax is blind, counts in the raw fraction."""
    p = 7
    raw = jax.numpy.asarray(np.broadcast_to(offset * np.cos(np.arange(p))[:, None, None], (p, p, p)))
    found = {k: float(v) for k, v in progress.logit_fractions(raw, jax.numpy.zeros((), float)).items()}
    assert set(found) == set(progress.LOGIT_FVES)
    assert np.isnan([found["logit_fve"], found["logit_fve_double_centred"]]).all()
    assert np.isnan(found["logit_fve_raw"]) == (offset == 0)


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_every_published_form_against_blocks_written_out(task_name: str, network_name: str) -> None:
    task, network, weights, logits, train = case(task_name, network_name)
    keys = (1, 2) if task.algebra.p != 6 else (1, 3)
    found = variants.progress_variants(weights, task, train, network=network, frequencies=keys)
    direction = task.algebra.direction
    mean = logits.mean(0)
    kept = brute.project(logits, [v for k in keys for v in brute.directions(task, direction, k)])
    blocks = {n: brute.project(logits, [v for k in keys for v in brute.block(task, k, n)]) for n in (2, 3)}
    expected = {
        "restricted": kept + mean,
        "restricted_no_mean": kept,
        "restricted_2x2": blocks[2] + mean,
        "restricted_3x3": blocks[3] + mean,
        "excluded": logits - kept,
        "excluded_2x2": logits - blocks[2],
        "excluded_3x3": logits - blocks[3],
    }
    cubes = np.zeros_like(logits)
    answer_of = grid.grid_of(task).answers
    for k in keys:
        cube = brute.cubes(task, answer_of, k)
        cubes += np.sum(cube * (logits - logits.mean(1, keepdims=True))) / np.sum(cube**2) * cube
    expected |= {"restricted_cubes": cubes + mean, "excluded_cubes": logits - cubes}
    seen = gl.activations(weights, task.inputs, network)
    if network_name == "mlp":
        neurons, through = np.asarray(seen["hidden.0.hook_post"]), weights["unembed.W_U"]
        bias = 0
    else:
        neurons = np.asarray(seen["blocks.0.mlp.hook_post"])[:, -1]
        through = weights["blocks.0.mlp.W_out"] @ weights["unembed.W_U"]
        bias = weights["blocks.0.mlp.b_out"] @ weights["unembed.W_U"]
    mapped = brute.project(neurons, [v for k in keys for v in brute.directions(task, direction, k)]) @ through
    n_answers = logits.shape[1]
    expected |= {
        "restricted_neurons": mapped[:, :n_answers] + mean,
        "excluded_neurons": logits - (mapped + bias)[:, :n_answers],
    }
    test = np.setdiff1d(np.arange(task.n_inputs), train)
    assert set(found) == set(expected)
    for name, value in expected.items():
        for got, rows in zip(found[name], (np.arange(task.n_inputs), train, test), strict=True):
            assert got == pytest.approx(brute.cross_entropy(value[rows], task.targets[rows]), rel=1e-8), name


@pytest.mark.parametrize("task_name", TASKS)
def test_excluding_one_frequency_at_a_time(task_name: str) -> None:
    task, network, weights, logits, train = case(task_name, "transformer")
    found = progress.excluded_by_frequency(weights, task, train, network=network)
    assert list(found["frequencies"]) == list(range(1, task.algebra.p // 2 + 1))
    for k, loss in zip(found["frequencies"], found["loss"], strict=True):
        edited = logits - brute.project(logits, brute.directions(task, task.algebra.direction, int(k)))
        assert loss == pytest.approx(brute.cross_entropy(edited[train], task.targets[train]), rel=1e-9)
    assert found["maximum"] == found["loss"].max()
    some = progress.excluded_by_frequency(weights, task, train, network=network, frequencies=(2,))
    np.testing.assert_allclose(some["loss"], found["loss"][1:2], rtol=1e-12)


def test_many_models_at_once_are_measured_as_alone() -> None:
    task, network, weights, _, train = case("add", "transformer")
    scales = (0.5, 1.0, 2.0, 1.5)
    stack = {k: np.stack([s * v for s in scales]) for k, v in weights.items()}
    together = progress.trajectory(stack, task, train, network, (1, 3))
    for i, scale in enumerate(scales):
        alone = progress.progress(
            {k: scale * v for k, v in weights.items()}, task, train, network=network, frequencies=(1, 3)
        )
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][i], value, rtol=1e-9, atol=1e-12)


MEASURED = jax.jit(progress._measured)
GINI_OF = jax.jit(progress.gini_of)


@settings(max_examples=20)
@given(arrays.arrays(np.float64, (25,), elements=st.floats(-5, 5)))
def test_a_common_offset_of_the_classes_of_an_input_changes_nothing_but_raw_logits(offsets: np.ndarray) -> None:
    """Softmax is blind to it, and so is a fit of logits that are centred over c."""
    p = 5
    s = (np.arange(p)[:, None] + np.arange(p)) % p
    cube = np.cos(2 * np.pi * (s[:, :, None] - np.arange(p)) / p)
    order = np.stack([np.arange(p) * p + (k - np.arange(p)) % p for k in range(p)])
    tables = {
        "order": order.astype(np.int32),
        "answers": np.arange(p, dtype=np.int32),
        "class_of": np.arange(p),
        "weights_all": np.full((p, p), 1 / p**2),
    }
    mask = progress._mask([1], p)
    noise = np.random.default_rng(0).normal(size=(25, p))
    plain = 3 * cube.reshape(25, p) + noise
    first, second = (MEASURED({}, logits, tables, mask) for logits in (plain, plain + offsets[:, None]))
    for name in ("loss", "logit_fve", "trig_loss", "alpha"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-9, atol=1e-12)


# few lengths: each is a program of its own
@given(arrays.arrays(np.float64, st.sampled_from([1, 2, 7, 20]), elements=st.floats(0, 1e6)))
def test_both_ginis_agree(x: np.ndarray) -> None:
    assert float(GINI_OF(x)) == pytest.approx(gini(x), abs=1e-12, nan_ok=True)


def exact_model(p: int, keys: tuple[int, ...], sign: int = 1):
    """A quadratic network that computes Σ cos(w_k(a ± b − c)) by cos² identities, and its task."""
    task = gl.read({"task": {"p": p, "expression": "x + y" if sign == 1 else "x - y", "layout": "a b"}}).task.build()
    n, tables, out = np.arange(p), [[], []], []
    for k in keys:
        w = 2 * np.pi * k / p
        for phase in np.arange(8) * 2 * np.pi / 8:
            tables[0].append(np.cos(w * n + phase))
            tables[1].append(np.cos(sign * w * n + phase))
            out.append(np.cos(w * n + 2 * phase))
    weights = {f"embed.{i}.W": np.array(t).T for i, t in enumerate(tables)} | {"unembed.W_U": np.array(out)}
    return weights, task, MLP(d_mlp=8 * len(keys), activation="quadratic")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_model_made_of_two_frequencies_is_found_out(sign: int) -> None:
    weights, task, network = exact_model(13, (2, 5), sign)
    assert frequencies.find_frequencies(weights, task, network) == (2, 5)
    found = frequencies.key_frequencies(weights, task, network=network)
    assert all(value == [2, 5] for value in found.values())
    assert len(found) == 1 + len(frequencies.RULES)
    values = progress.progress(weights, task, None, network=network)
    # the squares leave cos(w(2a − c)) and cos(w(2b − c)) beside it, each of half its size
    assert values["logit_fve"] == pytest.approx(2 / 3, abs=1e-9)
    assert values["accuracy"] == values["restricted_accuracy"] == values["trig_accuracy"] == 1
    assert values["restricted_loss"] < values["loss"] < np.log(13) < values["excluded_loss_all"]


def test_unordered_pairs_stand_for_their_mirror_images() -> None:
    whole, network, weights, _, _ = case("add", "transformer")
    half = gl.read({"task": {**TASKS["add"], "pairs": "unordered"}}).task.build()
    even = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[0, 0, 2]]}
    expected, found = (progress.progress(even, t, None, network=network, frequencies=(1,)) for t in (whole, half))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9)
    rows = np.arange(0, half.n_inputs, 2)
    assert grid.grid_of(half).weights(rows).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"p": 7, "expression": "x * y"}, "a function of a+b or a−b, and not to x*y mod 7"),
        ({"p": 7, "expression": "x + y + z"}, "two operands mod p"),
        ({"p": 7, "expression": "x + y", "exclude_zeros": "any"}, "needs every pair mod 7"),
    ],
)
def test_where_it_does_not_apply_it_says_so(task, says: str) -> None:
    built = gl.read({"task": task}).task.build()
    with pytest.raises(gl.InputError, match=r"applies|needs") as caught:
        grid.grid_of(built)
    assert says in str(caught.value)


def test_answers_that_residues_share_have_no_fit_but_the_losses() -> None:
    task = gl.read({"task": {"p": 7, "expression": "(x + y)^2"}}).task.build()
    weights = initial_weights(NETWORKS["transformer"], task, 0)
    found = progress.progress(weights, task, None)
    assert "alpha" not in found
    assert np.isfinite(found["restricted_loss"])
    assert frequencies.default_rule(task) == "logits"
    with pytest.raises(gl.InputError, match="share an answer"):
        frequencies.find_frequencies(weights, task, rule="neuron_logit_map")


def test_frequencies_out_of_range_are_refused() -> None:
    task, network, weights, _, _ = case("add", "mlp")
    with pytest.raises(gl.InputError, match="integers from 1 to 3"):
        progress.progress(weights, task, None, network=network, frequencies=(4,))
    with pytest.raises(gl.InputError, match="unknown"):
        frequencies.find_frequencies(weights, task, network, "eyes")


def test_a_tie_between_answers_counts_as_wrong() -> None:
    logits = np.array([[2.0, 2.0, 0.0], [3.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    loss, accuracy = jax.jit(progress.loss_and_accuracy)(logits, np.array([0, 0, 1, 2], np.int32), weights)
    np.testing.assert_allclose(accuracy, 0.6, rtol=1e-14)
    own = -log_softmax(logits, axis=1)[np.arange(4), [0, 0, 1, 2]]
    np.testing.assert_allclose(loss, own @ weights, rtol=1e-12)
