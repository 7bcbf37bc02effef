"""A learner's state as named arrays and back, and weights from elsewhere laid into it."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import DamagedError, InputError
from groklab.lazy import jax


def as_arrays(states: list[Any]) -> dict[str, np.ndarray]:
    """The states of all blocks as arrays by block and path."""
    arrays = {}
    for i, state in enumerate(states):
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
            arrays[f"{i}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    return arrays


def check_weights(shapes: dict[str, tuple[int, ...]], start: list[dict[str, np.ndarray]]) -> None:
    """Raise InputError unless every member is given every weight in its shape."""
    for given in start:
        for name, shape in shapes.items():
            array = given.get(name)
            if array is None or array.shape != shape:
                found = "is missing" if array is None else f"has shape {array.shape}"
                raise InputError(f"start: the weight {name} {found}; this network needs {shape}")


def with_weights(state: Any, lanes: list[int], start: list[dict[str, np.ndarray]]) -> Any:
    """A block's state with its lanes' weights replaced by those of the members they stand for."""
    weights = {
        name: jax.numpy.asarray(np.stack([start[lane][name] for lane in lanes]), value.dtype)
        for name, value in state["weights"].items()
    }
    return {**state, "weights": weights}


def filled(block: int, template: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The state of a block from the arrays of `as_arrays`; raises DamagedError where they do not fit."""
    paths, tree = jax.tree_util.tree_flatten_with_path(template)
    leaves = []
    for path, leaf in paths:
        found = arrays.get(f"{block}{jax.tree_util.keystr(path)}")
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise DamagedError(f"the saved state does not fit this experiment at {jax.tree_util.keystr(path)}")
        leaves.append(jax.numpy.asarray(found))
    return jax.tree_util.tree_unflatten(tree, leaves)
