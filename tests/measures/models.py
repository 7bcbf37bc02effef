"""Small random models on small tasks, and what they compute, for measures to be checked on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import groklab as gl
from groklab.networks import MLP, Transformer
from groklab.tasks import Task

TASKS = {
    "add": {"p": 7, "expression": "x + y"},
    "subtract": {"p": 7, "expression": "x - y", "outputs": "vocabulary"},
    "relabelled": {"p": 7, "expression": "3*x + 3*y + 2"},
    "mirrored": {"p": 7, "expression": "y - x"},
    "even": {"p": 6, "expression": "x + y"},
}
NETWORKS: dict[str, Any] = {
    "transformer": Transformer(d_model=8, n_heads=2, d_mlp=12),
    "mlp": MLP(d_mlp=10, activation="relu", init_scheme="fan_in"),
}
# few shapes: compiling is what these tests spend their time on
CASES = [*((t, "transformer") for t in TASKS), ("add", "mlp"), ("even", "mlp")]


@dataclass(frozen=True)
class Model:
    """logits (N, n_answers) and neurons (N, d_mlp) at the last position."""

    task: Task
    network: Any
    weights: dict[str, np.ndarray]
    logits: np.ndarray
    neurons: np.ndarray

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """Values (N, …) as [a, b, …], pair by pair."""
        p = self.task.algebra.p
        found = np.full((p, p, *values.shape[1:]), np.nan)
        for row, (a, b) in enumerate(self.task.algebra.operands):
            found[a, b] = values[row]
        return found


@lru_cache
def case(task_name: str, network_name: str) -> Model:
    return made(gl.read({"task": TASKS[task_name]}).task.build(), NETWORKS[network_name])


def initial_weights(network: Any, task: Task, seed: int) -> dict[str, np.ndarray]:
    """Weights (float64) like a network's initial ones, by NumPy: its own take JAX a second to compile."""
    rng = np.random.default_rng(seed)

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1 or "b_" in name:
            # scales of norms are ones, biases zeros
            return np.full(shape, float(name.endswith(".w")))
        return rng.normal(size=shape) / np.sqrt(shape[-2])

    return {name: drawn(name, shape) for name, shape in network.shapes(task.shape).items()}


def made(task: Task, network: Any, seed: int = 3) -> Model:
    """A model of any network on a task: initial weights, three times as large, and biases that are not zero."""
    weights = {k: 3 * v for k, v in initial_weights(network, task, seed).items()}
    rng = np.random.default_rng(seed)
    weights = {k: v + 0.3 * rng.normal(size=v.shape) if v.ndim == 1 or "b_" in k else v for k, v in weights.items()}
    if "embed.1.W" in weights:
        # three neurons that are nearly waves of one frequency: never below zero, so that ReLU leaves them as they are
        x = np.arange(len(weights["embed.0.W"]))
        for table, wave in (("embed.0.W", np.cos), ("embed.1.W", np.sin)):
            waves = [2 + wave(2 * np.pi * k * x / task.algebra.p) for k in (1, 1, 2)]
            weights[table] = weights[table].copy()
            weights[table][:, :3] = np.stack(waves, axis=1) + 0.05 * rng.normal(size=(len(x), 3))
    seen = gl.activations(weights, task.inputs, network)
    logits, neurons = np.asarray(seen["logits"]), np.zeros((task.n_inputs, 0))
    if isinstance(network, MLP):
        neurons = np.asarray(seen[f"hidden.{network.n_hidden_layers - 1}.hook_post"])
    else:
        logits = logits[:, -1]
        name = f"blocks.{network.n_layers - 1}.mlp.hook_post"
        neurons = np.asarray(seen[name])[:, -1] if name in seen else neurons
    return Model(task, network, weights, logits[:, : task.algebra.n_answers], neurons)
