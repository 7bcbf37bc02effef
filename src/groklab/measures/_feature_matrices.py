"""Feature matrices: what a kernel machine, or a network of one hidden layer, looks at in a pair of operands.

Inputs are one-hot pairs x = (e_a; e_b) of R^2p. Over n training inputs the average gradient outer product (AGOP) of
f: R^2p -> R^c is G = 1/n Σ_j J_j' J_j with J_j = df/dx at x_j (Mallinar et al. 2024, equation 3, not centred). A
Recursive Feature Machine keeps its feature matrix M itself; that of a network is G^(1/2), and its neural feature
matrix is W1' W1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64, jax
from groklab.measures._activity import network_or_recognised
from groklab.measures._registry import Rows, Weights
from groklab.networks import ACTIVATIONS, MLP
from groklab.tasks import Task, matrix_power


def is_kernel_machine(weights: Weights, network: Any = None) -> bool:
    """Return whether weights are a kernel machine's feature matrix {"M": (d, d)}; `network` are then its settings."""
    return set(weights) == {"M"} if network is None else bool(network.is_kernel_machine)


def feature_matrix(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> Float64[np.ndarray, "d d"]:
    """Return the (2p, 2p) feature matrix over the two operands: M of a kernel machine, else the square root of the
    AGOP.

    Args:
        train_rows: rows that the AGOP is averaged over; None is all rows of the task.

    Raises:
        InputError: where the task is not on pairs of operands mod p, or the weights are neither of a kernel machine nor
            of a network of one hidden layer on one-hot tokens.
    """
    if not is_kernel_machine(weights, network):
        return matrix_power(network_agop(weights, task, train_rows, network), 1 / 2)
    if "M" not in weights:
        raise InputError(f"a kernel machine's weights are M; there are {', '.join(sorted(weights)) or '(none)'}")
    matrix = np.asarray(weights["M"], np.float64)
    places = operand_places(task, len(matrix))
    return np.asarray(matrix[np.ix_(places, places)])


def network_agop(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> Float64[np.ndarray, "d d"]:
    """Return the (2p, 2p) AGOP of a network of one hidden layer, over the operands' one-hots.

    In closed form: for f = W2 phi(W1 x + b) the Jacobian is W2 diag(phi') W1, so that G = W1' [(W2' W2) o (D' D / n)]
    W1 with D = phi'(W1 x_j + b) (n, h) and o elementwise. For phi = x² that is 4 W1' [(W2' W2) o (W1 (X'X/n) W1')] W1.
    All n_classes outputs count. Raises InputError as `feature_matrix` does.
    """
    layer = hidden_layer(weights, task, train_rows, network)
    return np.asarray(layer.w1.T @ ((layer.w2.T @ layer.w2) * layer.slope_products) @ layer.w1)


def class_agops(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None
) -> Float64[np.ndarray, "classes d d"]:
    """Return the AGOP of each output alone, of a network or a kernel machine; they sum to that of all.

    Raises InputError as `feature_matrix` does, and for a kernel machine without its settings or training rows.
    """
    if is_kernel_machine(weights, network):
        settings, rows = settings_and_rows(network, train_rows)
        agops = np.asarray(settings.agop(weights, task, rows, by_class=True), np.float64)
        places = operand_places(task, agops.shape[-1])
        return np.asarray(agops[:, places[:, None], places])
    layer = hidden_layer(weights, task, train_rows, network)
    products = layer.slope_products
    scaled = (row[:, None] * layer.w1 for row in layer.w2)
    return np.stack([own.T @ (products @ own) for own in scaled])


def neural_feature_matrix(weights: Weights, task: Task, network: Any = None) -> Float64[np.ndarray, "d d"]:
    """Return W1' W1 of a network of one hidden layer; where it plants a transform T of its inputs, of W1 T."""
    w1 = hidden_layer(weights, task, np.arange(0), network).w1
    return np.asarray(w1.T @ w1)


def blocks(matrix: Float64[np.ndarray, "d d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the p x p blocks M11, M12, M21, M22 of a (2p, 2p) matrix [[M11, M12], [M21, M22]]."""
    p = len(matrix) // 2
    return matrix[:p, :p], matrix[:p, p:], matrix[p:, :p], matrix[p:, p:]


def settings_and_rows(network: Any, train_rows: Rows) -> tuple[Any, np.ndarray]:
    """Return what a kernel machine computes with besides M. Raises InputError where it is not given."""
    if network is None:
        raise InputError("M alone does not say what a kernel machine computes: this measure needs its settings")
    if train_rows is None:
        raise InputError("a kernel machine is made of its training rows: this measure needs train_rows")
    return network, np.asarray(train_rows)


@dataclass(frozen=True)
class HiddenLayer:
    """The one hidden layer of a network, over the one-hots of two operands.

    Attributes:
        w1: (h, 2p), any planted transform multiplied in.
        w2: (n_classes, h), the output's scale multiplied in.
        sums: (n, h) W1 x + b on n inputs.
    """

    w1: np.ndarray
    w2: np.ndarray
    sums: np.ndarray
    activation: str

    @property
    def slope_products(self) -> np.ndarray:
        """(h, h) D' D / n with D = phi'(sums): means over the inputs."""
        slopes = np.asarray(_slope(self.activation)(self.sums), np.float64)
        return np.asarray(slopes.T @ slopes / len(slopes))


def hidden_layer(weights: Weights, task: Task, rows: np.ndarray | None = None, network: Any = None) -> HiddenLayer:
    """Return the hidden layer of an MLP, with its sums on some rows of the task (None: all).

    Raises:
        InputError: where the task is not on pairs of operands, the network has another form, or weights are not its
            own.
    """
    p, places = operand_positions(task)
    if "M" in weights:
        raise InputError("M is a kernel machine's feature matrix; this measure needs the weights of a network")
    network = network_or_recognised(weights, network)
    _check_network(network, weights, task)
    tables = [np.asarray(weights[f"embed.{i}.W"], np.float64) for i in range(len(task.shape.varying))]
    w1 = np.concatenate([tables[i][:p] for i in places]).T
    transform = network.transform(task.shape)
    if transform is not None:
        if np.shape(transform) != (2 * p, 2 * p):
            raise InputError("network.features", np.shape(transform), f"needs to be {(2 * p, 2 * p)} for two operands")
        w1 = w1 @ np.asarray(transform, np.float64)
    inputs = task.inputs[slice(None) if rows is None else np.asarray(rows)][:, task.shape.varying]
    sums = w1.T[inputs[:, places[0]]] + w1.T[p + inputs[:, places[1]]]
    for i, table in enumerate(tables):
        if i not in places:
            sums += table[inputs[:, i]]
    if network.biases:
        sums += np.asarray(weights["hidden.0.b"], np.float64)
    w2 = np.asarray(weights["unembed.W_U"], np.float64).T * float(network.output_scale)
    return HiddenLayer(w1, w2, sums, network.activation)


def operand_positions(task: Task) -> tuple[int, tuple[int, int]]:
    """Return the modulus p, and the places of the two operands among the positions whose token varies.

    Raises:
        InputError: where there are no two operands mod p, or their tokens are not the numbers themselves.
    """
    p, operands = operands_of(task)
    columns = task.inputs[:, task.shape.varying].T
    first, second = (next((i for i, c in enumerate(columns) if np.array_equal(c, o)), None) for o in operands.T)
    if first is None or second is None or first == second:
        raise InputError(f"a feature matrix needs the operands' numbers for tokens, and {task.name} shows others")
    return p, (first, second)


def operand_places(task: Task, d: int) -> np.ndarray:
    """Return the (2p,) coordinates of the two operands' one-hots among the d coordinates of a kernel machine.

    Those are one-hots of all positions that vary, one after another, or the task's own real features, which begin with
    the operands' one-hots.

    Raises:
        InputError: where they are neither, or the task is not on pairs of operands.
    """
    p, operands = operands_of(task)
    if task.features is not None:
        pairs = np.concatenate([np.eye(p)[operands[:, 0]], np.eye(p)[operands[:, 1]]], axis=1)
        if d != task.features.shape[1] or not np.array_equal(task.features[:, : 2 * p], pairs):
            raise InputError("M", (d, d), f"needs one-hot operands first among its coordinates, for {task.name}")
        return np.arange(2 * p)
    size, positions = task.shape.n_symbols, operand_positions(task)[1]
    if d != size * len(task.shape.varying) or size < p:
        raise InputError("M", (d, d), f"needs {size} coordinates per position that varies, for {task.name}")
    return np.concatenate([np.arange(p) + i * size for i in positions])


def operands_of(task: Task) -> tuple[int, np.ndarray]:
    """Return the modulus p and the (N, 2) operands. Raises InputError where there are no two operands mod p."""
    p = task.algebra.p
    if not p or not has_two_operands(task):
        raise InputError(f"a feature matrix has blocks for two operands mod p, and {task.name} is not such a task")
    return p, task.operands[:, :2]


def has_two_operands(task: Task) -> bool:
    """Return whether inputs are pairs of operands; further columns may say which operation is meant."""
    operands = task.algebra.operands
    if operands is None or operands.ndim != 2 or operands.shape[1] < 2:
        return False
    return operands.shape[1] == 2 or task.units is not None or task.algebra.n_variables == 2


def _check_network(network: Any, weights: Weights, task: Task) -> None:
    if not isinstance(network, MLP) or network.n_hidden_layers != 1 or network.d_embed is not None:
        other = "one with more layers or a shared embedding" if isinstance(network, MLP) else f"a {network.kind}"
        raise InputError(f"a feature matrix needs an mlp of one hidden layer on one-hot tokens, and not {other}")
    for name, wanted in network.shapes(task.shape).items():
        shape = np.shape(weights[name]) if name in weights else "missing"
        if shape != wanted:
            raise InputError(name, shape, f"needs to be {wanted} for {task.name}")


@functools.cache
def _slope(activation: str) -> Callable[[Any], jax.Array]:
    """Return the compiled derivative of an activation, entry by entry of an array (n, h)."""
    return jax.jit(jax.vmap(jax.vmap(jax.grad(ACTIVATIONS[activation]))))
