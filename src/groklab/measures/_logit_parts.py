"""Split the logits by frequency, and take the loss of each combination of the parts (Furuta et al. 2024, appendix E).

C_k is the projection of the logits, as functions of the p² inputs and class by class, on cos(w_k s) and sin(w_k s) with
s = a + b or a − b; the paper writes the form for sums only. Key, non-key: the sums of C_k over key and over all other
frequencies 1..p//2. Residual: the rest, among it the constant, functions of one operand and of the other direction. C_k
are tables over s, so that nothing larger than the logits is made. All in double precision: losses are near 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Array, Bool, Float64, Int, jax, jit, jnp
from groklab.measures._activity import activity, network_or_recognised
from groklab.measures._fourier import ROUNDING, check_frequencies, fourier_basis
from groklab.measures._frequencies import RULES
from groklab.measures._grid import Grid, grids_of
from groklab.measures._progress import loss_and_accuracy
from groklab.measures._registry import NamedTable, Result, Rows, Weights, cell, measure
from groklab.tasks import Task

#: What each combination keeps of (key, non-key, residual, the mean over inputs): the rows of the paper's table 4 in its
#: order, then the key part with the mean that the residual holds, which is the restricted loss of Nanda et al. 2023.
PARTS = {
    "all": (1, 1, 1, 0),
    "key": (1, 0, 0, 0),
    "non_key": (0, 1, 0, 0),
    "residual": (0, 0, 1, 0),
    "key_non_key": (1, 1, 0, 0),
    "key_residual": (1, 0, 1, 0),
    "non_key_residual": (0, 1, 1, 0),
    "key_mean": (1, 0, 0, 1),
}
#: A model depends on a frequency without which its loss rises by more than this (nats).
RISE = 1e-9
#: The rules of key frequencies (`frequencies.RULES`) shown side by side: each part's share depends on the rule.
KEY_RULES = ("furuta", "furuta_union")
#: What tables and figures call each combination, in the order of the table's rows.
PART_NAMES = {
    "all": "everything",
    "key": "key frequencies",
    "key_mean": "key frequencies and the mean",
    "non_key": "other frequencies",
    "residual": "residual",
    "key_non_key": "key and other frequencies",
    "key_residual": "key frequencies and residual",
    "non_key_residual": "other frequencies and residual",
}


def frequency_tables(
    logits: Float64[np.ndarray, "p p n_answers"], grid: Grid
) -> Float64[np.ndarray, "frequencies p n_answers"]:
    """Return C_k of logits [a, b, class] for k = 1..p//2, as tables [k − 1, s, class]: C_k[a, b] is the row s = a ± b.

    The orthogonal projection over all pairs on cos(w_k s) and sin(w_k s), for k = p/2 on its one wave.
    """
    means = grid.by_sum(logits).mean(axis=1)
    basis = fourier_basis(grid.p)
    waves = (basis[2 * k - 1 : 2 * k + 1] for k in range(1, grid.p // 2 + 1))
    return np.array([wave.T @ (wave @ means) for wave in waves])


def parts_tables(
    result: Mapping[str, Any], names: Mapping[str, str] | None = None, number: Callable[[float], str] = cell
) -> list[NamedTable]:
    """Show the rules, then for each operation and rule the loss of each combination.

    Of rules that name the same frequencies only the first is shown.

    Args:
        names: what to call a rule, where not by its name.
        number: formats a loss.
    """
    is_key, called = np.asarray(result["is_key"], bool), [(names or {}).get(rule, rule) for rule in result["rules"]]
    rules = [i for i in range(len(is_key)) if not any((is_key[i] == is_key[j]).all() for j in range(i))]
    several = "operations" in result
    operations = list(result["operations"]) if several else [""]
    sets = [name for name in ("train_loss", "test_loss") if name in result] or ["loss"]
    losses = {name: np.asarray(result[name], float).reshape(len(operations), len(is_key), -1) for name in sets}
    place = {part: i for i, part in enumerate(result["parts"])}
    tables = []
    for i, operation in enumerate(operations):
        for rule in rules:
            of = f" of {operation}" if several else ""
            rows = [
                (name, *(number(losses[s][i, rule, place[part]]) for s in sets))
                for part, name in PART_NAMES.items()
                if part in place
            ]
            head = ("what is kept", *(s.replace("_", " ") for s in sets))
            tables.append(NamedTable(f"Loss of the parts of the logits{of}, by the rule {called[rule]}", head, rows))
    needed = np.asarray(result["n_dependent"]).reshape(len(operations), -1)
    rows = []
    for rule, name in enumerate(called):
        keys = [str(k + 1) for k in np.flatnonzero(is_key[rule])]
        besides = (str(n) for n in needed[:, rule])
        rows.append((name, ", ".join(keys) or "none", f"{len(keys)} of {is_key.shape[1]}", *besides))
    needs = [f"others needed, {operation}" if several else "others needed" for operation in operations]
    return [NamedTable("Key frequencies", ("rule", "key frequencies", "how many", *needs), rows), *tables]


@dataclass(frozen=True, eq=False)
class LogitParts(Result):
    """Cross-entropy (nats, over the p answers) of parts of the logits.

    Arrays of a mixture have a leading axis with one entry for each of `operations`; not `is_key`. What needs a set that
    is empty or unknown is None.

    Attributes:
        rules: rules of the key frequencies: 'given' for those given, and KEY_RULES.
        is_key: (n_rules, p//2) which frequencies each rule names.
        parts: names of the eight combinations, in the order of `PARTS`.
        dependent: (p//2,) whether the training loss (without a split, that of all pairs) rises by more than 1e-9
            without the frequency.
        n_dependent: (n_rules,) how many frequencies that are not key are dependent.
        share: (p//2,) share of the variance over inputs, all classes together, that C_k explains; NaN where none
            varies.
        direction: +1 where the answer is a function of a + b, −1 for a − b.
        loss, train_loss, test_loss: (n_rules, 8) on all pairs and on either set.
        loss_without_frequency, train_loss_without_frequency, test_loss_without_frequency: (p//2,) of raw − C_k.
        operations, left_out: of a mixture, the operations whose answer is a function of a ± b, and the others.
    """

    rules: list[str]
    is_key: np.ndarray
    parts: list[str]
    dependent: np.ndarray
    n_dependent: np.ndarray
    share: np.ndarray
    direction: np.ndarray
    loss: np.ndarray
    loss_without_frequency: np.ndarray
    train_loss: np.ndarray | None = None
    train_loss_without_frequency: np.ndarray | None = None
    test_loss: np.ndarray | None = None
    test_loss_without_frequency: np.ndarray | None = None
    operations: list[str] | None = None
    left_out: list[str] | None = None


@measure("logit_parts", tables=parts_tables)
def logit_parts(
    weights: Weights,
    task: Task,
    train_rows: Rows = None,
    network: Any = None,
    frequencies: Sequence[int] | None = None,
    final: Weights | None = None,
) -> LogitParts:
    """Loss of the logits' key, non-key and residual parts and of their combinations, and without each frequency.

    Key frequencies by 'furuta', a component of W_L above half of the largest, and 'furuta_union', those and the same of
    W_E; and those given, if any are. They are those of the final model where one is given.

    Raises:
        InputError: where no answer is a function of a ± b, or the weights have no unembedding and no frequencies are
            given.
    """
    network = network_or_recognised(weights, network)
    grids, left_out = grids_of(task)
    keys = _keys(weights if final is None else final, task, network, frequencies)
    is_key = np.array([np.isin(np.arange(1, task.modulus // 2 + 1), own) for own in keys.values()])
    logits = activity(weights, task, network)["logits"]
    each = []
    for grid in grids.values():
        sets = {"": grid.weights()}
        if train_rows is not None:
            sets["train_"] = grid.weights(train_rows)
            if len(np.unique(train_rows)) < task.n_inputs:
                sets["test_"] = grid.weights(grid.other_rows(train_rows))
        each.append(_of_operation(logits[grid.rows], grid, is_key, sets))
    mixed = bool(task.algebra.operations)
    return LogitParts(
        rules=list(keys),
        is_key=is_key,
        parts=list(PARTS),
        operations=list(grids) if mixed else None,
        left_out=left_out if mixed else None,
        **{k: np.stack([one[k] for one in each]) if mixed else each[0][k] for k in each[0]},
    )


def _keys(weights: Weights, task: Task, network: Any, frequencies: Sequence[int] | None) -> dict[str, tuple[int, ...]]:
    """Return key frequencies by the name of their rule, without rules that do not apply unless there is no other."""
    keys = {} if frequencies is None else {"given": check_frequencies(frequencies, task.modulus)}
    for rule in KEY_RULES:
        try:
            keys[rule] = RULES[rule](weights, task, network)
        except InputError:
            if not keys:
                raise
    return keys


def _of_operation(
    logits: Float64[np.ndarray, "p p n_answers"],
    grid: Grid,
    is_key: Bool[np.ndarray, "rules frequencies"],
    sets: Mapping[str, Float64[np.ndarray, "p p"]],
) -> dict[str, np.ndarray]:
    """Measure one operation from its logits [a, b, class] and the weights of pairs in each set."""
    tables, mean = frequency_tables(logits, grid), logits.mean(axis=(0, 1))
    kept = [_kept(tables, own, mean, combination) for own in is_key for combination in PARTS.values()]
    scales = [combination[2] for _ in is_key for combination in PARTS.values()] + [1] * len(tables)
    losses = _losses(
        jnp.asarray(grid.by_sum(logits)),
        jnp.asarray(np.broadcast_to(grid.answers[:, None], (grid.p, grid.p)).astype(np.int32)),
        jnp.asarray(np.stack([grid.by_sum(weights) for weights in sets.values()])),
        jnp.asarray(scales, jnp.float64),
        jnp.asarray(np.concatenate([np.array(kept), -tables])),
    )
    by_set = dict(zip(sets, np.asarray(losses).T, strict=True))
    of_parts = {name: values[: len(kept)].reshape(len(is_key), len(PARTS)) for name, values in by_set.items()}
    without = {name: values[len(kept) :] for name, values in by_set.items()}
    fitted = "train_" if "train_" in sets else ""
    dependent = without[fitted] - of_parts[fitted][0, 0] > RISE
    energy = np.sum((logits - mean) ** 2)
    varies = energy > ROUNDING**2 * np.sum(logits**2)
    return {
        **{f"{name}loss": values for name, values in of_parts.items()},
        **{f"{name}loss_without_frequency": values for name, values in without.items()},
        "dependent": dependent,
        "n_dependent": (dependent & ~is_key).sum(axis=1),
        "share": grid.p * np.sum(tables**2, axis=(1, 2)) / (energy if varies else np.nan),
        "direction": np.asarray(grid.direction),
    }


def _kept(tables: np.ndarray, is_key: np.ndarray, mean: np.ndarray, combination: Sequence[int]) -> np.ndarray:
    """Return a combination of the parts, less the logits themselves where it keeps the residual: a table over s."""
    key, non_key, residual, with_mean = combination
    of_keys, every = tables[is_key].sum(axis=0), tables.sum(axis=0)
    return np.asarray((key - residual) * of_keys + (non_key - residual) * (every - of_keys) + with_mean * mean)


@jit
def _losses(
    by_sum: Float64[Array, "p p n_answers"],
    answers: Int[Array, "p p"],
    by_set: Float64[Array, "sets p p"],
    scales: Float64[Array, " n"],
    tables: Float64[Array, "n p n_answers"],
) -> Float64[Array, "n sets"]:
    def one(version: tuple[jax.Array, jax.Array]) -> jax.Array:
        scale, table = version
        edited = scale * by_sum + table[:, None]
        return jax.vmap(lambda weights: loss_and_accuracy(edited, answers, weights)[0])(by_set)

    losses: jax.Array = jax.lax.map(one, (scales, tables))
    return losses
