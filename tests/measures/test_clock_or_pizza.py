"""Gradient symmetricity, distance irrelevance and circularity: references, planted clocks and pizzas, and neither."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import initial_weights

from groklab.analysis import likeness, likeness_sentence
from groklab.errors import InputError
from groklab.measures import MEASURES, ClockOrPizza, circularity, distance_irrelevance, gradient_symmetricity, grid_of
from groklab.networks import MLP, Transformer
from groklab.tasks import Arithmetic, Task

P = 13
Weights = dict[str, np.ndarray]


def addition(p: int = P, expression: str = "x + y") -> Task:
    return Arithmetic(p=p, expression=expression, layout="a b").build()


def circle(p: int, k: int) -> np.ndarray:
    angle = 2 * np.pi * k * np.arange(p) / p
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def pizza(p: int = P, k: int = 1, n: int = 24) -> tuple[MLP, Weights]:
    """|cos(w(a − b)/2)| cos(w(a + b − c)): the absolute value of E_a + E_b in many directions."""
    turn = np.pi * np.arange(n) / n
    directions = np.stack([np.cos(turn), np.sin(turn)])
    answers = np.cos(2 * turn[:, None] - 2 * np.pi * k * np.arange(p) / p)
    weights = {"embed.W_E": circle(p, k), "hidden.0.W": np.tile(directions, (2, 1)), "unembed.W_U": answers}
    return MLP(d_mlp=n, d_embed=2, activation="abs"), weights


def clock(p: int = P, k: int = 1, spread: float = 0.01) -> tuple[MLP, Weights]:
    """cos(w(a + b − c)) by products of coordinates, each the difference of two squares; answers differ in size."""
    products = [(0, 0), (1, 1), (0, 1), (1, 0)]
    hidden, readout = np.zeros((4, 8)), np.zeros((8, p))
    angle = 2 * np.pi * k * np.arange(p) / p
    # cos(a + b) = cos a cos b − sin a sin b, sin(a + b) = cos a sin b + sin a cos b
    parts = [np.cos(angle), -np.cos(angle), np.sin(angle), np.sin(angle)]
    for i, ((of_a, of_b), part) in enumerate(zip(products, parts, strict=True)):
        for j, sign in enumerate((1, -1)):
            hidden[of_a, 2 * i + j], hidden[2 + of_b, 2 * i + j] = 1, sign
            readout[2 * i + j] = sign * part / 4
    sizes = 1 + spread * np.random.default_rng(0).normal(size=p)
    weights = {"embed.W_E": circle(p, k), "hidden.0.W": hidden, "unembed.W_U": readout * sizes}
    return MLP(d_mlp=8, d_embed=2, activation="quadratic"), weights


def take(network: MLP | Transformer, weights: Weights, task: Task) -> ClockOrPizza:
    found = MEASURES["clock_or_pizza"](weights, task, network=network)
    assert isinstance(found, ClockOrPizza)
    return found


def by_tokens_of_their_own(network: MLP | Transformer, weights: Weights, task: Task, triples: np.ndarray) -> float:
    """Gradients in two rows added to the table, one for each operand, triple by triple."""
    table = jnp.asarray(weights["embed.W_E"], jnp.float64)
    d_vocab = len(table)
    shape = dataclasses.replace(task.shape, d_vocab=d_vocab + 2)
    cosines = []
    for a, b, c in triples:
        tokens = task.inputs[np.flatnonzero((task.operands == [a, b]).all(axis=1))].copy()
        tokens[0, task.shape.varying[0]], tokens[0, task.shape.varying[1]] = d_vocab, d_vocab + 1

        def logit(rows: jax.Array, tokens: np.ndarray = tokens, c: int = c) -> jax.Array:
            longer = {k: jnp.asarray(v, jnp.float64) for k, v in weights.items()}
            longer["embed.W_E"] = jnp.concatenate([table, rows])
            return network.reference_forward(longer, jnp.asarray(tokens), shape).reshape(-1, task.n_classes)[-1, c]

        of_a, of_b = np.asarray(jax.grad(logit)(table[jnp.asarray([a, b])]))
        cosines.append(of_a @ of_b / np.linalg.norm(of_a) / np.linalg.norm(of_b))
    return float(np.mean(cosines))


@pytest.mark.parametrize(
    ("network", "layout"),
    [
        (Transformer(d_model=8, n_heads=2, d_mlp=6, attention_rate=0.7, mask="none"), "a b"),
        (Transformer(d_model=8, n_heads=2, d_mlp=6, n_layers=2), "a b ="),
        (MLP(d_mlp=6, d_embed=4, activation="gelu"), "a b ="),
    ],
)
def test_gradients_against_tokens_of_their_own(network: MLP | Transformer, layout: str) -> None:
    task = Arithmetic(p=7, layout=layout).build()
    weights = {k: 2 * v for k, v in initial_weights(network, task, 1).items()}
    triples = np.random.default_rng(0).integers(7, size=(6, 3))
    triples[0] = [3, 3, 1]
    expected = by_tokens_of_their_own(network, weights, task, triples)
    assert gradient_symmetricity(weights, task, network, triples) == pytest.approx(expected, rel=1e-9)
    assert abs(expected) < 0.999


def test_distances_and_circles_written_out() -> None:
    rng = np.random.default_rng(0)
    for expression, sign in (("x + y", 1), ("x - y", -1)):
        task = addition(7, expression)
        values = rng.normal(size=(7, 7))
        columns: dict[int, list[float]] = {}
        for a in range(7):
            for b in range(7):
                columns.setdefault((a - sign * b) % 7, []).append(values[a, b])
        expected = np.mean([np.std(c) for c in columns.values()]) / np.std(values)
        assert distance_irrelevance(values, grid_of(task)) == pytest.approx(expected)
    embedding = rng.normal(size=(9, 6))
    centred = embedding - embedding.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    scores = []
    for i in range(1, 5):
        v = centred @ axes[:, -i]
        sums = [abs(sum(v[j] * np.exp(2j * math.pi * j * k / 9) for j in range(9))) ** 2 for k in range(1, 9)]
        scores.append(2 * max(sums) / (9 * sum(v**2)))
    assert circularity(embedding) == pytest.approx(np.mean(scores))


def test_what_depends_on_the_distance_alone_and_what_does_not() -> None:
    grid = grid_of(addition())
    f = np.random.default_rng(0).normal(size=P)
    assert distance_irrelevance(f[grid.differences], grid) < 1e-12
    assert distance_irrelevance(f[grid.sums], grid) == pytest.approx(1)
    assert np.isnan(distance_irrelevance(np.full((P, P), 1 / 3), grid))
    with pytest.raises(InputError, match="needs an odd modulus"):
        distance_irrelevance(np.zeros((8, 8)), grid_of(addition(8)))


def test_circles_have_a_circularity_of_one() -> None:
    two = np.concatenate([circle(P, 2), 0.5 * circle(P, 5)], axis=1) + 3
    turned = two @ np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert circularity(turned) == pytest.approx(1)
    assert circularity(np.random.default_rng(1).normal(size=(59, 64))) < 0.4
    assert np.isnan(circularity(np.ones((P, 6))))
    with pytest.raises(InputError, match="4 or more"):
        circularity(circle(P, 1))


@pytest.mark.parametrize("k", [1, 5])
def test_a_planted_pizza_is_pizza_like(k: int) -> None:
    found = take(*pizza(k=k), addition())
    assert found.accuracy == 1
    assert found.gradient_symmetricity == pytest.approx(1)
    # its logits are a function of the distance alone, but for the finite number of directions
    assert found.distance_irrelevance < 0.05
    assert likeness(found) == "pizza-like"
    assert likeness_sentence(found).startswith("Pizza-like: gradient symmetricity is 1.00")


@pytest.mark.parametrize("k", [1, 5])
def test_a_planted_clock_is_clock_like(k: int) -> None:
    found = take(*clock(k=k), addition())
    assert found.accuracy == 1
    # its gradients are at the angle w(a − b)
    triples = np.random.default_rng(0).integers(P, size=(1000, 3))
    expected = np.cos(2 * np.pi * k * (triples[:, 0] - triples[:, 1]) / P).mean()
    assert found.gradient_symmetricity == pytest.approx(expected, abs=1e-9)
    assert found.distance_irrelevance == pytest.approx(1)
    assert likeness(found) == "clock-like"
    # without differences between answers, all right logits are alike
    assert np.isnan(take(*clock(spread=0.0), addition()).distance_irrelevance)
    assert likeness(take(*clock(spread=0.0), addition())) is None


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_untrained_networks_are_in_neither_band(rate: float, seed: int) -> None:
    task, network = addition(), Transformer(d_model=16, n_heads=2, attention_rate=rate, mask="none")
    found = take(network, initial_weights(network, task, seed), task)
    assert likeness(found) is None
    assert "only" in likeness_sentence(found)
    # what reads at b knows it from a: by the two values alone an untrained network would pass for a clock
    answering = likeness(dataclasses.replace(found, accuracy=1.0))
    assert answering != "pizza-like"
    assert answering == "clock-like" or rate == 0


def test_what_has_no_embedding_to_move_is_refused() -> None:
    network = MLP(d_mlp=6)
    with pytest.raises(InputError, match="need a shared embedding"):
        take(network, initial_weights(network, addition(), 0), addition())
