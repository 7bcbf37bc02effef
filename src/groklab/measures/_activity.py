"""The activity of one model at its last position on every input of a task, in double precision.

Losses of grokked models are of the order of 1e-9: logits are computed in float64 from the weights, whatever their type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from groklab import components
from groklab.errors import InputError, check_choice
from groklab.lazy import Array, jax, jnp
from groklab.measures._registry import Weights
from groklab.networks import MLP, Network, Transformer, recognise
from groklab.registry import fingerprint
from groklab.tasks import Task, TaskShape

#: Parts of the activity, by the field's short names.
PARTS = ("logits", "neurons", "pattern", "resid_mid")
Activity = dict[str, Array]


def network_or_recognised(weights: Weights, network: Any = None) -> Any:
    """Return the network given, or the one that the weights are recognised to be of."""
    return recognise(weights) if network is None else network


def activity(
    weights: Weights, task: Task, network: Any = None, parts: Sequence[str] = ("logits",)
) -> dict[str, np.ndarray]:
    """Compute the activity at the last position on all N inputs of the task, float64.

    Args:
        parts: 'logits' (N, n_answers), of the classes that are answers, without others such as the '=' of a softmax
            over the vocabulary; 'neurons' (N, d_mlp), the last layer's activations; 'pattern' (N, n_heads, n_ctx), the
            last layer's attention; 'resid_mid' (N, d_model), the residual stream before the last MLP.

    Raises:
        InputError: for a part that the network does not have.
    """
    network = network_or_recognised(weights, network)
    run = activity_function(network, task.shape, task.n_answers, parts)
    values = run({k: jnp.asarray(v, jnp.float64) for k, v in weights.items()}, jnp.asarray(task.inputs))
    return {k: np.asarray(v) for k, v in values.items()}


def activity_function(
    network: Any, shape: TaskShape, n_answers: int, parts: Sequence[str] = ("logits",)
) -> Callable[[Mapping[str, jax.Array], jax.Array], Activity]:
    """Return the compiled function (weights, inputs) -> activity of a network, made once for equal descriptions."""
    for part in parts:
        check_choice("parts", part, PARTS)
    if not isinstance(network, Network):
        raise InputError(f"this measure applies to networks, and not to the learner {network.kind}")
    if set(parts) - {"logits"} and not isinstance(network, Transformer | MLP):
        raise InputError(f"the {network.kind} network shows no {parts[-1]}, only logits")
    missing = {"pattern", "resid_mid"} & set(parts) if isinstance(network, MLP) else set()
    if missing:
        raise InputError(f"an MLP has no {missing.pop()}")
    if isinstance(network, Transformer) and "neurons" in parts and network.d_mlp == 0:
        raise InputError("a transformer of attention alone has no neurons")
    description = json.dumps([components.as_json(network), fingerprint(type(network))], sort_keys=True)
    return _compiled(description, shape, n_answers, tuple(parts), components.Carried(network))


@lru_cache(maxsize=64)
def _compiled(
    description: str, shape: TaskShape, n_answers: int, parts: tuple[str, ...], carried: components.Carried
) -> Callable[..., Activity]:
    (network,) = carried.values
    return jax.jit(_function(network, shape, n_answers, parts))


def _function(network: Any, shape: TaskShape, n_answers: int, parts: Sequence[str]) -> Callable[..., Activity]:
    def fast(weights: Mapping[str, jax.Array], inputs: jax.Array) -> Activity:
        return {"logits": network.apply(weights, network.prepare(inputs, shape), shape)[..., :n_answers]}

    def looked_into(weights: Mapping[str, jax.Array], inputs: jax.Array) -> Activity:
        seen: Activity = {}

        def keep(name: str, value: jax.Array) -> jax.Array:
            seen[name] = value
            return value

        if isinstance(network, MLP):
            network.reference_forward(weights, inputs, shape, keep)
            values = {"logits": seen["logits"], "neurons": seen[f"hidden.{network.n_hidden_layers - 1}.hook_post"]}
        else:
            network.reference_forward(weights, inputs, shape, keep, last_only=True)
            block = f"blocks.{network.n_layers - 1}."
            names = {"neurons": "mlp.hook_post", "pattern": "attn.hook_pattern", "resid_mid": "hook_resid_mid"}
            values = {k: seen[block + v] for k, v in names.items() if block + v in seen}
            values["pattern"] = values["pattern"][:, :, -1]
            values = {k: v if k == "pattern" else v[:, -1] for k, v in {**values, "logits": seen["logits"]}.items()}
        values["logits"] = values["logits"][..., :n_answers]
        return {part: values[part] for part in parts}

    return fast if set(parts) == {"logits"} else looked_into
