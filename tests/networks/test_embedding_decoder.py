"""The toy model: the fast way against the reference, what is never trained, and the published starting points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import EmbeddingDecoder
from groklab.objectives import NearestVector
from groklab.papers.liu2022.starts import published_layout, published_start
from groklab.tasks import TaskShape
from groklab.training import make_ensemble
from groklab.training._start import read_weights

QUICK = {"xla_backend_optimization_level": 0}
SHAPE = TaskShape(6, 3, 7, (None, 5, None), n_symbols=5)
CASES: dict[str, dict[str, Any]] = {
    "sum": {"d_embed": 2},
    "mean": {"d_embed": 1, "combine": "mean", "activation": "relu", "n_hidden_layers": 1},
    "product": {"d_embed": 4, "combine": "product"},
    "classes": {"d_embed": 3, "head": "classes"},
}


def drawn(case: str) -> tuple[EmbeddingDecoder, dict[str, jax.Array], jax.Array]:
    network = EmbeddingDecoder(d_mlp=9, d_out=4, **CASES[case])
    rng = np.random.default_rng(0)
    weights = {name: jnp.asarray(rng.normal(size=size) * 0.5) for name, size in network.shapes(SHAPE).items()}
    tokens = np.stack([rng.integers(0, 5, 11), np.full(11, 5), rng.integers(0, 5, 11)], axis=1)
    return network, weights, jnp.asarray(tokens, jnp.int32)


@pytest.mark.parametrize("case", CASES)
def test_the_fast_way_is_the_reference_in_value_and_gradient(case: str) -> None:
    network, weights, tokens = drawn(case)
    targets = jnp.arange(11, dtype=jnp.int32) % 7

    def fast(w: Any) -> Any:
        return network.apply(w, network.prepare(tokens, SHAPE), SHAPE)[jnp.arange(11), targets].sum()

    def reference_forward(w: Any) -> Any:
        return network.reference_forward(w, tokens, SHAPE)[jnp.arange(11), targets].sum()

    got, expected = (jax.jit(jax.value_and_grad(f), compiler_options=QUICK)(weights) for f in (fast, reference_forward))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), got, expected)


def test_matrices_are_multiplied_in_order() -> None:
    network, weights, tokens = drawn("product")
    seen: dict[str, Any] = {}
    network.reference_forward(weights, tokens, SHAPE, lambda name, value: seen.setdefault(name, value))
    e = np.asarray(weights["embed.W_E"]).reshape(-1, 2, 2)
    for row, (a, _, b) in enumerate(np.asarray(tokens)):
        np.testing.assert_allclose(seen["hook_combined"][row], (e[a] @ e[b]).ravel(), atol=1e-14)


def test_logits_are_minus_distances_and_the_nearest_vector_wins() -> None:
    network, weights, tokens = drawn("sum")
    seen: dict[str, Any] = {}
    logits = np.asarray(
        network.reference_forward(weights, tokens, SHAPE, lambda name, value: seen.setdefault(name, value))
    )
    z, vectors = np.asarray(seen["decoded"]), np.asarray(weights["targets.Y"])
    squares = ((z[:, None] - vectors[None]) ** 2).mean(-1)
    np.testing.assert_allclose(logits, -squares, rtol=1e-12)
    targets = jnp.asarray(squares.argmin(1), jnp.int32)
    plain = NearestVector().per_row(jnp.asarray(logits), targets)
    np.testing.assert_allclose(plain, squares.min(1), rtol=1e-12)
    direct = NearestVector().per_vector(jnp.asarray(z), jnp.asarray(vectors[np.asarray(targets)]))
    np.testing.assert_allclose(direct, plain, rtol=1e-12)


def settings(**more: Any) -> dict[str, Any]:
    return {"network.d_mlp": 8, "budget.steps": 6, "measures.names": [], **more}


def test_the_vectors_are_never_trained_and_no_part_of_the_norm() -> None:
    run = gl.train(gl.preset("liu2022/addition", settings(**{"optimiser.weight_decay": 3.0})))
    first, last = run.weights(0), run.weights()
    np.testing.assert_array_equal(first["targets.Y"], last["targets.Y"])
    assert all(not np.array_equal(first[k], last[k]) for k in first if k != "targets.Y")
    own = np.sqrt(sum(float((v**2).sum()) for k, v in last.items() if k != "targets.Y"))
    assert run.curves()["weight_norm"][-1] == pytest.approx(own, rel=1e-5)


def test_representation_and_decoder_have_rates_of_their_own() -> None:
    groups = {"embed.*": {"learning_rate": 0.0, "weight_decay": 0.0}}
    run = gl.train(gl.preset("liu2022/addition", settings(**{"optimiser.groups": groups})))
    np.testing.assert_array_equal(run.weights(0)["embed.W_E"], run.weights()["embed.W_E"])
    assert not np.array_equal(run.weights(0)["unembed.W_U"], run.weights()["unembed.W_U"])
    faster = {"optimiser.learning_rate": 0.0, "optimiser.groups.embed.*.learning_rate": 1e-2}
    run = gl.train(gl.preset("liu2022/addition", settings(**faster)))
    assert not np.array_equal(run.weights(0)["embed.W_E"], run.weights()["embed.W_E"])
    np.testing.assert_array_equal(run.weights(0)["unembed.W_U"], run.weights()["unembed.W_U"])


def test_the_penalty_on_embeddings_acts_and_is_not_reported() -> None:
    plain, pulled = (
        gl.train(gl.preset("liu2022/addition", settings(**{"objective.embedding_l1": l1}))) for l1 in (None, 1.0)
    )
    assert plain.curves()["train_loss"][0] == pulled.curves()["train_loss"][0]
    size = [np.abs(run.weights()["embed.W_E"]).sum() for run in (plain, pulled)]
    assert size[1] < size[0]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"network.head": "classes"}, r"objective\.kind = 'nearest_vector'"),
        ({"objective.kind": "cross_entropy"}, r"objective\.kind = 'cross_entropy'.*vectors"),
        ({"network.d_embed": 3, "network.combine": "product"}, r"network\.d_embed = 3.*square"),
        ({"network.d_out": 0}, r"network\.d_out = 0"),
        ({"task.expression": "x^2", "task.pairs": "ordered", "split.n_train": 5}, "at least two varying tokens"),
    ],
)
def test_what_does_not_fit_is_one_sentence(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make_ensemble([gl.preset("liu2022/addition", overrides)])


def test_published_starts_are_the_published_ones(reference: Path) -> None:
    with np.load(reference / "liu2022_seed58.npz") as arrays:
        expected = published_layout(arrays)
        rows = sorted(arrays["train_index"].tolist())
    weights, own_rows = published_start(58)
    assert own_rows == rows == sorted(gl.preset("liu2022/seed58").split.rows or ())
    for name, array in read_weights("groklab:liu2022/init_seed58.npz").items():
        np.testing.assert_allclose(array, np.asarray(expected[name], np.float32), atol=0)
        np.testing.assert_allclose(weights[name], expected[name], atol=2e-7)


def test_the_published_run_begins_with_its_published_loss() -> None:
    run = gl.train(gl.preset("liu2022/seed58", {"budget.steps": 20, "measures.names": []}))
    assert run.curves()["train_loss"][0] == pytest.approx(0.981266, abs=2e-6)
