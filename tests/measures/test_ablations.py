"""Interventions, against forward passes in which intermediates are replaced by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.measures import brute
from tests.measures.models import CASES, TASKS, Model, case, made
from tests.measures.test_neurons import regression

import groklab as gl
from groklab.measures import _ablations as ablations
from groklab.measures import _frequencies as frequencies
from groklab.measures import _neurons as neurons
from groklab.networks import MLP, Transformer

PLAIN = {"d_model": 8, "n_heads": 2, "d_mlp": 12}


def split_of(task) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(task.n_inputs)[: task.n_inputs // 3])


def table(model: Model, keys: tuple[int, ...], train: np.ndarray | None = None) -> dict[str, dict[str, float]]:
    found = gl.MEASURES["ablations"](model.weights, model.task, train, network=model.network, frequencies=keys)
    columns = ("loss", "train_loss", "test_loss", "accuracy")
    assert len(set(found["names"])) == len(found["names"])
    return {n: {c: found[c][i] for c in columns} for i, n in enumerate(found["names"])} | {"": found}


def check(row: dict[str, float], logits: np.ndarray, task, train: np.ndarray) -> None:
    logits = logits[:, : task.algebra.n_answers]
    test = np.setdiff1d(np.arange(task.n_inputs), train)
    for column, rows in (("loss", slice(None)), ("train_loss", train), ("test_loss", test)):
        assert row[column] == pytest.approx(brute.cross_entropy(logits[rows], task.targets[rows]), rel=1e-8), column
    # where classes tie, rounding decides
    others = np.where(np.arange(logits.shape[1]) == task.targets[:, None], -np.inf, logits).max(axis=1)
    margin = logits[np.arange(len(logits)), task.targets] - others
    assert np.mean(margin > 1e-9) - 1e-12 <= row["accuracy"] <= np.mean(margin > -1e-9) + 1e-12


def replaced_neurons(model: Model, keys: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Activations (N, d_mlp) of each intervention on neurons, by regressions and sums over the task's rows."""
    task, values = model.task, model.neurons
    p, direction = task.algebra.p, task.algebra.direction
    a, b = task.algebra.operands.T
    mean = values.mean(axis=0)
    fitted, own = values.copy(), values.copy()
    well = np.zeros(values.shape[1], bool)
    for i in range(values.shape[1]):
        if np.ptp(values[:, i]) == 0:
            continue
        found = [regression(model.on_grid(values[:, i : i + 1])[..., 0], k) for k in range(1, p // 2 + 1)]
        k = int(np.argmax([fve for _, fve in found])) + 1
        fitted[:, i] = found[k - 1][0][a, b]
        well[i] = found[k - 1][1] >= neurons.WELL_EXPLAINED
        own[:, i] = brute.project(values[:, i : i + 1], brute.directions(task, direction, k))[:, 0] + mean[i]
    return {
        "polynomials_well_explained": np.where(well, fitted, values),
        "polynomials_all": fitted,
        "own_sums_well_explained": np.where(well, own, values),
        "key_sums_all": brute.project(values, [v for k in keys for v in brute.directions(task, direction, k)]) + mean,
        **{f"neurons_without_{k}": values - brute.project(values, brute.directions(task, direction, k)) for k in keys},
        "unexplained_neurons_zero": np.where(well, values, 0),
        "unexplained_neurons_mean": np.where(well, values, mean),
        **on_directions(model, keys),
    }


def on_directions(model: Model, keys: tuple[int, ...]) -> dict[str, np.ndarray]:
    found = frequencies.directions(model.weights, model.task, network=model.network, frequencies=keys)
    vectors = np.concatenate([found["u"], found["v"]])
    basis = np.linalg.svd(vectors, full_matrices=False)
    kept = basis.Vh[basis.S > 1e-9]
    on = model.neurons @ kept.T @ kept
    return {"directions": on, "complement": model.neurons - on}


@pytest.mark.parametrize(("task_name", "network_name"), CASES)
def test_logits_and_neurons_against_projections_written_out(task_name: str, network_name: str) -> None:
    model = case(task_name, network_name)
    task, logits = model.task, model.logits
    p, direction = task.algebra.p, task.algebra.direction
    keys, train = (1, p // 2), split_of(task)
    found = table(model, keys, train)
    check(found["base"], logits, task, train)
    waves = {k: brute.directions(task, direction, k) for k in range(1, p // 2 + 1)}
    blocks = brute.project(logits, [v for k in keys for v in brute.block(task, k, 3)])
    check(found["logits_key_blocks"], blocks + logits.mean(axis=0), task, train)
    check(found["logits_without_keys"], logits - brute.project(logits, waves[1] + waves[p // 2]), task, train)
    for k in keys:
        check(found[f"logits_without_{k}"], logits - brute.project(logits, waves[k]), task, train)
    each = [brute.cross_entropy(logits - brute.project(logits, v), task.targets) for v in waves.values()]
    np.testing.assert_allclose(found[""]["loss_without_frequency"], each, rtol=1e-8)
    for name, values in replaced_neurons(model, keys).items():
        if network_name == "mlp":
            new = gl.patch(model.weights, task.inputs, {"hidden.0.hook_post": values}, model.network)["logits"]
        else:
            post = {"blocks.0.mlp.hook_post": lambda x, v=values: x.at[:, -1].set(v)}
            new = gl.patch(model.weights, task.inputs, post, model.network)["logits"][:, -1]
        check(found[name], np.asarray(new), task, train)


def test_some_neurons_are_well_explained_and_some_are_not() -> None:
    """Else the test above would not tell the interventions apart."""
    found = [gl.MEASURES["neurons"](m.weights, m.task, network=m.network) for m in (case(*c) for c in CASES)]
    assert any(0 < f["well_explained_neurons"] < len(f["fve"]) for f in found)


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("settings", [{}, {"n_layers": 2, "layer_norm": "pre", "biases": "all", "output_scale": 0.5}])
def test_paths_against_patched_passes(task_name: str, settings: dict) -> None:
    network = Transformer(**PLAIN | settings)
    model = made(case(task_name, "transformer").task, network)
    task, train = model.task, split_of(model.task)
    p = task.algebra.p
    found = table(model, (1,), train)
    seen = gl.activations(model.weights, task.inputs, network)
    block = f"blocks.{network.n_layers - 1}."

    def patched(name: str, change) -> np.ndarray:
        replacement = {block + name: lambda x: x.at[:, -1].set(change(x[:, -1]))}
        return np.asarray(gl.patch(model.weights, task.inputs, replacement, network)["logits"])[:, -1]

    mid, out, attn = (np.asarray(seen[block + f"hook_{x}"])[:, -1] for x in ("resid_mid", "mlp_out", "attn_out"))
    expected = {
        "skip_around_mlp_zero": patched("hook_resid_post", lambda x: out),
        "skip_around_mlp_mean": patched("hook_resid_post", lambda x: out + mid.mean(axis=0)),
        "attention_output_zero": patched("hook_attn_out", lambda x: 0 * x),
        "skip_around_attention_zero": patched("hook_resid_mid", lambda x: attn),
    }
    pattern = np.asarray(seen[block + "attn.hook_pattern"])
    alone = pattern.copy()
    alone[:, :, -1, -1] = 0
    linear = pattern.copy()
    a, b = task.algebra.operands.T
    heads = gl.MEASURES["attention"](model.weights, task, network=network)
    for head in range(2):
        w = 2 * np.pi * heads["pattern_frequency"][head] / p
        form = heads["alpha"][head] * (np.cos(w * a) - np.cos(w * b))
        form += heads["beta"][head] * (np.sin(w * a) - np.sin(w * b))
        linear[:, head, -1] = np.stack([0.5 + form, 0.5 - form, 0 * form], axis=1)
    for name, new in (("self_attention_zero", alone), ("attention_linear", linear)):
        passed = gl.patch(model.weights, task.inputs, {block + "attn.hook_pattern": new}, network)
        expected[name] = np.asarray(passed["logits"])[:, -1]
    if not settings:
        for name, values in on_directions(model, (1,)).items():
            through = values @ model.weights["blocks.0.mlp.W_out"] @ model.weights["unembed.W_U"]
            expected[f"{name}_W_L_alone"] = through
    else:
        assert "directions_W_L_alone" not in found
    for name, logits in expected.items():
        check(found[name], logits, task, train)


@pytest.mark.parametrize(
    "settings",
    [{"layer_norm": "post"}, {"biases": "none"}, {"activation": "gelu", "n_layers": 2}, {"attention_rate": 0.5}],
)
def test_the_layer_written_out_is_the_networks(settings: dict) -> None:
    network = Transformer(**PLAIN | settings)
    model = made(case("add", "transformer").task, network)
    rows = np.arange(49).reshape(7, 7)
    layer = ablations._LastLayer(model.weights, model.task, network, rows)
    assert layer.post is not None
    mid = layer.mid_from(layer.pre, layer.attn_out_from(layer.pattern))
    for logits in (layer.logits_from(layer.mid, layer.post), layer.logits_from_mid(mid)):
        np.testing.assert_allclose(logits, model.on_grid(model.logits), atol=1e-9)
    assert set(table(model, (1,))) - {""} <= {*ablations.INTERVENTIONS, "logits_without_1", "neurons_without_1"}


def test_what_a_network_does_not_have_is_left_out() -> None:
    task = case("add", "transformer").task
    bare = table(made(task, Transformer(**PLAIN | {"d_mlp": 0})), (1,))
    assert {"attention_output_zero", "logits_key_blocks"} <= set(bare)
    assert not {"polynomials_all", "directions", "skip_around_mlp_zero"} & set(bare)
    dense = table(made(task, MLP(d_mlp=10, n_hidden_layers=2, biases=True, output_scale=0.5)), (1,))
    assert {"polynomials_all", "directions"} <= set(dense)
    assert not {"attention_linear", "directions_W_L_alone", "skip_around_mlp_mean"} & set(dense)
    assert np.isnan(dense["base"]["train_loss"])
    shared = gl.read({"task": {"p": 7, "expression": "(x + y)^2"}}).task.build()
    squares = table(made(shared, Transformer(**PLAIN)), (1,))
    assert "polynomials_all" in squares
    assert "directions" not in squares
    half = gl.read({"task": {"p": 7, "expression": "x + y", "pairs": "unordered"}}).task.build()
    unordered = table(made(half, Transformer(**PLAIN)), (1,), np.arange(5))
    assert "self_attention_zero" in unordered
    assert "attention_linear" not in unordered


def test_every_intervention_is_described_and_in_use() -> None:
    names = table(case("add", "transformer"), (1,))[""]["names"]
    assert [n.replace("without_1", "without_k") for n in names] == list(ablations.INTERVENTIONS)


def test_key_frequencies_are_found_where_none_are_given() -> None:
    model = case("add", "transformer")
    names = gl.MEASURES["ablations"](model.weights, model.task, network=model.network)["names"]
    keys = gl.MEASURES["key_frequencies"](model.weights, model.task, network=model.network)["frequencies"]
    assert [f"logits_without_{k}" for k in keys] == [
        n for n in names if n.startswith("logits_without_") and n[-1] != "s"
    ]
