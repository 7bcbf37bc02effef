"""Our transformer's weights as TransformerLens has them, and back.

Up to version 3 `HookedTransformer` has our own names and orientation, with every bias present. From version 4 on
`TransformerBridge.boot_native` has one linear map for all heads, its rows the outputs, heads outermost. The tables
below were checked against versions 2.18, 3.7 and 4.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.networks import with_embedding

Weights = dict[str, np.ndarray]

#: Our activations and TransformerLens's; what both call gelu are different functions, ours is its gelu_new.
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu_new", "gelu_exact": "gelu"}
_ATTENTION = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
_ATTENTION_BIASES = ("b_Q", "b_K", "b_V", "b_O", "b_U")
_MLP_BIASES = ("b_in", "b_out")
#: Buffers of HookedTransformer, which are not weights.
BUFFERS = ("mask", "IGNORE")
_SINGLE = {
    "embed.W_E": "embed.weight",
    "pos_embed.W_pos": "pos_embed.weight",
    "ln_final.w": "ln_final.weight",
    "ln_final.b": "ln_final.bias",
    "unembed.W_U": "unembed.weight",
    "unembed.b_U": "unembed.bias",
}
#: Beside the linear maps of attention and MLP, whose names are made by rule.
_IN_BLOCK = {"ln1.w": "ln1.weight", "ln1.b": "ln1.bias", "ln2.w": "ln2.weight", "ln2.b": "ln2.bias"}
_TRANSPOSED = ("W_in", "W_out", "W_U")


def export_weights(weights: Mapping[str, np.ndarray], network: Mapping[str, Any], n_classes: int | None) -> Weights:
    """Return the weights of a HookedTransformer that computes the same: absent biases 0, `output_scale` folded in.

    network: the settings of ours. n_classes: outputs to keep, the first ones; None keeps all. Raises InputError for a
    network that TransformerLens has no equal of.
    """
    _check(network)
    made = dict(with_embedding(weights))
    d_model = made["embed.W_E"].shape[1]
    scale = network["output_scale"]
    for layer in range(network["n_layers"]):
        block = f"blocks.{layer}."
        heads, _, d_head = made[f"{block}attn.W_Q"].shape
        shapes: dict[str, tuple[int, ...]] = {f"{block}attn.b_{x}": (heads, d_head) for x in "QKV"}
        shapes[f"{block}attn.b_O"] = (d_model,)
        if f"{block}mlp.W_in" in made:
            shapes |= {f"{block}mlp.b_in": (made[f"{block}mlp.W_in"].shape[1],), f"{block}mlp.b_out": (d_model,)}
        for name, shape in shapes.items():
            made.setdefault(name, np.zeros(shape, made["embed.W_E"].dtype))
    made.setdefault("unembed.b_U", np.zeros(made["unembed.W_U"].shape[1], made["embed.W_E"].dtype))
    for name in ("unembed.W_U", "unembed.b_U"):
        kept = made[name][..., :n_classes]
        made[name] = kept if scale == 1 else (kept * scale).astype(kept.dtype)
    return made


def config(weights: Mapping[str, np.ndarray], network: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of HookedTransformerConfig, and of TransformerBridgeConfig alike, for weights of `export_weights`."""
    heads, d_model, d_head = weights["blocks.0.attn.W_Q"].shape
    attention_only = "blocks.0.mlp.W_in" not in weights
    return {
        "n_layers": network["n_layers"],
        "d_model": d_model,
        "n_ctx": weights["pos_embed.W_pos"].shape[0],
        "d_head": d_head,
        "n_heads": heads,
        "d_mlp": None if attention_only else weights["blocks.0.mlp.W_in"].shape[1],
        "attn_only": attention_only,
        "act_fn": _ACTIVATIONS[network["activation"]],
        "normalization_type": "LN" if network["layer_norm"] == "pre" else None,
        "d_vocab": weights["embed.W_E"].shape[0],
        "d_vocab_out": weights["unembed.W_U"].shape[1],
        "init_weights": False,
    }


def unit_norms(weights: Mapping[str, np.ndarray]) -> Weights:
    """Return the gains and biases of a normalisation that has none: ones and zeros."""
    d_model, dtype = weights["embed.W_E"].shape[1], weights["embed.W_E"].dtype
    norms = {"ln_final"}
    for name in weights:
        block, _, matrix = name.rpartition(".")
        if matrix in ("W_Q", "W_in"):
            norms.add(f"{block.rpartition('.')[0]}.{'ln1' if matrix == 'W_Q' else 'ln2'}")
    return {f"{norm}.{x}": (np.ones if x == "w" else np.zeros)(d_model, dtype) for norm in norms for x in "wb"}


