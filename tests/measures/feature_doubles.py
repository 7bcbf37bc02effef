"""Learners of tiny pairs, and what they are differentiated one input at a time: the reference for closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tests.measures.models import initial_weights

import groklab as gl
from groklab.networks import MLP
from groklab.networks import _common as common
from groklab.tasks import Task

TASKS = {
    "add": {"p": 5, "expression": "x + y", "layout": "a b"},
    "add =": {"p": 5, "expression": "x + y"},
    "divide": {"p": 5, "expression": "divide", "layout": "a op b ="},
    "subtract": {"p": 5, "expression": "x - y", "outputs": "vocabulary"},
    "even": {"p": 6, "expression": "x + y", "layout": "a b"},
}
NETWORKS = {
    "quadratic": MLP(d_mlp=6, activation="quadratic"),
    "relu": MLP(d_mlp=6, activation="relu", biases=True, output_scale=2.5),
    "gelu": MLP(d_mlp=6, activation="gelu"),
    "planted": MLP(d_mlp=6, activation="tanh", features="toeplitz"),
}
#: (task, network): few shapes, because compiling is what these tests spend their time on.
NETWORK_CASES = [
    ("add", "quadratic"),
    ("add =", "relu"),
    ("divide", "quadratic"),
    ("subtract", "gelu"),
    ("add", "planted"),
]
ACTIVATIONS = {"quadratic": jnp.square, "relu": jax.nn.relu, "gelu": jax.nn.gelu, "tanh": jnp.tanh}


@lru_cache
def task_of(name: str) -> Task:
    return gl.read({"task": TASKS[name]}).task.build()


def some_rows(task: Task, seed: int = 0) -> np.ndarray:
    """Half of a task's rows."""
    return np.sort(np.random.default_rng(seed).permutation(task.n_inputs)[: task.n_inputs // 2])


def pairs(task: Task) -> np.ndarray:
    """(N, 2p) the one-hot pairs."""
    p, operands = task.algebra.p, task.algebra.operands
    return np.concatenate([np.eye(p)[operands[:, 0]], np.eye(p)[operands[:, 1]]], axis=1)


@dataclass(frozen=True)
class Model:
    task: Task
    network: MLP
    weights: dict[str, np.ndarray]
    train: np.ndarray

    @property
    def w1(self) -> np.ndarray:
        """(h, 2p), any transform multiplied in."""
        p = self.task.algebra.p
        made = np.concatenate([self.weights["embed.0.W"][:p], self.weights["embed.1.W"][:p]]).T
        transform = self.network.transform(self.task.shape)
        return made if transform is None else made @ transform

    def function(self, x: jax.Array) -> jax.Array:
        """f(x) of one input (2p,), all classes."""
        before = self.w1 @ x + self.weights.get("hidden.0.b", 0)
        after = ACTIVATIONS[self.network.activation](before) @ self.weights["unembed.W_U"]
        return (after + self.weights.get("unembed.b_U", 0)) * self.network.output_scale

    def jacobians(self) -> np.ndarray:
        """(n, classes, 2p) on the training inputs, one by one."""
        jacobian = jax.jit(jax.jacobian(self.function))
        return np.stack([jacobian(x) for x in pairs(self.task)[self.train]])


@lru_cache
def network_case(task_name: str, network_name: str) -> Model:
    task, network = task_of(task_name), NETWORKS[network_name]
    weights = initial_weights(network, task, 1)
    rng = np.random.default_rng(2)
    weights = {k: v + 0.3 * rng.normal(size=v.shape) for k, v in weights.items()}
    return Model(task, network, weights, some_rows(task))


class Kernel(common.Model):
    """A kernel machine k(x, z) = (x'Mz)² by the book, with gradients one input at a time; AGOPs are not centred.

    extra: coordinates that the machine sees besides the pair, here of the constant input 1.
    """

    kind = "rfm"
    is_kernel_machine = True

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra

    def inputs(self, task: Task) -> np.ndarray:
        return np.pad(pairs(task), ((0, 0), (0, self.extra)), constant_values=1.0)

    def fitted(self, weights: Any, task: Task, train: np.ndarray) -> Any:
        x, m = self.inputs(task)[train], np.asarray(weights["M"])
        y = np.eye(task.n_classes)[task.targets[train]]
        alpha = np.linalg.lstsq((x @ m @ x.T) ** 2, y, rcond=1e-12)[0]
        return lambda z: jnp.square(z @ m @ x.T) @ alpha

    def outputs(self, weights: Any, task: Task, train_rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.fitted(weights, task, train_rows)(self.inputs(task)))

    def agop(self, weights: Any, task: Task, train_rows: np.ndarray, *, by_class: bool = False) -> np.ndarray:
        function = self.fitted(weights, task, train_rows)
        jacobian = jax.jit(jax.jacobian(function))
        j = np.stack([jacobian(x) for x in self.inputs(task)[train_rows]])
        found = np.einsum("ncd,nce->cde", j, j) / len(j)
        return found if by_class else found.sum(axis=0)


class Constant(common.Model):
    """A learner that predicts a table (N, n_classes), whatever its weights."""

    is_kernel_machine = True

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def outputs(self, weights: Any, task: Task, train_rows: np.ndarray) -> np.ndarray:
        return self.table


def metric(d: int, seed: int = 0) -> np.ndarray:
    """(d, d) some positive definite matrix."""
    half = np.random.default_rng(seed).normal(size=(d, d))
    return half @ half.T
