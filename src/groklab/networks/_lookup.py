"""Look-ups and matrix products whose gradients compile to fast programs.

Rows of small tables are picked by token: the forward is a gather, and the gradient is one too.

The gradient of `table[tokens]` adds each row's cotangent to the row of the table it came from. As a scatter-add of
wide rows that is slow on a CPU, and not deterministic on a GPU. So the places at which each token occurs are listed
once, outside the training loop, in blocks of `BLOCK` that each belong to one token: the gradient then sums a block
with gathers in a fixed order, and only the few block sums are added up per token. How many blocks there can be
follows from the shapes alone (`n / BLOCK + n_rows`), whatever the tokens are, so the lists can be made inside `jit`
and `vmap`. Measured for 3,830 rows and four weighted tables of 113 x 625 on two cores: 12 ms as scatter-adds, 1.4 ms
this way.

For a graphics card (`groklab.device.dense`) the unrolled sums are many small kernels and make the program slow to
compile. There the gradient is one product with one-hot rows, which is deterministic, too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from groklab.device import dense
from groklab.lazy import Array, custom_vjp, jax, jnp, lax

#: Occurrences summed in one unrolled expression; 4 to 32 were tried: 16 is not faster, and compiles to more.
BLOCK = 8
#: Columns that one inner product keeps as separate partial sums, so that the compiler can vectorise them.
LANES = 32


class Lookup(NamedTuple):
    """Which row of a table each of n inputs picks, and where each row is picked.

    indices: (n,) int32. blocks: (n_blocks, BLOCK) int32 places in 0..n-1; used: the same shape, False where a block
    is not full; owner: (n_blocks,) int32, the row of the table that a block belongs to.
    """

    indices: Array
    blocks: Array
    used: Array
    owner: Array


class Indices(NamedTuple):
    """Which row of a table each of n inputs picks, where gradients are products with one-hot rows.

    indices: (n,) int32.
    """

    indices: Array


def prepare_lookup(indices: Array, n_rows: int) -> Lookup | Indices:
    """Return `indices` (n,), all in 0..n_rows-1, with block lists on a CPU; once per set of inputs, before the loop."""
    indices = indices.astype(jnp.int32)
    if dense():
        return Indices(indices)
    n = indices.shape[0]
    n_blocks = n // BLOCK + min(n_rows, n)
    order = jnp.argsort(indices, stable=True).astype(jnp.int32)
    counts = jnp.zeros(n_rows, jnp.int32).at[indices].add(1)
    blocks_of_row = (counts + BLOCK - 1) // BLOCK
    last_block = jnp.cumsum(blocks_of_row, dtype=jnp.int32)
    block = jnp.arange(n_blocks, dtype=jnp.int32)
    owner = jnp.searchsorted(last_block, block, side="right").astype(jnp.int32)
    real = owner < n_rows
    owner = jnp.minimum(owner, n_rows - 1)
    within = (block - (last_block - blocks_of_row)[owner])[:, None] * BLOCK + jnp.arange(BLOCK, dtype=jnp.int32)
    used = real[:, None] & (within < counts[owner][:, None])
    start = (jnp.cumsum(counts, dtype=jnp.int32) - counts)[owner]
    places = order[jnp.clip(start[:, None] + within, 0, n - 1)]
    return Lookup(indices, jnp.where(used, places, 0), used, owner)


def _pick(table: Array, indices: Array) -> Array:
    return table.at[indices].get(mode="promise_in_bounds", wrap_negative_indices=False)


def lookup(table: Array, prepared: Lookup | Indices) -> Array:
    """Return rows (n, ...) of `table` (n_rows, ...)."""
    return summed_lookup((table.reshape(table.shape[0], -1),), (prepared,)).reshape(-1, *table.shape[1:])


def summed_lookup(tables: Sequence[Array], lookups: Sequence[Lookup | Indices]) -> Array:
    """Return `sum_t tables[t][indices_t]`, (n, width), of tables (n_rows_t, width)."""
    if any(isinstance(prepared, Indices) for prepared in lookups):
        terms = [_rows(table, prepared.indices) for table, prepared in zip(tables, lookups, strict=True)]
        return sum(terms[1:], terms[0])
    return weighted_lookup((None,) * len(tables), tuple((table,) for table in tables), lookups)


@custom_vjp
def _rows(table: Array, indices: Array) -> Array:
    return _pick(table, indices)


def _rows_forward(table: Array, indices: Array) -> tuple[Array, Any]:
    return _pick(table, indices), (table, indices)


def _rows_backward(residuals: Any, cotangent: Array) -> tuple[Array, None]:
    table, indices = residuals
    return add_by_product(cotangent, indices, table.shape[0]), None


_rows.defvjp(_rows_forward, _rows_backward)


@custom_vjp
def weighted_lookup(
    weights: Sequence[Array | None],
    tables: Sequence[Sequence[Array]],
    lookups: Sequence[Any],
    constant: Array | None = None,
) -> Array:
    """Return `sum_t sum_h weights[t][:, h] * tables[t][h][indices_t] + constant`, (n, width), in one pass over memory.

    weights[t]: (n, n_heads), or None for all ones; tables[t]: one (n_rows_t, width) array a head; lookups[t] says
    which rows, and has its blocks; constant: (1, width), added to every row. Reverse-mode differentiable in weights,
    tables and constant; there is no forward-mode derivative.
    """
    weights = [None if weight is None else once(weight) for weight in weights]
    terms = []
    for weight, heads, prepared in zip(weights, tables, lookups, strict=True):
        for h, table in enumerate(heads):
            rows = _pick(table, prepared.indices)
            terms.append(rows if weight is None else weight[:, h : h + 1] * rows)
    if constant is not None:
        terms.append(constant)
    # One unrolled sum: XLA's CPU backend turns it into a vectorised loop, but a reduction over a head axis into a
    # scalar one that is 25 times slower.
    return once(sum(terms[1:], terms[0]))


def _forward(weights: Any, tables: Any, lookups: Any, constant: Array | None = None) -> tuple[Array, Any]:
    result = weighted_lookup(weights, tables, lookups, constant)
    return result, (weights, tables, lookups, constant is not None)


def _backward(residuals: Any, cotangent: Array) -> Any:
    weights, tables, lookups, has_constant = residuals
    cotangent = once(cotangent)
    to_weights: list[Array | None] = []
    to_tables = []
    for weight, heads, prepared in zip(weights, tables, lookups, strict=True):
        if weight is None:
            to_weights.append(None)
        else:
            products = [_row_dot(cotangent, table, prepared.indices) for table in heads]
            to_weights.append(jnp.concatenate(products, axis=1))
        to_tables.append(_table_gradients(cotangent, weight, heads, prepared))
    to_constant = _column_sums(cotangent) if has_constant else None
    return tuple(to_weights), tuple(to_tables), None, to_constant


def _column_sums(rows: Array) -> Array:
    # As a product because XLA's CPU reduction over rows is less than half as fast.
    return jnp.matmul(jnp.ones((1, rows.shape[0]), rows.dtype), rows, precision="highest")


def _row_dot(rows: Array, table: Array, indices: Array) -> Array:
    """Return `sum_j rows[i, j] * table[indices[i], j]` as (n, 1), without writing the gathered rows to memory."""
    width = rows.shape[1]
    full = width - width % LANES
    total = None
    for start, stop, lanes in ((0, full, LANES), (full, width, width - full)):
        if start == stop:
            continue
        pieces = [rows[:, s : s + lanes] * _pick(table[:, s : s + lanes], indices) for s in range(start, stop, lanes)]
        partial = jnp.matmul(sum(pieces[1:], pieces[0]), jnp.ones((lanes, 1), rows.dtype), precision="highest")
        total = partial if total is None else total + partial
    assert total is not None
    return total


def _table_gradients(cotangent: Array, weight: Array | None, heads: Any, prepared: Lookup) -> tuple[Array, ...]:
    used = prepared.used.astype(cotangent.dtype)
    scale = used[:, :, None] if weight is None else _pick(weight, prepared.blocks) * used[:, :, None]
    scale = once(scale)
    gradients = []
    for h, table in enumerate(heads):
        column = 0 if weight is None else h
        terms = [scale[:, m, column : column + 1] * _pick(cotangent, prepared.blocks[:, m]) for m in range(BLOCK)]
        gradients.append(_add_blocks(sum(terms[1:], terms[0]), prepared.owner, table.shape[0]))
    return tuple(gradients)


def _add_blocks(sums: Array, owner: Array, n_rows: int) -> Array:
    """Add the sums (n_blocks, width) of a row's blocks: (n_rows, width)."""
    # A scatter-add is sequential on a CPU, hence deterministic; elsewhere it is not.
    cpu, default = (functools.partial(f, n_rows=n_rows) for f in (add_by_scatter, add_by_product))
    result: Array = lax.platform_dependent(sums, owner, cpu=cpu, default=default)
    return result


