"""Every intermediate of a forward pass, to look at or to replace, under TransformerLens's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.lazy import Array, jnp
from groklab.networks._common import with_embedding
from groklab.networks._mlp import MLP
from groklab.networks._transformer import Transformer
from groklab.tasks import TaskShape

#: What takes an intermediate's place: an array of its shape, or a function of it.
Replacement: TypeAlias = Any


def activations(
    weights: Mapping[str, Any], tokens: Any, network: Any = None, last_only: bool = False
) -> dict[str, Array]:
    """Return every intermediate of a forward pass, by name in the order of computation, `logits` last.

    For a transformer the names are TransformerLens's: hook_embed, blocks.0.hook_resid_pre, blocks.0.attn.hook_pattern
    (n, n_heads, n_ctx, n_ctx), blocks.0.mlp.hook_post (n, n_ctx, d_mlp), …, logits (n, n_ctx, n_classes). Everything is
    computed in the weights' own dtype.

    Args:
        weights: by name, as `Run.weights` gives them for one model.
        tokens: (n, n_ctx) integers.
        network: what the weights belong to, such as `run.experiment.network`; None recognises it (`recognise`).
        last_only: leave out what the last position of the last layer does not need.

    Raises:
        InputError: for weights of an unknown shape or tokens outside the vocabulary.
    """
    seen: dict[str, Array] = {}

    def keep(name: str, value: Array) -> Array:
        seen[name] = value
        return value

    _forward(weights, tokens, network, keep, last_only)
    return seen


def patch(
    weights: Mapping[str, Any], tokens: Any, replacements: Mapping[str, Replacement], network: Any = None
) -> dict[str, Array]:
    """Return `activations` of a pass in which some intermediates are replaced, and all later ones follow.

    Args:
        replacements: by hook name, an array that broadcasts to the intermediate, or a function from it to one.

    Raises:
        InputError: for a name that no intermediate has.
    """
    seen: dict[str, Array] = {}

    def replace(name: str, value: Array) -> Array:
        if name in replacements:
            new = replacements[name]
            made = jnp.asarray(new(value) if callable(new) else new, value.dtype)
            try:
                value = jnp.broadcast_to(made, value.shape)
            except ValueError:
                raise InputError(name, f"an array {made.shape}", f"needs to broadcast to {value.shape}") from None
        seen[name] = value
        return value

    _forward(weights, tokens, network, replace, False)
    for name in replacements:
        check_choice("patch", name, seen)
    return seen


def recognise(weights: Mapping[str, Any]) -> Any:
    """Return the network that weights by these names and shapes belong to.

    What names and shapes do not show is the field's default, ReLU in a transformer, one-hot features in an MLP; an
    MLP's activation is taken as x². Raises InputError for weights of no known network.
    """
    weights = with_embedding(weights)
    shapes = {name: tuple(np.shape(value)) for name, value in weights.items()}
    try:
        if "blocks.0.attn.W_Q" in shapes:
            network: Any = _transformer(shapes)
        elif "unembed.W_U" in shapes and ("embed.0.W" in shapes or "hidden.0.W" in shapes):
            network = _mlp(shapes)
        else:
            raise KeyError
        wanted = network.shapes(_shape(network, shapes))
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        raise InputError(f"weights named {', '.join(sorted(shapes)) or '(none)'} belong to no known network") from None
    wrong = [n for n in sorted({*wanted, *shapes}) if wanted.get(n) != shapes.get(n)]
    if wrong:
        given, needed = shapes.get(wrong[0], "missing"), wanted.get(wrong[0], "not part of such a network")
        raise InputError(wrong[0], given, f"needs to be {needed} beside the other weights")
    return network


def shape_of(weights: Mapping[str, Any], tokens: np.ndarray, network: Any) -> TaskShape:
    """Return the sizes of the task that weights and tokens (n, n_ctx) are of."""
    shapes = {name: tuple(np.shape(value)) for name, value in with_embedding(weights).items()}
    shape = _shape(network, shapes)
    constants: tuple[int | None, ...] = (None,) * tokens.shape[1]
    tables = _n_tables(shapes) if "blocks.0.attn.W_Q" not in shapes else tokens.shape[1]
    if tables != tokens.shape[1]:
        # an MLP reads only the positions that vary
        constants = tuple(int(c[0]) if (c == c[0]).all() else None for c in tokens.T)
        if constants.count(None) != tables:
            allowed = f"needs {tables} positions that vary, as the network has tables for"
            raise InputError("tokens", f"{constants.count(None)} positions that vary", allowed)
    return TaskShape(shape.d_vocab, tokens.shape[1], shape.n_classes, constants)


def _forward(
    weights: Mapping[str, Any], tokens: Any, network: Any, hook: Callable[[str, Array], Array], last_only: bool
) -> None:
    network = network if network is not None else recognise(weights)
    ids = np.asarray(tokens)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError("tokens", f"an array {ids.shape} of {ids.dtype}", "needs to be (n, n_ctx) integers")
    shape = shape_of(weights, ids, network)
    if ids.size and not 0 <= ids.min() <= ids.max() < shape.d_vocab:
        raise InputError("tokens", int(ids.max()), f"needs ids from 0 to {shape.d_vocab - 1}")
    if "pos_embed.W_pos" in weights and ids.shape[1] > len(weights["pos_embed.W_pos"]):
        raise InputError("tokens", ids.shape, f"has more positions than the {len(weights['pos_embed.W_pos'])} known")
    only = {"last_only": True} if last_only and isinstance(network, Transformer) else {}
    network.reference_forward({k: jnp.asarray(v) for k, v in weights.items()}, jnp.asarray(ids), shape, hook, **only)


def _transformer(shapes: Mapping[str, tuple[int, ...]]) -> Transformer:
    n_heads, d_model, d_head = shapes["blocks.0.attn.W_Q"]
    n_layers = sum(name.endswith("attn.W_Q") for name in shapes)
    d_mlp = shapes["blocks.0.mlp.W_in"][1] if "blocks.0.mlp.W_in" in shapes else 0
    return Transformer(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_mlp=d_mlp,
        positional_embedding="learned" if "pos_embed.W_pos" in shapes else "none",
        layer_norm="pre" if "ln_final.w" in shapes else "post" if "blocks.0.ln1.w" in shapes else "none",
        biases="all" if "blocks.0.attn.b_Q" in shapes else "mlp" if "blocks.0.mlp.b_in" in shapes else "none",
    )


def _mlp(shapes: Mapping[str, tuple[int, ...]]) -> MLP:
    hidden = [name for name in shapes if name.startswith("hidden.") and name.endswith(".W")]
    shared = "embed.W_E" in shapes
    return MLP(
        d_mlp=shapes["unembed.W_U"][0],
        n_hidden_layers=len(hidden) + (not shared),
        activation="quadratic",
        d_embed=shapes["embed.W_E"][1] if shared else None,
        biases="unembed.b_U" in shapes,
    )


def _n_tables(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many positions an MLP reads."""
    if "embed.W_E" in shapes:
        return shapes["hidden.0.W"][0] // shapes["embed.W_E"][1]
    return sum(name.startswith("embed.") for name in shapes)


def _shape(network: Any, shapes: Mapping[str, tuple[int, ...]]) -> TaskShape:
    n_classes = shapes["unembed.W_U"][1]
    if isinstance(network, MLP):
        first = "embed.W_E" if "embed.W_E" in shapes else "embed.0.W"
        n_ctx = _n_tables(shapes)
        return TaskShape(shapes[first][0], n_ctx, n_classes, (None,) * n_ctx)
    n_ctx = shapes["pos_embed.W_pos"][0] if "pos_embed.W_pos" in shapes else 1
    return TaskShape(shapes["embed.W_E"][0], n_ctx, n_classes, (None,) * n_ctx)
