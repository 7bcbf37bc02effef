"""What the networks share: their base class, activations, layer normalisation, and the drawing of initial weights."""

from __future__ import annotations

import abc
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

from groklab.errors import InputError, did_you_mean
from groklab.lazy import Array, jax, jnp
from groklab.registry import base_of
from groklab.tasks import TaskShape

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    # Not jnp.maximum, whose gradient shares ties and costs twice as much.
    "relu": lambda x: jnp.where(x > 0, x, 0),
    "gelu": lambda x: jax.nn.gelu(x),
    "gelu_exact": lambda x: jax.nn.gelu(x, approximate=False),
    "quadratic": lambda x: x * x,
    "abs": lambda x: jnp.abs(x),
    "tanh": lambda x: jnp.tanh(x),
    "leaky_relu": lambda x: jnp.where(x > 0, x, 0.2 * x),
}

#: As in PyTorch and TransformerLens.
LAYER_NORM_EPSILON = 1e-5
#: Sees an intermediate of a forward pass, by its name, and gives what takes its place.
Hook: TypeAlias = Callable[[str, Array], Array]


class Model(abc.ABC):
    """What weights belong to: a network, or a learner that has none (`Experiment.model`)."""

    kind: ClassVar[str]
    #: Whether it reads a task's real features in place of tokens, where the task has them.
    reads_features: ClassVar[bool] = False
    #: Whether it is a kernel machine: its outputs follow from its weights and the training set together.
    is_kernel_machine: ClassVar[bool] = False


@base_of("network")
class Network(Model):
    """Weights by name, and a function from inputs to logits.

    A network is its settings, a frozen dataclass. It holds no weights: `init` draws them, `apply` takes them, and both
    are pure functions that JAX can trace. A plug-in needs these two methods alone.
    """

    #: Whether it learns tasks with answers at several positions.
    reads_positions: ClassVar[bool] = False
    #: Names of weights that training leaves as they are.
    fixed_weights: ClassVar[tuple[str, ...]] = ()

    @property
    def noisy(self) -> bool:
        """Whether training takes `apply_noisy` in place of `apply`."""
        return False

    @property
    def gives_distances(self) -> bool:
        """Whether logits are minus squared distances to each class's vector; `decode` and `readout` then make them."""
        return False

    @property
    def has_agop_trace(self) -> bool:
        """Whether there is an `agop_trace`, the trace of the average gradient outer product."""
        return False

    @abc.abstractmethod
    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Draw the initial weights by name. Raises InputError for a task that the network cannot learn."""

    def prepare(self, inputs: Array, shape: TaskShape) -> Any:
        """Compute what `apply` takes of the inputs, once before training; by default the inputs themselves."""
        return inputs

    @abc.abstractmethod
    def apply(self, weights: Mapping[str, Array], batch: Any, shape: TaskShape) -> Array:
        """Return logits (n, n_classes) for batch = prepare(inputs, shape).

        For a task with `reads`, return (n, n_reads, n_classes).
        """

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Count the floating-point operations of a forward pass; by default every weight multiplies every row."""
        weights = jax.eval_shape(lambda key: self.init(key, shape, jnp.float32), jax.random.key(0))
        return 2.0 * n_rows * float(sum(math.prod(weight.shape) for weight in weights.values()))


def unhooked(name: str, value: Array) -> Array:
    """Return the value: the hook that changes nothing."""
    return value


def dropping(key: Array, rate: Array, names: Iterable[str]) -> Hook:
    """Return the hook that drops entries of (n, k, d) intermediates whose last part of the name is one of `names`.

    Each entry is zero with probability `rate`, and divided by one minus that otherwise, so that means stay.
    """
    # the rate that 16 random bits can have, so that means stay exactly
    threshold = jnp.minimum(jnp.round(rate * 2**16), 2**16 - 1).astype(jnp.uint32)
    kept = 1 - threshold.astype(rate.dtype) / 2**16

    def hook(name: str, value: Array) -> Array:
        if last_part(name) not in names:
            return value
        own_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        bits = jax.random.bits(own_key, value.shape, jnp.uint16).astype(jnp.uint32)
        return jnp.where(bits >= threshold, value / kept, 0)

    return hook


def with_embedding(weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights with `embed.W_E` in place of its factors `embed.A` and `embed.B`; others as they are."""
    if "embed.A" not in weights:
        return weights
    rest = {name: w for name, w in weights.items() if name not in ("embed.A", "embed.B")}
    return {"embed.W_E": weights["embed.A"] @ weights["embed.B"], **rest}


def embedding_shapes(d_vocab: int, width: int, rank: int | None) -> dict[str, tuple[int, ...]]:
    """Return the shape of `embed.W_E`, or those of its factors."""
    if rank is None:
        return {"embed.W_E": (d_vocab, width)}
    return {"embed.A": (d_vocab, rank), "embed.B": (rank, width)}


def layer_norm(x: Array, w: Array, b: Array) -> Array:
    """Normalise over the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON) * w + b


def draw(
    key: Array,
    shapes: Mapping[str, tuple[int, ...]],
    deviations: Mapping[str, float],
    init_std: Mapping[str, Any],
    init_scale: Any,
    dtype: Any,
    uniform: bool = False,
) -> dict[str, Array]:
    """Draw initial weights: each array from its own fold of the key, so that names and not their order decide.

    deviations: the standard deviation of each matrix; names without one are zero (biases) or one (the gains
    'ln*.w'). init_std: deviations by name (or last part of a name) that replace those. init_scale multiplies
    every matrix; both may be traced. uniform: draw uniformly, with that same deviation.
    """
    weights = {}
    for name, shape in shapes.items():
        if name not in deviations:
            weights[name] = jnp.ones(shape, dtype) if name.endswith(".w") else jnp.zeros(shape, dtype)
            continue
        own_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        if uniform:
            sample = jax.random.uniform(own_key, shape, dtype, -(3**0.5), 3**0.5)
        else:
            sample = jax.random.normal(own_key, shape, dtype)
        weights[name] = scaled(name, sample, deviations[name], init_std, init_scale)
    return weights


def scaled(name: str, sample: Array, deviation: float, init_std: Mapping[str, Any], init_scale: Any) -> Array:
    """Scale the sample of mean square 1 of the matrix `name` by `deviation`, or by its entry in `init_std`."""
    override = next((part for part in (name, last_part(name)) if part in init_std), None)
    std = deviation if override is None else init_std[override]
    return sample * jnp.asarray(std, sample.dtype) * jnp.asarray(init_scale, sample.dtype)


def last_part(name: str) -> str:
    """Return the last part of a name: 'blocks.0.attn.W_Q' -> 'W_Q'."""
    return name.rsplit(".", 1)[-1]


def check_init_std(init_std: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise InputError unless every key of `init_std` is one of the matrices `names`, or the last part of one."""
    allowed = list(names)
    for key in init_std:
        if key not in allowed and key not in map(last_part, allowed):
            raise InputError(
                f"network.init_std.{key}: unknown matrix{did_you_mean(key, allowed)}; allowed: {', '.join(allowed)}"
            )


def check_at_least(field: str, value: int, least: int) -> None:
    """Raise InputError if the integer setting `field` of a network is too small."""
    if value < least:
        raise InputError(f"network.{field}", value, f"needs an integer of at least {least}")