def add_by_scatter(sums: Array, owner: Array, n_rows: int) -> Array:
    """Return rows (n_rows, width): the sums (n_blocks, width) added up by their owner, in ascending order."""
    empty = jnp.zeros((n_rows, sums.shape[1]), sums.dtype)
    return empty.at[owner].add(sums, mode="promise_in_bounds", indices_are_sorted=True)


def add_by_product(sums: Array, owner: Array, n_rows: int) -> Array:
    """Do the same by a product with one-hot rows: deterministic on every device."""
    return jnp.matmul(jax.nn.one_hot(owner, n_rows, dtype=sums.dtype, axis=0), sums, precision="highest")


weighted_lookup.defvjp(_forward, _backward)


def once(array: Array) -> Array:
    """Return the same array (n, ...), computed once and written to memory.

    XLA would compute it again inside each of its users, or merge a transposition that follows into the product that
    precedes. It does neither with a gather; its own `optimization_barrier` is dropped on CPUs before that happens.
    """
    return array.at[jnp.arange(array.shape[0], dtype=jnp.int32)].get(
        mode="promise_in_bounds", wrap_negative_indices=False
    )


def product(x: Array, w: Array) -> Array:
    """Return x @ w for x (n, n_in) with many rows and w (n_in, n_out). Reverse-mode differentiable only."""
    return x @ w if dense() else _product(x, w)


@custom_vjp
def _product(x: Array, w: Array) -> Array:
    """Return x @ w.

    The gradient x^T g of w is computed as (g^T x)^T where n_out is the smaller, which XLA's CPU backend does about
    twice as fast: measured for n = 3,830, n_in = 512, n_out = 113 on one core, 4.3 ms against 9.2.
    """
    return x @ w


def _product_forward(x: Array, w: Array) -> tuple[Array, Any]:
    return x @ w, (x, w)


def _product_backward(residuals: Any, g: Array) -> tuple[Array, Array]:
    x, w = residuals
    over_rows = (((0,), (0,)), ((), ()))
    narrow = w.shape[1] < w.shape[0]
    to_w = once(lax.dot_general(g, x, over_rows)).T if narrow else lax.dot_general(x, g, over_rows)
    return g @ w.T, to_w


_product.defvjp(_product_forward, _product_backward)
