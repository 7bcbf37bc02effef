"""The weight layout of the files that Nanda et al. released, turned into ours (TransformerLens's)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_PARENTS = {"W_E": "embed", "W_pos": "pos_embed", "W_U": "unembed"}
_PARENTS |= dict.fromkeys(("W_K", "W_Q", "W_V", "W_O"), "blocks.0.attn")
_PARENTS |= dict.fromkeys(("W_in", "b_in", "W_out", "b_out"), "blocks.0.mlp")


def is_released_layout(weights: Mapping[str, np.ndarray]) -> bool:
    """Whether these are weights as the paper's own code stores them: W_O is one matrix for all heads."""
    return any(weights.get(name, np.zeros(0)).ndim == 2 for name in ("blocks.0.attn.W_O", "W_O"))


def from_released_layout(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights in our orientation: rows are inputs, W_O (n_heads, d_head, d_model).

    Released: W_E (d_model, d_vocab), W_Q/W_K/W_V (n_heads, d_head, d_model), W_O (d_model, n_heads·d_head) with heads
    outermost, W_in (d_mlp, d_model), W_out (d_model, d_mlp), W_U (d_model, d_vocab) as ours. The causal mask that the
    files carry is no weight and is left out. Names without their module (`W_E`) are those of a one-layer model.
    """
    weights = {k if "." in k else f"{_PARENTS.get(k, '')}.{k}": v for k, v in weights.items()}
    made = {}
    for name, array in weights.items():
        short = name.rsplit(".", 1)[-1]
        if short == "mask":
            continue
        if short in ("W_Q", "W_K", "W_V"):
            array = np.swapaxes(array, 1, 2)
        elif short == "W_O":
            heads, d_head, _ = weights[name.replace("W_O", "W_Q")].shape
            array = array.T.reshape(heads, d_head, array.shape[0])
        elif short in ("W_E", "W_in", "W_out"):
            array = array.T
        made[name] = np.ascontiguousarray(array)
    return made
