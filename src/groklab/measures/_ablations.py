"""Loss when parts of a trained model are removed or replaced (Nanda et al. 2023, sections 4.4 and C.1).

The last layer is written out at the last position, so that each intervention costs one or two matrix products. All in
double precision, logits and losses: those of a grokked model are near 1e-9, below the rounding of single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import jax, jit, jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._attention import grid_of_ordered_pairs, linear_form, operand_positions
from groklab.measures._fourier import check_frequencies, fourier_basis, rows_of
from groklab.measures._frequencies import find_frequencies, residue_map
from groklab.measures._grid import Grid, grid_of
from groklab.measures._neurons import WELL_EXPLAINED, best_frequency, polynomials, single_frequency_fve
from groklab.measures._progress import excluded_by_frequency, loss_and_accuracy
from groklab.measures._registry import NamedTable, Result, Rows, Weights, cell, measure
from groklab.measures._variants import project_on_operands, project_on_sums
from groklab.networks import ACTIVATIONS, LAYER_NORM_EPSILON, MLP, Transformer, activations
from groklab.tasks import Task

#: Each intervention and what it does, in the order of the table; 'logits_without_k' comes once for each key frequency.
INTERVENTIONS = {
    "base": "nothing",
    "logits_key_blocks": "logits keep their means and the 3 × 3 blocks of the key frequencies over (a, b)",
    "logits_without_k": "logits lose cos(w_k s) and sin(w_k s) of one key frequency",
    "logits_without_keys": "logits lose cos(w_k s) and sin(w_k s) of all key frequencies",
    "polynomials_well_explained": "neurons with fve ≥ 0.85 become their polynomials of one frequency, means kept",
    "polynomials_all": "all neurons become their polynomials of one frequency, means kept",
    "own_sums_well_explained": "neurons with fve ≥ 0.85 keep cos(w s), sin(w s) of their own frequency, and means",
    "key_sums_all": "all neurons keep cos(w_k s), sin(w_k s) of the key frequencies, and their means",
    "neurons_without_k": "neurons lose cos(w_k s) and sin(w_k s) of one key frequency; the skip path stays",
    "unexplained_neurons_zero": "neurons with fve < 0.85 become zero",
    "unexplained_neurons_mean": "neurons with fve < 0.85 become their means over all inputs",
    "directions": "neurons are projected on the directions u_k, v_k of W_L; the skip path stays",
    "complement": "neurons lose the directions u_k, v_k of W_L; the skip path stays",
    "directions_W_L_alone": "logits are W_L times the projection on u_k, v_k: no skip path, no biases",
    "complement_W_L_alone": "logits are W_L times what is left without u_k, v_k: no skip path, no biases",
    "skip_around_mlp_zero": "what the last MLP adds to becomes zero",
    "skip_around_mlp_mean": "what the last MLP adds to becomes its mean over all inputs",
    "attention_output_zero": "the last attention adds nothing, and the MLP sees that",
    "skip_around_attention_zero": "what the last attention adds to becomes zero, and the MLP sees that",
    "self_attention_zero": "the last position's weight on itself becomes zero, the other weights stay",
    "attention_linear": "attention to a and b becomes 0.5 ± (α(cos w a − cos w b) + β(sin w a − sin w b)), 0 elsewhere",
}


def intervention_tables(result: Mapping[str, Any]) -> list[NamedTable]:
    """Show loss and accuracy by intervention."""
    columns = ("loss", "train_loss", "test_loss", "accuracy")
    rows = [(name, *(cell(result[k][i]) for k in columns)) for i, name in enumerate(result["names"])]
    return [NamedTable("Loss after each intervention", ("intervention", *(c.replace("_", " ") for c in columns)), rows)]


@dataclass(frozen=True, eq=False)
class Ablations(Result):
    """Cross-entropy (nats) and accuracy after each of n interventions.

    Attributes:
        names: those of `INTERVENTIONS` that the network and task have, with each key frequency in place of k.
        loss, accuracy: (n,) on all pairs.
        train_loss, test_loss: (n,) on either set, NaN without train_rows.
        loss_without_frequency: (p//2,) on all pairs, of the logits without cos(w_k s) and sin(w_k s) of each frequency
            1..p//2 alone (figure 6).
    """

    names: list[str]
    loss: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    accuracy: np.ndarray
    loss_without_frequency: np.ndarray


@measure("ablations", tables=intervention_tables)
def ablations(
    weights: Weights, task: Task, train_rows: Rows = None, network: Any = None, frequencies: Sequence[int] | None = None
) -> Ablations:
    """Loss and accuracy after each of the paper's interventions, by `names`.

    Args:
        frequencies: the key frequencies; None takes those of `find_frequencies`.

    Raises:
        InputError: where the answer is not a function of a + b or a − b.
    """
    network = network_or_recognised(weights, network)
    grid = grid_of(task)
    given = find_frequencies(weights, task, network) if frequencies is None else frequencies
    keys = check_frequencies(given, grid.p)
    sets = [grid.weights()]
    if train_rows is not None:
        sets += [grid.weights(rows) for rows in (train_rows, grid.other_rows(train_rows))]
    answers, by_set = jnp.asarray(grid.answers[grid.sums].astype(np.int32)), jnp.asarray(np.stack(sets))
    names, losses, accuracies = [], [], []
    for name, logits in _edited(weights, task, network, grid, keys):
        loss, accuracy = _losses(jnp.asarray(logits[..., : task.n_answers]), answers, by_set)
        names.append(name)
        losses.append(np.pad(np.asarray(loss), (0, 3 - len(sets)), constant_values=np.nan))
        accuracies.append(min(max(float(accuracy[0]), 0.0), 1.0))
    table = np.array(losses)
    return Ablations(
        names=names,
        loss=table[:, 0],
        train_loss=table[:, 1],
        test_loss=table[:, 2],
        accuracy=np.array(accuracies),
        loss_without_frequency=excluded_by_frequency(weights, task, None, network=network).loss,
    )


@jit
def _losses(logits: jax.Array, answers: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the loss and the accuracy for each row of weights."""
    return jax.vmap(loss_and_accuracy, in_axes=(None, None, 0))(logits, answers, weights)


def _times(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return x @ matrix for x (p, p, n), as one product: NumPy's stacked ones are several times slower."""
    flat = x.reshape(x.shape[0] * x.shape[1], x.shape[2]) @ matrix
    return np.asarray(flat.reshape(*x.shape[:2], matrix.shape[1]))


class _LastLayer:
    """A transformer's last layer at the last position on the grid of inputs: NumPy arrays (p, p, …) float64."""

    def __init__(self, weights: Weights, task: Task, network: Transformer, rows: np.ndarray) -> None:
        self.weights = {k: np.asarray(v, np.float64) for k, v in weights.items()}
        self.network, self.block = network, f"blocks.{network.n_layers - 1}."
        seen = activations(self.weights, task.inputs, network, last_only=True)

        def last(name: str) -> np.ndarray:
            return np.asarray(np.asarray(seen[name])[:, -1][rows])

        self.logits = last("logits")
        self.pre, self.attn_out = last(self.block + "hook_resid_pre"), last(self.block + "hook_attn_out")
        self.mid = self.mid_from(self.pre, self.attn_out)
        self.pattern = np.asarray(seen[self.block + "attn.hook_pattern"])[:, :, -1][rows]
        self.values = np.asarray(seen[self.block + "attn.hook_v"])[rows]
        self.post = last(self.block + "mlp.hook_post") if self.block + "mlp.W_in" in self.weights else None

    def attn_out_from(self, pattern: np.ndarray) -> np.ndarray:
        """Return the attention's output from a pattern (p, p, n_heads, n_ctx)."""
        mixed = np.einsum("abhn,abnhe->abhe", pattern, self.values)
        out = self.weights[self.block + "attn.W_O"]
        return self._plus(_times(mixed.reshape(*mixed.shape[:2], -1), out.reshape(-1, out.shape[2])), "attn.b_O")

    def mid_from(self, pre: np.ndarray, attn_out: np.ndarray) -> np.ndarray:
        """Return the residual stream before the MLP."""
        return self._norm(pre + attn_out, self.block + "ln1", "post")

    def logits_from_mid(self, mid: np.ndarray) -> np.ndarray:
        """Return the logits when the MLP reads, and adds to, another residual stream."""
        if self.post is None:
            return self._unembedded(mid)
        read = self._norm(mid, self.block + "ln2", "pre")
        pre = self._plus(_times(read, self.weights[self.block + "mlp.W_in"]), "mlp.b_in")
        return self.logits_from(mid, np.asarray(ACTIVATIONS[self.network.activation](jnp.asarray(pre))))

    def logits_from(self, mid: np.ndarray, post: np.ndarray) -> np.ndarray:
        """Return the logits from the residual stream before the MLP and the neurons' activations."""
        added = self._plus(_times(post, self.weights[self.block + "mlp.W_out"]), "mlp.b_out")
        return self._unembedded(self._norm(mid + added, self.block + "ln2", "post"))

    def from_neurons(self, post: np.ndarray) -> np.ndarray:
        """Return the logits from other activations of the neurons alone: the skip path stays."""
        return self.logits_from(self.mid, post)

    def _unembedded(self, x: np.ndarray) -> np.ndarray:
        logits = _times(self._norm(x, "ln_final", "pre"), self.weights["unembed.W_U"])
        return np.asarray((logits + self.weights.get("unembed.b_U", 0.0)) * self.network.output_scale)

    def _plus(self, x: np.ndarray, bias: str) -> np.ndarray:
        return np.asarray(x + self.weights.get(self.block + bias, 0.0))

    def _norm(self, x: np.ndarray, name: str, where: str) -> np.ndarray:
        if self.network.layer_norm != where:
            return x
        x = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((x * x).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        return np.asarray(x / scale * self.weights[name + ".w"] + self.weights[name + ".b"])


def _edited(
    weights: Weights, task: Task, network: Any, grid: Grid, keys: Sequence[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and logits (p, p, n_classes) of each intervention that applies, one at a time to save memory."""
    if isinstance(network, Transformer):
        layer = _LastLayer(weights, task, network, grid.rows)
        yield "base", layer.logits
        yield from _of_logits(layer.logits, grid, keys)
        if layer.post is not None:
            span = _span(weights, task, grid, keys)
            yield from _of_neurons(layer.post, layer.from_neurons, grid, keys, span)
            yield from _of_the_mlp(layer, layer.post, span)
        yield from _of_attention(layer, task)
        return
    parts = ("logits", "neurons") if isinstance(network, MLP) else ("logits",)
    seen = activity(weights, task, network, parts)
    logits = seen["logits"][grid.rows]
    yield "base", logits
    yield from _of_logits(logits, grid, keys)
    if "neurons" in seen:
        post = seen["neurons"][grid.rows]
        out = np.asarray(weights["unembed.W_U"], np.float64) * network.output_scale
        bias = np.asarray(weights.get("unembed.b_U", 0.0), np.float64) * network.output_scale
        yield from _of_neurons(post, lambda x: _times(x, out) + bias, grid, keys, _span(weights, task, grid, keys))


def _span(weights: Weights, task: Task, grid: Grid, keys: Sequence[int]) -> np.ndarray | None:
    """Return orthonormal columns that span the u_k and v_k of W_L; None where residues share answers."""
    try:
        spectrum = fourier_basis(grid.p) @ residue_map(weights, task)
    except InputError:
        return None
    return np.asarray(np.linalg.qr(spectrum[rows_of(keys, grid.p)].T)[0])


def _of_logits(logits: np.ndarray, grid: Grid, keys: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    sums = project_on_sums(logits, grid, keys)
    blocks = sums + project_on_sums(logits, grid, keys, opposite=True) + project_on_operands(logits, keys)
    yield "logits_key_blocks", blocks + logits.mean(axis=(0, 1))
    for k in keys:
        yield f"logits_without_{k}", logits - project_on_sums(logits, grid, [k])
    yield "logits_without_keys", logits - sums


def _of_neurons(
    post: np.ndarray,
    logits_from: Callable[[np.ndarray], np.ndarray],
    grid: Grid,
    keys: Sequence[int],
    span: np.ndarray | None,
) -> Iterator[tuple[str, np.ndarray]]:
    frequency, fve = best_frequency(single_frequency_fve(post))
    well, mean = fve >= WELL_EXPLAINED, post.mean(axis=(0, 1))
    fitted = polynomials(post, frequency)
    yield "polynomials_well_explained", logits_from(np.where(well, fitted, post))
    yield "polynomials_all", logits_from(fitted)
    fitted = post.copy()
    for k in np.unique(frequency[well]):
        own = np.flatnonzero(well & (frequency == k))
        fitted[:, :, own] = project_on_sums(post[:, :, own], grid, [int(k)]) + mean[own]
    yield "own_sums_well_explained", logits_from(fitted)
    yield "key_sums_all", logits_from(project_on_sums(post, grid, keys) + mean)
    for k in keys:
        yield f"neurons_without_{k}", logits_from(post - project_on_sums(post, grid, [k]))
    yield "unexplained_neurons_zero", logits_from(np.where(well, post, 0.0))
    yield "unexplained_neurons_mean", logits_from(np.where(well, post, mean))
    if span is not None:
        on = _times(_times(post, span), span.T)
        yield "directions", logits_from(on)
        yield "complement", logits_from(post - on)


def _of_the_mlp(layer: _LastLayer, post: np.ndarray, span: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    # with a LayerNorm in between, W_L is not what maps neurons to logits
    if span is not None and layer.network.layer_norm == "none":
        w, on = layer.weights, _times(_times(post, span), span.T)
        to_logits = w[layer.block + "mlp.W_out"] @ w["unembed.W_U"] * layer.network.output_scale
        yield "directions_W_L_alone", _times(on, to_logits)
        yield "complement_W_L_alone", _times(post - on, to_logits)
    yield "skip_around_mlp_zero", layer.logits_from(np.zeros_like(layer.mid), post)
    yield "skip_around_mlp_mean", layer.logits_from(layer.mid.mean(axis=(0, 1)), post)


def _of_attention(layer: _LastLayer, task: Task) -> Iterator[tuple[str, np.ndarray]]:
    nothing = np.zeros_like(layer.pre)
    yield "attention_output_zero", layer.logits_from_mid(layer.mid_from(layer.pre, nothing))
    yield "skip_around_attention_zero", layer.logits_from_mid(layer.mid_from(nothing, layer.attn_out))
    patterns = {"self_attention_zero": layer.pattern.copy()}
    patterns["self_attention_zero"][..., -1] = 0
    try:
        grid_of_ordered_pairs(task)
        first, second = operand_positions(task)
    except InputError:
        pass  # attention to a and b has no linear form of a and b
    else:
        frequency = best_frequency(single_frequency_fve(layer.pattern[..., first]))[0]
        fitted = linear_form(layer.pattern[..., first], frequency)[0]
        made = patterns["attention_linear"] = np.zeros_like(layer.pattern)
        made[..., first], made[..., second] = fitted, 1 - fitted
    for name, pattern in patterns.items():
        yield name, layer.logits_from_mid(layer.mid_from(layer.pre, layer.attn_out_from(pattern)))
