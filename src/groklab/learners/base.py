"""What the engine asks of a learner, whatever it is."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from groklab.lazy import Array, jax

State: TypeAlias = Any
Hyperparameters: TypeAlias = dict[str, Any]
Outputs: TypeAlias = dict[str, Array]
Weights: TypeAlias = dict[str, Array]

#: What every learner's records hold, and those of learners that descend a gradient.
LOSSES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
METRICS = (*LOSSES, "weight_norm", "grad_norm")


class Learner(Protocol):
    """Something that improves step by step, written for one member; the engine makes it many.

    All methods are pure functions that JAX can trace. `hyperparameters` are the member's own by
    dotted path. `step` number s turns the state after s updates into the state after s + 1, and its outputs
    describe the state before the update.
    """

    def init(self, key: jax.Array, hyperparameters: Hyperparameters) -> State:
        """A fresh state. `state["weights"]` holds the weights by name."""

    def prepare(self, raw: dict[str, Any]) -> Any:
        """What the data needs to have computed once, before the first step."""

    def step(
        self, state: State, data: Any, hyperparameters: Hyperparameters, key: jax.Array, s: jax.Array
    ) -> tuple[State, Outputs]:
        """One update."""

    def evaluate(self, state: State, data: Any, hyperparameters: Hyperparameters, s: jax.Array) -> Outputs:
        """Metrics of the state after s updates that `step` does not give by the way."""

    def predict(self, weights: Weights, inputs: np.ndarray | jax.Array, hyperparameters: Hyperparameters) -> jax.Array:
        """Logits (n, n_classes) of inputs (n, n_ctx), or (n, n_reads, n_classes) of a task with `reads`."""
