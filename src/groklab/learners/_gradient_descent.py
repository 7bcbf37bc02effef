"""A network under gradient descent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from groklab.components import Carried, with_hyperparameters
from groklab.errors import InputError
from groklab.lazy import Array, Float, Int, jax, jnp
from groklab.learners._base import LOSSES, METRICS, Dynamics, Hyperparameters, Learner, Outputs, State, Weights
from groklab.learners._compiled import CompiledProgram
from groklab.optimisers import norm
from groklab.registry import register
from groklab.tasks import Draw, Task, TaskShape

#: What the key of a step is folded with, besides the step: beyond every count of epochs (see `draw_batch`).
FRESH, DROPOUT = 2**32 - 1, 2**32 - 2


@register("learner", "gradient_descent")
class ByGradient(Learner):
    """A network, an objective and an optimiser, each a section of its own."""

    sections: ClassVar[tuple[str, ...]] = ("network", "objective", "optimiser", "batch_size")
    metrics: ClassVar[tuple[str, ...]] = METRICS

    def check(self, experiment: Any, task: Task) -> None:
        """Raise InputError where network, objective, batch size and task do not fit together."""
        network, objective, kind = experiment.network, experiment.objective, "network.kind"
        if network.reads_features and task.features is None:
            allowed = f"reads real numbers, and {task.name} gives tokens; mlp and transformer read those"
            raise InputError(kind, network.kind, allowed)
        if not network.reads_features and task.n_ctx == 0:
            raise InputError(kind, network.kind, f"cannot read {task.name}, whose inputs are not tokens; dense can")
        if task.values is not None and not objective.takes_real_answers:
            allowed = f"needs to be mse for {task.name}, whose answers are real numbers"
            raise InputError("objective.kind", objective.kind, allowed)
        if network.gives_distances != objective.takes_distances:
            allowed = "and network.head=vectors of an embedding_decoder need each other"
            raise InputError("objective.kind", objective.kind, allowed)
        if experiment.batch_size is not None and task.loss_factor != 1.0:
            allowed = "needs task.losses=mean: summed losses are those of whole training sets"
            raise InputError("batch_size", experiment.batch_size, allowed)
        if task.reads is not None and not network.reads_positions:
            allowed = f"cannot learn {task.name}, which has answers at several positions; a transformer can"
            raise InputError(kind, network.kind, allowed)
        if task.draw is not None and experiment.batch_size is None:
            allowed = "needs a number of inputs that each step draws, as the data are infinite"
            raise InputError("batch_size", None, allowed)

    def make(self, experiment: Any, shape: TaskShape, draw: Draw | None) -> CompiledProgram:
        """Make the program that trains an experiment's network."""
        e = experiment
        dynamics = GradientDescent(e.network, e.objective, e.optimiser, shape, e.batch_size, e.dtype, draw)
        return CompiledProgram(dynamics, e.matmul_precision)

    def weight_shapes(self, experiment: Any, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return the shapes that the network's `init` gives, traced once for each network."""
        return dict(_weight_shapes(experiment.program, shape, Carried(experiment)))

    def flops(self, experiment: Any, shape: TaskShape, n_train: int) -> float:
        """Count three forward passes, one forward and two for the gradient, and the filter of the gradient."""
        network = 3.0 * max(float(experiment.network.flops(shape, _batch_rows(experiment.batch_size, n_train))), 1.0)
        own = experiment.optimiser.filter
        return network if own is None else network + float(own.operations() * self._parameters(experiment, shape))

    def memory(
        self, experiment: Any, shape: TaskShape, n_train: int, n_test: int, members: int, concurrent: int
    ) -> int:
        """Estimate all members' weights, gradients, moments and filter, and activations of those computed at once."""
        shapes = self.weight_shapes(experiment, shape)
        width = shape.n_classes + sum(int(size[-1]) for size in shapes.values() if len(size) >= 2)
        if shape.reads is not None or experiment.network.noisy:
            # at every position, and a pattern for each head
            heads = sum(size[0] for name, size in shapes.items() if name.endswith("attn.W_Q"))
            width = shape.n_ctx * (width + 2 * heads * shape.n_ctx)
        # about three live copies of each activation: forward, backward, and the fused operands between them
        activations = 3 * max(_batch_rows(experiment.batch_size, n_train), n_test) * width
        arrays = 5 + (0 if experiment.optimiser.filter is None else experiment.optimiser.filter.arrays())
        entries = members * arrays * self._parameters(experiment, shape) + concurrent * activations
        return int(np.dtype(experiment.dtype).itemsize * entries)

    def _parameters(self, experiment: Any, shape: TaskShape) -> int:
        return sum(math.prod(size) for size in self.weight_shapes(experiment, shape).values())

    def predict(
        self, experiment: Any, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray
    ) -> npt.NDArray[np.floating]:
        """Return the network's logits for all inputs of a task; its training rows do not matter."""
        network, inputs = experiment.network, task.features if experiment.network.reads_features else task.inputs
        dtype = experiment.dtype if network.reads_features else jnp.int32
        apply = jax.jit(lambda w, x: network.apply(w, network.prepare(x, task.shape), task.shape))
        return np.asarray(apply(dict(weights), jnp.asarray(inputs, dtype)))


def _batch_rows(batch_size: int | None, n_train: int) -> int:
    """Return how many rows a step trains on; endless data have no training set, and `n_train` 0."""
    return min(batch_size or n_train, n_train or batch_size or 0)


@lru_cache(maxsize=256)
def _weight_shapes(program: str, shape: TaskShape, carried: Carried) -> dict[str, tuple[int, ...]]:
    # tracing a transformer's `init` takes 0.2 s, and every run needs it several times
    (experiment,) = carried.values
    drawn = jax.eval_shape(lambda key: experiment.network.init(key, shape, experiment.dtype), jax.random.key(0))
    return {name: tuple(value.shape) for name, value in drawn.items()}


class GradientDescent(Dynamics):
    """Trains `network` on `objective` with `optimiser`; full batch unless `batch_size` is below the training rows.

    The rows of one member (`raw`) are `train_inputs` and `test_inputs`, (n, n_ctx) int32 or (n, n_features) real for a
    network with `reads_features`; `train_targets` and `test_targets`, int32 or (n, k) real answers; for a task with
    `reads`, `train_mask` and `test_mask` (n, n_reads) bool; `schedule_steps` (sets,) int32 and `schedule_weights`
    (sets, n), the weight of each training row from each of those steps on; and `test_weights`. Weights sum to one,
    and are zero on rows that only pad.

    A state's `masks`, if it has any, are true where a weight is trained; others stay zero.

    A network's `fixed_weights` are never trained, and not part of norms. The objective's `of_weights`, and its
    `agop_penalty` times the network's `agop_trace`, are added to the loss that is descended, and not to the losses that
    are reported.

    Args:
        draw: for endless training data, the function that makes `batch_size` fresh inputs from the key of each step.

    Raises:
        InputError: if the objective has an `agop_penalty` and the network no `agop_trace`.
    """

    def __init__(
        self,
        network: Any,
        objective: Any,
        optimiser: Any,
        shape: TaskShape,
        batch_size: int | None,
        dtype: str,
        draw: Draw | None = None,
    ) -> None:
        self.parts = {"network": network, "objective": objective, "optimiser": optimiser}
        self.shape = shape
        self.batch_size = batch_size
        self.dtype = jnp.dtype(dtype)
        self.draw = draw
        self.fixed = frozenset(network.fixed_weights)
        self.noisy = network.noisy
        #: Distances to the other classes' vectors are for accuracies alone, which most steps do not report.
        self.by_vector = network.gives_distances
        self.penalised = objective.agop_penalty is not None
        if self.penalised and not network.has_agop_trace:
            allowed = "needs a network of kind 'mlp' with one hidden layer on one-hot tokens"
            raise InputError("objective.agop_penalty", objective.agop_penalty, allowed)
        self.metrics = METRICS + tuple(f"{name}_op{i}" for i in range(shape.n_operations) for name in LOSSES)

    def init(self, key: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Draw weights, and return them with a fresh optimiser state."""
        network, _, optimiser = self._parts(hyperparameters)
        weights = network.init(key, self.shape, self.dtype)
        return {"weights": weights, "optimiser": optimiser.init(self._trained_of(weights))}

    def _is_full_batch(self, data: Mapping[str, Any]) -> bool:
        return self.draw is None and (self.batch_size is None or self.batch_size >= data["train_targets"].shape[0])

    def _sees_all(self, data: Mapping[str, Any]) -> bool:
        """Return whether steps see all of the training set as it is, and so give its own loss and accuracy."""
        return self._is_full_batch(data) and not self.noisy

    def prepare(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Prepare the test rows and, unless each step draws its own, the training rows for the network."""
        data = {k: v for k, v in raw.items() if not k.endswith("_inputs")}
        data["test"] = self._batch(raw["test_inputs"])
        if self.draw is None:
            data["train"] = self._batch(raw["train_inputs"])
            if not self._sees_all(raw):
                data["train_inputs"] = raw["train_inputs"]
        return data

    def step(
        self, state: State, data: Any, hyperparameters: Hyperparameters, key: jax.Array, s: jax.Array
    ) -> tuple[State, Outputs]:
        """Update once; the outputs are the gradient's norm and, for full batch, loss and accuracy on the training set.

        The gradient is that of the loss with its penalty, if there is one; the loss is reported without. For endless
        data, loss and accuracy are those of the fresh batch before the update.
        """
        network, objective, optimiser = self._parts(hyperparameters)
        batch, targets, row_weights = self._of_step(data, key, s)
        noise = jax.random.fold_in(jax.random.fold_in(key, DROPOUT), s) if self.noisy else None

        trained = self._trained_of(state["weights"])
        fixed = {k: v for k, v in state["weights"].items() if k in self.fixed}

        def loss(trained: Weights) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            weights = {**trained, **fixed}
            if self.by_vector:
                z = network.decode(weights, batch)
                logits = network.readout(weights, z)
                plain = _mean(objective.per_vector(z, weights["targets.Y"][targets]), row_weights)
            else:
                if noise is None:
                    logits = network.apply(weights, batch, self.shape)
                else:
                    logits = network.apply_noisy(weights, batch, self.shape, noise)
                logits = _rows(logits)
                plain = _mean(objective.per_row(logits, targets), row_weights)
            descended = plain
            if self.penalised:
                trace = network.agop_trace(weights, batch, self.shape, row_weights)
                descended = descended + (objective.agop_penalty * trace).astype(plain.dtype)
            penalty = objective.of_weights(weights)
            if penalty is not None:
                descended = descended + penalty.astype(plain.dtype)
            return descended, (plain, logits)

        (_, (value, logits)), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
        masks = state.get("masks")
        if masks is not None:
            gradients = _masked(gradients, masks)
        weights, moments = optimiser.update(gradients, state["optimiser"], trained, s)
        if masks is not None:
            weights = _masked(weights, masks)
        outputs = {"grad_norm": norm(gradients)}
        if self._sees_all(data) or self.draw is not None:
            outputs |= {"train_loss": value, "train_accuracy": _right(objective, logits, targets, row_weights)}
            outputs |= self._of_operations("train", data, logits, targets, row_weights, objective)
        return {**state, "weights": {**weights, **fixed}, "optimiser": moments}, outputs

    def _of_operations(
        self, name: str, data: Any, logits: jax.Array, targets: jax.Array, row_weights: jax.Array, objective: Any
    ) -> Outputs:
        """Return mean loss and accuracy of each operation of a mixture: `train_loss_op0` and so on."""
        outputs = {}
        for i in range(self.shape.n_operations):
            weights = jnp.where(data[f"{name}_operations"] == i, row_weights, 0)
            weights = weights / jnp.maximum(weights.sum(), 1e-30)
            outputs[f"{name}_loss_op{i}"] = _mean(objective.per_row(logits, targets), weights)
            outputs[f"{name}_accuracy_op{i}"] = _right(objective, logits, targets, weights)
        return outputs

    def _trained_of(self, weights: Weights) -> Weights:
        return {k: v for k, v in weights.items() if k not in self.fixed}

    def _of_step(self, data: Any, key: jax.Array, s: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """Return what step s trains on: inputs as the network takes them, and a target and a weight for each answer."""
        if self.draw is not None:
            assert self.batch_size is not None
            fresh = jax.random.fold_in(jax.random.fold_in(key, FRESH), s)
            inputs, targets, mask = self.draw(fresh, self.batch_size)
            weights = jnp.full(self.batch_size, 1 / self.batch_size, self.dtype)
            return self._trained(inputs), *_answers(targets, mask, weights)
        weights = _of_phase(data, s)
        mask = data.get("train_mask")
        if self._is_full_batch(data):
            batch = data["train_inputs"] if self.noisy else data["train"]
            return batch, *_answers(data["train_targets"], mask, weights)
        rows, weights = draw_batch(key, s, weights, self.batch_size or 0)
        batch = self._trained(data["train_inputs"][rows])
        return batch, *_answers(data["train_targets"][rows], None if mask is None else mask[rows], weights)

    def evaluate(self, state: State, data: Any, hyperparameters: Hyperparameters, s: jax.Array) -> Outputs:
        """Return loss and accuracy on the test set, and on the training set unless steps see all of it as it is."""
        network, objective, _ = self._parts(hyperparameters)
        outputs = {"weight_norm": norm(self._trained_of(state["weights"]))}
        sets = {"test": data["test_weights"]}
        if not self._sees_all(data) and self.draw is None:
            sets["train"] = _of_phase(data, s)
        for name, weights in sets.items():
            targets, row_weights = _answers(data[f"{name}_targets"], data.get(f"{name}_mask"), weights)
            logits = _rows(network.apply(state["weights"], data[name], self.shape))
            outputs[f"{name}_loss"] = _mean(objective.per_row(logits, targets), row_weights)
            outputs[f"{name}_accuracy"] = _right(objective, logits, targets, row_weights)
            outputs |= self._of_operations(name, data, logits, targets, row_weights, objective)
        return outputs

    def _batch(self, tokens: jax.Array) -> Any:
        return self.parts["network"].prepare(tokens, self.shape)

    def _trained(self, tokens: jax.Array) -> Any:
        return tokens if self.noisy else self._batch(tokens)

    def _parts(self, hyperparameters: Hyperparameters) -> tuple[Any, Any, Any]:
        parts = with_hyperparameters(self.parts, hyperparameters)
        return parts["network"], parts["objective"], parts["optimiser"]


def accuracy(
    logits: Float[Array, "n classes"], targets: Int[Array, " n"], row_weights: Float[Array, " n"]
) -> Float[Array, ""]:
    """Return the share of the rows of positive weight whose target has the largest logit; a tie counts as wrong.

    It is a ratio of counts, so that all right is exactly 1.
    """
    hit = jnp.arange(logits.shape[-1], dtype=targets.dtype) == targets[:, None]
    own = jnp.max(jnp.where(hit, logits, -jnp.inf), axis=-1)
    other = jnp.max(jnp.where(hit, -jnp.inf, logits), axis=-1)
    present = (row_weights > 0).astype(logits.dtype)
    return jnp.sum(jnp.where(own > other, present, 0)) / jnp.maximum(jnp.sum(present), 1)


def _right(objective: Any, logits: jax.Array, targets: jax.Array, row_weights: jax.Array) -> jax.Array:
    """Return the accuracy; for real answers, the share of rows whose loss is below the objective's tolerance."""
    if not jnp.issubdtype(targets.dtype, jnp.floating):
        return accuracy(logits, targets, row_weights)
    near = objective.per_row(logits, targets) < objective.tolerance
    present = (row_weights > 0).astype(logits.dtype)
    return jnp.sum(jnp.where(near, present, 0)) / jnp.maximum(jnp.sum(present), 1)


def draw_batch(
    key: jax.Array, s: Int[Array, ""], row_weights: Float[Array, " n"], batch_size: int
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """Return the rows of mini-batch s and their weights: epochs of a fresh permutation, the last batch partial.

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


def _masked(arrays: Weights, masks: Weights) -> Weights:
    return {k: jnp.where(masks[k], v, 0) for k, v in arrays.items()}


def _of_phase(data: Any, s: jax.Array) -> jax.Array:
    steps, weights = data["schedule_steps"], data["schedule_weights"]
    if steps.shape[0] == 1:
        return weights[0]  # type: ignore[no-any-return]
    return weights[jnp.sum(s >= steps) - 1]  # type: ignore[no-any-return]


def _rows(logits: jax.Array) -> Float[Array, "answers classes"]:
    """Return one row per answer: (n, n_classes) as it is, (n, n_reads, n_classes) flattened."""
    return logits.reshape(-1, logits.shape[-1])


def _answers(
    targets: jax.Array, mask: jax.Array | None, row_weights: Float[Array, " n"]
) -> tuple[Int[Array, " answers"] | Float[Array, "answers classes"], Float[Array, " answers"]]:
    """Return one target and one weight per answer: each row's weight is spread over the positions that count."""
    if mask is None:
        return targets, row_weights
    weights = mask.astype(row_weights.dtype) * row_weights[:, None]
    weights = weights / jnp.maximum(weights.sum(), 1e-30)
    return targets.reshape(-1), weights.reshape(-1)


def _mean(per_row: Float[Array, " n"], row_weights: Float[Array, " n"]) -> Float[Array, ""]:
    return jnp.sum(per_row * row_weights.astype(per_row.dtype))
