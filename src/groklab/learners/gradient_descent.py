"""A network under gradient descent."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from groklab.components import with_numbers
from groklab.learners.base import Numbers, Outputs, State, Weights
from groklab.optimisers import norm
from groklab.tasks.base import TaskShape


class GradientDescent:
    """Trains `network` on `objective` with `optimiser`; full batch unless `batch_size` is given.

    Data of one member (`raw`): `train_inputs` (n, n_ctx) and `test_inputs` int32; `train_targets`, `test_targets`
    int32; `phase_steps` (phases,) int32 and `phase_weights` (phases, n), the weight of each training row from each
    of those steps on; `test_weights`. Weights sum to one, and are zero on rows that only pad.
    """

    def __init__(
        self, network: Any, objective: Any, optimiser: Any, shape: TaskShape, batch_size: int | None, dtype: str
    ) -> None:
        self.parts = {"network": network, "objective": objective, "optimiser": optimiser}
        self.shape = shape
        self.batch_size = batch_size
        self.dtype = jnp.dtype(dtype)

    def init(self, key: jax.Array, numbers: Numbers) -> State:
        """Fresh weights and optimiser state."""
        network, _, optimiser = self._parts(numbers)
        weights = network.init(key, self.shape, self.dtype)
        return {"weights": weights, "optimiser": optimiser.init(weights)}

    def prepare(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Look-up structures of the test rows and, for full batch, of the training rows."""
        data = {k: v for k, v in raw.items() if not k.endswith("_inputs")}
        data["test"] = self._batch(raw["test_inputs"])
        data["train"] = self._batch(raw["train_inputs"])
        if self.batch_size is not None:
            data["train_inputs"] = raw["train_inputs"]
        return data

    def step(self, state: State, data: Any, numbers: Numbers, key: jax.Array, s: jax.Array) -> tuple[State, Outputs]:
        """One update; outputs: the gradient's norm and, for full batch, loss and accuracy on the training set."""
        network, objective, optimiser = self._parts(numbers)
        weights_of_rows = _of_phase(data, s)
        if self.batch_size is None:
            batch, targets, row_weights = data["train"], data["train_targets"], weights_of_rows
        else:
            rows, row_weights = draw_batch(key, s, weights_of_rows, self.batch_size)
            batch = self._batch(data["train_inputs"][rows])
            targets = data["train_targets"][rows]

        def loss(weights: Weights) -> tuple[jax.Array, jax.Array]:
            logits = network.apply(weights, batch, self.shape)
            return _mean(objective.per_row(logits, targets), row_weights), logits

        (value, logits), gradients = jax.value_and_grad(loss, has_aux=True)(state["weights"])
        weights, moments = optimiser.update(gradients, state["optimiser"], state["weights"], s)
        outputs = {"grad_norm": norm(gradients)}
        if self.batch_size is None:
            outputs |= {"train_loss": value, "train_accuracy": accuracy(logits, targets, row_weights)}
        return {"weights": weights, "optimiser": moments}, outputs

    def evaluate(self, state: State, data: Any, numbers: Numbers, s: jax.Array) -> Outputs:
        """Loss and accuracy on the test set (and on the whole training set where steps see parts of it)."""
        network, objective, _ = self._parts(numbers)
        outputs = {"weight_norm": norm(state["weights"])}
        sets = {"test": (data["test"], data["test_targets"], data["test_weights"])}
        if self.batch_size is not None:
            sets["train"] = (data["train"], data["train_targets"], _of_phase(data, s))
        for name, (batch, targets, row_weights) in sets.items():
            logits = network.apply(state["weights"], batch, self.shape)
            outputs[f"{name}_loss"] = _mean(objective.per_row(logits, targets), row_weights)
            outputs[f"{name}_accuracy"] = accuracy(logits, targets, row_weights)
        return outputs

    def predict(self, weights: Weights, inputs: np.ndarray | jax.Array, numbers: Numbers) -> jax.Array:
        """Logits (n, n_classes) of inputs (n, n_ctx) int32."""
        network, _, _ = self._parts(numbers)
        return network.apply(weights, self._batch(jnp.asarray(inputs)), self.shape)  # type: ignore[no-any-return]

    def _batch(self, tokens: jax.Array) -> Any:
        # a network that wants nothing computed beforehand is given the tokens themselves
        prepare = getattr(self.parts["network"], "prepare", None)
        return prepare(tokens, self.shape) if prepare else tokens

    def _parts(self, numbers: Numbers) -> tuple[Any, Any, Any]:
        parts = with_numbers(self.parts, numbers)
        return parts["network"], parts["objective"], parts["optimiser"]


def accuracy(
    logits: Float[Array, "n classes"], targets: Int[Array, " n"], row_weights: Float[Array, " n"]
) -> Float[Array, ""]:
    """Share of the rows of positive weight whose target has the largest logit; a tie counts as wrong.

    A ratio of counts, so that all right is exactly 1.
    """
    hit = jnp.arange(logits.shape[-1], dtype=targets.dtype) == targets[:, None]
    own = jnp.max(jnp.where(hit, logits, -jnp.inf), axis=-1)
    other = jnp.max(jnp.where(hit, -jnp.inf, logits), axis=-1)
    present = (row_weights > 0).astype(logits.dtype)
    return jnp.sum(jnp.where(own > other, present, 0)) / jnp.maximum(jnp.sum(present), 1)


def draw_batch(
    key: jax.Array, s: Int[Array, ""], row_weights: Float[Array, " n"], batch_size: int
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """The rows of mini-batch s and their weights: epochs of a fresh permutation, the last batch partial.

    Rows of weight zero never come up. The permutation is a function of (key, epoch) alone, so that a resumed run
    draws the same batches.
    """
    present = row_weights > 0
    n = jnp.sum(present, dtype=jnp.int32)
    n_batches = jnp.maximum((n + batch_size - 1) // batch_size, 1)
    epoch, place = s // n_batches, s % n_batches
    ranks = jax.random.uniform(jax.random.fold_in(key, epoch), present.shape, jnp.float32)
    order = jnp.argsort(jnp.where(present, ranks, 2))
    slots = place * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    inside = slots < n
    weights = inside.astype(row_weights.dtype)
    return order[jnp.minimum(slots, present.shape[0] - 1)], weights / jnp.maximum(weights.sum(), 1)


def _of_phase(data: Any, s: jax.Array) -> jax.Array:
    steps, weights = data["phase_steps"], data["phase_weights"]
    if steps.shape[0] == 1:
        return weights[0]  # type: ignore[no-any-return]
    return weights[jnp.sum(s >= steps) - 1]  # type: ignore[no-any-return]


def _mean(per_row: Float[Array, " n"], row_weights: Float[Array, " n"]) -> Float[Array, ""]:
    return jnp.sum(per_row * row_weights.astype(per_row.dtype))
