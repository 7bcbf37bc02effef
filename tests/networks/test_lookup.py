import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.networks._lookup import (
    BLOCK,
    add_by_product,
    add_by_scatter,
    lookup,
    prepare_lookup,
    product,
    weighted_lookup,
)

prepare = jax.jit(prepare_lookup, static_argnums=1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n_rows=st.sampled_from([1, 3, 40]), skewed=st.booleans())
def test_every_place_is_in_exactly_one_block_of_its_own_row(seed, n_rows, skewed):
    rng = np.random.default_rng(seed)
    n = 57
    indices = np.full(n, n_rows - 1) if skewed else rng.integers(0, n_rows, n)
    prepared = prepare(jnp.asarray(indices), n_rows)
    blocks, used, owner = (np.asarray(x) for x in prepared[1:])
    assert sorted(blocks[used]) == list(range(n))
    assert (indices[blocks] == owner[:, None])[used].all()
    assert blocks.shape == (n // BLOCK + min(n_rows, n), BLOCK)


@pytest.mark.parametrize("width", [3, 70])
def test_values_and_gradients_are_those_of_plain_indexing(width):
    rng = np.random.default_rng(0)
    n, n_heads = 53, 2
    indices = [rng.integers(0, 6, n), np.sort(rng.integers(0, 9, n))]
    tables = tuple(tuple(jnp.asarray(rng.normal(size=(m, width))) for _ in range(n_heads)) for m in (6, 9))
    weights = (jnp.asarray(rng.normal(size=(n, n_heads))), None)
    constant = jnp.asarray(rng.normal(size=(1, width)))
    direction = jnp.asarray(rng.normal(size=(n, width)))

    def plain(weights, tables, constant):
        first = sum(weights[0][:, h, None] * tables[0][h][indices[0]] for h in range(n_heads))
        return (direction * (first + sum(t[indices[1]] for t in tables[1]) + constant)).sum()

    def fast(weights, tables, constant):
        lookups = tuple(prepare_lookup(jnp.asarray(i), m) for i, m in zip(indices, (6, 9), strict=True))
        return (direction * weighted_lookup(weights, tables, lookups, constant)).sum()

    expected, got = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(weights, tables, constant) for f in (plain, fast)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), got, expected)


def test_members_of_a_batch_have_tokens_of_their_own():
    rng = np.random.default_rng(0)
    tables, indices = jnp.asarray(rng.normal(size=(3, 5, 2, 4))), jnp.asarray(rng.integers(0, 5, (3, 40)))

    def gradient(look_up):
        return jax.jit(jax.vmap(jax.grad(lambda t, i: (look_up(t, i) ** 2).sum())))(tables, indices)

    fast = gradient(lambda t, i: lookup(t, prepare_lookup(i, 5)))
    np.testing.assert_allclose(fast, gradient(lambda t, i: t[i]), rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_the_product_has_the_gradients_of_a_product(shape):
    rng = np.random.default_rng(0)
    x, w = jnp.asarray(rng.normal(size=(9, shape[0]))), jnp.asarray(rng.normal(size=shape))

    def gradients(multiply):
        return jax.jit(jax.grad(lambda x, w: jnp.sin(multiply(x, w)).sum(), argnums=(0, 1)))(x, w)

    for got, expected in zip(gradients(product), gradients(jnp.matmul), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_both_ways_of_adding_blocks_agree():
    """A GPU takes the second way, which no test on a CPU would run otherwise."""
    rng = np.random.default_rng(0)
    sums, owner = jnp.asarray(rng.normal(size=(40, 5))), jnp.asarray(np.sort(rng.integers(0, 7, 40)), jnp.int32)
    product_, scatter = (jax.jit(f, static_argnums=2)(sums, owner, 7) for f in (add_by_product, add_by_scatter))
    np.testing.assert_allclose(product_, scatter, rtol=1e-12)