def to_bridge(weights: Mapping[str, np.ndarray]) -> Weights:
    """Return the state dict of `TransformerBridge.boot_native` from that of a HookedTransformer."""
    made = {}
    for name, array in weights.items():
        short = name.rsplit(".", 1)[-1]
        if short in ("W_Q", "W_K", "W_V"):
            array = array.transpose(0, 2, 1).reshape(-1, array.shape[1])
        elif short == "W_O":
            array = array.reshape(-1, array.shape[2]).T
        elif short in ("b_Q", "b_K", "b_V"):
            array = array.reshape(-1)
        elif short in _TRANSPOSED:
            array = array.T
        made[_bridge_name(name)] = np.ascontiguousarray(array)
    return made


def is_bridge(weights: Collection[str]) -> bool:
    """Return whether these names are those of a TransformerBridge's state dict."""
    return "embed.weight" in weights and "unembed.weight" in weights


def from_bridge(weights: Mapping[str, np.ndarray], n_heads: int) -> Weights:
    """Return the inverse of `to_bridge`; raises InputError where the heads do not divide the attention's width."""
    names = {_bridge_name(name): name for name in _property_names(weights)}
    made = {}
    for theirs, array in weights.items():
        name = names.get(theirs)
        if name is None:
            raise InputError(f"{theirs} is not a weight of a transformer that can be imported")
        short = name.rsplit(".", 1)[-1]
        width = array.shape[-1] if short == "W_O" else array.shape[0]
        if short in _ATTENTION and short != "b_O" and (n_heads < 1 or width % n_heads):
            raise InputError("n_heads", n_heads, f"needs to divide {width}, the width of {theirs}")
        if short in ("W_Q", "W_K", "W_V"):
            array = array.reshape(n_heads, -1, array.shape[1]).transpose(0, 2, 1)
        elif short == "W_O":
            array = array.T.reshape(n_heads, -1, array.shape[0])
        elif short in ("b_Q", "b_K", "b_V"):
            array = array.reshape(n_heads, -1)
        elif short in _TRANSPOSED:
            array = array.T
        made[name] = np.ascontiguousarray(array)
    return made


def tidied(weights: Mapping[str, np.ndarray], wanted: Collection[str] | None = None) -> Weights:
    """Weights without TransformerLens's buffers, and without biases that are zero throughout and so do nothing.

    wanted: the names that the network has, where that is known. Otherwise the biases of attention and unembedding go
    where all of them are zero, and with them those of the MLPs likewise.
    """
    made = {k: v for k, v in weights.items() if k.rsplit(".", 1)[-1] not in BUFFERS}
    if wanted is not None:
        return {k: v for k, v in made.items() if k in wanted or not _is_bias(k) or np.any(v)}
    for group in (_ATTENTION_BIASES, _MLP_BIASES) if not any(k.startswith("hidden.") for k in made) else ():
        members = [k for k in made if k.rsplit(".", 1)[-1] in group]
        if not members or any(np.any(made[k]) for k in members):
            break
        made = {k: v for k, v in made.items() if k not in members}
    return made


def _is_bias(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in (*_ATTENTION_BIASES, *_MLP_BIASES)


def _check(network: Mapping[str, Any]) -> None:
    kind = network.get("kind")
    if kind != "transformer":
        raise InputError("network.kind", kind, "is not in TransformerLens; --to safetensors exports any network")
    for name, needed in (("attention_rate", 1), ("positional_embedding", "learned"), ("mask", "causal")):
        # `mask` is described only where it is set
        if network.get(name, needed) != needed:
            raise InputError(f"network.{name}", network[name], f"needs to be {needed} for TransformerLens")
    if network["layer_norm"] == "post":
        raise InputError("network.layer_norm", "post", "needs to be none or pre for TransformerLens")
    if network["activation"] not in _ACTIVATIONS:
        allowed = f"needs to be {' or '.join(_ACTIVATIONS)} for TransformerLens"
        raise InputError("network.activation", network["activation"], allowed)


def _bridge_name(name: str) -> str:
    if name in _SINGLE:
        return _SINGLE[name]
    block, _, rest = name.removeprefix("blocks.").partition(".")
    if rest in _IN_BLOCK:
        return f"blocks.{block}.{_IN_BLOCK[rest]}"
    part, _, short = rest.partition(".")
    kind = {"W": "weight", "b": "bias"}[short[0]]
    return f"blocks.{block}.{part}.{short[2:].lower()}.{kind}"


def _property_names(names: Collection[str]) -> list[str]:
    """Return every name of groklab's that a model with the layers of these names can have."""
    layers = {part[1] for part in (name.split(".") for name in names) if part[0] == "blocks" and len(part) > 2}
    inside = [*_IN_BLOCK, *(f"attn.{x}" for x in _ATTENTION), "mlp.W_in", "mlp.b_in", "mlp.W_out", "mlp.b_out"]
    return [*_SINGLE, *(f"blocks.{layer}.{name}" for layer in layers for name in inside)]
